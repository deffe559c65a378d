"""What a run of scenarios tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was expected, or stood there unexpected. `step` is where it was looked at; `key` what it is."""

    step: str
    section: str
    key: str
    expected: str
    got: str
    ok: bool


@dataclass(slots=True)
class Result:
    """What became of one scenario. `error` says why it could not be run to its end."""

    scenario: str
    title: str
    file: str = ""
    note: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything was as expected."""
        return not self.error and all(row.ok for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ok": self.ok}
