"""The server's memory: one file of transactions, one JSON line each, from which the whole state is read again.

A transaction is written before its answer leaves, so whoever got an answer finds it after a restart. A last line that
a kill cut short is dropped: nobody was told of it. The file is compacted into a snapshot when the server starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Change = list[Any]
"""`[kind, key, record or None]`; None takes the record away."""

COMPACT_ABOVE_BYTES = 32 * 1024 * 1024


class Journal:
    """An append-only file; without a path the server forgets everything when it ends."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._cut_torn_line(path)
            self._file = path.open("ab", buffering=0)

    @staticmethod
    def _cut_torn_line(path: Path) -> None:
        """A kill may leave half a line at the end; it must not run into the next one."""
        if not path.exists():
            return
        with path.open("rb+") as file:
            content_end = file.seek(0, os.SEEK_END)
            position = content_end
            while position > 0:
                start = max(0, position - 65536)
                file.seek(start)
                found = file.read(position - start).rfind(b"\n")
                if found >= 0:
                    position = start + found + 1
                    break
                position = start
            if position != content_end:
                file.truncate(position)

    def read(self) -> Iterator[list[Change]]:
        """Every whole transaction, oldest first."""
        if self.path is None or not self.path.exists():
            return
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield json.loads(line)

    def append(self, changes: list[Change]) -> None:
        """Writes one transaction as one line."""
        if self._file is not None and changes:
            self._file.write(json.dumps(changes, separators=(",", ":")).encode() + b"\n")

    def is_long(self) -> bool:
        """Whether starting would be quicker from a snapshot."""
        return self.path is not None and self.path.exists() and self.path.stat().st_size > COMPACT_ABOVE_BYTES

    def replace(self, transactions: Iterable[list[Change]]) -> None:
        """Puts a snapshot in the place of the whole file, in one step."""
        if self.path is None or self._file is None:
            return
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            for changes in transactions:
                file.write(json.dumps(changes, separators=(",", ":")).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._file.close()
        fresh.replace(self.path)
        self._file = self.path.open("ab", buffering=0)

    def close(self) -> None:
        """Ends writing; may be called twice."""
        if self._file is not None:
            self._file.close()
            self._file = None
