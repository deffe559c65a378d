"""The write limit: the very lines that ours produced, encoded beforehand, copied into equal tables.

*Keyed* copies into a partitioned table that has its key from the start, as ours has. *Bare* copies into day tables
without key or checks, makes the key and attaches them: nothing on this server is quicker, and no settlement can work
like that while days are open.
"""

# ruff: noqa: S608 -- names of the bench's own tables
from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

from django.db import connection, transaction

from backoffice.core.measuring.database import SCHEMA, fetch_all, run_sql, settle_down
from ib.engine.partitions import LINE_TABLE, partition_name

COPIED = f"{SCHEMA}.copied_line"


def export_lines(days: Sequence[date], folder: Path) -> None:
    """Writes each day's lines to a file, as the server encodes them."""
    for day in days:
        with connection.cursor() as cursor, _file_of(day, folder).open("wb") as file:
            cursor.copy_expert(
                f"COPY (SELECT * FROM {partition_name(day)} ORDER BY partner_id, trade_id, part, seq) TO STDOUT (FORMAT binary)",
                file,
            )


def make_table(days: Sequence[date], *, keyed: bool) -> None:
    """An empty table equal to that of the lines, with a partition a day; without key and checks when not *keyed*."""
    drop_table()
    with transaction.atomic():
        if keyed:
            run_sql(f"CREATE TABLE {COPIED} (LIKE {LINE_TABLE} INCLUDING ALL) PARTITION BY RANGE (day)")
        else:
            run_sql(f"CREATE TABLE {COPIED} (LIKE {LINE_TABLE}) PARTITION BY RANGE (day)")
        for day in days:
            if keyed:
                run_sql(f"CREATE TABLE {_table_of(day)} PARTITION OF {COPIED} FOR VALUES {_bounds(day)}")
            else:
                check = f"CHECK (day >= '{day}' AND day < '{day + timedelta(days=1)}')"
                run_sql(f"CREATE TABLE {_table_of(day)} (LIKE {LINE_TABLE}, {check})")
    settle_down()


def drop_table() -> None:
    """Removes the table with its days."""
    run_sql(f"DROP TABLE IF EXISTS {COPIED} CASCADE")
    days = fetch_all(
        f"SELECT tablename FROM pg_tables WHERE schemaname = '{SCHEMA}' AND starts_with(tablename, 'copied_d')"
    )
    for (name,) in days:
        run_sql(f"DROP TABLE {SCHEMA}.{name}")


def copy_lines(days: Sequence[date], folder: Path, *, keyed: bool, connections: int) -> None:
    """Copies every day's file, each day a transaction, over one or more connections at once."""
    waiting: queue.SimpleQueue[date] = queue.SimpleQueue()
    for day in days:
        waiting.put(day)

    def copy_day(day: date) -> None:
        _copy_day(day, folder, keyed=keyed)

    if connections == 1:
        _work(waiting, copy_day)
        return
    failures: list[BaseException] = []
    threads = [threading.Thread(target=_work_in_thread, args=(waiting, copy_day, failures)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _copy_day(day: date, folder: Path, *, keyed: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor, _file_of(day, folder).open("rb") as file:
        cursor.copy_expert(f"COPY {COPIED if keyed else _table_of(day)} FROM STDIN (FORMAT binary)", file, 1 << 18)
        if not keyed:
            cursor.execute(f"ALTER TABLE {_table_of(day)} ADD PRIMARY KEY (partner_id, trade_id, part, seq, day)")
            cursor.execute(f"ALTER TABLE {COPIED} ATTACH PARTITION {_table_of(day)} FOR VALUES {_bounds(day)}")


def _work(waiting: queue.SimpleQueue[date], copy_day: Callable[[date], None]) -> None:
    while True:
        try:
            day = waiting.get_nowait()
        except queue.Empty:
            return
        copy_day(day)


def _work_in_thread(
    waiting: queue.SimpleQueue[date], copy_day: Callable[[date], None], failures: list[BaseException]
) -> None:
    """A thread has a database connection of its own, which it closes."""
    try:
        _work(waiting, copy_day)
    except BaseException as failure:  # noqa: BLE001 - handed to the thread that waits
        failures.append(failure)
    finally:
        connection.close()


def _file_of(day: date, folder: Path) -> Path:
    return folder / f"lines-{day:%Y%m%d}.bin"


def _table_of(day: date) -> str:
    return f"{SCHEMA}.copied_d{day:%Y%m%d}"


def _bounds(day: date) -> str:
    return f"FROM ('{day}') TO ('{day + timedelta(days=1)}')"
