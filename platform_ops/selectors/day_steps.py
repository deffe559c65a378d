"""What the steps of business days have found, for the desks that registered them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from platform_ops.models import BusinessDayStep


@dataclass(frozen=True, slots=True)
class DoneStep:
    """A step that is done: its day, what it found, and when."""

    day: date
    outcome: dict[str, Any]
    finished_at: datetime | None


def done_steps(*, step: str, since: date) -> list[DoneStep]:
    """The done steps of a name of the days from *since* on, of every server, the earlier days first."""
    rows = BusinessDayStep.objects.filter(
        step=step, state=BusinessDayStep.State.DONE, business_day__day__gte=since
    ).order_by("business_day__day", "pk")
    return [DoneStep(*row) for row in rows.values_list("business_day__day", "outcome", "finished_at")]
