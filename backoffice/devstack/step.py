"""`python -m backoffice.devstack.step LABEL -- COMMAND …`: runs a long command quietly and shows how long it takes.

The command's output is shown only when it fails. Uses the standard library only, so that it also serves before the
virtual environment exists.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from backoffice.devstack.console import Step, say

POLL_SECONDS = 0.2
SHOWN_LINES = 40


def run_quietly(label: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
    """Runs *command* under a shown step and returns its exit status; its last lines are printed when that is not 0."""
    with tempfile.NamedTemporaryFile(prefix="backoffice-step-", suffix=".log") as log:
        with Step(label) as step:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
            try:
                while process.poll() is None:
                    time.sleep(POLL_SECONDS)
                    step.tick(last_line(Path(log.name)))
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
        if process.returncode != 0:
            lines = Path(log.name).read_text(encoding="utf-8", errors="replace").splitlines()
            say(f"{label}: failed with status {process.returncode}")
            print("\n".join(lines[-SHOWN_LINES:]), file=sys.stderr, flush=True)
        return process.returncode


def last_line(path: Path) -> str:
    """The last whole line of a growing file, shortened to what fits beside a label."""
    with path.open("rb") as handle:
        handle.seek(max(0, path.stat().st_size - 2048))
        lines = handle.read().decode("utf-8", "replace").strip().splitlines()
    printable = "".join(letter for letter in lines[-1] if letter.isprintable()).strip() if lines else ""
    return f"({printable[:60]})" if printable else ""


def main(arguments: Sequence[str]) -> int:
    """The command line described above."""
    label, command = arguments[0], list(arguments[1:])
    if command[:1] == ["--"]:
        command = command[1:]
    try:
        status = run_quietly(label, command)
    except KeyboardInterrupt:
        return 130
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
