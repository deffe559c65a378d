"""The bench of exposure: a full calculation, stored with its figures, against the bare GROUP BY over the positions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import SCHEMA, bench_entity, fetch_all, fill_tables, settle_down
from backoffice.core.types import Actor
from platform_ops.services import catalogue
from platform_ops.services.symbols import register_names
from risk.services.exposure import calculate_exposure

ACTOR = Actor.system("bench")
SYMBOLS = 60
START = datetime(2025, 9, 1, tzinfo=UTC)
CALCULATIONS = 20
"""Calculations of one turn, so that a turn takes long enough to be timed."""

POSITIONS = {"smoke": 20_000, "std": 200_000, "big": 1_000_000}
OURS, BARE = "ours: by symbol, currency and book, stored", "GROUP BY symbol and side"


@dataclass(slots=True)
class _Turn:
    """How long each calculation of the last turn took."""

    seconds: list[float]


def exposure(size: str) -> Iterator[Contest]:
    """The suite: exposure over all open positions of a broker."""
    entity_id = int(bench_entity().pk)
    _build(entity_id, POSITIONS[size])
    turn = _Turn([])

    def ours() -> None:
        turn.seconds = []
        for _ in range(CALCULATIONS):
            started = time.perf_counter()
            calculate_exposure(entity_id=entity_id, actor=ACTOR)
            turn.seconds.append(time.perf_counter() - started)

    def bare() -> None:
        for _ in range(CALCULATIONS):
            fetch_all(_GROUPED)

    def notes() -> Mapping[str, float]:
        ordered = sorted(turn.seconds)
        return {"p50_ms": statistics.median(ordered) * 1_000, "max_ms": ordered[-1] * 1_000}

    yield Contest(
        "exposure",
        "positions",
        [
            Contender(
                OURS, ours, POSITIONS[size] * CALCULATIONS, checksums=lambda: {"lots": _lots(_OF_RUN)}, notes=notes
            ),
            Contender(BARE, bare, POSITIONS[size] * CALCULATIONS, checksums=lambda: {"lots": _lots(_OF_POSITIONS)}),
        ],
        [Comparison(f"exposure of {POSITIONS[size]:,} positions", OURS, BARE, limits={"p50_ms": 200})],
    )


def _lots(query: str) -> tuple[Any, ...]:
    return tuple(fetch_all(query))


def _build(entity_id: int, positions: int) -> None:
    server = catalogue.register_server(
        entity_id=entity_id, code="bench-mt5", name="Bench", platform="mt5", zone="UTC", actor=ACTOR
    )
    specification = catalogue.Specification(
        digits=5, contract_size=Decimal(100_000), pip_size=Decimal("0.0001"), margin_currency="USD"
    )
    codes = [f"SYM{number:02}" for number in range(SYMBOLS)]
    for number, code in enumerate(codes):
        catalogue.register_symbol(
            code=code, name=code, asset_class="forex", group_code="bench", group_name="Bench",
            base_asset=("EUR", "GBP", "USD")[number % 3], profit_currency=("USD", "EUR", "GBP")[number % 3],
            specification=specification, valid_from=START, actor=ACTOR,
        )  # fmt: skip
    register_names(server_id=server.pk, names=codes)
    values = {
        "server": server.pk,
        "start": START,
        "positions": positions,
        "accounts": positions // 10,
    }
    fill_tables((_RATES, _QUOTES, _ACCOUNTS, _BOOKS, _BATCH, _POSITIONS), values)
    settle_down(["platform_ops_position", "platform_ops_tradingaccount", "platform_ops_accountdimension"])


_RATES = """
INSERT INTO platform_ops_fxreferencerate (source, date, currency, per_euro)
SELECT 'ECB', current_date - 1, currency, per_euro FROM (VALUES ('USD', 1.1), ('GBP', 0.86)) AS rated(currency, per_euro)
"""

_QUOTES = """
INSERT INTO platform_ops_quote (symbol_id, bid, ask, at, source)
SELECT id, 1.1, 1.1001, now(), 'bench' FROM platform_ops_symbol
"""

_ACCOUNTS = """
INSERT INTO platform_ops_tradingaccount
    (public_id, server_id, login, name, currency, position_mode, status, is_demo, opened_at)
SELECT uuidv7(), %(server)s, (500000 + number)::text, '', 'USD', 'hedging', 'active', false, %(start)s
FROM generate_series(1, %(accounts)s) AS number
"""

# A third in the A book, a half in the B book, the others in none.
_BOOKS = f"""
INSERT INTO platform_ops_accountdimension (account_id, dimension, value, validity)
SELECT id, 'book', CASE WHEN {SCHEMA}.chance(id, 1) < 0.4 THEN 'A' ELSE 'B' END, tstzrange(%(start)s, NULL)
FROM platform_ops_tradingaccount WHERE id %% 6 <> 0
"""

_BATCH = """
INSERT INTO platform_ops_ingestbatch
    (server_id, source, new_deals, corrected_deals, stale_deals, changed_trades, changed_positions, changed_operations,
     created_at)
VALUES (%(server)s, 'bench', 0, 0, 0, 0, 0, 0, %(start)s)
"""

_POSITIONS = f"""
WITH account AS (SELECT min(id) AS first FROM platform_ops_tradingaccount),
symbol AS (SELECT min(id) AS first FROM platform_ops_serversymbol),
batch AS (SELECT max(id) AS id FROM platform_ops_ingestbatch)
INSERT INTO platform_ops_position
    (account_id, position_ticket, server_symbol_id, side, volume_lots, open_price, opened_at, batch_id)
SELECT account.first + floor(%(accounts)s * power({SCHEMA}.chance(number, 2), 2))::bigint, number,
       symbol.first + floor({SYMBOLS} * power({SCHEMA}.chance(number, 3), 1.7))::bigint,
       CASE WHEN {SCHEMA}.chance(number, 4) < 0.55 THEN 1 ELSE -1 END,
       (1 + floor(500 * power({SCHEMA}.chance(number, 5), 3)))::numeric / 100,
       round((1 + 0.2 * {SCHEMA}.chance(number, 6))::numeric, 5), %(start)s, batch.id
FROM generate_series(1, %(positions)s::bigint) AS number, account, symbol, batch
"""

_GROUPED = """
SELECT server_symbol_id, side, sum(volume_lots), sum(volume_lots * open_price), count(*)
FROM platform_ops_position GROUP BY server_symbol_id, side
"""

_OF_RUN = """
SELECT key, trim_scale(long_lots), trim_scale(short_lots) FROM risk_exposurerow
WHERE run_id = (SELECT max(id) FROM risk_exposurerun) AND axis = 'symbol' AND book = '' ORDER BY key
"""

_OF_POSITIONS = """
SELECT symbol.code, trim_scale(coalesce(sum(position.volume_lots) FILTER (WHERE position.side > 0), 0)),
       trim_scale(coalesce(sum(position.volume_lots) FILTER (WHERE position.side < 0), 0))
FROM platform_ops_position AS position
JOIN platform_ops_serversymbol AS named ON named.id = position.server_symbol_id
JOIN platform_ops_symbol AS symbol ON symbol.id = named.symbol_id
GROUP BY symbol.code ORDER BY symbol.code
"""
