"""The bench of trades in: a file of deals through the one door, against a bare copy of the same bytes.

The file is what a connector of a busy server would send: positions opened and closed by deals of their own, a tenth
still open, no deposits. Everything but the deals stands already, as it does on any day but the first.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.db import connection, transaction

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import (
    SCHEMA,
    bench_entity,
    empty_tables,
    fetch_all,
    fill_tables,
    run_sql,
    settle_down,
)
from backoffice.core.types import Actor
from platform_ops.locks import lock_server
from platform_ops.services import catalogue
from platform_ops.services.ingest import ingest_csv
from platform_ops.services.merging import merge_stage
from platform_ops.services.staging import pinned_plans, stage_csv
from platform_ops.services.symbols import register_names

ACTOR = Actor.system("bench")
SYMBOLS = 60
START = datetime(2025, 9, 1, tzinfo=UTC)
AS_OF = datetime(2025, 10, 1, tzinfo=UTC)
WRITTEN = (
    "platform_ops_deal",
    "platform_ops_trade",
    "platform_ops_position",
    "platform_ops_balanceoperation",
    "platform_ops_ingestbatch",
    "core_outboxevent",
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many deals the file holds, and of how many accounts."""

    deals: int
    accounts: int


SCALES = {"smoke": Scale(20_000, 2_000), "std": Scale(250_000, 50_000), "big": Scale(5_000_000, 50_000)}

OURS, MERGE = "ours: deals, trades, positions", "ours: deals only, checked and merged once"
AGAIN = "ours: the same file again"
COPY, COPY_KEYED = "COPY of the same bytes", "COPY of the same rows into equal keyed tables"


def ingest(size: str) -> Iterator[Contest]:
    """The suite: a first load, the same file again, and the copies they are measured against."""
    scale = SCALES[size]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = _Bench(scale, Path(folder))
        yield bench.contest()


class _Bench:
    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale = scale
        self.folder = folder
        self.file = folder / "deals.csv"
        server = catalogue.register_server(
            entity_id=bench_entity().pk, code="bench-mt5", name="Bench", platform="mt5", zone="UTC", actor=ACTOR
        )
        self.server_id = int(server.pk)
        self._make_catalogue()
        self._make_file()
        self._make_bare_table()
        self.exported = False

    def contest(self) -> Contest:
        deals = self.scale.deals
        contenders = [
            Contender(COPY, lambda: self._copy(f"{SCHEMA}.bare", self.file, "csv"), deals,
                      prepare=_empty_bare, checksums=lambda: {"deals": _sums(f"{SCHEMA}.bare")}),
            Contender(MERGE, self._merge_only, deals, prepare=_empty, checksums=self._checksum_of_deals),
            Contender(OURS, self._ingest, deals, prepare=_empty, checksums=self._checksum_of_deals, clean=self._export),
            Contender(AGAIN, self._ingest, deals, checksums=self._checksum_of_deals),
            Contender(COPY_KEYED, self._copy_rows, deals, prepare=self._make_keyed_tables,
                      checksums=lambda: {"deals": _sums(f"{SCHEMA}.platform_ops_deal")}),
        ]  # fmt: skip
        comparisons = [
            Comparison("ingest: deals only", MERGE, COPY, target=2.3),
            Comparison("ingest: deals, trades, positions", OURS, COPY),
            Comparison("ingest: deals, trades, positions", OURS, COPY_KEYED),
            Comparison("ingest: all duplicates", AGAIN, COPY, target=2.3),
        ]
        return Contest("ingest", "deals", contenders, comparisons, rounds=2)

    def _make_catalogue(self) -> None:
        specification = catalogue.Specification(
            digits=5, contract_size=Decimal(100_000), pip_size=Decimal("0.0001"),
            margin_currency="USD",
        )  # fmt: skip
        codes = [f"SYM{number:02}" for number in range(SYMBOLS)]
        for code in codes:
            catalogue.register_symbol(
                code=code, name=code, asset_class="forex", group_code="bench", group_name="Bench", base_asset="EUR",
                profit_currency="USD", specification=specification, valid_from=START, actor=ACTOR,
            )  # fmt: skip
        register_names(server_id=self.server_id, names=codes)
        fill_tables([_ACCOUNTS], {"server": self.server_id, "accounts": self.scale.accounts, "start": START})
        settle_down(["platform_ops_tradingaccount"])

    def _make_file(self) -> None:
        values = {"deals": self.scale.deals, "accounts": self.scale.accounts, "start": START}
        with connection.cursor() as cursor, self.file.open("wb") as file:
            cursor.copy_expert(f"COPY ({cursor.mogrify(_DEALS, values).decode()}) TO STDOUT (FORMAT csv)", file)

    def _make_bare_table(self) -> None:
        """The columns of the file with their types: no key, no check."""
        run_sql(
            f"CREATE TABLE {SCHEMA}.bare (ticket bigint, leg smallint, login text, currency text, account_id bigint,"
            " kind smallint, entry smallint, position_ticket bigint, order_ticket bigint, symbol text, volume_lots"
            " numeric, price numeric, at timestamptz, open_price numeric, opened_at timestamptz, profit numeric,"
            " swap numeric, commission numeric, fee numeric, comment text)"
        )

    def _ingest(self) -> None:
        with self.file.open("rb") as stream:
            ingest_csv(server_id=self.server_id, source="bench", stream=stream, as_of=AS_OF)

    def _merge_only(self) -> None:
        """The steps of a load up to the merged deals; what follows from them is left out."""
        with transaction.atomic(), self.file.open("rb") as stream:
            staged = stage_csv(stream)
            lock_server(self.server_id)
            with pinned_plans(staged):
                merge_stage(server_id=self.server_id, batch_id=1, as_of=AS_OF, staged=staged)

    def _checksum_of_deals(self) -> Mapping[str, Any]:
        return {"deals": _sums("platform_ops_deal")}

    def _export(self) -> None:
        """Keeps the rows that a load writes, as the server encodes them."""
        if self.exported:
            return
        for table in _ROWS_OF_A_LOAD:
            with connection.cursor() as cursor, (self.folder / table).open("wb") as file:
                cursor.copy_expert(f"COPY {table} TO STDOUT (FORMAT binary)", file)
        self.exported = True

    def _make_keyed_tables(self) -> None:
        for table in _ROWS_OF_A_LOAD:
            run_sql(f"DROP TABLE IF EXISTS {SCHEMA}.{table}")
            run_sql(f"CREATE TABLE {SCHEMA}.{table} (LIKE {table} INCLUDING ALL)")
        settle_down()

    def _copy_rows(self) -> None:
        with transaction.atomic():
            for table in _ROWS_OF_A_LOAD:
                self._copy(f"{SCHEMA}.{table}", self.folder / table, "binary")

    @staticmethod
    def _copy(table: str, file: Path, form: str) -> None:
        with connection.cursor() as cursor, file.open("rb") as stream:
            cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT {form})", stream, 1 << 16)


