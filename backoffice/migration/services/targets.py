"""One application of a package, and how a content says what its rows become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import models

from backoffice.core.types import Actor
from backoffice.migration.formats import Row
from backoffice.migration.models import MigrationPackage
from backoffice.migration.staging import mark_bad
from backoffice.migration.types import FileCounts, Problems

Ids = dict[str, dict[str, int]]
"""Ids by content and key, of what the rows of a chunk refer to."""


@dataclass(slots=True)
class Run:
    """One application of a package, kept or rolled back."""

    entity_id: int
    package: MigrationPackage
    actor: Actor
    problems: Problems
    counts: dict[str, FileCounts]
    created_versions: dict[int, Any] = field(default_factory=dict)
    """Plan versions of this package, which are published once their rules are in."""
    progress: Callable[[str, int], None] = lambda content, rows: None
    only_brand: list[int | None] = field(default_factory=list)
    """The entity's brand where it has exactly one; asked once."""
    account_types: dict[int, int | None] = field(default_factory=dict)
    """Account types of groups; each asked once."""

    def refuse(self, content: str, row: int, code: str, message: str, mend: str, *, name: str, value: object) -> None:
        """Notes a row that contradicts what the back office holds."""
        self.counts[content].refused += 1
        self.problems.add(self.counts[content].file, code, message, mend, row=row, field=name, value=value)
        mark_bad(content, [row])


@dataclass(frozen=True, slots=True)
class Target:
    """What the rows of a content become."""

    model: str
    values: Callable[[Run, Row, Ids], dict[str, Any] | None]
    """The fields of the row; None when something that it refers to was refused."""
    frozen: frozenset[str] = frozenset()
    """Fields that a repeat may not change."""
    once: frozenset[str] = frozenset()
    """Fields that a repeat may fill while they are empty."""
    ignored: frozenset[str] = frozenset()
    """Fields that are written once and not compared."""
    is_keyed: bool = False
    """Whether the external id is the only way to find the row again."""
    final: tuple[str, str] | None = None
    """A field and the value that it never leaves again."""
    prepare: Callable[[Run, list[models.Model]], None] | None = None
    created: Callable[[Run, list[models.Model]], None] | None = None
    updated: Callable[[Run, models.Model, dict[str, Any]], None] | None = None


@dataclass(frozen=True, slots=True)
class DatedTarget:
    """What the rows of a dated content become: never changed, only added where nothing stands."""

    model: str
    values: Callable[[Run, Row, Ids], dict[str, Any] | None]
    owner: tuple[str, ...]
    """Fields of which one combination has one row at a time."""
