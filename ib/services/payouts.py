"""Payouts of approved statements, each exactly once: written down and held first, moved afterwards, followed to its end.

To the wallet it is one entry. To a trading account it is one operation on the server, written down in the transaction that
holds the money and looked up by its reference before anything is repeated; the entry is booked when the server has done
it. To a bank it is a line of a payment file (`payment_files`), booked when a second person says that the bank paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import DecimalField, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce, Greatest

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.services import audit, outbox
from backoffice.core.services.switches import Switch, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import (
    Conflict,
    DomainError,
    IdempotencyMismatch,
    IllegalTransition,
    InvalidInput,
    NotFound,
)
from funding.ledger.chart import AccountKind
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry
from funding.ledger.services.holds import place_hold, post_hold, void_hold
from funding.ledger.services.periods import booking_day
from funding.ledger.types import AccountSpec
from ib.locks import limit_waiting, lock_ledger_posting, lock_partner
from ib.models import CommissionStatement, Partner, Payout, PayoutMethod, StatementHold
from ib.models.payouts import PayoutKind
from ib.permissions import MAKE_PAYOUTS
from ib.services import payout_work
from ib.services.payout_methods import method_in_force
from ib.services.posting import PARTNER_OWNER
from platform_ops.rules.operations import OperationState
from platform_ops.services.account_operations import request_balance_operation
from platform_ops.types import DealKind

SOURCE_TYPE = "ib.payout"
"""Of the entries that payouts book."""
ACCOUNT_OWNER = "trading_account"
MOST_AT_ONCE = 500
"""Statements that one bulk payout takes, and payouts that one look follows."""
WORKER = Actor.system("ib.payouts")

State = Payout.State
STANDING = (State.UNDER_WAY, State.PAID)

for _point in ("ib.payout.after_hold", "ib.payout.after_operation", "ib.payout.after_posting"):
    crash_points.declare(_point)
register_guard("ib.services.payouts.pay_statement", Switch.PAYOUTS)


@dataclass(slots=True)
class BulkPayout:
    """What a bulk payout did: the payouts it made, and why others wait, by statement."""

    made: list[Payout] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)


def with_left(statements: QuerySet[CommissionStatement]) -> QuerySet[Any]:
    """The statements with `taken` (paid and under way), `left`, and `ready`: what is left without what is looked into.

    A line that is disputed after its statement was approved is no more left out of the statement, but of what is paid of it.
    """
    money = DecimalField(max_digits=24, decimal_places=8)
    taken = (
        Payout.objects.filter(statement=OuterRef("pk"), state__in=STANDING)
        .order_by()
        .values("statement")
        .annotate(sum=Sum("amount"))
        .values("sum")
    )
    looked_into = (
        StatementHold.objects.filter(
            partner=OuterRef("partner"),
            currency=OuterRef("currency"),
            booked_day__range=(OuterRef("from_day"), OuterRef("to_day")),
            held_in__isnull=True,
            released_at__isnull=True,
        )
        .order_by()
        .values("partner")
        .annotate(sum=Sum("amount"))
        .values("sum")
    )
    nothing = Value(Decimal(0), output_field=money)
    return (
        statements.annotate(taken=Coalesce(Subquery(taken), nothing, output_field=money))
        .annotate(left=F("payable") - F("taken"))
        .annotate(
            ready=Greatest(F("left") - Coalesce(Subquery(looked_into), nothing, output_field=money), nothing),
        )
    )


def payable_now(statements: QuerySet[CommissionStatement]) -> QuerySet[Any]:
    """Those that may be paid now: approved, past their hold, something ready, the partner not suspended."""
    return (
        with_left(statements)
        .filter(state=CommissionStatement.State.APPROVED, payable_from__lte=clock.now(), ready__gt=0)
        .exclude(partner__status=Partner.Status.SUSPENDED)
    )


def pay_statement(*, statement_id: int, actor: Actor, idempotency_key: str, amount: Decimal | None = None) -> Payout:
    """Begins to pay what is left of a statement, or a part of it where its terms allow that. The same key pays once.

    It goes where the partner wants it: see `method_in_force`. Raises Conflict while the statement is not payable, its
    partner suspended, or nothing left; SwitchedOff while payouts are stopped; InvalidInput for an impossible amount.
    """
    authorise(actor, MAKE_PAYOUTS)
    get_visible(CommissionStatement.objects.all(), actor, pk=statement_id)
    return _pay(statement_id=statement_id, actor=actor, idempotency_key=idempotency_key, amount=amount)


def pay_statements(*, statement_ids: Sequence[int], actor: Actor, idempotency_key: str) -> BulkPayout:
    """Pays each of the statements by itself: one that cannot be paid does not keep the others waiting."""
    authorise(actor, MAKE_PAYOUTS)
    if len(statement_ids) > MOST_AT_ONCE:
        raise InvalidInput(f"At most {MOST_AT_ONCE} statements at once.", field="statements")
    result = BulkPayout()
    seen = visible_to(CommissionStatement.objects.filter(pk__in=statement_ids), actor).select_related("partner")
    for statement in seen.order_by("pk"):
        key = f"{idempotency_key}:{statement.pk}"
        try:
            result.made.append(_pay(statement_id=statement.pk, actor=actor, idempotency_key=key, amount=None))
        except DomainError as error:
            result.problems[str(statement)] = error.message
    return result


def follow_payouts() -> int:
    """Takes up what servers did: books what is done, frees what was refused. How many payouts came to their end."""
    ended = 0
    waiting = Payout.objects.filter(state=State.UNDER_WAY, kind=PayoutKind.TRADING_ACCOUNT, operation__isnull=False)
    due = waiting.filter(operation__state__in=[state.value for state in OperationState if state.is_final], problem="")
    for payout_id in list(due.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE]):
        ended += _follow(payout_id)
    with transaction.atomic():
        payout_work.note_payouts()
    return ended


def give_up_payout(*, payout_id: int, reason: str, actor: Actor) -> Payout:
    """Ends a payment that did not leave the house; its money is payable again.

    To a bank: one that is in no file yet, or that the bank turned down. To a trading account: only when the operation was
    given up at the server. Raises IllegalTransition for one that may still take effect.
    """
    authorise(actor, MAKE_PAYOUTS)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    get_visible(Payout.objects.all(), actor, pk=payout_id)
    with transaction.atomic(durable=True):
        payout = locked_payout(payout_id)
        if payout.state == State.FAILED:
            return payout
        if payout.state != State.UNDER_WAY:
            raise IllegalTransition("Only a payment under way can be given up.", state=payout.state)
        if payout.operation is not None and payout.operation.state != OperationState.CANCELLED.value:
            raise IllegalTransition(
                "The server may still carry it out: give the operation up there first.", state=payout.operation.state
            )
        _fail(payout, reason, actor)
    return payout


def locked_payout(payout_id: int) -> Payout:
    """The payout behind its partner's lock."""
    limit_waiting()
    partner_id = Payout.objects.filter(pk=payout_id).values_list("partner_id", flat=True).first()
    if partner_id is None or lock_partner(partner_id) is None:
        raise NotFound("No such payout.", payout_id=payout_id)
    return Payout.objects.select_related(
        "partner", "statement", "operation", "account", "method", "file__bank_account"
    ).get(pk=payout_id)


