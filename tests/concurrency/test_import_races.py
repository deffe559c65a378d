"""Two processes that import at once: one books, the other waits and finds it done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from backoffice.core.types import Actor
from platform_ops.models import Deal, IngestBatch, StatementImport, Trade, TradingAccount, TradingServer
from platform_ops.services.imports import ensure_server, import_statement
from tests.platform_ops.books import state_of_books
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = pytest.mark.django_db(transaction=True)

SYSTEM = Actor.system("test")
THREADS = 4


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Runs the acts in threads that start together; the first error is raised here."""
    barrier = threading.Barrier(len(acts))
    results: list[Any] = [None] * len(acts)
    errors: list[BaseException] = []

    def run(place: int, act: Callable[[], Any]) -> None:
        try:
            barrier.wait(timeout=10)
            results[place] = act()
        except BaseException as error:  # handed to the test's own thread below
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(place, act)) for place, act in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    if errors:
        raise errors[0]
    return results


def give(data: bytes, name: str = "s.htm") -> StatementImport:
    return import_statement(server_code="live", data=data, file_name=name, actor=SYSTEM)


def test_the_same_file_given_many_times_at_once_is_stored_once() -> None:
    data = statement_of(*(Ticket(number) for number in range(10, 60)))

    imports = at_once(*[lambda: give(data)] * THREADS)

    assert TradingServer.objects.count() == TradingAccount.objects.count() == StatementImport.objects.count() == 1
    assert sorted(imported.new_deals for imported in imports) == [0, 0, 0, 101]
    assert {imported.matches_statement for imported in imports} == {True}
    assert (Deal.objects.count(), Trade.objects.count(), IngestBatch.objects.count()) == (101, 50, 1)


def test_overlapping_snapshots_at_once_end_like_one_after_the_other() -> None:
    ensure_server(code="live", actor=SYSTEM)
    snapshots = [
        statement_of(
            *(Ticket(number) for number in range(10, 10 + size)),
            open_ticket(10 + size, lots="0.10"),
            printed=f"2024 March {5 + day}, 10:00",
        )
        for day, size in enumerate((5, 20, 30, 45))
    ]

    at_once(*[lambda data=data: give(data) for data in snapshots])

    assert Trade.objects.count() == 45
    assert set(Deal.objects.values_list("revision", flat=True)) == {0}
    assert StatementImport.objects.filter(matches_statement=True).count() == THREADS
    assert len(state_of_books()["positions"]) == 1
