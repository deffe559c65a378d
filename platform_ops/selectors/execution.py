"""How well orders were executed: fill time, slippage, rejects and requotes, by server, symbol, hour or day.

Only orders that clients sent count (see `rules.execution.CLIENT_REASONS`); percentiles are those of the database. Every
question is one statement over a bounded time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import Aggregate, Avg, CharField, Count, DecimalField, F, IntegerField, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, TruncDate

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import OrderState
from platform_ops.models import OrderExecution
from platform_ops.rules.execution import CLIENT_REASONS

LONGEST_DAYS = 92
DEFAULT_DAYS = 7
MOST_ROWS = 2_000
GROUPINGS = {"server": "Server", "symbol": "Symbol", "hour": "Hour (UTC)", "day": "Day", "account_group": "Group"}
SLIPPAGE_EDGES = (-10, -5, -2, 0, 2, 5, 10)
"""Points between the bars of the distribution; what is exactly 0 has a bar of its own."""

FILLED = (OrderState.FILLED.value, OrderState.PARTIAL.value)
_TENTH = Decimal("0.1")
_HUNDREDTH = Decimal("0.01")


class Percentile(Aggregate):
    """The value below which a share of all lies, as PostgreSQL finds it among the values themselves."""

    function = "PERCENTILE_DISC"
    name = "percentile"
    output_field = IntegerField()

    def __init__(self, share: float, expression: str, **extra: Any) -> None:
        template = f"%(function)s({share:.4f}) WITHIN GROUP (ORDER BY %(expressions)s)"
        super().__init__(expression, template=template, **extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFilter:
    """Which orders: a time (end not included), and at most one server and one symbol of the house."""

    start: datetime
    end: datetime
    server_code: str = ""
    symbol_code: str = ""

    @classmethod
    def of(
        cls,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        server_code: str = "",
        symbol_code: str = "",
    ) -> ExecutionFilter:
        """With the defaults put in. Raises InvalidInput for a time that is longer than a quarter or runs backwards."""
        until = end or clock.now()
        since = start or until - timedelta(days=DEFAULT_DAYS)
        if since >= until:
            raise InvalidInput("The time must end after it starts.", field="to", value=until.isoformat())
        if until - since > timedelta(days=LONGEST_DAYS):
            raise InvalidInput(f"At most {LONGEST_DAYS} days at once.", field="from", value=since.isoformat())
        return cls(start=since, end=until, server_code=server_code, symbol_code=symbol_code)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRow:
    """One line of the board. Times are milliseconds, slippage is points in the client's favour, shares are per cent."""

    key: str
    orders: int
    filled: int
    lots: Decimal
    fill_p50: int | None
    fill_p95: int | None
    fill_p99: int | None
    slippage_average: Decimal | None
    slippage_worst: Decimal | None
    better: int
    exact: int
    worse: int
    asymmetry: Decimal | None
    rejected: int
    requotes: int
    reject_percent: Decimal
    requote_percent: Decimal


def client_orders(*, actor: Actor, filters: ExecutionFilter) -> QuerySet[OrderExecution]:
    """The ended orders of clients that the actor may see; cancelled and expired ones were not for execution."""
    states = [*FILLED, OrderState.REJECTED.value]
    rows = visible_to(OrderExecution.objects.all(), actor).filter(
        Q(reason__isnull=True) | Q(reason__in=[reason.value for reason in CLIENT_REASONS]),
        done_at__gte=filters.start,
        done_at__lt=filters.end,
        state__in=states,
    )
    if filters.server_code:
        rows = rows.filter(server__code=filters.server_code)
    if filters.symbol_code:
        rows = rows.filter(Q(server_symbol__symbol__code=filters.symbol_code) | Q(symbol=filters.symbol_code))
    return rows


def execution_rows(*, actor: Actor, filters: ExecutionFilter, group_by: str = "server") -> list[ExecutionRow]:
    """The board, by one of `GROUPINGS`. Raises InvalidInput for another."""
    if group_by not in GROUPINGS:
        raise InvalidInput("Not a way to group.", field="group_by", value=group_by)
    rows = client_orders(actor=actor, filters=filters).order_by().annotate(key=_key(group_by))
    found = (
        rows.values("key").annotate(**_figures()).order_by("key" if group_by in ("hour", "day") else "-orders", "key")
    )
    return [_row(dict(row), group_by) for row in found[:MOST_ROWS]]


def execution_totals(*, actor: Actor, filters: ExecutionFilter) -> ExecutionRow:
    """All of it as one line."""
    found = client_orders(actor=actor, filters=filters).order_by().aggregate(**_figures())
    return _row({"key": "All", **found}, "server")


