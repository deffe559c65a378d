"""The steps of the business day that platform operations owns: deals complete, prices fixed, swaps.

Each proves its input or raises; the figures that it returns stand in the day's record.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q, Sum

from backoffice.kernel.business_day import day_bounds, previous_business_day
from backoffice.kernel.errors import Conflict, MissingRate
from platform_ops.models import BalanceOperation, BusinessDay, StatementImport, Trade, TradingAccount
from platform_ops.selectors.servers import followed_until
from platform_ops.services.reconciliation import prove_reconciled
from platform_ops.services.swaps.day_step import swaps_of_business_day

# How long an end-of-day price may be carried over days on which a symbol did not trade (holidays of its market).
MAXIMUM_CARRIED_BUSINESS_DAYS = 5


def prove_deals_complete(business_day: BusinessDay) -> dict[str, Any]:
    """Every file given for the server is stored or refused, every statement printed on the day agrees with the books, and
    a followed server was compared with the books without a difference that nobody accepted."""
    imports = StatementImport.objects.filter(server_id=business_day.server_id)
    waiting = imports.filter(state__in=[StatementImport.State.QUEUED, StatementImport.State.RUNNING]).count()
    if waiting:
        raise Conflict(f"{waiting} statement files are still being imported.", code="imports_running", waiting=waiting)
    start, end = day_bounds(business_day.day)
    read_until = followed_until(server_id=business_day.server_id)
    if read_until is not None and read_until < end:
        raise Conflict(
            f"{business_day.server} was read until {read_until:%Y-%m-%d %H:%M} UTC only: deals of the day may be missing.",
            code="not_read_to_its_end",
            read_until=read_until.isoformat(),
        )
    disagreeing = list(
        imports.filter(state=StatementImport.State.STORED, as_of__gte=start, as_of__lt=end, matches_statement=False)
        .order_by("file_name")
        .values_list("file_name", flat=True)[:20]
    )
    if disagreeing:
        raise Conflict(
            f"Statements that disagree with the books: {', '.join(disagreeing)}.",
            code="statements_disagree",
            files=disagreeing,
        )
    trades = Trade.objects.filter(server_id=business_day.server_id, business_day=business_day.day, is_cancelled=False)
    figures = trades.aggregate(trades=Count("pk"), unmapped=Count("pk", filter=Q(server_symbol__symbol__isnull=True)))
    operations = BalanceOperation.objects.filter(
        server_id=business_day.server_id, business_day=business_day.day, is_cancelled=False
    ).count()
    unassigned = TradingAccount.objects.filter(server_id=business_day.server_id, client__isnull=True).count()
    return {
        **figures,
        "balance_operations": operations,
        "unassigned_accounts": unassigned,
        **prove_reconciled(business_day),
    }


# Prices come, in this order, from the fixing already made, the last accepted tick of the day, the quote of the day, the
# last deal of the day, and the fixing of an earlier day within the bound.
_FIX_PRICES = """
WITH needed AS (
    SELECT DISTINCT ss.symbol_id
    FROM platform_ops_position p JOIN platform_ops_serversymbol ss ON ss.id = p.server_symbol_id
    JOIN platform_ops_tradingaccount a ON a.id = p.account_id
    WHERE a.server_id = %(server)s AND p.opened_at < %(end)s AND ss.symbol_id IS NOT NULL
    UNION
    SELECT DISTINCT ss.symbol_id
    FROM platform_ops_trade t JOIN platform_ops_serversymbol ss ON ss.id = t.server_symbol_id
    WHERE t.server_id = %(server)s AND t.business_day = %(day)s AND ss.symbol_id IS NOT NULL
), last_tick AS (
    SELECT DISTINCT ON (b.symbol_id) b.symbol_id, b.close AS bid, b.close_ask AS ask
    FROM platform_ops_pricebar b JOIN needed n ON n.symbol_id = b.symbol_id
    WHERE b.period = 'H1' AND b.opens_at >= %(start)s AND b.opens_at < %(end)s
    ORDER BY b.symbol_id, b.opens_at DESC
), last_deal AS (
    SELECT DISTINCT ON (ss.symbol_id) ss.symbol_id, t.close_price AS price
    FROM platform_ops_trade t JOIN platform_ops_serversymbol ss ON ss.id = t.server_symbol_id
    WHERE t.server_id = %(server)s AND t.business_day = %(day)s AND ss.symbol_id IS NOT NULL AND NOT t.is_cancelled
    ORDER BY ss.symbol_id, t.closed_at DESC, t.id DESC
), earlier AS (
    SELECT DISTINCT ON (d.symbol_id) d.symbol_id, d.bid, d.ask
    FROM platform_ops_dailyprice d
    WHERE d.business_day < %(day)s AND d.business_day >= %(oldest)s
    ORDER BY d.symbol_id, d.business_day DESC
)
INSERT INTO platform_ops_dailyprice (symbol_id, business_day, bid, ask, source)
SELECT n.symbol_id, %(day)s, coalesce(k.bid, q.bid, l.price, e.bid), coalesce(k.ask, q.ask, l.price, e.ask),
       CASE WHEN k.bid IS NOT NULL THEN 'last tick' WHEN q.bid IS NOT NULL THEN 'quote' WHEN l.price IS NOT NULL THEN 'last deal' ELSE 'carried' END
