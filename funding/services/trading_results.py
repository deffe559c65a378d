"""Posting what happened on trading accounts into the ledger: target minus booked, up to a business day.

The target of an account, day and component is computed from the trades, opening deals and balance operations as they
stand now; the lines hold what was booked of it. Only differences are booked, so a second run books zero, a correction
books exactly what changed, and a day that was missed is caught up. What belongs to a day whose books are closed becomes
an adjustment in the first open day.

One entry is booked per server, day and currency, with one posting per trading account and one per account of the house:
an account's ledger statement then shows one line a day, a day's result is one entry to look at, and the cost grows with
the accounts that traded, not with their trades. The lines keep the components apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.ids import uuid7
from funding import rules
from funding.events import TRADING_RESULTS_POSTED
from funding.ledger.models import JournalEntry
from funding.ledger.rules import has_more_digits
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import post_entries
from funding.ledger.services.periods import booking_day
from funding.ledger.types import AccountSpec, EntryDraft, PostingLine
from funding.locks import lock_results_of_server
from funding.models import TradingResultRun
from funding.selectors import ServerFacts, require_server
from funding.targets import DIFFERENCES

SOURCE = "trading_results"
CORRECTION = "correct the deals of the trading server, and the next posting books the difference"
WORK_MEMORY = "128MB"
"""What a comparison may use for each of its sums; with the server's own 4 MB they go to disk and take twice as long."""

MAXIMUM_NAMED = 20
"""How many amounts a refusal names."""

_TAKE_BATCHES = """
INSERT INTO funding_bookedbatch (batch_id, run_id)
SELECT batch.id, %s FROM platform_ops_ingestbatch batch
WHERE batch.server_id = %s AND NOT EXISTS (SELECT 1 FROM funding_bookedbatch taken WHERE taken.batch_id = batch.id)
"""

