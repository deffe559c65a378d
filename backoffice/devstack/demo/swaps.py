"""The demo's swaps: rollovers that prove what the servers charged, a dividend, swap-free accounts and their fee."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backoffice.core.types import Actor
from backoffice.devstack.demo.seed import Seeding
from backoffice.devstack.demo.world import business_days_until
from backoffice.kernel.business_day import next_business_day, previous_business_day
from platform_ops.services.swaps import dividends, policies
from platform_ops.services.swaps.settings import set_swap_setting

COMPUTED_DAYS = 8
"""Business days whose rollovers the demo has; the servers' own charges of earlier ones are taken as they are."""
TOLERANCE = Decimal("2.50")
"""The demo's servers convert a position's whole swap at its closing and round once, ours every night; the rest is small."""


def set_up_rollovers(seeding: Seeding) -> None:
    """Both servers are proved from some days before the end on; one group of accounts is free of swaps."""
    seeding.say("rollovers: settings, a swap-free group, dividends")
    first = business_days_until(seeding.world.last_day, COMPUTED_DAYS)[0]
    for server_id in seeding.servers.values():
        set_swap_setting(
            server_id=server_id,
            mode="prove",
            cut="server_midnight",
            channel="books",
            starts_on=first,
            tolerance=TOLERANCE,
            rounds_point_value_first=False,
            actor=seeding.actor,
            reason="Demo: the servers charge, we prove it",
        )
    _free_somebody(seeding, first)
    _pay_dividends(seeding)


def _free_somebody(seeding: Seeding, first: date) -> None:
    account_id = sorted(seeding.accounts.items())[0][1]
    policies.set_swap_free_policy(
        name="Swap-free on request, five nights",
        account_id=account_id,
        valid_from=datetime(first.year, first.month, first.day, tzinfo=UTC) - timedelta(days=30),
        grace_nights=5,
        fee_per_lot=Decimal("4.50"),
        fee_currency="USD",
        actor=seeding.actor,
        reason="Asked for by the client; compliance agreed",
    )


def _pay_dividends(seeding: Seeding) -> None:
    """One index went ex during the computed days, another one will soon."""
    indices = [code for code in ("US500", "US100", "NAS100", "GER40", "UK100", "US30") if code in seeding.symbols]
    last = seeding.world.last_day
    for code, ex_date, amount in zip(
        indices,
        (previous_business_day(last), next_business_day(next_business_day(last))),
        ("1.27", "4.85"),
        strict=False,
    ):
        event = dividends.propose_dividend(
            symbol_id=seeding.symbols[code],
            ex_date=ex_date,
            amount_long=Decimal(amount),
            amount_short=-Decimal(amount),
            note="Members of the index go ex",
            actor=Actor.system("index_provider"),
        )
        if ex_date <= last:
            dividends.approve_dividend(event_id=event.pk, actor=seeding.actor, reason="As the index provider published")