def slippage_distribution(*, actor: Actor, filters: ExecutionFilter) -> list[tuple[str, int]]:
    """How many fills by slippage, from the worst for the client to the best."""
    rows = client_orders(actor=actor, filters=filters).order_by().filter(slippage_points__isnull=False)
    conditions: dict[str, tuple[str, Q]] = {}
    edges: list[int | None] = [None, *SLIPPAGE_EDGES, None]
    for number, (low, high) in enumerate(pairwise(edges)):
        within = Q()
        if low is not None:
            within &= Q(slippage_points__gt=0) if low == 0 else Q(slippage_points__gte=low)
        if high is not None:
            within &= Q(slippage_points__lt=high)
        conditions[f"bar_{number}"] = (_bar_name(low, high), within)
        if high == 0:
            conditions["bar_exact"] = ("exact", Q(slippage_points=0))
    counted = rows.aggregate(**{name: Count("pk", filter=within) for name, (_, within) in conditions.items()})
    return [(title, counted[name]) for name, (title, _) in conditions.items()]


def reject_reasons(*, actor: Actor, filters: ExecutionFilter, limit: int = 10) -> list[tuple[str, int]]:
    """Why orders were turned down, the most frequent reason first."""
    rejected = client_orders(actor=actor, filters=filters).order_by().filter(state=OrderState.REJECTED.value)
    counted = rejected.values("reject_reason").annotate(orders=Count("pk")).order_by("-orders", "reject_reason")
    return [(row["reject_reason"] or "not told", row["orders"]) for row in counted[:limit]]


def _key(group_by: str) -> Any:
    return {
        "server": F("server__code"),
        "symbol": Coalesce(F("server_symbol__symbol__code"), F("symbol"), output_field=CharField()),
        "hour": F("hour"),
        "day": TruncDate("done_at"),
        "account_group": Coalesce(F("account__group__name"), F("account__currency"), output_field=CharField()),
    }[group_by]


def _figures() -> dict[str, Any]:
    filled = Q(state__in=FILLED)
    return {
        "orders": Count("pk"),
        "filled": Count("pk", filter=filled),
        "lots": Sum("filled_lots"),
        "fill_p50": Percentile(0.5, "fill_milliseconds"),
        "fill_p95": Percentile(0.95, "fill_milliseconds"),
        "fill_p99": Percentile(0.99, "fill_milliseconds"),
        "slippage_average": Avg("slippage_points"),
        "slippage_worst": Percentile(
            0.05, "slippage_points", output_field=DecimalField(max_digits=16, decimal_places=2)
        ),
        "better": Count("pk", filter=Q(slippage_points__gt=0)),
        "exact": Count("pk", filter=Q(slippage_points=0)),
        "worse": Count("pk", filter=Q(slippage_points__lt=0)),
        "rejected": Count("pk", filter=Q(state=OrderState.REJECTED.value)),
        "requotes_all": Sum("requotes"),
        "requoted": Count("pk", filter=Q(requotes__gt=0)),
    }


def _row(found: dict[str, Any], group_by: str) -> ExecutionRow:
    orders, better, worse = found["orders"], found["better"], found["worse"]
    moved = better + worse
    return ExecutionRow(
        key=_shown(found["key"], group_by),
        orders=orders,
        filled=found["filled"],
        lots=found["lots"] or Decimal(0),
        fill_p50=found["fill_p50"],
        fill_p95=found["fill_p95"],
        fill_p99=found["fill_p99"],
        slippage_average=_rounded(found["slippage_average"], _HUNDREDTH),
        slippage_worst=_rounded(found["slippage_worst"], _TENTH),
        better=better,
        exact=found["exact"],
        worse=worse,
        asymmetry=_percent(better - worse, moved) if moved else None,
        rejected=found["rejected"],
        requotes=found["requotes_all"] or 0,
        reject_percent=_percent(found["rejected"], orders),
        requote_percent=_percent(found["requoted"], orders),
    )


def _shown(key: Any, group_by: str) -> str:
    return f"{key:02d}:00" if group_by == "hour" else str(key)


def _rounded(value: Any, step: Decimal) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(step)


def _percent(part: int, whole: int) -> Decimal:
    return (Decimal(part) * 100 / Decimal(whole)).quantize(_HUNDREDTH) if whole else Decimal(0)


def _bar_name(low: int | None, high: int | None) -> str:
    if low is None:
        return f"below {high}"
    return f"{low} and more" if high is None else f"{low} to {high}"


def codes_with_orders(*, actor: Actor, filters: ExecutionFilter, group_by: str) -> Sequence[str]:
    """The servers or symbols that have orders in the time, for a choice."""
    rows = client_orders(actor=actor, filters=filters).order_by().annotate(key=_key(group_by))
    return sorted(str(key) for key in rows.values_list("key", flat=True).distinct()[:MOST_ROWS])
