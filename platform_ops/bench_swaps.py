"""The bench of the rollover: every open position of a busy server, against a bare INSERT of as many rows.

The bare INSERT copies finished lines into a table of equal columns and key: no formula, no position, no rate. The second
run of the same day finds nothing to book and is measured too.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

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
from platform_ops.models import Symbol
from platform_ops.rules.swaps import RateDraft
from platform_ops.services import catalogue
from platform_ops.services.prices import store_daily_prices
from platform_ops.services.swaps.rates import set_swap_rates
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.symbols import register_names

ACTOR = Actor.system("bench")
SYMBOLS = 60
START = datetime(2025, 9, 1, tzinfo=UTC)
DAY = date(2025, 9, 24)
WRITTEN = ("platform_ops_swapline", "platform_ops_swapterm", "platform_ops_swaprun", "core_outboxevent")
COLUMNS = (
    "day, account_id, position_ticket, seq, run_id, term_id, volume_lots, open_price, opened_at, swap, dividend, fee,"
    " lp_swap, cause"
)
OURS, AGAIN, BARE = "ours: the rollover", "ours: the same day again", "bare INSERT of as many rows"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many positions are open, on how many accounts."""

    positions: int
    accounts: int


SCALES = {"smoke": Scale(5_000, 1_000), "std": Scale(200_000, 50_000), "big": Scale(200_000, 50_000)}


def swap(size: str) -> Iterator[Contest]:
    """The suite: a Wednesday that counts three nights, computed once and once more."""
    bench = _Bench(SCALES[size])
    yield bench.contest()


class _Bench:
    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        server = catalogue.register_server(
            entity_id=bench_entity().pk, code="bench-swap", name="Bench", platform="mt5", zone="EET_US", actor=ACTOR
        )
        self.server_id = int(server.pk)
        self._make_catalogue()
        values = {"server": self.server_id, "start": START, "accounts": scale.accounts, "positions": scale.positions}
        fill_tables([_ACCOUNTS, _POSITIONS], values)
        settle_down(["platform_ops_tradingaccount", "platform_ops_position"])
        self.lines = 0

    def contest(self) -> Contest:
        """A run, the same run again, and the bare insert of the lines that it wrote."""
        count = self.scale.positions
        contenders = [
            Contender(OURS, self._run, count, prepare=_empty, checksums=self._checksum, notes=self._notes,
                      clean=self._keep),
            Contender(AGAIN, self._run, count, checksums=self._checksum),
            Contender(BARE, self._bare, count, prepare=self._empty_bare, checksums=self._checksum_of_bare),
        ]  # fmt: skip
        limits = {"milliseconds": 1_000.0} if count == SCALES["std"].positions else {}
        return Contest(
            "swap",
            "positions",
            contenders,
            [
                Comparison("swap: rollover of every open position", OURS, BARE, target=1.9, limits=limits),
                Comparison("swap: the same day again", AGAIN, BARE, target=1.9),
            ],
        )

    def _make_catalogue(self) -> None:
        specification = catalogue.Specification(
            digits=5, contract_size=Decimal(100_000), pip_size=Decimal("0.0001"), margin_currency="USD",
        )  # fmt: skip
        codes = [f"SYM{number:02}" for number in range(SYMBOLS)]
        for code in codes:
            catalogue.register_symbol(
                code=code, name=code, asset_class="forex", group_code="bench", group_name="Bench", base_asset="EUR",
                profit_currency="GBP", specification=specification, valid_from=START, actor=ACTOR,
            )  # fmt: skip
        catalogue.register_symbol(
            code="GBPUSD", name="GBPUSD", asset_class="forex", group_code="bench", group_name="Bench", base_asset="GBP",
            profit_currency="USD", specification=specification, valid_from=START, actor=ACTOR,
        )  # fmt: skip
        register_names(server_id=self.server_id, names=codes)
        store_daily_prices(
            business_day=DAY, prices={"GBPUSD": (Decimal("1.34981"), Decimal("1.34993"))}, source="bench"
        )
        symbols = Symbol.objects.filter(code__in=codes).order_by("code")
        set_swap_rates(
            rates=[
                RateDraft(
                    symbol_id=symbol.pk,
                    long=Decimal(-1135 - number) / 100,
                    short=Decimal(413 - number * 7) / 100,
                    lp_long=Decimal(-1000 - number) / 100,
                    lp_short=Decimal(500 - number * 7) / 100,
                )
                for number, symbol in enumerate(symbols)
            ],
            valid_from=START,
            approval=None,
            actor=ACTOR,
        )

    def _run(self) -> None:
        self.lines = run_rollover(server_id=self.server_id, day=DAY, actor=ACTOR).lines

    def _notes(self) -> Mapping[str, float]:
        return {"lines": float(self.lines)}

    @staticmethod
    def _keep() -> None:
        """Keeps the lines for the bare insert; the table that it fills has the same columns and key."""
        run_sql(f"DROP TABLE IF EXISTS {SCHEMA}.lines")
        run_sql(f"CREATE TABLE {SCHEMA}.lines AS SELECT {COLUMNS} FROM platform_ops_swapline")
        settle_down()

    @staticmethod
    def _empty_bare() -> None:
        run_sql(f"DROP TABLE IF EXISTS {SCHEMA}.bare")
        run_sql(f"CREATE TABLE {SCHEMA}.bare (LIKE platform_ops_swapline INCLUDING ALL)")
        settle_down()

    @staticmethod
    def _bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {SCHEMA}.bare ({COLUMNS}) SELECT {COLUMNS} FROM {SCHEMA}.lines")

    @staticmethod
    def _checksum() -> Mapping[str, Any]:
        return {"money": _sums("platform_ops_swapline")}

    @staticmethod
    def _checksum_of_bare() -> Mapping[str, Any]:
        return {"money": _sums(f"{SCHEMA}.bare")}


