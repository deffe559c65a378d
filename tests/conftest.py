"""What every test stands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db.backends.postgresql.operations import DatabaseOperations


@pytest.fixture(scope="session", autouse=True)
def _emptying_the_test_database_passes_the_triggers() -> Iterator[None]:
    """Tests with real transactions end in a TRUNCATE of every table, which append-only tables rightly refuse.

    Only that statement goes past their triggers, with a session setting that needs a superuser.
    """
    flush = DatabaseOperations.execute_sql_flush

    def flush_past_triggers(self: DatabaseOperations, sql_list: list[str]) -> Any:
        return flush(self, ["SET LOCAL session_replication_role = 'replica'", *sql_list])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", flush_past_triggers)
        yield


@pytest.fixture
def empty_cache() -> Iterator[None]:
    """The shared cache, which holds the rate limits, without what other tests left in it."""
    cache.clear()
    yield
    cache.clear()
