"""The kinds of work that desks register, and the rules of time that hold for all of them.

A kind says who looks after its items, how soon, and what happens when nobody does. A kind whose condition can be read
from the database names a function that lists what stands now: the sweep opens what is missing and closes what is gone,
and `verify_books` proves that the inbox equals reality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models

from backoffice.core.models.work import Severity
from backoffice.core.types import STAFF_ROLES
from backoffice.kernel.business_day import CLOSING_TIME, NEW_YORK, business_day_of, day_bounds
from backoffice.kernel.errors import InvalidInput, Misconfigured
from backoffice.kernel.registry import Registry

MAX_GROUP_KEY_LENGTH = 200
MAX_TITLE_LENGTH = 200
_FRIDAY, _SUNDAY = 4, 6


@dataclass(frozen=True, slots=True)
class WorkCondition:
    """Something that stands now and should have an open item: what `open_item` takes, without the kind.

    `evidence` may be a function where it costs a query: it is called when an item is written.
    `since` is when it began, where only time makes it true (a step that waits too long): the proof then lets the sweep
    come by first.
    """

    group_key: str
    title: str
    evidence: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    entity_id: int | None = None
    target: models.Model | None = None
    url: str = ""
    due_at: datetime | None = None
    severity: Severity | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class WorkKind:
    """A kind of work item.

    `due_hours` are hours in which the market is open: a weekend does not count. `clears_after_seconds` is how long the
    condition must stay gone before the item closes. Once overdue by n × `escalate_after_hours`, the n-th of
    `escalate_to_roles` is called in. `conditions` lists what stands now (all of it, or only the given group keys);
    `is_of_whole_broker`: an item without a legal entity speaks of all of
    them, so it is for those who see them all (otherwise it speaks of none, and is for everybody of the roles).
    `closes_by_hand` is for conditions that a person may declare settled although they can still be read. `action_slug`
    names the action of the target's page (a `DeskActionView`) that solves it, `action_label` what its button says.
    """

    kind: str
    label: str
    desk: str
    roles: frozenset[str] | tuple[str, ...]
    due_hours: float = 24
    severity: Severity = Severity.NORMAL
    clears_after_seconds: int = 0
    escalate_after_hours: float = 8
    escalate_to_roles: tuple[str, ...] = ()
    action_slug: str = ""
    action_label: str = ""
    conditions: Callable[[list[str] | None], Iterable[WorkCondition]] | None = None
    closes_by_hand: bool = True
    is_of_whole_broker: bool = False


_kinds: Registry[WorkKind] = Registry("work kinds")


def register_work_kind(kind: WorkKind) -> None:
    """Adds a kind. Raises Misconfigured for a name that is taken, roles that are not staff, or impossible times."""
    unknown = {str(role) for role in (*kind.roles, *kind.escalate_to_roles)} - STAFF_ROLES
    if unknown or not kind.roles:
        raise Misconfigured(f"Work kind {kind.kind} names no staff role, or others: {sorted(unknown)}.", kind=kind.kind)
    if kind.due_hours <= 0 or kind.clears_after_seconds < 0 or kind.escalate_after_hours < 0:
        raise Misconfigured(f"The times of work kind {kind.kind} are impossible.", kind=kind.kind)
    _kinds.register(kind.kind, kind)


def work_kind(kind: str) -> WorkKind:
    """The registered kind. Raises NotFound."""
    return _kinds.get(kind)


def work_kinds() -> list[WorkKind]:
    """Every kind, in the order of registration."""
    return [kind for _, kind in _kinds.items()]


def is_registered(kind: str) -> bool:
    """Whether a desk looks after the kind (items outlive a kind that was taken out of the code)."""
    return kind in _kinds


def kinds_of_roles(roles: Iterable[str]) -> list[str]:
    """The kinds that any of the roles looks after."""
    held = {str(role) for role in roles}
    return [kind.kind for kind in work_kinds() if held.intersection(str(role) for role in kind.roles)]


def kinds_of_whole_broker() -> list[str]:
    """The kinds whose items without a legal entity are for those who see every one."""
    return [kind.kind for kind in work_kinds() if kind.is_of_whole_broker]


def due_from(opened_at: datetime, hours: float) -> datetime:
    """The moment that lies *hours* of open market after *opened_at*: from Friday to Sunday 17:00 New York none pass.

    Raises InvalidInput for a time without a zone.
    """
    left = timedelta(hours=hours)
    at = _after_weekend(opened_at)
    while True:
        closes = _next_weekend(at)
        if at + left <= closes:
            return at + left
        left -= closes - at
        at = _after_weekend(closes)


def _after_weekend(at: datetime) -> datetime:
    """The same moment, or the opening of the market if it lies in a weekend."""
    if at.tzinfo is None:
        raise InvalidInput(f"The time {at.isoformat()} has no zone.", field="at", value=at.isoformat())
    local = at.astimezone(NEW_YORK)
    opens = _opening_of_week(at)
    is_weekend = local.weekday() in (_FRIDAY, _FRIDAY + 1, _SUNDAY) and business_day_of(at).weekday() == 0
    return opens if is_weekend and at < opens else at.astimezone(UTC)


def _opening_of_week(at: datetime) -> datetime:
    """Sunday 17:00 New York before the business day of a moment in the weekend, which is the coming Monday."""
    monday = business_day_of(at)
    sunday = monday - timedelta(days=1)
    return datetime.combine(sunday, CLOSING_TIME, tzinfo=NEW_YORK).astimezone(UTC)


def _next_weekend(at: datetime) -> datetime:
    """When the market closes for the week that *at* lies in: Friday 17:00 New York."""
    day = business_day_of(at)
    return day_bounds(day + timedelta(days=_FRIDAY - day.weekday()))[1]
