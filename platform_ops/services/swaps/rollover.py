"""The rollover: the swap of every position that was open at the cut of a server's day, by one statement.

The first run of a day writes one line per open position, also where nothing is due (the line says why). Every later run
books target minus booked: nothing where all is as it was, a line with the difference where a deal came late, a rate was
corrected or an account lost its freedom. A run is one transaction: killed half way, it has not happened.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

import time
from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import Conflict
from platform_ops.events import SWAPS_COMPUTED
from platform_ops.locks import lock_rollover
from platform_ops.models import ServerSymbol, SwapRun, SwapSetting, SwapTerm, TradingServer
from platform_ops.permissions import RUN_ROLLOVER
from platform_ops.rules.swaps import cut_of
from platform_ops.services.swaps import formula
from platform_ops.services.swaps.market import market_of_day
from platform_ops.services.swaps.open_positions import OPEN_PREPARED, prepare_open
from platform_ops.services.swaps.rates import rate_ids_in_force, rates_in_force
from platform_ops.services.swaps.settings import setting_of
from platform_ops.services.swaps.terms import Kind, KindTerm, Night, accounts_with_own_rules, fill_night, terms_of

A_MOMENT = timedelta(microseconds=1)
WORK_MEMORY = "64MB"
TERM_BATCH = 500

crash_points.declare("platform.rollover.after_terms", "platform.rollover.after_lines")

_KINDS = f"""
SELECT found.server_symbol_id, found.side, account.group_id, account.type_id, account.currency,
       nullif(account.special, 0), found.kind
  FROM (
    SELECT DISTINCT position.server_symbol_id, position.side, numbered.kind
      FROM ({OPEN_PREPARED}) position JOIN platform_swap_account numbered USING (account_id)
  ) found
  JOIN (
    SELECT kind, min(account_id) AS account_id FROM platform_swap_account GROUP BY kind
  ) example ON example.kind = found.kind
  JOIN ({formula.ACCOUNTS} WHERE account.server_id = %(server)s) account ON account.id = example.account_id
"""

TARGET = f"""
SELECT position.account_id, position.position_ticket, term.id AS term_id, position.volume_lots, position.open_price,
       position.opened_at, {formula.SWAP} AS swap, {formula.DIVIDEND} AS dividend, {formula.FEE} AS fee,
       {formula.LP_SWAP} AS lp_swap, {formula.CAUSE} AS cause
  FROM ({OPEN_PREPARED}) position
  JOIN platform_swap_account numbered ON numbered.account_id = position.account_id
  JOIN platform_swap_chosen chosen
    ON chosen.server_symbol_id = position.server_symbol_id AND chosen.side = position.side
   AND chosen.kind = numbered.kind
  JOIN platform_ops_swapterm term ON term.id = chosen.term_id
 CROSS JOIN LATERAL (SELECT {formula.INNER} AS amount) base
"""
"""What every line of the day must say."""

_COLUMNS = """day, account_id, position_ticket, seq, run_id, term_id, volume_lots, open_price, opened_at, swap, dividend,
    fee, lp_swap, cause"""

_FIRST = f"""
INSERT INTO platform_ops_swapline ({_COLUMNS})
SELECT %(day)s, account_id, position_ticket, 0, %(run)s, term_id, volume_lots, open_price, opened_at, swap, dividend, fee,
       lp_swap, cause
  FROM ({TARGET}) target
"""

_DIFFERENCES = f"""
WITH target AS ({TARGET}), booked AS (
    SELECT line.account_id, line.position_ticket, sum(line.swap) AS swap, sum(line.dividend) AS dividend,
           sum(line.fee) AS fee, sum(line.lp_swap) AS lp_swap, max(line.seq) AS seq,
           (array_agg(line.term_id ORDER BY line.seq DESC))[1] AS term_id,
           (array_agg(line.open_price ORDER BY line.seq DESC))[1] AS open_price,
           (array_agg(line.opened_at ORDER BY line.seq DESC))[1] AS opened_at
      FROM platform_ops_swapline line
      JOIN platform_ops_tradingaccount account ON account.id = line.account_id
     WHERE line.day = %(day)s AND account.server_id = %(server)s
     GROUP BY line.account_id, line.position_ticket
)
INSERT INTO platform_ops_swapline ({_COLUMNS})
SELECT %(day)s, account_id, position_ticket, coalesce(booked.seq + 1, 0), %(run)s,
       coalesce(target.term_id, booked.term_id), coalesce(target.volume_lots, 0),
       coalesce(target.open_price, booked.open_price), coalesce(target.opened_at, booked.opened_at),
       coalesce(target.swap, 0) - coalesce(booked.swap, 0), coalesce(target.dividend, 0) - coalesce(booked.dividend, 0),
       coalesce(target.fee, 0) - coalesce(booked.fee, 0), coalesce(target.lp_swap, 0) - coalesce(booked.lp_swap, 0),
       CASE WHEN booked.account_id IS NULL THEN target.cause ELSE 'correction' END
  FROM target FULL JOIN booked USING (account_id, position_ticket)
 WHERE booked.account_id IS NULL
    OR (coalesce(target.swap, 0), coalesce(target.dividend, 0), coalesce(target.fee, 0), coalesce(target.lp_swap, 0))
       <> (booked.swap, booked.dividend, booked.fee, coalesce(booked.lp_swap, 0))