_INSERT_LINES = """
INSERT INTO funding_tradingresultline
    (account_id, business_day, component, book, seq, amount, currency, run_id, entry_id, created_at)
SELECT account_id, business_day, component, book, seq, amount, currency, %s, entry_id, %s
FROM unnest(%s::bigint[], %s::date[], %s::text[], %s::text[], %s::integer[], %s::numeric[], %s::text[], %s::bigint[])
    AS line (account_id, business_day, component, book, seq, amount, currency, entry_id)
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """What must still be booked of an account's day and component; `amount` is signed from the client's side."""

    account_id: int
    login: str
    currency: str
    business_day: date
    component: str
    book: str
    amount: Decimal
    seq: int


@dataclass(frozen=True, slots=True)
class _Booking:
    """Differences of one day and currency, and the entry that books them (none where they cancel out)."""

    differences: list[Difference]
    draft: EntryDraft | None


@transaction.atomic(durable=True)
def post_trading_results(*, business_day: date, server_id: int, actor: Actor) -> dict[str, Any]:
    """Books the results of a server through *business_day*; returns figures for the record.

    Days on hold are left out. Raises `InvalidInput` naming the accounts when a server states amounts finer than the
    digits of their currency, `Retryable` while another run is under way.
    """
    authorise(actor, "funding.post_results")
    server = require_server(server_id, actor=actor)
    end = day_bounds(business_day)[1]
    lock_results_of_server(server_id)
    run = TradingResultRun.objects.create(server_id=server_id, business_day=business_day, actor=actor.label)
    # Taken before the rows are read: what arrives between the two is read now and taken by the next run, never lost.
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_BATCHES, [run.pk, server_id])
    differences = _differences(server_id=server_id, business_day=business_day, end=end)
    _refuse_fine_amounts(differences)
    bookings = _bookings(server, differences)
    entries = post_entries(drafts=[booking.draft for booking in bookings if booking.draft], actor=actor)
    _insert_lines(run, bookings, entries)
    figures = _figures(differences, entries)
    if differences:
        audit.record(
            actor=actor, action="funding.post_results", target=run, changes=figures, entity_id=server.entity_id
        )
    outbox.publish(
        topic=TRADING_RESULTS_POSTED,
        payload={
            "run_id": run.pk,
            "server_id": server_id,
            "business_day": business_day.isoformat(),
            "lines": len(differences),
        },
        shard_key=f"server:{server_id}",
    )
    return figures


def _differences(*, server_id: int, business_day: date, end: Any) -> list[Difference]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, true)", [WORK_MEMORY])
        cursor.execute(DIFFERENCES, {"server": server_id, "day": business_day, "end": end})
        return [Difference(*row) for row in cursor.fetchall()]


def _refuse_fine_amounts(differences: Sequence[Difference]) -> None:
    digits = {currency: Currency.of(currency).digits for currency in {item.currency for item in differences}}
    fine = [item for item in differences if has_more_digits(item.amount, digits[item.currency])]
    if fine:
        named = [
            {
                "account": item.login,
                "day": item.business_day.isoformat(),
                "component": item.component,
                "amount": f"{item.amount.normalize():f}",
            }
            for item in fine[:MAXIMUM_NAMED]
        ]
        raise InvalidInput(
            f"{len(fine)} results are finer than the digits of their currency, the first on account {fine[0].login}.",
            code="amount_too_fine",
            field="amount",
            rows=named,
        )


def _bookings(server: ServerFacts, differences: Sequence[Difference]) -> list[_Booking]:
    """One booking per day and currency; the differences come sorted by both."""
    specs = {
        side: None
        for item in differences
        for side in (_client_side(server.entity_id, item), _house_side(server.entity_id, item))
    }
    account_ids = {spec: account.pk for spec, account in get_accounts_bulk(specs=specs).items()}
    bookings = []
    for (day, currency), group in groupby(differences, key=lambda item: (item.business_day, item.currency)):
        members = list(group)
        lines = _lines(server.entity_id, members, account_ids)
        bookings.append(_Booking(members, _draft(server, day, currency, lines) if lines else None))
    return bookings


def _lines(entity_id: int, members: Iterable[Difference], account_ids: dict[AccountSpec, int]) -> list[PostingLine]:
    """Postings of a day and currency: what each account gained is a credit, what it lost a debit."""
    gained: dict[int, Decimal] = defaultdict(Decimal)
    currency = ""
    for item in members:
        currency = item.currency
        gained[account_ids[_client_side(entity_id, item)]] += item.amount
        gained[account_ids[_house_side(entity_id, item)]] -= item.amount
    return [
        PostingLine(account_id=account_id, side="C" if amount > 0 else "D", amount=abs(amount), currency=currency)
        for account_id, amount in gained.items()
        if amount
    ]


def _draft(server: ServerFacts, day: date, currency: str, lines: list[PostingLine]) -> EntryDraft:
    booked_on = booking_day(entity_id=server.entity_id, business_day=day)
    is_late = booked_on != day
    return EntryDraft(
        entity_id=server.entity_id,
        kind=JournalEntry.Kind.ADJUSTMENT if is_late else JournalEntry.Kind.TRADING_RESULT,
        business_day=booked_on,
        refers_to_day=day if is_late else None,
        description=f"Trading results of {day.isoformat()} on {server.code}, {currency}",
        lines=lines,
        # What makes a repeat harmless is the difference, under the server's lock; the key only names the entry.
        idempotency_key=f"{SOURCE}:{server.pk}:{day.isoformat()}:{currency}:{uuid7()}",
        source_type=SOURCE,
        source_id=server.pk,
    )


def _client_side(entity_id: int, item: Difference) -> AccountSpec:
    kind = rules.COMPONENT_RULES[item.component].client_kind
    return AccountSpec(
        entity_id=entity_id,
        kind=kind,
        currency=item.currency,
        owner_type=rules.TRADING_ACCOUNT,
        owner_id=item.account_id,
        name=f"{kind.label} {item.login}",
    )


def _house_side(entity_id: int, item: Difference) -> AccountSpec:
    kind = rules.contra_kind(item.component, item.book)
    if rules.contra_belongs_to_account(item.component):
        return AccountSpec(
            entity_id=entity_id,
            kind=kind,
            currency=item.currency,
            owner_type=rules.TRADING_ACCOUNT,
            owner_id=item.account_id,
            name=f"{kind.label} {item.login}",
        )
    return AccountSpec(entity_id=entity_id, kind=kind, currency=item.currency)


def _insert_lines(run: TradingResultRun, bookings: Sequence[_Booking], entries: Sequence[JournalEntry]) -> None:
    entry_ids = iter([entry.pk for entry in entries])
    rows = []
    for booking in bookings:
        entry_id = next(entry_ids) if booking.draft else None
        rows += [(item, entry_id) for item in booking.differences]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT_LINES,
            [
                run.pk,
                clock.now(),
                [item.account_id for item, _ in rows],
                [item.business_day for item, _ in rows],
                [item.component for item, _ in rows],
                [item.book for item, _ in rows],
                [item.seq for item, _ in rows],
                [item.amount for item, _ in rows],
                [item.currency for item, _ in rows],
                [entry_id for _, entry_id in rows],
            ],
        )


def _figures(differences: Sequence[Difference], entries: Sequence[JournalEntry]) -> dict[str, Any]:
    """JSON figures: how much was booked, by currency and component, signed from the clients' side."""
    booked: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for item in differences:
        booked[item.currency][item.component] += item.amount
    return {
        "lines": len(differences),
        "accounts": len({item.account_id for item in differences}),
        "entries": len(entries),
        "adjusted_days": sorted({entry.refers_to_day.isoformat() for entry in entries if entry.refers_to_day}),
        "booked": {
            currency: {component: f"{amount.normalize():f}" for component, amount in sorted(parts.items())}
            for currency, parts in sorted(booked.items())
        },
    }
