"""The revaluation of balances in other currencies than the entity's base currency, at the reference rate of a day.

Every movement of a balance is worth its day's rate when it comes (cost); at the end of a day the balance is worth that
day's rate (value). Value less cost is the gain that should be booked by then; what was booked is subtracted and the rest
is booked, in the base currency only, so that every currency of the books stays balanced by itself: the `fx_revaluation`
account of the position against `unrealised_fx`. A second run books zero; the next day, a corrected rate or a late booking
books the difference.

What is revalued are assets and debts in money: banks, providers, suspense, receivables, and what is owed to clients and
partners. Income, expenses and equity keep the value they had; the currency position of conversions is equity.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Sum

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import is_business_day
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput, MissingRate
from backoffice.kernel.fx import FxRate, RateProvider
from backoffice.kernel.money import Money
from funding.ledger.chart import AccountKind
from funding.ledger.database import book
from funding.ledger.locks import lock_books_alone
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services.accounts import get_account, get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry
from funding.ledger.services.periods import booking_day
from funding.ledger.types import AccountSpec
from funding.models import RevaluationLine, RevaluationRun, RevaluedPosition
from platform_ops.selectors.rates import rate_provider

REVALUE = "funding.revalue"
SOURCE = "funding.revaluation"
CORRECTION = "It follows balances and rates: correct these and revalue the day again."
POSITION_OWNER = "revalued_position"
MAXIMUM_LATER_DAYS = 400
"""Most later days that are revalued again behind a corrected one."""

ACCOUNT_BY_ACCOUNT = (AccountKind.BANK, AccountKind.PSP, AccountKind.LIQUIDITY_PROVIDER)
"""Kinds whose accounts are revalued one by one; those kept per client or partner are revalued together."""

TOGETHER = (
    AccountKind.CLIENT_RECEIVABLE,
    AccountKind.SUSPENSE,
    AccountKind.CLIENT_LIABILITY,
    AccountKind.CLIENT_CREDIT,
    AccountKind.CLIENT_WALLET,
    AccountKind.PARTNER_ACCRUED,
    AccountKind.PARTNER_PAYABLE,
    AccountKind.PARTNER_WALLET,
)
_RATE_DIGITS = Decimal(1).scaleb(-18)

_MOVEMENTS = """
SELECT account.kind, account.currency, CASE WHEN account.kind = ANY(%(single)s) THEN account.id END AS account_id,
       entry.business_day, sum(CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END)
FROM ledger_ledgeraccount account
JOIN ledger_posting posting ON posting.account_id = account.id
JOIN ledger_journalentry entry ON entry.id = posting.entry_id
WHERE account.entity_id = %(entity)s AND account.currency <> %(base)s AND account.kind = ANY(%(kinds)s)
  AND entry.business_day <= %(day)s
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
"""

PositionKey = tuple[str, str, int | None]


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A position as a revaluation would write it; see `RevaluationLine` for the meaning of each figure."""

    key: PositionKey
    position_id: int | None
    balance: Decimal
    cost: Decimal
    value: Decimal
    rate: FxRate
    target: Decimal
    booked_before: Decimal

    @property
    def amount(self) -> Decimal:
        """Target minus booked."""
        return self.target - self.booked_before


def plan_revaluation(*, entity_id: int, business_day: date, rates: RateProvider | None = None) -> list[PlannedLine]:
    """What a revaluation of the day would find and book, position by position. Changes nothing.

    Only for use cases that have authorised the actor. Raises `MissingRate` naming the pair and the day.
    """
    base = Currency.of(LegalEntity.objects.values_list("base_currency", flat=True).get(pk=entity_id))
    provider = rates or rate_provider()
    known = {
        (position.kind, position.currency, position.account_id): position.pk
        for position in RevaluedPosition.objects.filter(entity_id=entity_id)
    }
    booked = _booked(entity_id, business_day)
    movements = _movements(entity_id, base.code, business_day)
    # A position whose movements are gone (none are ever deleted) would still be brought to its target.
    lines = []
    for key in sorted(movements, key=lambda item: (item[0], item[1], item[2] or 0)):
        position_id = known.get(key)
        lines.append(_line(key, position_id, movements[key], base, business_day, provider, booked))
    return lines


