"""What the provider remembers over a restart: the numbers it used, and every message that it may have to send again.

One JSON line for each number, written before the message leaves. Lines beyond the newest are dropped when it starts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

Pairs = list[tuple[int, str]]
KEPT = 20_000


@dataclass
class Memory:
    """Numbers and messages; without a path it forgets everything when it ends."""

    path: Path | None = None
    next_out: int = 1
    next_in: int = 1
    orders: int = 0
    sent: dict[int, tuple[str, Pairs, str]] = field(default_factory=dict)
    """By number: kind, fields and first sending time of what is about orders. Other numbers are filled on request."""

    _file: IO[str] | None = None

    def __post_init__(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._read()
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            for line in self._lines():
                file.write(line)
        fresh.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")

    def sends(self, kind: str, pairs: Pairs, stamp: str, *, is_kept: bool) -> int:
        """Takes the next number for a message; remembered before it is sent."""
        number = self.next_out
        self.next_out += 1
        record: dict[str, Any] = {"out": number}
        if is_kept:
            self._keep(number, kind, pairs, stamp)
            record |= {"kind": kind, "pairs": pairs, "at": stamp}
        self._write(record)
        return number

    def received(self, next_in: int) -> None:
        """The number that is expected next from the other side."""
        self.next_in = next_in
        self._write({"in": next_in})

    def ordered(self) -> int:
        """The number of a new order."""
        self.orders += 1
        self._write({"order": self.orders})
        return self.orders

    def begin_anew(self) -> None:
        """Both sides count from one again; what was sent under the old numbers cannot be asked for any more."""
        self.next_out = self.next_in = 1
        self.sent = {}
        self._write({"reset": True})

    def close(self) -> None:
        """Ends writing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _keep(self, number: int, kind: str, pairs: Pairs, stamp: str) -> None:
        self.sent[number] = (kind, pairs, stamp)
        if len(self.sent) > KEPT:
            del self.sent[next(iter(self.sent))]

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()

    def _lines(self) -> list[str]:
        records: list[dict[str, Any]] = [{"order": self.orders}, {"in": self.next_in}]
        records += [
            {"out": number, "kind": kind, "pairs": pairs, "at": stamp}
            for number, (kind, pairs, stamp) in self.sent.items()
        ]
        records.append({"out": self.next_out - 1})
        return [json.dumps(record) + "\n" for record in records]

    def _read(self) -> None:
        if self.path is None or not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # a kill cut the last line short; nobody was told of it
            self.orders = record.get("order", self.orders)
            self.next_in = record.get("in", self.next_in)
            if record.get("reset"):
                self.next_out = self.next_in = 1
                self.sent = {}
            if "out" in record:
                self.next_out = record["out"] + 1
            if "kind" in record:
                self._keep(record["out"], record["kind"], [(tag, text) for tag, text in record["pairs"]], record["at"])
