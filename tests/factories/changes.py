"""A kind of change for tests: setting a word on a whiteboard that is a row of the audit's own ground, a JobRun.

It is local like the real kinds: what it writes stands in the same database, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backoffice.core.access import declare_capability
from backoffice.core.changes.kinds import ChangeKind, Impact, is_change_kind, register_change_kind
from backoffice.core.models import JobRun, LegalEntity, User
from backoffice.core.services import changes
from backoffice.core.services.changes.waiting import register_work_kind_of
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, InvalidInput
from tests.factories.platform import number

KIND = "test.board"
MAKE, CHECK = "test.make_board_changes", "test.check_board_changes"


def word_on(board: str) -> str | None:
    """What stands on the board."""
    run = JobRun.objects.filter(job="test.board", slot=board).first()
    return run.outcome.get("word") if run and run.outcome else None


def write_on(board: str, word: str | None) -> None:
    """Writes on the board, past every request."""
    JobRun.objects.update_or_create(job="test.board", slot=board, defaults={"outcome": {"word": word}})


def _check(payload: dict[str, Any]) -> None:
    if not payload.get("word"):
        raise InvalidInput("A word is needed.", field="word")


def _preview(payload: dict[str, Any], actor: Actor) -> Impact:
    write_on(payload["board"], payload["word"])  # rolled back by whoever asks for the preview
    return Impact(
        f"The board will say {word_on(payload['board'])}.",
        [{"Letter": letter, "Count": payload["word"].count(letter)} for letter in sorted(set(payload["word"]))],
        {"Letters": len(payload["word"])},
    )


def _apply(payload: dict[str, Any], actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=KIND, board=payload["board"])
    before = word_on(payload["board"])
    write_on(payload["board"], payload["word"])
    if payload["word"] == "explode":
        raise Conflict("The board fell down.", code="board_fell")
    if payload["word"] == "violate":
        JobRun.objects.create(job="test.board", slot=payload["board"])
    return {"board": payload["board"], "word": payload["word"], "before": before}


def _verify(outcome: dict[str, Any]) -> list[str]:
    if outcome["word"] == "smudge":
        return ["The board says something else."]
    return [] if word_on(outcome["board"]) == outcome["word"] else ["The board says something else."]


def _revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    if word_on(outcome["board"]) != outcome["word"]:
        raise Conflict("Somebody wrote on the board since.", code="moved_on")
    write_on(outcome["board"], outcome["before"])
    return {"word": outcome["before"]}


def _outside(payload: dict[str, Any], impact: Impact, bounds: dict[str, Any]) -> list[str]:
    longest = bounds["longest"]
    return [] if impact.figures["Letters"] <= longest else [f"longer than {longest} letters"]


def _check_bounds(bounds: dict[str, Any]) -> None:
    if not isinstance(bounds.get("longest"), int):
        raise InvalidInput("The bound is a number of letters.", field="longest")


def register() -> None:
    """Makes the kind known, once."""
    if is_change_kind(KIND):
        return
    declare_capability(MAKE, [Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR])
    declare_capability(CHECK, [Role.DEALING, Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR])
    kind = ChangeKind(
        kind=KIND,
        label="Word on a board",
        desk="platform_ops",
        maker_capability=MAKE,
        checker_capability=CHECK,
        title=lambda payload: f"Write {payload['word']} on {payload['board']}",
        current=lambda payload: {"word": word_on(payload["board"])},
        proposed=lambda payload: {"word": payload["word"]},
        preview=_preview,
        apply=_apply,
        verify=_verify,
        revert=_revert,
        check=_check,
        labels={"word": "Word"},
        outside_bounds=_outside,
        check_bounds=_check_bounds,
    )
    register_change_kind(kind)
    register_work_kind_of(kind)


def make_person(*roles: Role, entities: Iterable[LegalEntity] = (), **fields: Any) -> Actor:
    """A person with a login, as the access door sees them."""
    serial = number()
    user = User.objects.create(
        email=f"colleague{serial}@broker.example",
        full_name=f"Colleague {serial}",
        roles=[role.value for role in roles],
        **fields,
    )
    user.entities.set(entities)
    return Actor(
        label=user.email,
        user_id=user.pk,
        roles=frozenset(role.value for role in roles),
        entity_ids=frozenset(entity.pk for entity in entities),
    )
