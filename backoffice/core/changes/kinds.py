"""The kinds of change that desks register: how each is described, previewed, carried out, proved and taken back.

A kind holds functions of its desk. They are given the payload as plain JSON (amounts, days and moments as text). `apply`
and `revert` run inside the transaction that also moves the request on, so they must not be durable transactions of their
own, and make no call to the outside. They are given who carries it out, which may be the maker, the checker or beat's own
actor: the approval stands for the right to do it, so `apply` asks the request (`require_approved`), not the actor.
`preview` runs in a savepoint that is always rolled back, so it may try the change out to see what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from backoffice.core.types import Actor
from backoffice.kernel.registry import Registry


@dataclass(frozen=True, slots=True)
class Impact:
    """What a change would do: a sentence, rows of a table (dictionaries with the same keys, in the order of the columns),
    and figures, each a short text under its name."""

    summary: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ChangeKind:
    """A kind of change.

    `current` and `proposed` describe the state before and after in the same keys; their difference is what people
    approve, and a `current` that moved since then makes the request stale. `check` raises InvalidInput (or another
    DomainError) for a payload that could not be applied. `apply` carries out the payload and returns its outcome, from
    which `verify` reads back what is still wrong (nothing: verified) and `revert` restores what was; `revert` raises
    Conflict where that is no longer possible, and a kind without it cannot be reverted at all.

    `labels` are the words for the keys of the diff. Who may revert holds `revert_capability`, or the checker's.
    A kind that a policy may approve has `outside_bounds`: a pure function that returns why a payload, with its impact,
    lies outside of a policy's bounds (nothing: within), and `check_bounds`, which raises InvalidInput for bounds that it
    cannot read. `target` names the object that a payload speaks of, `entity_of` its legal entity (None: the whole broker).
    """

    kind: str
    label: str
    desk: str
    maker_capability: str
    checker_capability: str
    title: Callable[[Payload], str]
    current: Callable[[Payload], dict[str, Any]]
    proposed: Callable[[Payload], dict[str, Any]]
    preview: Callable[[Payload, Actor], Impact]
    apply: Callable[[Payload, Actor, Any], dict[str, Any]]
    verify: Callable[[dict[str, Any]], list[str]]
    revert: Callable[[dict[str, Any], Actor, str], dict[str, Any] | None] | None = None
    check: Callable[[Payload], None] = lambda payload: None
    labels: dict[str, str] = field(default_factory=dict)
    revert_capability: str = ""
    target: Callable[[Payload], models.Model | None] = lambda payload: None
    entity_of: Callable[[Payload], int | None] | None = None
    outside_bounds: Callable[[Payload, Impact, dict[str, Any]], list[str]] | None = None
    check_bounds: Callable[[dict[str, Any]], None] | None = None
    bounds_help: str = ""

    @property
    def may_act_by_policy(self) -> bool:
        """Whether a policy can approve requests of this kind."""
        return self.outside_bounds is not None

    @property
    def who_reverts(self) -> str:
        """The capability to revert."""
        return self.revert_capability or self.checker_capability


_kinds: Registry[ChangeKind] = Registry("kinds of change")


def register_change_kind(kind: ChangeKind) -> None:
    """Adds a kind under its own name (`"ib.plan_publication"`)."""
    _kinds.register(kind.kind, kind)


def change_kind(kind: str) -> ChangeKind:
    """The kind of that name. Raises NotFound."""
    return _kinds.get(kind)


def change_kinds() -> list[ChangeKind]:
    """All kinds, in the order of registration."""
    return [kind for _, kind in _kinds.items()]


def is_change_kind(kind: str) -> bool:
    """Whether a kind of that name is registered; one that was may have gone with its desk."""
    return kind in _kinds