_ROWS_OF_A_LOAD = ("platform_ops_deal", "platform_ops_trade", "platform_ops_position")


def _empty() -> None:
    empty_tables(WRITTEN)
    settle_down()


def _empty_bare() -> None:
    run_sql(f"TRUNCATE {SCHEMA}.bare")
    settle_down()


def _sums(table: str) -> tuple[object, ...]:
    """Rows, volume and money, and a weighted sum that changes when an amount stands on another ticket."""
    return tuple(
        fetch_all(
            f"SELECT count(*), trim_scale(sum(volume_lots)), trim_scale(sum(profit)),"
            f" trim_scale(sum(profit * (ticket % 1009))) FROM {table}"
        )[0]
    )


_ACCOUNTS = """
INSERT INTO platform_ops_tradingaccount
    (public_id, server_id, login, name, currency, position_mode, status, is_demo, opened_at)
SELECT uuidv7(), %(server)s, (500000 + number)::text, '', 'USD', 'hedging', 'active', false, %(start)s
FROM generate_series(1, %(accounts)s) AS number
"""

# In the order of the staging table's columns. Of twenty deals eleven open a position and nine close one; a closing
# comes some deals after its opening, told with the opening's price and time, as a server's own history has them.
_DEALS = f"""
SELECT ticket, 0, 500001 + floor(%(accounts)s * power({SCHEMA}.chance(position, 1), 2.5))::bigint, NULL, NULL,
       CASE WHEN closes THEN 1 - kind ELSE kind END, closes::int, 9000000 + position, 7000000 + ticket,
       'SYM' || lpad(floor({SYMBOLS} * power({SCHEMA}.chance(position, 2), 1.7))::text, 2, '0'),
       (1 + floor(500 * power({SCHEMA}.chance(position, 3), 3)))::numeric / 100,
       round((CASE WHEN closes THEN 1 + 0.2 * {SCHEMA}.chance(ticket, 4) ELSE opened_price END)::numeric, 5),
       CASE WHEN closes THEN opened_at + interval '5 hours' ELSE opened_at END,
       CASE WHEN closes THEN round(opened_price::numeric, 5) END, CASE WHEN closes THEN opened_at END,
       CASE WHEN closes THEN round((400 * {SCHEMA}.chance(ticket, 5) - 205)::numeric, 2) ELSE 0 END,
       CASE WHEN closes THEN -0.35 ELSE 0 END, -1.5, 0, NULL
FROM (
    SELECT 1000000 + number AS ticket, closes, position, (position %% 2)::int AS kind,
           1 + 0.2 * {SCHEMA}.chance(position, 4) AS opened_price,
           %(start)s::timestamptz + make_interval(secs => position * 1500000.0 / %(deals)s) AS opened_at
    FROM (
        SELECT number, number %% 20 >= 11 AS closes,
               (number / 20) * 11 + CASE WHEN number %% 20 >= 11 THEN number %% 20 - 11 ELSE number %% 20 END AS position
        FROM generate_series(0, %(deals)s::bigint - 1) AS number
    ) AS paired
) AS told
ORDER BY ticket
"""
