"""Kinds of work for tests, people who look after them, and short ways to open items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backoffice.core.models import LegalEntity, User, WorkItem
from backoffice.core.services import work_items
from backoffice.core.work import kinds as work_kinds
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel.registry import Registry
from tests.logins import make_user

ALARM = "t.alarm"
FLAPPING = "t.flapping"
READABLE = "t.readable"
SETTLED = "t.settled"

standing: dict[str, WorkCondition] = {}
"""What the readable kinds' world holds, by group key."""


def stands(keys: list[str] | None) -> list[WorkCondition]:
    """The conditions that stand, all or those of the keys."""
    return [condition for key, condition in standing.items() if keys is None or key in keys]


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four kinds: a plain one of finance, one that waits before it closes, two whose conditions can be read."""
    monkeypatch.setattr(work_kinds, "_kinds", Registry("kinds of this test"))
    standing.clear()
    register_work_kind(
        WorkKind(
            ALARM,
            "Alarm",
            "funding",
            ("finance",),
            due_hours=4,
            escalate_after_hours=2,
            escalate_to_roles=("compliance", "administrator"),
        )
    )
    register_work_kind(WorkKind(FLAPPING, "Flapping", "risk", ("dealing",), clears_after_seconds=300))
    register_work_kind(WorkKind(READABLE, "Readable", "risk", ("dealing",), conditions=stands, closes_by_hand=False))
    register_work_kind(WorkKind(SETTLED, "Settled", "risk", ("dealing",), conditions=stands))
    yield
    standing.clear()


def alarm(group_key: str = "a", **fields: Any) -> WorkItem:
    """An item of finance."""
    return work_items.open_item(kind=ALARM, group_key=group_key, title=fields.pop("title", "An alarm"), **fields)


def person(role: str, *entities: LegalEntity, name: str = "") -> User:
    """A member of staff."""
    return make_user(f"{name or role}@house.test", role, entities=entities)


def states(item: WorkItem) -> list[str]:
    """The kinds of events on the item's timeline."""
    return list(item.events.order_by("id").values_list("kind", flat=True))