@transaction.atomic
def revalue_books(*, entity_id: int, business_day: date, actor: Actor) -> RevaluationRun:
    """Revalues an entity's foreign balances at a business day and books what is not booked yet.

    In closed books it is an adjustment in the first open day. Days that were revalued later follow at once, so that each
    shows its own gain. Returns the run that stands for the day: the earlier one, if nothing changed since. Raises
    `MissingRate` by name of pair and day, and books nothing then.
    """
    authorise(actor, REVALUE)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if not is_business_day(business_day):
        raise InvalidInput(f"{business_day} is not a business day.", field="business_day", value=str(business_day))
    if business_day > clock.today_business_day():
        raise InvalidInput("The day has not begun yet.", field="business_day", value=str(business_day))
    with book():
        lock_books_alone(entity.pk)
        provider = rate_provider()
        run = _revalue_day(entity, business_day, provider, actor)
        later = (
            RevaluationRun.objects.filter(entity=entity, business_day__gt=business_day)
            .order_by("business_day")
            .values_list("business_day", flat=True)
            .distinct()[:MAXIMUM_LATER_DAYS]
        )
        for day in list(later):
            _revalue_day(entity, day, provider, actor)
    return run


def is_revalued(*, entity_id: int, business_day: date) -> tuple[bool, str]:
    """Whether a day's revaluation is booked as balances and rates stand now, and in words what is missing."""
    try:
        lines = plan_revaluation(entity_id=entity_id, business_day=business_day)
    except MissingRate as error:
        return False, error.message
    waiting = [line for line in lines if line.amount]
    if waiting:
        return False, f"{len(waiting)} of {len(lines)} balances are not at the day's rate"
    return True, f"{len(lines)} balances at the day's rate" if lines else "no balance in another currency"


def _revalue_day(entity: LegalEntity, day: date, provider: RateProvider, actor: Actor) -> RevaluationRun:
    lines = plan_revaluation(entity_id=entity.pk, business_day=day, rates=provider)
    last = RevaluationRun.objects.filter(entity=entity, business_day=day).order_by("-pk").first()
    if last is not None and not any(line.amount for line in lines) and _says_the_same(last, lines):
        return last
    positions = _positions(entity, lines)
    entry = _post(entity, day, lines, positions, actor)
    run = RevaluationRun.objects.create(
        entity=entity, business_day=day, base_currency=entity.base_currency, entry=entry, actor=actor.label
    )
    RevaluationLine.objects.bulk_create(
        RevaluationLine(
            run=run,
            position=positions[line.key],
            balance=line.balance,
            cost=line.cost,
            value=line.value,
            rate=line.rate.rate.quantize(_RATE_DIGITS),
            rate_source=line.rate.source,
            rate_day=line.rate.fixed_on,
            target=line.target,
            booked_before=line.booked_before,
            amount=line.amount,
        )
        for line in lines
    )
    audit.record(
        actor=actor,
        action=REVALUE,
        target=run,
        changes={
            "business_day": day.isoformat(),
            "entry": entry.pk if entry else None,
            "gain": f"{sum((line.amount for line in lines), Decimal(0)):f}",
            "currency": entity.base_currency,
        },
        entity_id=entity.pk,
    )
    return run


def _line(
    key: PositionKey,
    position_id: int | None,
    movements: list[tuple[date, Decimal]],
    base: Currency,
    day: date,
    provider: RateProvider,
    booked: dict[int, Decimal],
) -> PlannedLine:
    currency = Currency.of(key[1])
    cost = Decimal(0)
    for moved_on, amount in movements:
        on_that_day = provider.rate(base=currency, quote=base, on=moved_on)
        cost += on_that_day.convert(Money(amount, currency)).amount
    balance = sum((amount for _, amount in movements), Decimal(0))
    rate = provider.rate(base=currency, quote=base, on=day)
    value = rate.convert(Money(balance, currency)).amount
    return PlannedLine(
        key=key,
        position_id=position_id,
        balance=balance,
        cost=cost,
        value=value,
        rate=rate,
        target=Money(value - cost, base).quantized().amount,
        booked_before=booked.get(position_id, Decimal(0)) if position_id is not None else Decimal(0),
    )