def _empty() -> None:
    empty_tables(WRITTEN)
    settle_down(["platform_ops_swapline"])


def _sums(table: str) -> tuple[object, ...]:
    """Rows and money, and a weighted sum that changes when an amount stands on another position."""
    return tuple(
        fetch_all(
            f"SELECT count(*), trim_scale(sum(swap)), trim_scale(sum(lp_swap)),"
            f" trim_scale(sum(swap * (position_ticket % 1009))) FROM {table}"
        )[0]
    )


_ACCOUNTS = """
INSERT INTO platform_ops_tradingaccount
    (public_id, server_id, login, name, currency, position_mode, status, is_demo, opened_at)
SELECT uuidv7(), %(server)s, (500000 + number)::text, '', 'USD', 'hedging', 'active', false, %(start)s
FROM generate_series(1, %(accounts)s) AS number
"""

_POSITIONS = f"""
INSERT INTO platform_ops_position
    (account_id, position_ticket, server_symbol_id, side, volume_lots, open_price, opened_at, batch_id)
SELECT owners.ids[1 + floor(%(accounts)s * power({SCHEMA}.chance(number, 1), 2.5))::integer], 9000000 + number,
       names.ids[1 + floor({SYMBOLS} * power({SCHEMA}.chance(number, 2), 1.7))::integer],
       CASE WHEN number %% 2 = 0 THEN 1 ELSE -1 END, (1 + floor(500 * power({SCHEMA}.chance(number, 3), 3)))::numeric / 100,
       round((1 + 0.2 * {SCHEMA}.chance(number, 4))::numeric, 5),
       %(start)s::timestamptz + make_interval(secs => number * 1500000.0 / %(positions)s), 1
FROM generate_series(1, %(positions)s) AS number,
     (SELECT array_agg(id ORDER BY id) AS ids FROM platform_ops_tradingaccount WHERE server_id = %(server)s) AS owners,
     (SELECT array_agg(id ORDER BY id) AS ids FROM platform_ops_serversymbol WHERE server_id = %(server)s) AS names
"""