def book_paid(payout: Payout, *, to: AccountSpec, actor: Actor) -> None:
    """Posts what was held: payable goes down, *to* takes it. The payout is paid from then on."""
    assert payout.hold_id is not None, "held since it was asked for"
    lock_ledger_posting()
    post_hold(hold_id=payout.hold_id, draft=draft_of(payout, to=to), actor=actor)
    crash_points.reach("ib.payout.after_posting")
    mark_paid(payout, actor)


def mark_paid(payout: Payout, actor: Actor) -> None:
    """Notes that the money arrived, and tells who listens."""
    payout.state, payout.paid_at, payout.problem = State.PAID, clock.now(), ""
    payout.paid_by, payout.paid_by_id = actor.label[:200], actor.user_id or None
    payout.save()
    record(payout, "ib.payout_paid", actor)
    outbox.publish(topic="ib.payout_paid", payload={"payout_id": payout.pk})


def draft_of(payout: Payout, *, to: AccountSpec, is_back: bool = False) -> EntryDraft:
    """The entry of a payout: payable to *to*, or back from there."""
    payable = AccountSpec(
        entity_id=payout.partner.entity_id,
        kind=AccountKind.PARTNER_PAYABLE,
        currency=payout.currency,
        owner_type=PARTNER_OWNER,
        owner_id=payout.partner_id,
    )
    accounts = get_accounts_bulk(specs=[payable, to])
    what = "Payout returned" if is_back else "Payout"
    return EntryDraft(
        entity_id=payout.partner.entity_id,
        kind="transfer",
        business_day=booking_day(entity_id=payout.partner.entity_id, business_day=clock.today_business_day()),
        description=f"{what}: statement {payout.statement.number}-{payout.number} of {payout.partner.reference}",
        lines=[
            PostingLine(accounts[payable].pk, "C" if is_back else "D", payout.amount, payout.currency),
            PostingLine(accounts[to].pk, "D" if is_back else "C", payout.amount, payout.currency),
        ],
        idempotency_key=f"ib:payout:{payout.pk}{':returned' if is_back else ''}",
        source_type=SOURCE_TYPE,
        source_id=payout.pk,
    )