FROM needed n
LEFT JOIN last_tick k ON k.symbol_id = n.symbol_id
LEFT JOIN platform_ops_quote q ON q.symbol_id = n.symbol_id AND q.at >= %(start)s AND q.at < %(end)s
LEFT JOIN last_deal l ON l.symbol_id = n.symbol_id
LEFT JOIN earlier e ON e.symbol_id = n.symbol_id
WHERE coalesce(k.bid, q.bid, l.price, e.bid) IS NOT NULL
ON CONFLICT (symbol_id, business_day) DO NOTHING
"""

_UNPRICED = """
SELECT DISTINCT s.code
FROM platform_ops_position p
JOIN platform_ops_tradingaccount a ON a.id = p.account_id
JOIN platform_ops_serversymbol ss ON ss.id = p.server_symbol_id
JOIN platform_ops_symbol s ON s.id = ss.symbol_id
WHERE a.server_id = %(server)s AND p.opened_at < %(end)s
  AND NOT EXISTS (SELECT 1 FROM platform_ops_dailyprice d WHERE d.symbol_id = s.id AND d.business_day = %(day)s)
ORDER BY s.code
"""


@transaction.atomic
def fix_prices(business_day: BusinessDay) -> dict[str, Any]:
    """Fixes the day's closing price of every mapped symbol that traded or is open; raises when an open one has none."""
    start, end = day_bounds(business_day.day)
    parameters: dict[str, Any] = {
        "server": business_day.server_id,
        "day": business_day.day,
        "start": start,
        "end": end,
        "oldest": _business_days_back(business_day.day, MAXIMUM_CARRIED_BUSINESS_DAYS),
    }
    with connection.cursor() as cursor:
        cursor.execute(_FIX_PRICES, parameters)
        fixed = cursor.rowcount
        cursor.execute(_UNPRICED, parameters)
        unpriced = [row[0] for row in cursor.fetchall()]
    if unpriced:
        raise MissingRate(
            f"No closing price on {business_day.day} for open positions in {', '.join(unpriced)}.", symbols=unpriced
        )
    return {"prices_fixed": fixed}


def collect_swaps(business_day: BusinessDay) -> dict[str, Any]:
    """States the swap that the server charged on the trades closed during the day, by currency, and does the rollover."""
    totals = (
        Trade.objects.filter(server_id=business_day.server_id, business_day=business_day.day, is_cancelled=False)
        .values("currency")
        .annotate(total=Sum("swap"), charged=Count("pk", filter=~Q(swap=0)))
        .order_by("currency")
    )
    return {
        "swap": {row["currency"]: str(row["total"]) for row in totals},
        "trades_with_swap": sum(row["charged"] for row in totals),
        **swaps_of_business_day(business_day),
    }


def _business_days_back(day: date, count: int) -> date:
    for _ in range(count):
        day = previous_business_day(day)
    return day
