"""The error tree, identifiers and registries."""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from datetime import UTC, datetime

import pytest
import time_machine

from backoffice.kernel import errors
from backoffice.kernel.errors import DomainError, InvalidInput, Misconfigured, NotFound
from backoffice.kernel.ids import uuid7
from backoffice.kernel.registry import Registry


def unix_milliseconds(identifier: uuid.UUID) -> int:
    return identifier.int >> 80


@pytest.mark.parametrize(
    ("name", "code", "status", "parent"),
    [
        ("InvalidInput", "invalid_input", 400, "DomainError"),
        ("CurrencyMismatch", "currency_mismatch", 400, "InvalidInput"),
        ("NotFound", "not_found", 404, "DomainError"),
        ("Denied", "denied", 403, "DomainError"),
        ("Conflict", "conflict", 409, "DomainError"),
        ("IllegalTransition", "illegal_transition", 409, "Conflict"),
        ("IdempotencyMismatch", "idempotency_mismatch", 409, "Conflict"),
        ("InsufficientFunds", "insufficient_funds", 409, "Conflict"),
        ("MissingRate", "missing_rate", 422, "DomainError"),
        ("Retryable", "retryable", 503, "DomainError"),
        ("Misconfigured", "misconfigured", 500, "DomainError"),
    ],
)
def test_published_codes_and_statuses_do_not_change(name: str, code: str, status: int, parent: str) -> None:
    kind = getattr(errors, name)
    error = kind("It was refused.")
    assert (error.code, error.http_status, str(error)) == (code, status, "It was refused.")
    assert issubclass(kind, getattr(errors, parent))
    assert isinstance(error, DomainError)


def test_an_error_carries_details_and_a_narrower_code_between_processes() -> None:
    error = InvalidInput("Row 3 has no price.", code="price_missing", row=3, field="price", value="")
    for copy in (error, pickle.loads(pickle.dumps(error))):
        assert type(copy) is InvalidInput
        assert (copy.message, copy.code) == ("Row 3 has no price.", "price_missing")
        assert copy.details == {"row": 3, "field": "price", "value": ""}
    assert InvalidInput("Other.").code == "invalid_input"


def test_identifier_is_a_version_7_uuid_of_the_present_time() -> None:
    at = datetime(2030, 5, 6, 7, 8, 9, 123_000, tzinfo=UTC)
    with time_machine.travel(at, tick=False):
        identifier = uuid7()
    assert (identifier.version, identifier.variant) == (7, uuid.RFC_4122)
    assert unix_milliseconds(identifier) == int(at.timestamp() * 1000)


def test_identifiers_rise_while_the_clock_stands_still_or_steps_back() -> None:
    with time_machine.travel(datetime(2031, 1, 1, 0, 0, 5, tzinfo=UTC), tick=False):
        made = [uuid7() for _ in range(5000)]
    with time_machine.travel(datetime(2031, 1, 1, tzinfo=UTC), tick=False):
        made.append(uuid7())
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_a_clock_set_far_back_is_believed() -> None:
    with time_machine.travel(datetime(2032, 1, 1, tzinfo=UTC), tick=False):
        uuid7()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with time_machine.travel(at, tick=False):
        assert unix_milliseconds(uuid7()) == int(at.timestamp() * 1000)


def test_threads_share_one_order() -> None:
    made: list[list[uuid.UUID]] = [[] for _ in range(4)]
    start = threading.Barrier(4)

    def make(into: list[uuid.UUID]) -> None:
        start.wait()
        into.extend(uuid7() for _ in range(500))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(part == sorted(part) for part in made)
    assert len({identifier.int >> 64 for part in made for identifier in part}) == 2000


def test_a_forked_child_makes_its_own_identifiers() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, uuid7().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    theirs = uuid.UUID(bytes=os.read(reader, 16))
    os.close(reader)
    os.close(writer)
    assert theirs.version == 7
    assert theirs != uuid7()


def test_registry_keeps_the_order_of_registration() -> None:
    panels: Registry[int] = Registry("panels")
    assert panels.register("second", 2) == 2
    panels.register("first", 1)
    assert panels.items() == [("second", 2), ("first", 1)]
    assert panels.get("first") == 1
    assert "first" in panels and "third" not in panels and len(panels) == 2


def test_registry_refuses_doubles_and_unknown_keys() -> None:
    panels: Registry[int] = Registry("panels")
    panels.register("one", 1)
    with pytest.raises(Misconfigured) as double:
        panels.register("one", 2)
    assert double.value.details == {"registry": "panels", "key": "one"}
    assert panels.get("one") == 1
    with pytest.raises(Misconfigured):
        panels.register("", 3)
    with pytest.raises(NotFound):
        panels.get("two")
    assert len(panels) == 1
