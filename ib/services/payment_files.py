"""Files for a bank: waiting payments put together by account, exported once, marked paid by a second person.

The file's bytes are kept, sealed, with their digests; handing them out again gives the same bytes, and the audit says to
whom. A payment that the bank sends back makes its money payable again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import EntityBankAccount
from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
from backoffice.core.services import audit, outbox
from backoffice.core.services.numbering import issue_number
from backoffice.core.services.switches import Switch, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput
from backoffice.kernel.ids import uuid7
from funding.ledger.chart import AccountKind
from funding.ledger.services.entries import post_entry
from funding.ledger.types import AccountSpec
from ib.locks import limit_waiting, lock_ledger_posting
from ib.models import Partner, PaymentFile, Payout
from ib.models.payouts import PayoutKind
from ib.payout_rules import MOST_PAYMENTS_IN_FILE, Order, Payment, pain_001, payments_csv
from ib.permissions import EXPORT_PAYMENTS
from ib.services.payouts import book_paid, draft_of, locked_payout, record

DOCUMENT_KIND = "ib.payment_file"
EXTERNAL_OWNER = "external_account"
LONGEST_AHEAD = timedelta(days=60)
State = Payout.State

crash_points.declare("ib.payment_file.after_payouts")
register_guard("ib.services.payment_files.export_payments", Switch.PAYOUTS)


def register() -> None:
    """Makes the numbers known; called once when the application starts."""
    register_document_kind(DocumentKind(DOCUMENT_KIND, "Payment files", "{entity}-PAY-{year}-{number:05}"))


def waiting_payments(account: EntityBankAccount) -> QuerySet[Payout]:
    """What the next file from this account would hold. Partners who are suspended wait."""
    return (
        Payout.objects.filter(
            state=State.UNDER_WAY,
            kind=PayoutKind.BANK,
            file__isnull=True,
            currency=account.currency,
            partner__entity=account.entity_id,
        )
        .exclude(partner__status=Partner.Status.SUSPENDED)
        .order_by("pk")
    )


def own_money_accounts(actor: Actor) -> list[EntityBankAccount]:
    """The accounts of the house from which partners may be paid: its own money, never that of clients."""
    accounts = EntityBankAccount.objects.filter(purpose=EntityBankAccount.Purpose.OWN_MONEY, closed_at__isnull=True)
    return list(visible_to(accounts, actor).select_related("entity").order_by("entity__name", "currency", "name"))


@transaction.atomic(durable=True)
def export_payments(*, bank_account_id: int, execution_day: date, actor: Actor) -> PaymentFile:
    """Puts every waiting payment of an account's currency into one file. A payment is in one file, ever.

    Raises Conflict when nothing waits, InvalidInput for an account that holds clients' money or is closed, or a day that
    is over, SwitchedOff while payouts are stopped.
    """
    authorise(actor, EXPORT_PAYMENTS)
    limit_waiting()
    account = get_visible(EntityBankAccount.objects.select_related("entity"), actor, pk=bank_account_id)
    if account.purpose != EntityBankAccount.Purpose.OWN_MONEY or account.closed_at is not None:
        raise InvalidInput("Partners are paid from an open account with the house's own money.", field="bank_account")
    today = clock.now().date()
    if not today <= execution_day <= today + LONGEST_AHEAD:
        raise InvalidInput("Today, or a day of the next two months.", field="execution_day", value=str(execution_day))
    require_open(Switch.PAYOUTS, entity_id=account.entity_id)
    payouts = list(
        waiting_payments(account)
        .select_related("partner", "method", "statement")
        .select_for_update(of=("self",))[:MOST_PAYMENTS_IN_FILE]
    )
    if not payouts:
        raise Conflict("No payment waits for this account.", code="nothing_waits")
    number = issue_number(
        entity_id=account.entity_id, kind=DOCUMENT_KIND, on=today, subject=f"payments from {account}", actor=actor
    )
    order = _order(account, payouts, number.reference, execution_day)
    xml, csv = pain_001(order), payments_csv(order)
    made = PaymentFile.objects.create(
        public_id=uuid7(),
        entity_id=account.entity_id,
        bank_account=account,
        number=number,
        reference=number.reference,
        currency=account.currency,
        payments=len(payouts),
        total=order.total,
        execution_day=execution_day,
        xml=xml.decode(),
        csv=csv.decode(),
        xml_digest=hashlib.sha256(xml).hexdigest(),
        csv_digest=hashlib.sha256(csv).hexdigest(),
        exported_by=actor.label[:200],
        exported_by_id=actor.user_id or None,
    )
    for payout in payouts:
        payout.file = made
        payout.save(update_fields=["file"])
    crash_points.reach("ib.payment_file.after_payouts")
    _record(made, "ib.export_payments", actor, changes={"payments": len(payouts), "total": f"{order.total:f}"})
    outbox.publish(topic="ib.payment_file_exported", payload={"file_id": made.pk})
    return made


@transaction.atomic
def read_payment_file(*, file_id: int, file_format: str, actor: Actor) -> tuple[str, bytes]:
    """The name and the bytes of an exported file, the same as ever; that somebody took them stands in the audit."""
    authorise(actor, EXPORT_PAYMENTS)
    if file_format not in {"xml", "csv"}:
        raise InvalidInput("XML or CSV.", field="format", value=file_format)
    file = get_visible(PaymentFile.objects.all(), actor, pk=file_id)
    data = str(file.xml if file_format == "xml" else file.csv).encode()
    kept = file.xml_digest if file_format == "xml" else file.csv_digest
    if hashlib.sha256(data).hexdigest() != kept:
        raise Conflict("The file is not what was exported.", code="file_changed")
    _record(file, "ib.read_payment_file", actor, changes={"format": file_format})
    return f"{file.reference}.{file_format}", data


def mark_file_paid(*, file_id: int, bank_reference: str, value_date: date, actor: Actor) -> PaymentFile:
    """Says that the bank paid every payment of a file that is still under way. Repeating it changes nothing.

    Raises Denied for who exported the file.
    """
    authorise(actor, EXPORT_PAYMENTS)
    file = get_visible(PaymentFile.objects.all(), actor, pk=file_id)
    under_way = Payout.objects.filter(file=file, state=State.UNDER_WAY).order_by("pk").values_list("pk", flat=True)
    for payout_id in list(under_way):
        mark_payment_paid(payout_id=payout_id, bank_reference=bank_reference, value_date=value_date, actor=actor)
    return file


def mark_payment_paid(*, payout_id: int, bank_reference: str, value_date: date, actor: Actor) -> Payout:
    """Says that the bank paid one payment, with its reference and the value date. Repeating it changes nothing.

    Raises Denied for who exported its file, InvalidInput without a reference or for a date that cannot be.
    """
    authorise(actor, EXPORT_PAYMENTS)
    get_visible(Payout.objects.all(), actor, pk=payout_id)
    reference = bank_reference.strip()
    if not 0 < len(reference) <= 100:
        raise InvalidInput("The bank's reference, in at most 100 letters.", field="bank_reference")
    with transaction.atomic(durable=True):
        payout = locked_payout(payout_id)
        if payout.state == State.PAID:
            return payout
        if payout.state != State.UNDER_WAY or payout.file is None:
            raise IllegalTransition("Only a payment in a file can be paid by the bank.", state=payout.state)
        if payout.file.exported_by_id is not None and payout.file.exported_by_id == actor.user_id:
            raise Denied("Who exported a payment file does not mark it paid.", code="same_person")
        exported_on = payout.file.exported_at.date()
        if not exported_on <= value_date <= clock.now().date() + LONGEST_AHEAD:
            raise InvalidInput(
                "Not before the file was exported, nor far ahead.", field="value_date", value=str(value_date)
            )
        payout.bank_reference, payout.value_date = reference, value_date
        book_paid(payout, to=bank_spec(payout), actor=actor)
    return payout


def return_payment(*, payout_id: int, reason: str, actor: Actor) -> Payout:
    """Books a payment that the bank sent back: its money is payable again. Repeating it changes nothing."""
    authorise(actor, EXPORT_PAYMENTS)
    if not reason.strip():
        raise InvalidInput("Say why the bank sent it back.", field="reason")
    get_visible(Payout.objects.all(), actor, pk=payout_id)
    with transaction.atomic(durable=True):
        payout = locked_payout(payout_id)
        if payout.state == State.RETURNED:
            return payout
        if payout.state != State.PAID or payout.kind != PayoutKind.BANK:
            raise IllegalTransition("Only a payment that the bank made can come back.", state=payout.state)
        lock_ledger_posting()
        post_entry(draft=draft_of(payout, to=bank_spec(payout), is_back=True), actor=actor)
        payout.state, payout.ended_at, payout.problem = State.RETURNED, clock.now(), reason.strip()[:500]
        payout.save()
        record(payout, "ib.payout_returned", actor, reason=reason)
        outbox.publish(topic="ib.payout_returned", payload={"payout_id": payout.pk})
    return payout


def bank_spec(payout: Payout) -> AccountSpec:
    """The ledger's account of the bank account that pays: the one whose statements are compared, or the main one."""
    assert payout.file is not None, "asked of payments in a file"
    watched = getattr(payout.file.bank_account, "external_account", None)
    return AccountSpec(
        entity_id=payout.partner.entity_id,
        kind=AccountKind.BANK,
        currency=payout.currency,
        owner_type=EXTERNAL_OWNER if watched is not None else "",
        owner_id=watched.pk if watched is not None else 0,
    )


def _order(account: EntityBankAccount, payouts: Sequence[Payout], reference: str, execution_day: date) -> Order:
    return Order(
        reference=reference,
        made_at=clock.now(),
        execution_day=execution_day,
        payer=account.entity.name,
        account_number=str(account.account_number),
        is_iban=account.is_iban,
        bic=account.bic,
        currency=account.currency,
        payments=[_payment(payout) for payout in payouts],
    )


def _payment(payout: Payout) -> Payment:
    method = payout.method
    assert method is not None, "the database keeps it for payments to a bank"
    return Payment(
        reference=f"{payout.partner.reference}-{payout.statement.number}-{payout.number}",
        name=method.holder,
        account_number=str(method.account_number),
        is_iban=method.is_iban,
        bic=method.bic,
        amount=Decimal(payout.amount),
        text=f"Commission {payout.statement.from_day} to {payout.statement.to_day}",
    )


def _record(file: PaymentFile, action: str, actor: Actor, *, changes: dict[str, object]) -> None:
    audit.record(
        actor=actor,
        action=action,
        target=file,
        changes={"reference": file.reference, **changes},
        entity_id=file.entity_id,
    )
