"""The same key takes effect once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backoffice.core.models import IdempotencyRecord
from backoffice.core.services.idempotency import run_once
from backoffice.kernel.errors import IdempotencyMismatch, InvalidInput

pytestmark = pytest.mark.django_db


def test_the_same_key_and_input_gives_the_stored_result() -> None:
    runs: list[int] = []

    def execute() -> dict[str, Any]:
        runs.append(1)
        return {"id": 7, "amount": Decimal("1.50")}

    first = run_once(scope="s", key="k", request={"a": 1, "b": 2}, execute=execute)
    second = run_once(scope="s", key="k", request={"b": 2, "a": 1}, execute=execute)

    assert first == second == {"id": 7, "amount": "1.50"}
    assert runs == [1]


def test_the_same_key_with_other_input_is_refused_and_changes_nothing() -> None:
    run_once(scope="s", key="k", request={"amount": "1"}, execute=lambda: {"id": 1})

    with pytest.raises(IdempotencyMismatch):
        run_once(scope="s", key="k", request={"amount": "2"}, execute=lambda: {"id": 2})

    assert IdempotencyRecord.objects.get().result == {"id": 1}


def test_a_key_belongs_to_its_scope() -> None:
    assert run_once(scope="a", key="k", request={}, execute=lambda: {"n": 1}) == {"n": 1}
    assert run_once(scope="b", key="k", request={}, execute=lambda: {"n": 2}) == {"n": 2}


@pytest.mark.django_db(transaction=True)
def test_a_failed_execution_leaves_the_key_free() -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        run_once(scope="s", key="k", request={}, execute=fail)

    assert not IdempotencyRecord.objects.exists()
    assert run_once(scope="s", key="k", request={}, execute=lambda: {"n": 1}) == {"n": 1}


@pytest.mark.parametrize("key", ["", "k" * 201])
def test_a_key_without_sense_is_refused(key: str) -> None:
    with pytest.raises(InvalidInput):
        run_once(scope="s", key=key, request={}, execute=dict)

    assert not IdempotencyRecord.objects.exists()
