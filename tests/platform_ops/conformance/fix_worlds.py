"""A provider's drop copy: it reads nothing of clients, and tells what was executed for the house."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.fix.connector import build
from platform_ops.gateways.registry import ConnectionSettings
from tests.drop_copy import COMP_ID, HOUSE, PASSWORD, USER, running_provider
from tests.platform_ops.conformance.worlds import World, register_world


@contextmanager
def drop_copy_world() -> Iterator[World]:
    """A provider that has executed an order in two parts before anybody listened."""
    with running_provider() as lp:
        lp.fill(quantity=3000, parts=2)
        gateway = build(
            ConnectionSettings(
                server="FIX",
                platform="other",
                zone=ServerZone.parse("UTC"),
                host="127.0.0.1",
                port=lp.port,
                login=USER,
                password=PASSWORD,
                options={"provider": "lp", "sender_comp_id": HOUSE, "target_comp_id": COMP_ID},
            )
        )
        now = datetime.now(UTC)
        try:
            yield World(
                gateway=gateway,
                start=now - timedelta(hours=1),
                end=now + timedelta(hours=1),
                logins=frozenset(),
                symbols=frozenset(),
                has_whole_history=False,
            )
        finally:
            gateway.close()


register_world("FIX drop copy", drop_copy_world)
