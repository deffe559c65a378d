"""Prices' share of `verify_books`: quotes, bars and files of ticks say the same."""

from __future__ import annotations

from backoffice.core.books import MAXIMUM_ROWS_SHOWN, CheckOutcome, register_check, rows_of_query
from platform_ops.services.prices import store

# An hour is compared where its minutes are still kept: they are pruned with the ticks, by whole days.
_HOURS = """
SELECT s.code AS symbol, h.opens_at, h.high, m.high AS high_of_minutes, h.low, m.low AS low_of_minutes, h.ticks,
       m.ticks AS ticks_of_minutes
FROM (
    SELECT symbol_id, date_trunc('hour', opens_at, 'UTC') AS opens_at, max(high) AS high, min(low) AS low,
           sum(ticks) AS ticks, max(closed_by_at) AS closed_by_at
    FROM platform_ops_pricebar
    WHERE period = 'M1'
    GROUP BY 1, 2
) m
JOIN platform_ops_symbol s ON s.id = m.symbol_id
LEFT JOIN platform_ops_pricebar h ON h.symbol_id = m.symbol_id AND h.period = 'H1' AND h.opens_at = m.opens_at
WHERE (h.high, h.low, h.ticks::bigint, h.closed_by_at) IS DISTINCT FROM (m.high, m.low, m.ticks::bigint, m.closed_by_at)
ORDER BY 1, 2
"""
_DAYS = """
SELECT s.code AS symbol, d.opens_at, d.high, h.high AS high_of_hours, d.low, h.low AS low_of_hours, d.ticks,
       h.ticks AS ticks_of_hours
FROM (
    SELECT *, lead(opens_at, 1, 'infinity') OVER (PARTITION BY symbol_id ORDER BY opens_at) AS next_opens_at
    FROM platform_ops_pricebar WHERE period = 'D1'
) d
JOIN platform_ops_symbol s ON s.id = d.symbol_id
LEFT JOIN LATERAL (
    SELECT max(high) AS high, min(low) AS low, sum(ticks) AS ticks, max(closed_by_at) AS closed_by_at
    FROM platform_ops_pricebar
    WHERE period = 'H1' AND symbol_id = d.symbol_id AND opens_at >= d.opens_at AND opens_at < d.next_opens_at
) h ON TRUE
WHERE (d.high, d.low, d.ticks::bigint, d.closed_by_at) IS DISTINCT FROM (h.high, h.low, h.ticks::bigint, h.closed_by_at)
ORDER BY 1, 2
"""

_LEADING = """
SELECT s.code AS symbol, q.bid, q.at, b.close AS close_of_bar, b.closed_by_at
FROM platform_ops_quote q
JOIN platform_ops_symbol s ON s.id = q.symbol_id
JOIN platform_ops_pricesource source ON source.code = q.source
JOIN LATERAL (
    SELECT close, close_ask, closed_by_at FROM platform_ops_pricebar
    WHERE symbol_id = q.symbol_id AND period = 'M1' ORDER BY opens_at DESC LIMIT 1
) b ON TRUE
WHERE b.closed_by_at = q.at AND (b.close, b.close_ask) IS DISTINCT FROM (q.bid, q.ask)
ORDER BY 1
"""


def register() -> None:
    """Registers the proofs."""
    register_check("platform.bars_add_up", bars_add_up)
    register_check("platform.quotes_close_bars", quotes_close_bars)
    register_check("platform.tick_files_stand", tick_files_stand)


def bars_add_up() -> CheckOutcome:
    """Hours are their minutes, days are their hours."""
    hours, days = rows_of_query(_HOURS), rows_of_query(_DAYS)
    return CheckOutcome([*hours.rows, *days.rows][:MAXIMUM_ROWS_SHOWN], hours.count + days.count)


def quotes_close_bars() -> CheckOutcome:
    """The quote of a feed is the close of its last minute."""
    return rows_of_query(_LEADING)


def tick_files_stand() -> CheckOutcome:
    """Every file of ticks is there, in the size that it was written."""
    names, count = store.missing_files()
    return CheckOutcome([{"file": name, "problem": "missing or of another size"} for name in names], count)
