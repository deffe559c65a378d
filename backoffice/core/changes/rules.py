"""What may become of a change request. Pure rules; the use cases in `services/changes` apply them under lock.

The table below is the only statement of what may follow what: the database's own trigger is written from it.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from backoffice.kernel.errors import IllegalTransition, InvalidInput

MAX_REASON_LENGTH = 1_000
MAX_TITLE_LENGTH = 200
MAX_JSON_BYTES = 200_000
MAX_IMPACT_ROWS = 200


class ChangeState(models.TextChoices):
    """Where a change request stands."""

    DRAFT = "draft", "Draft"
    SUBMITTED = "submitted", "Waiting for approval"
    APPROVED = "approved", "Approved"
    APPLIED = "applied", "Applied, not verified"
    VERIFIED = "verified", "Applied and verified"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    FAILED = "failed", "Failed"
    REVERTED = "reverted", "Reverted"


_S = ChangeState

# (verb, from) → to. What is not here cannot happen, neither here nor in the database.
TRANSITIONS: dict[tuple[str, ChangeState], ChangeState] = {
    ("submit", _S.DRAFT): _S.SUBMITTED,
    ("approve", _S.SUBMITTED): _S.APPROVED,
    ("reject", _S.SUBMITTED): _S.REJECTED,
    ("withdraw", _S.DRAFT): _S.WITHDRAWN,
    ("withdraw", _S.SUBMITTED): _S.WITHDRAWN,
    ("withdraw", _S.APPROVED): _S.WITHDRAWN,
    ("withdraw", _S.FAILED): _S.WITHDRAWN,
    # A diff that is taken anew is another one than was approved: who approves looks again.
    ("refresh", _S.DRAFT): _S.DRAFT,
    ("refresh", _S.SUBMITTED): _S.SUBMITTED,
    ("refresh", _S.APPROVED): _S.SUBMITTED,
    ("refresh", _S.FAILED): _S.SUBMITTED,
    ("schedule", _S.DRAFT): _S.DRAFT,
    ("schedule", _S.SUBMITTED): _S.SUBMITTED,
    ("schedule", _S.APPROVED): _S.APPROVED,
    ("apply", _S.APPROVED): _S.APPLIED,
    ("apply", _S.FAILED): _S.APPLIED,
    ("fail", _S.APPROVED): _S.FAILED,
    ("fail", _S.FAILED): _S.FAILED,
    ("verify", _S.APPLIED): _S.VERIFIED,
    ("revert", _S.APPLIED): _S.REVERTED,
    ("revert", _S.VERIFIED): _S.REVERTED,
}

# A verb in a state that it has led to already (or that lies behind it) is a repeat: it changes nothing and is no mistake.
FINISHED: dict[str, frozenset[ChangeState]] = {
    "submit": frozenset({_S.SUBMITTED, _S.APPROVED, _S.APPLIED, _S.VERIFIED}),
    "approve": frozenset({_S.APPROVED, _S.APPLIED, _S.VERIFIED}),
    "reject": frozenset({_S.REJECTED}),
    "withdraw": frozenset({_S.WITHDRAWN}),
    "apply": frozenset({_S.APPLIED, _S.VERIFIED}),
    "verify": frozenset({_S.VERIFIED}),
    "revert": frozenset({_S.REVERTED}),
}

NOT_SUBMITTED = frozenset({_S.DRAFT})
NEEDS_APPROVAL = frozenset({_S.APPROVED, _S.APPLIED, _S.VERIFIED, _S.FAILED, _S.REVERTED})
EXECUTED = frozenset({_S.APPLIED, _S.VERIFIED, _S.REVERTED})
OPEN = frozenset({_S.DRAFT, _S.SUBMITTED, _S.APPROVED, _S.FAILED})
DUE = frozenset({_S.APPROVED, _S.FAILED})


def next_state(verb: str, state: str) -> ChangeState | None:
    """Where the verb leads from the state; None when that was done already. Raises IllegalTransition."""
    at = ChangeState(state)
    if at in FINISHED.get(verb, frozenset()):
        return None
    try:
        return TRANSITIONS[verb, at]
    except KeyError:
        raise IllegalTransition(
            f"A change request that is “{at.label.lower()}” cannot be changed that way.", verb=verb, state=at.value
        ) from None


def allowed_steps() -> list[tuple[str, str]]:
    """The pairs of states (from, to) between which a row may move; staying where it is belongs to some of them."""
    return sorted({(start.value, end.value) for (_, start), end in TRANSITIONS.items()})


def checked_reason(reason: str, *, field: str = "reason") -> str:
    """A reason without the white space around it. Raises InvalidInput when it is empty or too long."""
    text = reason.strip()
    if not text:
        raise InvalidInput("Say why.", field=field)
    if len(text) > MAX_REASON_LENGTH:
        raise InvalidInput(f"The reason has at most {MAX_REASON_LENGTH} letters.", field=field)
    return text


def checked_moment(moment: datetime | None, *, field: str = "apply_at") -> datetime | None:
    """A moment with a time zone, or none. Raises InvalidInput."""
    if moment is not None and moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field=field, value=moment.isoformat())
    return moment


def plain_json(value: Any, *, field: str) -> Any:
    """The value as JSON reads it back: decimals, days and moments as text. Raises InvalidInput for a binary float,
    which has no exact value, and for what is too large or cannot be written."""
    _refuse_floats(value, field=field)
    try:
        text = json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput("This cannot be written as JSON.", field=field) from error
    if len(text) > MAX_JSON_BYTES:
        raise InvalidInput(f"At most {MAX_JSON_BYTES} bytes.", field=field)
    if "\\u0000" in text:
        raise InvalidInput("A text holds no zero byte.", field=field)
    return json.loads(text)


def digest_of(value: Any) -> str:
    """A digest of plain JSON that the order of keys does not change."""
    return hashlib.sha256(
        json.dumps(value, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _refuse_floats(value: Any, *, field: str) -> None:
    if isinstance(value, float):
        raise InvalidInput("Write a number with decimals as text: a float has no exact value.", field=field)
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item, field=field)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_floats(item, field=field)
