"""What the use cases of change requests share: the lock, the digest, the timeline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, connection, transaction

from backoffice.core.access import get_visible, holds
from backoffice.core.changes.kinds import ChangeKind
from backoffice.core.changes.rules import digest_of, plain_json
from backoffice.core.models import ChangeEvent, ChangeRequest, User
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, Retryable

LOCK_TIMEOUT_MILLISECONDS = 3_000
_LOCK_NOT_AVAILABLE = "55P03"


def locked_change(change_id: int, actor: Actor) -> ChangeRequest:
    """The request, if the actor sees it, locked until the transaction ends. Raises NotFound, or Retryable when somebody
    else holds it longer than three seconds."""
    seen = get_visible(ChangeRequest.objects.all(), actor, pk=change_id)
    with _bounded_wait():
        return ChangeRequest.objects.select_for_update(of=("self",), no_key=True).get(pk=seen.pk)


@contextmanager
def _bounded_wait() -> Iterator[None]:
    """Bounds the wait for the row alone; what the kind locks afterwards has bounds of its own."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout')")
            before = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MILLISECONDS}ms"])
            yield
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", "") != _LOCK_NOT_AVAILABLE:
            raise
        raise Retryable("Somebody else works on this change request; try again.", code="change_busy") from error


def payload_digest(payload: Any) -> str:
    """The hash of a payload, as the database computes and checks it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT encode(sha256(convert_to((%s::jsonb)::text, 'UTF8')), 'hex')",
            [json.dumps(payload, cls=DjangoJSONEncoder)],
        )
        return str(cursor.fetchone()[0])


def take_diff(change: ChangeRequest, kind: ChangeKind) -> None:
    """Sets the state before and after, and the digests that name them."""
    current, proposed = kind.current(change.payload), kind.proposed(change.payload)
    change.before, change.after = plain_json(current, field="before"), plain_json(proposed, field="after")
    change.shown_order = {**(change.shown_order or {}), "fields": list({**proposed, **current})}
    if change.before == change.after:
        raise Conflict("That is how it stands already: nothing would change.", code="changes_nothing")
    change.base_hash = digest_of(change.before)
    change.diff_hash = digest_of([change.before, change.after, change.payload])


def require_fresh(change: ChangeRequest, kind: ChangeKind) -> None:
    """Raises Conflict when what the request would change is no longer as it was when the diff was taken."""
    if digest_of(plain_json(kind.current(change.payload), field="before")) != change.base_hash:
        raise Conflict(
            "What this request would change has changed since: take its diff anew and look again.",
            code="change_stale",
            reference=change.reference,
        )


def require_same_payload(change: ChangeRequest) -> None:
    """Raises Conflict when the payload is not the one of the hash. The database refuses that too."""
    if payload_digest(change.payload) != change.payload_hash:
        raise Conflict("The payload is not the one that was submitted.", code="payload_altered")


def is_checker(actor: Actor, kind: ChangeKind) -> bool:
    """Whether the actor's role may decide on requests of the kind."""
    return holds(actor, kind.checker_capability)


def require_person(actor: Actor) -> None:
    """Raises Denied unless a person acts in a session of their own: neither a job, nor an API key, nor a service login."""
    acts_by_key = actor.is_confined or actor.capabilities is not None
    is_person = actor.user_id is not None and User.objects.filter(pk=actor.user_id, is_service=False).exists()
    if acts_by_key or not is_person:
        raise Denied("A person decides here, in a session of their own.", code="person_needed")


def require_second_person(change: ChangeRequest, actor: Actor) -> None:
    """Raises Denied for the maker of the request."""
    if change.maker_id is not None and change.maker_id == actor.user_id:
        raise Denied("Somebody else than who made it decides on a change request.", code="second_person_needed")


def write_down(
    change: ChangeRequest, verb: str, actor: Actor, *, text: str = "", changes: dict[str, Any] | None = None
) -> None:
    """One entry of the timeline, one audit record, one event, in the transaction of the act."""
    ChangeEvent.objects.create(
        change=change, verb=verb, state=change.state, actor=actor.label, user_id=actor.user_id, text=text
    )
    audit.record(
        actor=actor,
        action=f"core.{verb}_change",
        target=change,
        reason=text,
        changes={"kind": change.kind, "state": change.state, **(changes or {})},
        entity_id=change.entity_id,
    )
    outbox.publish(
        topic=f"core.change_{change.state}",
        payload={"change_id": change.pk, "reference": change.reference, "kind": change.kind, "state": change.state},
        shard_key=f"change:{change.pk}",
    )