"""

_FIGURES = """
SELECT term.currency, summed.cause, sum(summed.lines), sum(summed.swap), sum(summed.dividend), sum(summed.fee),
       sum(summed.lp_swap), sum(summed.charged)
  FROM (
    SELECT line.term_id, line.cause, count(*) AS lines, sum(line.swap) AS swap, sum(line.dividend) AS dividend,
           sum(line.fee) AS fee, sum(line.lp_swap) AS lp_swap, count(*) FILTER (WHERE line.swap <> 0) AS charged
      FROM platform_ops_swapline line
     WHERE line.run_id = %(run)s AND line.day = %(day)s
     GROUP BY line.term_id, line.cause
  ) summed
  JOIN platform_ops_swapterm term ON term.id = summed.term_id
 GROUP BY term.currency, summed.cause ORDER BY 1, 2
"""


class _NothingToBookError(Exception):
    """Takes back a later run that found no difference, with its terms."""


def run_rollover(*, server_id: int, day: date, actor: Actor) -> SwapRun:
    """Computes a server's day, or books what has changed since it was computed; the run that says so.

    A repeat that finds nothing to book writes nothing and returns the last run. Raises Conflict before the cut, MissingRate
    naming the symbol whose price or conversion nobody has, Retryable while another rollover of the server runs.
    """
    authorise(actor, RUN_ROLLOVER)
    server = get_visible(TradingServer.objects.select_related("entity"), actor, pk=server_id)
    try:
        return _run(server=server, day=day, actor=actor)
    except _NothingToBookError:
        return SwapRun.objects.filter(server=server, day=day).order_by("-number")[0]


@transaction.atomic(durable=True)
def _run(*, server: TradingServer, day: date, actor: Actor) -> SwapRun:
    started = time.perf_counter()
    setting = setting_of(server)
    zone = ServerZone.parse(server.zone)
    at_new_york_close = setting.cut == SwapSetting.Cut.NEW_YORK_CLOSE
    cut_at = cut_of(day, zone=zone, at_new_york_close=at_new_york_close)
    if cut_at > clock.now():
        raise Conflict(
            f"The day {day} of {server.code} is not over before {cut_at:%Y-%m-%d %H:%M} UTC.", code="day_not_over"
        )
    lock_rollover(server.pk)
    last = SwapRun.objects.filter(server=server, day=day).order_by("-number").first()
    run = SwapRun.objects.create(
        server=server,
        day=day,
        number=last.number + 1 if last else 1,
        cut_at=cut_at,
        mode=setting.mode,
        actor=actor.label[:200],
    )
    moment = cut_at - A_MOMENT
    values: dict[str, Any] = {
        "server": server.pk,
        "day": day,
        "cut": cut_at,
        "run": run.pk,
        "special": accounts_with_own_rules(day=day, moment=moment),
    }
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [WORK_MEMORY])
        prepare_open(cursor, values)
    numbers, found = _terms(setting, zone, day, moment, values)
    _write_terms(run, numbers, found, moment)
    crash_points.reach("platform.rollover.after_terms")
    with connection.cursor() as cursor:
        # The run's own terms have no statistics yet; everything here is joined whole, and hashing is right whatever they say.
        cursor.execute("SELECT set_config('enable_nestloop', 'off', true)")
        cursor.execute(_DIFFERENCES if last else _FIRST, values)
        run.lines = int(cursor.rowcount)
        if last and not run.lines:
            raise _NothingToBookError
        crash_points.reach("platform.rollover.after_lines")
        cursor.execute(_FIGURES, values)
        run.figures = _figures(cursor.fetchall())
        cursor.execute("SELECT set_config('enable_nestloop', 'on', true)")
    run.positions = run.lines if last is None else last.positions
    run.seconds = Decimal(f"{time.perf_counter() - started:.3f}")
    run.save(update_fields=["lines", "figures", "positions", "seconds"])
    audit.record(
        actor=actor,
        action="platform.run_rollover",
        target=run,
        changes={"day": day.isoformat(), "lines": run.lines, "number": run.number},
        entity_id=server.entity_id,
    )
    outbox.publish(
        topic=SWAPS_COMPUTED,
        payload={"run_id": run.pk, "server_id": server.pk, "day": day.isoformat(), "lines": run.lines},
        shard_key=f"server:{server.pk}",
    )
    return run


def _terms(
    setting: SwapSetting, zone: ServerZone, day: date, moment: datetime, values: dict[str, Any]
) -> tuple[dict[Kind, int], list[KindTerm]]:
    """The terms of the kinds that are open, and under which number the database knows each kind of account."""
    with connection.cursor() as cursor:
        cursor.execute(_KINDS, values)
        numbers = {Kind(*row): number for *row, number in cursor.fetchall()}
    kinds = list(numbers)
    names = ServerSymbol.objects.filter(pk__in={kind.server_symbol_id for kind in kinds}, symbol__isnull=False)
    symbol_ids = set(names.values_list("symbol_id", flat=True))
    night = Night(
        day=day,
        moment=moment,
        zone=zone,
        at_new_york_close=setting.cut == SwapSetting.Cut.NEW_YORK_CLOSE,
        market=market_of_day(day, symbol_ids=symbol_ids),
        rates=rates_in_force(at=moment, symbol_ids=symbol_ids),
        rounds_point_value_first=setting.rounds_point_value_first,
    )
    return numbers, terms_of(fill_night(night, kinds), kinds)


def _write_terms(run: SwapRun, numbers: dict[Kind, int], found: list[KindTerm], moment: datetime) -> None:
    ids = rate_ids_in_force(at=moment, symbol_ids={item.symbol_id for item in found if item.symbol_id is not None})
    rows = SwapTerm.objects.bulk_create([_term_row(run, item, ids) for item in found], batch_size=TERM_BATCH)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO platform_swap_chosen SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::bigint[])",
            [
                [item.kind.server_symbol_id for item in found],
                [item.kind.side for item in found],
                [numbers[item.kind] for item in found],
                [row.pk for row in rows],
            ],
        )
        cursor.execute("ANALYZE platform_swap_chosen")


def _term_row(run: SwapRun, item: KindTerm, rate_ids: dict[Any, int]) -> SwapTerm:
    kind, term = item.kind, item.term
    return SwapTerm(
        run=run,
        server_symbol_id=kind.server_symbol_id,
        symbol_id=item.symbol_id,
        group_id=kind.group_id,
        account_type_id=kind.account_type_id,
        account_id=kind.account_id,
        currency=kind.currency,
        side=kind.side,
        digits=term.digits,
        mode=int(term.mode),
        value=term.value,
        nights=term.nights,
        dividend_in_swap=term.dividend_in_swap,
        weight=term.weight,
        lp_weight=term.lp_weight,
        unit=term.unit,
        divisor=term.divisor,
        uses_open_price=term.uses_open_price,
        rounds_unit_first=term.rounds_unit_first,
        swap_applies=int(term.swap_applies),
        fee_applies=int(term.fee_applies),
        grace_start=term.grace_start,
        fee_unit=term.fee_unit,
        dividend_unit=term.dividend_unit,
        cause=str(term.cause),
        rate_id=rate_ids.get(item.rate_key) if item.rate_key else None,
        policy_id=item.policy_id,
        inputs=dict(term.inputs),
    )


def _figures(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """JSON: money by currency, lines by cause, and what the broker keeps of what it hedges."""
    money: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    causes: dict[str, int] = defaultdict(int)
    charged = 0
    for currency, cause, count, swap, dividend, fee, lp_swap, with_swap in rows:
        causes[cause] += int(count)
        charged += int(with_swap)
        parts = {"swap": swap, "dividend": dividend, "fee": fee}
        if lp_swap is not None:
            parts["provider"] = lp_swap
        for name, amount in parts.items():
            money[currency][name] += amount
    return {
        "money": {
            currency: {name: f"{amount.normalize():f}" for name, amount in sorted(parts.items())}
            for currency, parts in sorted(money.items())
        },
        "causes": dict(sorted(causes.items())),
        "lines_with_swap": charged,
    }
