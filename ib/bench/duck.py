"""DuckDB computing the same lines from the same input, in memory: how little time the arithmetic itself needs.

It reads the input (trades, accounts, referrals, the compiled card, conversion rates) from files before the clock runs,
and writes nothing to disk. It has no ledger, no transactions and no corrections; it is a lower bound, not a rival.
"""

# ruff: noqa: S608 -- own text
from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from django.db import connection

from ib.bench.naive import BASE_ASSET, PROFIT_CURRENCY
from ib.engine.fx import FX_TABLE, PRODUCT_DECIMALS
from ib.models import RateCardVersion
from ib.rules.amounts import QUANTITY_DECIMALS
from ib.services.card import facts_of_card
from platform_ops.rules.economics import MONEY_DECIMALS

THREADS = 2
_MICROSECONDS = "(extract(epoch FROM {0}) * 1000000)::bigint"

# Each table: its columns in DuckDB, and the query of Postgres that fills it.
_INPUT: dict[str, tuple[str, str]] = {
    "trade": (
        "id BIGINT, account_id BIGINT, server_symbol_id BIGINT, lots DECIMAL(12, 2), profit DECIMAL(12, 2),"
        " price DECIMAL(10, 5), currency VARCHAR, closed BIGINT, day DATE",
        "SELECT id, account_id, server_symbol_id, volume_lots::numeric(12, 2), profit::numeric(12, 2),"
        " close_price::numeric(10, 5), currency,"
        f" {_MICROSECONDS.format('closed_at')}, business_day FROM platform_ops_trade"
        " WHERE NOT is_cancelled",
    ),
    "account": (
        "id BIGINT, client_id BIGINT",
        "SELECT id, client_id FROM platform_ops_tradingaccount WHERE NOT is_demo AND client_id IS NOT NULL",
    ),
    "symbol": (
        "server_symbol_id BIGINT, symbol_group_id BIGINT, profit_currency VARCHAR",
        "SELECT named.id, symbol.group_id, symbol.profit_currency FROM platform_ops_serversymbol AS named"
        " JOIN platform_ops_symbol AS symbol ON symbol.id = named.symbol_id",
    ),
    "referral": (
        "client_id BIGINT, partner_id BIGINT, valid_from BIGINT, valid_to BIGINT",
        f"SELECT client_id, partner_id, coalesce({_MICROSECONDS.format('lower(validity)')}, -9223372036854775807),"
        f" coalesce({_MICROSECONDS.format('upper(validity)')}, 9223372036854775807) FROM ib_clientreferral",
    ),
    "card": (
        "direct_partner_id BIGINT, symbol_group_id BIGINT, beneficiary_id BIGINT, basis VARCHAR,"
        " rate DECIMAL(10, 4), rate_currency VARCHAR, reward_currency VARCHAR, valid_from BIGINT, valid_to BIGINT",
        "SELECT direct_partner_id, symbol_group_id, beneficiary_id, basis,"
        " (CASE basis WHEN 'client_profit_share' THEN rate / 100 ELSE rate END)::numeric(10, 4), rate_currency,"
        f" reward_currency, coalesce({_MICROSECONDS.format('valid_from')}, -9223372036854775807),"
        f" coalesce({_MICROSECONDS.format('valid_to')}, 9223372036854775807)"
        " FROM ib_ratecardentry WHERE is_current",
    ),
    "fx": (
        "day DATE, rate_currency VARCHAR, reward_currency VARCHAR, rate DECIMAL(24, 20)",
        f"WITH {FX_TABLE} SELECT day, rate_currency, reward_currency, round(rate, 20) FROM fx",
    ),
}