def record(payout: Payout, action: str, actor: Actor, *, reason: str = "") -> None:
    """Into the audit."""
    audit.record(
        actor=actor,
        action=action,
        target=payout,
        reason=reason.strip(),
        changes={"amount": f"{payout.amount:f}", "currency": payout.currency, "to": payout.kind, "state": payout.state},
        entity_id=payout.partner.entity_id,
    )


# Beginning


@transaction.atomic(durable=True)
def _pay(*, statement_id: int, actor: Actor, idempotency_key: str, amount: Decimal | None) -> Payout:
    limit_waiting()
    if not 0 < len(idempotency_key) <= 160:
        raise InvalidInput("A key has 1 to 160 characters.", field="idempotency_key")
    partner_id = CommissionStatement.objects.values_list("partner_id", flat=True).get(pk=statement_id)
    partner = lock_partner(partner_id)
    assert partner is not None, "statements keep their partner"
    known = Payout.objects.filter(idempotency_key=idempotency_key).first()
    if known is not None:
        if known.statement_id != statement_id or (amount is not None and known.amount != amount):
            raise IdempotencyMismatch("This key stands for another payout.", key=idempotency_key)
        return known
    require_open(Switch.PAYOUTS, entity_id=partner.entity_id)
    statement = with_left(CommissionStatement.objects.filter(pk=statement_id)).select_related("terms").get()
    payout = Payout(
        statement=statement,
        partner=partner,
        number=statement.payouts.count() + 1,
        amount=_amount(statement, partner, amount),
        currency=statement.currency,
        idempotency_key=idempotency_key,
        requested_by=actor.label[:200],
        requested_by_id=actor.user_id or None,
    )
    method = method_in_force(partner.pk)
    payout.kind, payout.method = (method.kind, method) if method is not None else (PayoutKind.WALLET.value, None)
    lock_ledger_posting()
    if payout.kind == PayoutKind.WALLET:
        _to_wallet(payout, actor)
    else:
        _hold(payout, method, actor)
    record(payout, "ib.pay_statement", actor)
    return payout


def _amount(statement: Any, partner: Partner, amount: Decimal | None) -> Decimal:
    """What is paid now. Raises Conflict for a statement that is not payable, InvalidInput for an impossible part."""
    if statement.state != CommissionStatement.State.APPROVED or statement.payable_from is None:
        raise Conflict("The statement is not approved.", code="statement_not_payable", state=statement.state)
    if statement.payable_from > clock.now():
        raise Conflict(f"It is on hold until {statement.payable_from:%Y-%m-%d}.", code="statement_on_hold")
    if partner.status == Partner.Status.SUSPENDED:
        raise Conflict(f"{partner} is suspended.", code="partner_suspended")
    left: Decimal = statement.ready
    if statement.left <= 0:
        raise Conflict("Everything of the statement is paid or under way.", code="nothing_left")
    if left <= 0:
        raise Conflict("What is left of the statement is disputed.", code="statement_disputed")
    if amount is None or amount == left:
        return left
    if not statement.terms.allows_partial:
        raise InvalidInput("The terms allow no payment in parts.", field="amount", value=str(amount))
    digits = Currency.of(statement.currency).digits
    if not 0 < amount < left or amount != amount.quantize(Decimal(1).scaleb(-digits)):
        raise InvalidInput(
            f"More than nothing, at most {left.normalize():f} {statement.currency}, with {digits} decimals.",
            field="amount",
            value=str(amount),
        )
    return amount


