"""What a migration speaks of: problems of a package, counts of a file, the report of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MAXIMUM_PROBLEMS = 1_000
"""Problems that are kept with their words; all are counted."""
MAXIMUM_VALUE_SHOWN = 120

MIGRATION_JOB_KIND = "migration.package"
"""The kind of the jobs that check and apply packages; a job's key is the package's id and what is done with it."""
CHANGE_KIND = "migration.apply_package"
"""The kind of change request by which a second person lets a checked package be applied."""

FORMAT_NAME = "backoffice-migration"
FORMAT_VERSION = 1
TAKEOVER = "takeover"
BROKER = "broker"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a package that keeps it from being applied, and how to mend it. `row` counts data rows from one."""

    file: str
    code: str
    message: str
    mend: str
    row: int | None = None
    field: str = ""
    value: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The problem as the report carries it."""
        return asdict(self)


class Problems:
    """The problems of a package: all counted, the first ones kept."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def add(
        self,
        file: str,
        code: str,
        message: str,
        mend: str,
        *,
        row: int | None = None,
        field: str = "",
        value: object = "",
    ) -> None:
        """Notes one more problem."""
        self.count += 1
        if len(self.kept) < MAXIMUM_PROBLEMS:
            shown = str(value)[:MAXIMUM_VALUE_SHOWN].replace("\x00", "\\x00")
            self.kept.append(Problem(file, code, message, mend, row=row, field=field, value=shown))

    def __bool__(self) -> bool:
        return self.count > 0


@dataclass(slots=True)
class FileCounts:
    """What became of the rows of one file."""

    file: str
    content: str
    rows: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """The ledger balance of all accounts of a kind and currency of the entity, before and after the package."""

    kind: str
    currency: str
    before: str
    after: str


@dataclass(slots=True)
class Report:
    """What a run did, or would do: a dry run and the real one are the same work, kept or rolled back."""

    form: str
    entity: str
    digest: str
    is_dry_run: bool
    files: list[FileCounts] = field(default_factory=list)
    balances: list[BalanceRow] = field(default_factory=list)
    tree_depth: int = 0
    orphaned_clients: int = 0
    orphaned_examples: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: str = "0"

    @property
    def ok(self) -> bool:
        """Whether the package can be applied as it is."""
        return self.problem_count == 0

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON carries it."""
        return {**asdict(self), "ok": self.ok}