def _movements(entity_id: int, base: str, day: date) -> dict[PositionKey, list[tuple[date, Decimal]]]:
    found: dict[PositionKey, list[tuple[date, Decimal]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            _MOVEMENTS,
            {
                "entity": entity_id,
                "base": base,
                "day": day,
                "single": [kind.value for kind in ACCOUNT_BY_ACCOUNT],
                "kinds": [kind.value for kind in (*ACCOUNT_BY_ACCOUNT, *TOGETHER)],
            },
        )
        for kind, currency, account_id, moved_on, amount in cursor.fetchall():
            found[kind, currency, account_id].append((moved_on, amount))
    return found


def _booked(entity_id: int, day: date) -> dict[int, Decimal]:
    """What is booked by the end of a day, by position: the amounts of all runs of that day and earlier ones."""
    rows = (
        RevaluationLine.objects.order_by()
        .filter(run__entity_id=entity_id, run__business_day__lte=day)
        .values("position_id")
        .annotate(total=Sum("amount"))
        .values_list("position_id", "total")
    )
    return dict(rows)


def _says_the_same(run: RevaluationRun, lines: list[PlannedLine]) -> bool:
    stored = {
        line.position_id: (line.balance, line.cost, line.value, line.target)
        for line in RevaluationLine.objects.filter(run=run)
    }
    return stored == {line.position_id: (line.balance, line.cost, line.value, line.target) for line in lines}


def _positions(entity: LegalEntity, lines: list[PlannedLine]) -> dict[PositionKey, RevaluedPosition]:
    RevaluedPosition.objects.bulk_create(
        [
            RevaluedPosition(entity=entity, kind=line.key[0], currency=line.key[1], account_id=line.key[2])
            for line in lines
            if line.position_id is None
        ]
    )
    wanted = {line.key for line in lines}
    return {
        key: position
        for position in RevaluedPosition.objects.filter(entity=entity)
        if (key := (position.kind, position.currency, position.account_id)) in wanted
    }


def _post(
    entity: LegalEntity,
    day: date,
    lines: list[PlannedLine],
    positions: dict[PositionKey, RevaluedPosition],
    actor: Actor,
) -> JournalEntry | None:
    moving = [line for line in lines if line.amount]
    if not moving:
        return None
    base = entity.base_currency
    names = _names(moving)
    specs = {
        line.key: AccountSpec(
            entity_id=entity.pk,
            kind=AccountKind.FX_REVALUATION,
            currency=base,
            owner_type=POSITION_OWNER,
            owner_id=positions[line.key].pk,
            name=f"Revaluation of {names[line.key]}"[:160],
        )
        for line in moving
    }
    accounts = get_accounts_bulk(specs=specs.values())
    result = get_account(entity_id=entity.pk, kind=AccountKind.UNREALISED_FX, currency=base)
    postings = [
        PostingLine(accounts[specs[line.key]].pk, "D" if line.amount > 0 else "C", abs(line.amount), base)
        for line in moving
    ]
    gain = sum((line.amount for line in moving), Decimal(0))
    if gain:
        postings.append(PostingLine(result.pk, "C" if gain > 0 else "D", abs(gain), base))
    booked_on = booking_day(entity_id=entity.pk, business_day=day)
    runs = RevaluationRun.objects.filter(entity=entity, business_day=day).count()
    return post_entry(
        draft=EntryDraft(
            entity_id=entity.pk,
            kind=JournalEntry.Kind.REVALUATION,
            business_day=booked_on,
            refers_to_day=day if booked_on != day else None,
            description=f"Revaluation of balances in other currencies, {day}",
            lines=postings,
            idempotency_key=f"revaluation:{entity.pk}:{day}:{runs + 1}",
            source_type=SOURCE,
            source_id=entity.pk,
        ),
        actor=actor,
    )


def _names(lines: list[PlannedLine]) -> dict[PositionKey, str]:
    accounts = LedgerAccount.objects.in_bulk([line.key[2] for line in lines if line.key[2] is not None])
    return {
        line.key: accounts[line.key[2]].name
        if line.key[2] is not None
        else f"{AccountKind(line.key[0]).label}, {line.key[1]}"
        for line in lines
    }
