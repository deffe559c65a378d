"""One registry of proofs that the books are right. Each desk adds its own; `verify_books` runs them all.

A check reads the database and returns the rows that contradict each other; no rows means that it holds. The same
functions run in production, in the business day and in tests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from backoffice.kernel.registry import Registry

MAXIMUM_ROWS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check found: the contradicting rows (at most `MAXIMUM_ROWS_SHOWN`) and how many there are in all.

    `notes` are rows that contradict nothing and still want to be seen, such as what was set aside with a reason.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    notes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts."""
        return self.count == 0

    @classmethod
    def of(cls, rows: list[dict[str, Any]]) -> CheckOutcome:
        """The outcome for all contradicting rows, shown up to the bound."""
        return cls(rows=rows[:MAXIMUM_ROWS_SHOWN], count=len(rows))


Check = Callable[[], CheckOutcome]
_checks: Registry[Check] = Registry("book checks")


def register_check(name: str, run: Check) -> None:
    """Adds a check under a name such as `ledger.entries_balance`."""
    _checks.register(name, run)


def check_names() -> list[str]:
    """The names of all checks, in the order in which they run."""
    return [name for name, _ in _checks.items()]


def rows_of_query(sql: str, parameters: list[Any] | None = None) -> CheckOutcome:
    """Runs a query whose every row is a contradiction; counts them all, keeps the first ones by column name."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) OVER () AS total_rows, found.* FROM ({sql}) AS found LIMIT %s",  # noqa: S608 - own text
            [*(parameters or []), MAXIMUM_ROWS_SHOWN],
        )
        names = [column.name for column in cursor.description][1:]
        found = cursor.fetchall()
    rows = [{name: _plain(value) for name, value in zip(names, row[1:], strict=True)} for row in found]
    return CheckOutcome(rows=rows, count=found[0][0] if found else 0)


def verify_books(only: list[str] | None = None) -> dict[str, Any]:
    """Runs the checks in one snapshot: `{"ok": bool, "checks": [{"name", "ok", "count", "rows"}]}`, and `notes` where
    a check has some.

    A check that itself fails to run is an exception, not a pass.
    """
    if connection.in_atomic_block:
        return _run_checks(only)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _run_checks(only)


def _run_checks(only: list[str] | None) -> dict[str, Any]:
    results = []
    for name, run in _checks.items():
        if only is None or name in only:
            outcome = run()
            result = {"name": name, "ok": outcome.ok, "count": outcome.count, "rows": outcome.rows}
            if outcome.notes:
                result["notes"] = [
                    {key: _plain(value) for key, value in note.items()} for note in outcome.notes[:MAXIMUM_ROWS_SHOWN]
                ]
            results.append(result)
    return {"ok": all(result["ok"] for result in results), "checks": results}


def _plain(value: Any) -> Any:
    """A value as JSON can carry it; decimals keep every digit as text."""
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
