"""A second process of the bench: works off settlement jobs whenever it is told to, as a worker beside the first would.

Run as `python -m ib.bench.worker DATABASE`. It says READY once it is connected; for every line on its standard input it
works until no job is left and says DONE.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

READY = "bench worker: ready"
DONE = "bench worker: done"
STOP_SECONDS = 10


class SecondProcess:
    """The parent's side: `start` sets the other process to work, `wait` returns when it has run out of jobs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._wait_for(READY)

    def start(self) -> None:
        """Sets it to work."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> None:
        """Waits until it has nothing left to do. Raises RuntimeError when it died."""
        self._wait_for(DONE)

    def _wait_for(self, word: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == word:
                return
        raise RuntimeError(f"The bench's second process ended with status {self._process.wait()}.")


@contextmanager
def second_process() -> Iterator[SecondProcess]:
    """A second process on the same database, for as long as the block runs."""
    from django.conf import settings
    from django.db import connection

    command = [sys.executable, "-m", "ib.bench.worker", str(connection.settings_dict["NAME"])]
    process = subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield SecondProcess(process)
    finally:
        # The end of its input ends it.
        process.communicate(timeout=STOP_SECONDS)


def main(database: str) -> None:
    """Serves until the input ends."""
    import django

    django.setup()
    from django.db import connection

    from backoffice.core.services import jobs
    from ib.services.shards import SETTLE_BATCH

    connection.settings_dict["NAME"] = database
    connection.ensure_connection()
    print(READY, flush=True)
    for _ in sys.stdin:
        jobs.run_ready(kind=SETTLE_BATCH, owner="bench:2")
        print(DONE, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
