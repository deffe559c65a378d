"""Two or more callers at the same instant, each on a database connection of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from django.db import connection

from backoffice.kernel.errors import DomainError


def at_once(*tasks: Callable[[], Any]) -> list[Any]:
    """Starts every task together, in a thread of its own; returns their results, or the domain errors they raised."""
    barrier = Barrier(len(tasks), timeout=30)

    def run(task: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return task()
        except DomainError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        return list(pool.map(run, tasks))
