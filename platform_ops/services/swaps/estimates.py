"""What one night costs and pays every client, as rates are and as they would be: by position, for previews.

Set-based: the rates of the kinds of positions are resolved once, the positions are multiplied in the database.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone, business_day_of
from platform_ops.models import ServerSymbol
from platform_ops.rules.swaps import RateDraft, Term
from platform_ops.services.swaps import formula
from platform_ops.services.swaps.market import market_now
from platform_ops.services.swaps.rates import rates_in_force, with_drafts
from platform_ops.services.swaps.terms import Kind, KindTerm, Night, accounts_with_own_rules, fill_night, terms_of

MAXIMUM_POSITIONS = 300_000
ONE_NIGHT = Decimal(1)
ESTIMATE_TABLE = "platform_swap_estimate"
"""The temporary table that `fill_estimate` leaves, for previews that group in SQL."""


@dataclass(frozen=True, slots=True)
class NightlyEstimate:
    """One open position: what a night gives its client now and then (negative: costs), in its account's currency."""

    position_id: int
    account_id: int
    client_id: int | None
    server_id: int
    server_symbol_id: int
    symbol_id: int
    group_id: int | None
    side: int
    volume_lots: Decimal
    currency: str
    now: Decimal
    then: Decimal

    @property
    def change(self) -> Decimal:
        """What the change gives the client a night; negative: takes."""
        return self.then - self.now


_COLUMNS = (
    "position_id, account_id, client_id, server_id, server_symbol_id, symbol_id, group_id, side, volume_lots, currency,"
    " money_now, money_then"
)

_OPEN = """
  FROM platform_ops_position position
  JOIN platform_ops_serversymbol server_symbol ON server_symbol.id = position.server_symbol_id
  JOIN ({accounts}) account ON account.id = position.account_id
 WHERE (%(symbols)s::bigint[] IS NULL OR server_symbol.symbol_id = ANY (%(symbols)s))
   AND (%(server)s::bigint IS NULL OR account.server_id = %(server)s)
   AND server_symbol.symbol_id IS NOT NULL
"""

_KINDS = f"""
SELECT DISTINCT position.server_symbol_id, position.side::integer, account.group_id, account.type_id, account.currency,
       nullif(account.special, 0)
{_OPEN.format(accounts=formula.ACCOUNTS)}
"""

_CREATE_TERMS = """
CREATE TEMPORARY TABLE platform_swap_estimate_term (
    is_new boolean, server_symbol_id bigint, side smallint, group_id bigint, account_type_id bigint, account_id bigint,
    currency text, symbol_id bigint, digits integer, mode integer, weight numeric, dividend_in_swap numeric, unit numeric,
    divisor integer, uses_open_price boolean, rounds_unit_first boolean, swap_applies integer, fee_applies integer,
    grace_start timestamptz, fee_unit numeric, dividend_unit numeric
) ON COMMIT DROP
"""

_CREATE_ESTIMATE = f"""
CREATE TEMPORARY TABLE {ESTIMATE_TABLE} ON COMMIT DROP AS
SELECT position.id AS position_id, position.account_id, account.client_id, account.server_id, position.server_symbol_id,
       old.symbol_id, account.group_id, position.side, position.volume_lots, account.currency,
       old.amount AS money_now, new.amount AS money_then
  FROM platform_ops_position position
  JOIN ({formula.ACCOUNTS}) account ON account.id = position.account_id
 CROSS JOIN LATERAL (
    SELECT term.symbol_id, {formula.EFFECT} + {formula.DIVIDEND} + {formula.FEE} AS amount
      FROM platform_swap_estimate_term term CROSS JOIN LATERAL (SELECT {formula.INNER} AS amount) base
     WHERE NOT term.is_new AND {formula.SAME_KIND}
 ) old
 CROSS JOIN LATERAL (
    SELECT {formula.EFFECT} + {formula.DIVIDEND} + {formula.FEE} AS amount
      FROM platform_swap_estimate_term term CROSS JOIN LATERAL (SELECT {formula.INNER} AS amount) base
     WHERE term.is_new AND {formula.SAME_KIND}
 ) new
 WHERE (%(server)s::bigint IS NULL OR account.server_id = %(server)s)
"""