# Each basis has a product of its own: in one of 38 digits for all, money above a hundred would find no room.
# Every currency of the bench has two digits, and a point of a lot of its symbols is worth one unit of their money.
_COMPUTE = f"""
CREATE OR REPLACE TABLE line AS
WITH measured AS (
    SELECT trade.*, CASE trade.currency
               WHEN '{BASE_ASSET}' THEN trade.lots * 0.1
               WHEN '{PROFIT_CURRENCY}' THEN trade.lots * trade.price * 0.1
               ELSE round(round(trade.lots * trade.price * 100000 * fx.rate, {MONEY_DECIMALS}) * 0.000001, {QUANTITY_DECIMALS})
           END::DECIMAL(20, {QUANTITY_DECIMALS}) AS millions
    FROM trade LEFT JOIN fx ON fx.day = trade.day AND fx.rate_currency = '{PROFIT_CURRENCY}' AND fx.reward_currency = trade.currency
)
SELECT card.beneficiary_id AS partner_id, trade.id AS trade_id, trade.day, card.reward_currency AS currency,
       round(CASE card.basis
           WHEN 'client_profit_share' THEN round(trade.profit * card.rate * fx.rate, {PRODUCT_DECIMALS})
           WHEN 'notional_per_million' THEN round(trade.millions * card.rate * fx.rate, {PRODUCT_DECIMALS})
           ELSE round(trade.lots * card.rate * fx.rate, {PRODUCT_DECIMALS})
       END, 2)::DECIMAL(18, 2) AS amount
FROM measured AS trade
JOIN account ON account.id = trade.account_id
JOIN symbol ON symbol.server_symbol_id = trade.server_symbol_id
JOIN referral ON referral.client_id = account.client_id
 AND referral.valid_from <= trade.closed AND trade.closed < referral.valid_to
JOIN card ON card.direct_partner_id = referral.partner_id AND card.symbol_group_id = symbol.symbol_group_id
 AND card.valid_from <= trade.closed AND trade.closed < card.valid_to
JOIN fx ON fx.day = trade.day AND fx.reward_currency = card.reward_currency
 AND fx.rate_currency = CASE card.basis WHEN 'client_profit_share' THEN trade.currency
                                        WHEN 'notional_per_million' THEN trade.currency
                                        WHEN 'points' THEN symbol.profit_currency ELSE card.rate_currency END
WHERE card.basis <> 'client_profit_share' OR trade.profit > 0
"""


class Duck:
    """An in-memory DuckDB with the input loaded."""

    def __init__(self, *, days: Sequence[date], folder: Path) -> None:
        self._duck = duckdb.connect()
        self._duck.execute(f"SET threads = {THREADS}")
        # With its own guesses about the dated joins it can choose an order that explodes, as Postgres would.
        self._duck.execute("SET disabled_optimizers = 'join_order'")
        pairs = facts_of_card(RateCardVersion.objects.get(is_active=True)).pairs
        parameters = {
            "days": list(days),
            "rate_currencies": [pair[0] for pair in pairs],
            "reward_currencies": [pair[1] for pair in pairs],
            "rate_digits": [2] * len(pairs),
        }
        for table, (columns, query) in _INPUT.items():
            file = folder / f"{table}.csv"
            with connection.cursor() as cursor, file.open("wb") as output:
                cursor.copy_expert(
                    f"COPY ({cursor.mogrify(query, parameters).decode()}) TO STDOUT (FORMAT csv)", output
                )
            self._duck.execute(f"CREATE TABLE {table} ({columns})")
            self._duck.execute(f"COPY {table} FROM '{file}' (FORMAT csv, HEADER false)")
            file.unlink()

    def compute(self) -> None:
        """All lines, into a table in memory."""
        self._duck.execute(_COMPUTE)

    def checksums(self) -> Mapping[str, Any]:
        """What `ib.bench.contest.checksum_of` says of the lines in Postgres."""
        totals = self._duck.execute(
            "SELECT currency, sum(amount) FROM line GROUP BY currency ORDER BY currency"
        ).fetchall()
        counted = self._duck.execute(
            "SELECT count(*), sum(amount * (trade_id % 1009)), sum(amount * (partner_id % 997)) FROM line"
        ).fetchone()
        assert counted is not None
        lines, by_trade, by_partner = counted
        money = tuple((str(currency), Decimal(total)) for currency, total in totals)
        return {"all lines": (int(lines), money, Decimal(by_trade), Decimal(by_partner))}

    def lines(self) -> list[tuple[int, int, Decimal]]:
        """(partner, trade, amount) of every line."""
        return self._duck.execute("SELECT partner_id, trade_id, amount FROM line ORDER BY ALL").fetchall()

    def close(self) -> None:
        """Frees its memory."""
        self._duck.close()
