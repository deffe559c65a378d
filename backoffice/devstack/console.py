"""What the embedded stack says while it works: on standard error only, so that a command's own output stays clean.

Long steps show how many seconds they have taken: on a terminal in place, elsewhere as one line every ten seconds.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType

PREFIX = "devstack:"
PLAIN_REPEAT_SECONDS = 10.0
TERMINAL_REPEAT_SECONDS = 0.5
TERMINAL_COLUMNS = 100  # a longer line would wrap and could no longer be rewritten in place


def say(message: str) -> None:
    """Prints one line on standard error at once."""
    print(f"{PREFIX} {message}", file=sys.stderr, flush=True)


class Step:
    """A named piece of work whose duration is shown: `with Step("migrating") as step: … step.tick()`.

    `tick` is called from the caller's own waiting loop; no thread runs beside it.
    """

    def __init__(self, label: str, *, in_place: bool = True) -> None:
        """With *in_place* False the step shares the terminal with a child's own lines and never rewrites one."""
        self.label = label
        self._began = time.monotonic()
        self._shown = self._began
        self._terminal = in_place and sys.stderr.isatty()

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._began

    def __enter__(self) -> Step:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{PREFIX} {self.label} …"[:TERMINAL_COLUMNS])
            sys.stderr.flush()
        else:
            say(f"{self.label} …")
        return self

    def tick(self, detail: str = "") -> None:
        """Shows that the step still runs, not more often than a reader can follow."""
        now = time.monotonic()
        repeat = TERMINAL_REPEAT_SECONDS if self._terminal else PLAIN_REPEAT_SECONDS
        if now - self._shown < repeat:
            return
        self._shown = now
        text = f"{PREFIX} {self.label} … {self.elapsed:.0f} s {detail}".rstrip()
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text[:TERMINAL_COLUMNS]}")
            sys.stderr.flush()
        else:
            print(text, file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
        outcome = "done" if kind is None else "stopped"
        say(f"{self.label}: {outcome} in {self.elapsed:.1f} s")
