"""Writes the lines of a scope and sums them for the ledger and the control totals, in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.prepared import fetch_prepared
from ib.engine.card.building import CardFacts
from ib.engine.target import Scope, difference_select, new_lines_select, parameters_of

PINNED_PLAN_FROM_TRADES = 2_000
"""Above this many trades hash joins are forced; below, index look-ups are quicker and the planner finds them."""
TRADES_WITH_MARKET, TRADES_WITH_FIGURES = 100, 10
"""How many trades one counts for whose market, opening or closing is looked up, or only its figures by the symbol's terms."""
WORK_MEMORY = "128MB"
"""So that the lines of a batch are sorted and summed in memory: a hundred thousand of them need about 20 MB."""


@dataclass(frozen=True, slots=True)
class BookedSum:
    """What a statement booked for one partner, day and currency. `digest` is the sum of the lines' 64-bit hashes."""

    partner_id: int
    entity_id: int
    day: date
    booked_day: date
    currency: str
    amount: Decimal
    lines: int
    digest: Decimal


@dataclass(frozen=True, slots=True)
class BookingDay:
    """The day on which an entity's ledger takes what concerns `day`: that day itself while it is open."""

    entity_id: int
    day: date
    booked_day: date


# These functions may not change between versions of the server: hash partitions are built on them. The key of the line is
# the seed under which its amount is hashed; a hash of the whole row would be linear in its parts, and two amounts that
# change places would leave the sum as it was.
LINE_HASH = (
    "hash_numeric_extended({0}.amount, hash_record_extended("
    "ROW({0}.partner_id, {0}.trade_id, {0}.seq, {0}.day, {0}.currency), {0}.part))"
)


# A frozen account takes no debit: what would be taken back from its partner waits until the account is released.
NOT_FROZEN = """
WHERE due.amount >= 0 OR NOT EXISTS (
    SELECT 1 FROM ledger_ledgeraccount AS account
    WHERE account.owner_type = 'partner' AND account.owner_id = due.partner_id
      AND account.kind = 'partner_accrued' AND account.is_frozen)
"""


def book_new_lines(
    *, scope: Scope, facts: CardFacts, booking: Sequence[BookingDay], batch_id: int, keeps_plan: bool = False
) -> list[BookedSum]:
    """Inserts the whole target of trades of which nothing was booked. A line that exists is an IntegrityError.

    *keeps_plan*: the trades are few, and the statement is planned once for all such batches of this connection.
    """
    return book(
        new_lines_select(scope, facts),
        parameters=parameters_of(scope, facts),
        booking=booking,
        batch_id=batch_id,
        keeps_plan=keeps_plan,
    )


def book_differences(
    *, scope: Scope, facts: CardFacts, booking: Sequence[BookingDay], batch_id: int
) -> list[BookedSum]:
    """Inserts target minus booked, where the amount or its reason is not as booked."""
    return book(
        difference_select(scope, facts),
        parameters=parameters_of(scope, facts),
        booking=booking,
        batch_id=batch_id,
        condition=NOT_FROZEN,
    )


def pin_plan(trades: int, facts: CardFacts | None = None) -> bool:
    """Chooses how the planner may join in this transaction, by the number of trades; whether it may as it likes.

    The ranges in the join are underestimated by orders of magnitude; without this a large batch falls into nested loops,
    and sorts what it should hash. Figures of the market are worked out once for all trades, and would be again for each
    of them in a nested loop: with them hash joins begin much earlier.
    """
    if facts is not None and facts.has("spread", "markup", "commission", "close_by", "guard"):
        trades *= TRADES_WITH_MARKET
    elif facts is not None and facts.has("notional", "points", "points_basis"):
        trades *= TRADES_WITH_FIGURES
    free = "on" if trades <= PINNED_PLAN_FROM_TRADES else "off"
    _set(enable_nestloop=free, enable_mergejoin=free, enable_sort=free, jit="off", work_mem=WORK_MEMORY)
    return free == "on"


def free_plan() -> None:
    """Gives the planner its freedom back, for the statements after the lines."""
    _set(enable_nestloop="on", enable_mergejoin="on", enable_sort="on")


def _set(**settings: str) -> None:
    with connection.cursor() as cursor:
        calls = ", ".join("set_config(%s, %s, true)" for _ in settings)
        cursor.execute(f"SELECT {calls}", [part for item in settings.items() for part in item])


def book(
    select: str,
    *,
    parameters: dict[str, Any],
    booking: Sequence[BookingDay],
    batch_id: int,
    condition: str = "",
    keeps_plan: bool = False,
) -> list[BookedSum]:
    """Inserts the rows of a select that says what is due; their sums."""
    # Without its booking day a line violates NOT NULL: it is refused, not lost.
    parameters = {
        **parameters,
        "batch": batch_id,
        "booking_entities": [item.entity_id for item in booking],
        "booking_days": [item.day for item in booking],
        "booked_days": [item.booked_day for item in booking],
    }
    statement = f"""
    WITH inserted AS (
        INSERT INTO ib_commissionline
            (partner_id, trade_id, part, seq, day, batch_id, card_entry_id, rule_id, level, quantity, rate, rate_currency,
             factor, tier_before, cap_left, fx_rate, fx_date, target, amount, currency, booked_day)
        SELECT due.partner_id, due.trade_id, due.part, due.seq, due.day, %(batch)s::bigint, due.card_entry_id, due.rule_id,
               due.level, due.quantity, due.rate, due.rate_currency, due.factor, due.tier_before, due.cap_left, due.fx_rate,
               due.fx_date, due.target, due.amount, due.currency, booking.booked_day
        FROM ({select}) AS due
        JOIN ib_partner AS partner ON partner.id = due.partner_id
        LEFT JOIN unnest(%(booking_entities)s::bigint[], %(booking_days)s::date[], %(booked_days)s::date[])
            AS booking(entity_id, day, booked_day)
          ON booking.entity_id = partner.entity_id AND booking.day = due.day
        {condition}
        ORDER BY due.partner_id, due.trade_id, due.part
        RETURNING partner_id, trade_id, part, seq, day, booked_day, amount, currency
    )
    SELECT booked.partner_id, partner.entity_id, booked.day, booked.booked_day, booked.currency, booked.amount,
           booked.lines, booked.digest
    FROM (
        SELECT partner_id, day, booked_day, currency, sum(amount) AS amount, count(*) AS lines,
               sum({LINE_HASH.format("inserted")}) AS digest
        FROM inserted GROUP BY partner_id, day, booked_day, currency
    ) AS booked
    JOIN ib_partner AS partner ON partner.id = booked.partner_id
    """  # noqa: S608 - own text
    if keeps_plan:
        return [BookedSum(*row) for row in fetch_prepared(statement, parameters)]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [BookedSum(*row) for row in cursor.fetchall()]
