"""Named places at which a test may kill the process.

Work that must survive a crash calls `reach("ib.settle.after_lines")` between its steps. Without the environment
variable CRASH_AT this does nothing. With `CRASH_AT=ib.settle.after_lines:3` the process kills itself with SIGKILL
at the third pass: no cleanup runs, just as when the machine dies. Every name is declared, so that a test can prove
that each point was visited.
"""

from __future__ import annotations

import os
import signal
import threading

from backoffice.kernel.errors import Misconfigured

CRASH_AT_VARIABLE = "CRASH_AT"
POINTS: set[str] = set()

_passes: dict[str, int] = {}
_lock = threading.Lock()


def declare(*names: str) -> None:
    """Adds names to POINTS; a module declares the points that it passes, once, at import."""
    POINTS.update(names)


def reach(name: str) -> None:
    """Passes the point; dies here if CRASH_AT says so. Raises Misconfigured for a name that nobody declared."""
    if name not in POINTS:
        raise Misconfigured(f"Crash point {name} is not declared.", point=name)
    wanted = os.environ.get(CRASH_AT_VARIABLE)
    if wanted is None:
        return
    point, _, count = wanted.partition(":")
    if point != name:
        return
    with _lock:
        _passes[name] = _passes.get(name, 0) + 1
        if _passes[name] == int(count or "1"):
            os.kill(os.getpid(), signal.SIGKILL)
