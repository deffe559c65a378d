"""Work items, the pure rules: time that counts, transitions, ends of mutes, kinds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.core.models import WorkItem
from backoffice.core.work import kinds as work_kinds
from backoffice.core.work.kinds import WorkKind, due_from, kinds_of_roles, register_work_kind
from backoffice.core.work.rules import MAX_MUTE, TRANSITIONS, checked_mute_end, checked_text, next_state
from backoffice.kernel.business_day import NEW_YORK
from backoffice.kernel.errors import IllegalTransition, InvalidInput, Misconfigured
from backoffice.kernel.registry import Registry

VERBS = {verb for verb, _ in TRANSITIONS}


@pytest.mark.parametrize(
    ("opened", "hours", "due"),
    [
        # Friday 16:00 New York in summer: one hour is left before the weekend, three come after it
        (datetime(2026, 7, 3, 20, tzinfo=UTC), 4, datetime(2026, 7, 6, 0, tzinfo=UTC)),
        # The instant of the close still counts as open market, the hours after it do not
        (datetime(2026, 7, 3, 20, tzinfo=UTC), 1, datetime(2026, 7, 3, 21, tzinfo=UTC)),
        (datetime(2026, 7, 3, 21, tzinfo=UTC), 1, datetime(2026, 7, 5, 22, tzinfo=UTC)),
        (datetime(2026, 7, 4, 9, tzinfo=UTC), 2, datetime(2026, 7, 5, 23, tzinfo=UTC)),
        (datetime(2026, 7, 5, 21, tzinfo=UTC), 2, datetime(2026, 7, 5, 23, tzinfo=UTC)),
        (datetime(2026, 7, 1, 9, tzinfo=UTC), 8, datetime(2026, 7, 1, 17, tzinfo=UTC)),
        # A whole week of open market, across a change of New York's clocks
        (datetime(2026, 10, 28, 12, tzinfo=UTC), 120, datetime(2026, 11, 4, 13, tzinfo=UTC)),
    ],
)
def test_a_weekend_is_no_time_to_work(opened: datetime, hours: float, due: datetime) -> None:
    assert due_from(opened, hours) == due


@given(
    opened=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    hours=st.floats(min_value=0.1, max_value=300),
)
def test_a_due_time_lies_in_open_market_and_never_too_early(opened: datetime, hours: float) -> None:
    due = due_from(opened, hours)
    local = due.astimezone(NEW_YORK)
    assert due >= opened + timedelta(hours=hours) - timedelta(seconds=1)
    # Friday 17:00 itself still belongs to the week
    assert local.weekday() != 5
    assert not (local.weekday() == 6 and local.hour < 17)
    assert not (local.weekday() == 4 and (local.hour, local.minute, local.second, local.microsecond) > (17, 0, 0, 0))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput):
        due_from(datetime(2026, 7, 3, 20), 1)


@pytest.mark.parametrize("verb", sorted(VERBS))
@pytest.mark.parametrize("state", WorkItem.State.values)
def test_only_the_named_transitions_exist(verb: str, state: str) -> None:
    if (verb, state) in TRANSITIONS:
        assert next_state(verb, state) == TRANSITIONS[verb, WorkItem.State(state)]
    else:
        with pytest.raises(IllegalTransition):
            next_state(verb, state)


def test_what_a_person_writes_is_bounded() -> None:
    assert checked_text("  done ", field="f", question="?") == "done"
    for text in ("", "  \n", "x" * 4_001):
        with pytest.raises(InvalidInput):
            checked_text(text, field="f", question="?")


def test_a_mute_ends_in_the_future_and_not_too_far_away() -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    assert checked_mute_end(now + MAX_MUTE, now=now) == now + MAX_MUTE
    for until in (now, now - timedelta(days=1), now + MAX_MUTE + timedelta(seconds=1), datetime(2026, 7, 2)):
        with pytest.raises(InvalidInput):
            checked_mute_end(until, now=now)


@pytest.mark.parametrize(
    "changes",
    [
        {"roles": ()},
        {"roles": ("trader",)},
        {"roles": ("nobody",)},
        {"escalate_to_roles": ("ib",)},
        {"due_hours": 0},
        {"clears_after_seconds": -1},
        {"escalate_after_hours": -1},
    ],
)
def test_a_kind_that_makes_no_sense_does_not_start(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_kinds, "_kinds", Registry("kinds of this test"))
    sound: dict[str, object] = {"kind": "t.k", "label": "K", "desk": "t", "roles": ("finance",)}
    with pytest.raises(Misconfigured):
        register_work_kind(WorkKind(**{**sound, **changes}))  # type: ignore[arg-type]
    register_work_kind(WorkKind(**sound))  # type: ignore[arg-type]
    with pytest.raises(Misconfigured):
        register_work_kind(WorkKind(**sound))  # type: ignore[arg-type]
    assert kinds_of_roles({"finance"}) == ["t.k"]
    assert kinds_of_roles({"dealing"}) == []
