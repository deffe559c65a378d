"""Statements that a connection plans once."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from django.db import connection, transaction

from backoffice.core.prepared import MAXIMUM_STATEMENTS, fetch_prepared

pytestmark = pytest.mark.django_db


def kept() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'kept%'")
        return int(cursor.fetchone()[0])


def test_a_named_parameter_may_stand_twice_and_a_percent_sign_is_one() -> None:
    # given a statement with arrays, a cast and a remainder
    statement = (
        "SELECT number %% 3, %(day)s::date + 1, number * %(by)s::numeric, %(words)s::text[] FROM"
        " unnest(%(numbers)s::bigint[]) AS number WHERE number = ANY(%(numbers)s::bigint[]) ORDER BY number"
    )
    values = {"day": date(2026, 1, 31), "by": Decimal("1.5"), "words": ["a,b", "{"], "numbers": [7, 5]}
    # when it runs, and again without numbers
    found = fetch_prepared(statement, values)
    none = fetch_prepared(statement, {**values, "numbers": []})
    # then it says what it would without a kept plan
    assert found == [
        (2, date(2026, 2, 1), Decimal("7.5"), ["a,b", "{"]),
        (1, date(2026, 2, 1), Decimal("10.5"), ["a,b", "{"]),
    ]
    assert none == []


def test_a_connection_keeps_no_more_plans_than_it_may() -> None:
    # given as many statements as are kept
    for number in range(MAXIMUM_STATEMENTS + 3):
        # when each is asked for twice
        for _ in range(2):
            assert fetch_prepared(f"SELECT {number} + %s::integer", [1]) == [(number + 1,)]
    # then the first ones gave way, and still answer
    assert kept() == MAXIMUM_STATEMENTS
    assert fetch_prepared("SELECT 0 + %s::integer", [1]) == [(1,)]


def test_what_fails_leaves_neither_a_setting_nor_a_plan_of_nothing() -> None:
    # given a statement that fails when it runs
    for _ in range(2):
        # when it does, in a part of the transaction
        with pytest.raises(Exception, match="division by zero"), transaction.atomic():
            fetch_prepared("SELECT 1 / %s::integer", [0])
    # then the transaction goes on, and plans as it did
    assert fetch_prepared("SELECT 1 / %s::integer", [1]) == [(1,)]
    with connection.cursor() as cursor:
        cursor.execute("SHOW plan_cache_mode")
        assert cursor.fetchone() == ("auto",)
