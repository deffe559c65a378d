"""What every test stands on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from django.core.cache import cache
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase

KEPT_TABLES = {"django_migrations", "django_content_type", "auth_permission"}
"""What migrating wrote about the models themselves; it is the same for every test."""

# What may land is decided by the same examples every time, without the minutes that making a failure small can take;
# `PROPERTIES=exploring make test` looks for new ones.
hypothesis.settings.register_profile(
    "steady", derandomize=True, print_blob=True, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate]
)
hypothesis.settings.register_profile("exploring", print_blob=True)
hypothesis.settings.load_profile(os.environ.get("PROPERTIES", "steady"))

LONG_FILES = Path(__file__).with_name("long_files.txt")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Several workers share the files out one by one, in the order in which they were collected: the longest come first.

    Left to itself the order is by the number of tests, and files of one long test come last.
    """
    if not hasattr(config, "workerinput"):
        return
    named = [line for line in LONG_FILES.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    place = {LONG_FILES.parent / name: number for number, name in enumerate(named)}
    gone = [str(path) for path in place if not path.exists()]
    if gone:
        raise pytest.UsageError(f"{LONG_FILES} names files that are not there: {', '.join(gone)}")
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes what failed, one name a line, for `scripts/run_tests.sh`: also a test at which a worker died."""
    noted = os.environ.get("FAILED_TESTS")
    if noted and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(noted).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


@pytest.fixture(scope="session", autouse=True)
def _tests_with_real_transactions_leave_empty_tables() -> Iterator[None]:
    """Django truncates every table after such a test and then acts as if it had migrated, a second or two each time.

    Here only the tables that hold something are emptied, and nothing is installed again. Append-only tables rightly
    refuse to be emptied; the one transaction that does it goes past their triggers and the foreign keys, with a session
    setting that needs a superuser.
    """

    def empty_tables(case: TransactionTestCase) -> None:
        for name in case._databases_names(include_mirrors=False):  # type: ignore[attr-defined]
            _empty(connections[name])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty_tables)
        yield


def _empty(connection: BaseDatabaseWrapper) -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    candidates = sorted(set(tables) - KEPT_TABLES)
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in candidates))
        filled = [name for (name,) in cursor.fetchall()]
        if filled:
            cursor.execute("SET LOCAL session_replication_role = 'replica'")
            cursor.execute("; ".join(f"DELETE FROM {name}" for name in filled))


@pytest.fixture
def empty_cache() -> Iterator[None]:
    """The shared cache, which holds the rate limits, without what other tests left in it."""
    cache.clear()
    yield
    cache.clear()