def _to_wallet(payout: Payout, actor: Actor) -> None:
    payout.state, payout.paid_at = State.PAID, clock.now()
    payout.paid_by, payout.paid_by_id = actor.label[:200], actor.user_id or None
    payout.save(force_insert=True)
    wallet = AccountSpec(
        entity_id=payout.partner.entity_id,
        kind=AccountKind.PARTNER_WALLET,
        currency=payout.currency,
        owner_type=PARTNER_OWNER,
        owner_id=payout.partner_id,
    )
    post_entry(draft=draft_of(payout, to=wallet), actor=actor)
    crash_points.reach("ib.payout.after_posting")
    outbox.publish(topic="ib.payout_paid", payload={"payout_id": payout.pk})


def _hold(payout: Payout, method: PayoutMethod | None, actor: Actor) -> None:
    """Sets the money aside and writes down what is to happen, all or nothing."""
    assert method is not None, "only the wallet needs none"
    payable = AccountSpec(
        entity_id=payout.partner.entity_id,
        kind=AccountKind.PARTNER_PAYABLE,
        currency=payout.currency,
        owner_type=PARTNER_OWNER,
        owner_id=payout.partner_id,
    )
    account_id = get_accounts_bulk(specs=[payable])[payable].pk
    payout.hold = place_hold(
        account_id=account_id,
        amount=payout.amount,
        reason=f"Payout {payout.number} of statement {payout.statement_id}",
        idempotency_key=f"ib:payout:{payout.statement_id}:{payout.number}",
    )
    crash_points.reach("ib.payout.after_hold")
    if method.account is None:
        payout.save(force_insert=True)
        return
    if method.account.client_id != payout.partner.client_id:
        raise Conflict("The trading account is no longer the partner's own.", code="not_own_account")
    payout.account = method.account
    payout.operation = request_balance_operation(
        account_id=method.account.pk,
        kind=DealKind.BALANCE,
        amount=payout.amount,
        actor=WORKER,
        reason=f"Commission of {payout.partner.reference}, statement {payout.statement.number}",
        idempotency_key=f"ib:payout:{payout.statement_id}:{payout.number}",
    )
    payout.save(force_insert=True)
    crash_points.reach("ib.payout.after_operation")


# Following


@transaction.atomic(durable=True)
def _follow(payout_id: int) -> bool:
    payout = locked_payout(payout_id)
    if payout.state != State.UNDER_WAY or payout.operation is None:
        return False
    state = OperationState(payout.operation.state)
    if state.took_effect:
        # The deal that comes back in the server's history takes it from suspense to the account, like any deposit.
        book_paid(
            payout,
            to=AccountSpec(
                entity_id=payout.partner.entity_id,
                kind=AccountKind.SUSPENSE,
                currency=payout.currency,
                owner_type=ACCOUNT_OWNER,
                owner_id=payout.account_id or 0,
            ),
            actor=WORKER,
        )
        return True
    if state is OperationState.REFUSED or (state is OperationState.CANCELLED and payout.operation.attempts == 0):
        _fail(payout, payout.operation.problem or "The server refused it.", WORKER)
        return True
    # It was sent and given up by a person: the server may know of it yet, so a person says that it does not.
    payout.problem = (
        "The operation was given up at the server. Make sure that nothing arrived, then give the payout up."
    )
    payout.save(update_fields=["problem"])
    return False


def _fail(payout: Payout, why: str, actor: Actor) -> None:
    if payout.hold_id is not None:
        void_hold(hold_id=payout.hold_id)
    payout.state, payout.ended_at, payout.problem = State.FAILED, clock.now(), why.strip()[:500]
    payout.save()
    record(payout, "ib.payout_failed", actor, reason=why)
    outbox.publish(topic="ib.payout_failed", payload={"payout_id": payout.pk})