@transaction.atomic
def estimate_nightly(
    *,
    drafts: Sequence[RateDraft] = (),
    symbol_ids: Iterable[int] | None = None,
    server_id: int | None = None,
    nights: Decimal = ONE_NIGHT,
) -> list[NightlyEstimate]:
    """What a night gives or costs by open position, as rates are now and with *drafts* in their place.

    Of the drafts' symbols unless others are named (of all without either), on one server or on all. Swap-free accounts, fees
    and reopening modes (by what their price shift is worth) count as on a real night; *nights* are those of a usual day.
    At most MAXIMUM_POSITIONS rows. Raises MissingRate naming a symbol for a conversion or price that nobody has.
    """
    fill_estimate(drafts=drafts, symbol_ids=symbol_ids, server_id=server_id, nights=nights)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM {ESTIMATE_TABLE} ORDER BY position_id LIMIT %s", [MAXIMUM_POSITIONS])
        found = [NightlyEstimate(*row) for row in cursor.fetchall()]
        cursor.execute(f"DROP TABLE {ESTIMATE_TABLE}")
    return found


def fill_estimate(
    *,
    drafts: Sequence[RateDraft] = (),
    symbol_ids: Iterable[int] | None = None,
    server_id: int | None = None,
    nights: Decimal = ONE_NIGHT,
) -> int:
    """As `estimate_nightly`, but leaves the rows in the temporary table ESTIMATE_TABLE until the transaction ends.

    Must run inside a transaction; how many rows. For previews that group by client, book, partner or server in SQL.
    """
    wanted = sorted(set(symbol_ids)) if symbol_ids is not None else None
    if wanted is None and drafts:
        wanted = sorted({draft.symbol_id for draft in drafts})
    moment = clock.now()
    day = business_day_of(moment)
    values: dict[str, Any] = {
        "symbols": wanted,
        "server": server_id,
        "special": accounts_with_own_rules(day=day, moment=moment),
    }
    with connection.cursor() as cursor:
        cursor.execute(_KINDS, values)
        kinds = [Kind(*row) for row in cursor.fetchall()]
    standing = rates_in_force(at=moment)
    market = market_now(day, symbol_ids=_symbols_of(kinds))
    rows: list[tuple[Any, ...]] = []
    for is_new, rates in ((False, standing), (True, with_drafts(standing, drafts))):
        night = Night(
            day=day, moment=moment, zone=ServerZone.parse("EET_US"), at_new_york_close=True, market=market, rates=rates,
            nights=nights,
        )  # fmt: skip
        rows += [_row(is_new, found) for found in terms_of(fill_night(night, kinds), kinds)]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS platform_swap_estimate_term, {ESTIMATE_TABLE}")
        cursor.execute(_CREATE_TERMS)
        if rows:
            marks = ", ".join("%s" for _ in rows[0])
            cursor.executemany(f"INSERT INTO platform_swap_estimate_term VALUES ({marks})", rows)
        cursor.execute("ANALYZE platform_swap_estimate_term")
        cursor.execute(_CREATE_ESTIMATE, values)
        count = int(cursor.rowcount)
        cursor.execute("DROP TABLE platform_swap_estimate_term")
    return count


def _symbols_of(kinds: list[Kind]) -> set[int]:
    names = ServerSymbol.objects.filter(pk__in={kind.server_symbol_id for kind in kinds}, symbol__isnull=False)
    return set(names.values_list("symbol_id", flat=True))


def _row(is_new: bool, found: KindTerm) -> tuple[Any, ...]:
    kind, term = found.kind, found.term
    return (
        is_new, kind.server_symbol_id, kind.side, kind.group_id, kind.account_type_id, kind.account_id, kind.currency,
        found.symbol_id, *_figures(term),
    )  # fmt: skip


def _figures(term: Term) -> tuple[Any, ...]:
    return (
        term.digits, int(term.mode), term.weight, term.dividend_in_swap, term.unit, term.divisor, term.uses_open_price,
        term.rounds_unit_first, int(term.swap_applies), int(term.fee_applies), term.grace_start, term.fee_unit,
        term.dividend_unit,
    )  # fmt: skip
