"""What may become of a work item. Pure rules; the use cases in `services/work_items.py` apply them under lock."""

from __future__ import annotations

from datetime import datetime, timedelta

from backoffice.core.models.work import WorkItem
from backoffice.kernel.errors import IllegalTransition, InvalidInput

State = WorkItem.State

# (verb, from) → to. What is not here cannot happen.
TRANSITIONS: dict[tuple[str, str], State] = {
    ("take", State.OPEN): State.TAKEN,
    ("assign", State.OPEN): State.TAKEN,
    ("assign", State.TAKEN): State.TAKEN,
    ("put_back", State.TAKEN): State.OPEN,
    ("close", State.OPEN): State.CLOSED,
    ("close", State.TAKEN): State.CLOSED,
    ("reopen", State.CLOSED): State.OPEN,
}
MAX_TEXT_LENGTH = 4_000
MAX_MUTE = timedelta(days=92)


def next_state(verb: str, state: str) -> State:
    """Where the verb leads from the state. Raises IllegalTransition."""
    try:
        return TRANSITIONS[verb, State(state)]
    except KeyError:
        raise IllegalTransition(
            f"An item that is {State(state).label.lower()} cannot be changed that way.", verb=verb, state=str(state)
        ) from None


def checked_text(text: str, *, field: str, question: str) -> str:
    """What a person wrote, without the white space around it. Raises InvalidInput when it is empty or too long."""
    checked = text.strip()
    if not checked:
        raise InvalidInput(question, field=field)
    if len(checked) > MAX_TEXT_LENGTH:
        raise InvalidInput(f"At most {MAX_TEXT_LENGTH} letters.", field=field)
    return checked


def checked_mute_end(until: datetime, *, now: datetime) -> datetime:
    """The end of a mute. Raises InvalidInput when it has no zone, is over already or lies further away than allowed."""
    if until.tzinfo is None:
        raise InvalidInput("The end of a mute needs a time zone.", field="until")
    if until <= now:
        raise InvalidInput("A mute ends in the future.", field="until", value=until.isoformat())
    if until > now + MAX_MUTE:
        raise InvalidInput(f"A mute lasts at most {MAX_MUTE.days} days.", field="until", value=until.isoformat())
    return until
