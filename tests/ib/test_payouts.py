"""Payouts: each statement is paid once, to where its partner wants it, and every step is in the books."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.test import Client as Browser
from django.urls import reverse
from pypdf import PdfReader

from backoffice.core.books import verify_books
from backoffice.core.models import EntityBankAccount, WorkItem
from backoffice.core.services import entities
from backoffice.core.services.switches import Switch, SwitchedOff, stop
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound
from funding.ledger.models import Hold, JournalEntry, LedgerAccount
from ib.models import CommissionStatement, Partner, PartnerTaxData, PaymentFile, Payout, PayoutMethod, StatementPaper
from ib.payout_rules import NAMESPACE, bank_amount, bank_text
from ib.services import terms
from ib.services.partners import link_partner_login, set_partner_status
from ib.services.payment_files import (
    export_payments,
    mark_file_paid,
    mark_payment_paid,
    read_payment_file,
    return_payment,
)
from ib.services.payout_methods import (
    BankDetails,
    confirm_payout_method,
    method_in_force,
    refuse_payout_method,
    request_payout_method,
)
from ib.services.payouts import follow_payouts, give_up_payout, pay_statement, pay_statements, payable_now
from ib.services.statement_papers import issue_papers, read_paper
from ib.services.statements import approve_due_statements, hold_line, release_line
from platform_ops.models import ServerOperation
from tests.factories.platform import SYSTEM, make_account, staff
from tests.ib.test_statements import LAST_OF_MARCH, World
from tests.logins import log_in, make_user
from tests.told import told

pytestmark = pytest.mark.django_db

CHECKS = [
    "ib.payouts_equal_payable",
    "ib.payouts_have_their_entries",
    "ib.payouts_equal_outside",
    "ib.statements_equal_ledger",
]
IBAN = "DE89 3704 0044 0532 0130 00"


class PaidWorld(World):
    """A world with an approved statement of 70 USD, which may be paid now."""

    def __init__(self, **terms: Any) -> None:
        super().__init__(**{"hold_days": 0, **terms})
        self.trade("10")
        self.close_books(LAST_OF_MARCH)
        self.close()
        approve_due_statements(actor=SYSTEM)
        self.statement = CommissionStatement.objects.get(partner=self.partner)
        people = [self.broker.entity]
        self.one = staff(Role.FINANCE, entities=people, user_id=901)
        self.two = staff(Role.FINANCE, entities=people, user_id=902)

    def pay(self, key: str = "k", **more: Any) -> Payout:
        return pay_statement(statement_id=self.statement.pk, actor=self.one, idempotency_key=key, **more)

    def use(self, kind: str, **more: Any) -> PayoutMethod:
        """A way to be paid that is in force."""
        with time_machine.travel(clock.now() - timedelta(days=3)):
            method = request_payout_method(partner_id=self.partner.pk, kind=kind, actor=self.one, **more)
            return confirm_payout_method(method_id=method.pk, actor=self.two, reason="Called back.")

    def use_bank(self) -> PayoutMethod:
        bank = BankDetails(holder="Alpha Pärtners", bank_name="Commerzbank", account_number=IBAN)
        return self.use("bank", bank=bank)

    def own_account(self) -> Any:
        """A trading account of the partner's own."""
        client = self.account.client
        assert client is not None
        Partner.objects.filter(pk=self.partner.pk).update(client=client)
        self.partner.refresh_from_db()
        return make_account(self.broker.server, client=client)

    def bank_account(self) -> EntityBankAccount:
        return entities.add_bank_account(
            entity_id=self.broker.entity.pk,
            name="Own money",
            purpose="own_money",
            currency="USD",
            bank_name="House bank",
            account_number="CY17 0020 0128 0000 0012 0052 7600",
            actor=SYSTEM,
            reason="opened",
        )

    def export(self, account: EntityBankAccount | None = None) -> PaymentFile:
        return export_payments(
            bank_account_id=(account or self.bank_account()).pk, execution_day=clock.now().date(), actor=self.one
        )

    def left(self) -> tuple[Decimal, Decimal]:
        """(payable in the ledger, held of it)."""
        account = LedgerAccount.objects.get(kind="partner_payable", owner_id=self.partner.pk)
        held = sum((hold.amount for hold in Hold.objects.filter(account=account, state="pending")), Decimal(0))
        return account.balance.balance, held


@pytest.fixture
def world() -> PaidWorld:
    return PaidWorld()


@pytest.fixture(autouse=True)
def books_are_right() -> Iterator[None]:
    yield
    found = verify_books(CHECKS)
    assert [check for check in found["checks"] if not check["ok"]] == []


def test_without_a_choice_it_goes_to_the_wallet_once(world: PaidWorld) -> None:
    # when it is paid, and asked for again with the same key, and with another one
    payout = world.pay()
    assert world.pay().pk == payout.pk
    with pytest.raises(Conflict, match="paid or under way"):
        world.pay("other")
    # then the money is in the wallet, once
    assert (payout.kind, payout.state, payout.amount) == ("wallet", "paid", Decimal(70))
    assert (world.balance("partner_payable"), world.balance("partner_wallet")) == (Decimal(0), Decimal(70))
    assert JournalEntry.objects.filter(source_type="ib.payout").count() == 1
    # and the key stands for nothing else
    with pytest.raises(IdempotencyMismatch):
        world.pay(amount=Decimal(5))


def test_what_may_not_be_paid_moves_nothing(world: PaidWorld) -> None:
    def refused(error: type[Exception], key: str, **more: Any) -> None:
        with pytest.raises(error):
            world.pay(key, **more)
        assert world.left() == (Decimal(70), Decimal(0))

    refused(InvalidInput, "part", amount=Decimal(30))
    stranger = staff(Role.FINANCE, entities=[], user_id=7)
    with pytest.raises(NotFound):
        pay_statement(statement_id=world.statement.pk, actor=stranger, idempotency_key="s")
    with pytest.raises(Denied):
        auditor = staff(Role.AUDITOR, entities=[world.broker.entity], user_id=8)
        pay_statement(statement_id=world.statement.pk, actor=auditor, idempotency_key="s")
    set_partner_status(partner_id=world.partner.pk, status="suspended", actor=SYSTEM, reason="looked into")
    refused(Conflict, "suspended")
    set_partner_status(partner_id=world.partner.pk, status="active", actor=SYSTEM, reason="cleared")
    stop(switch=Switch.PAYOUTS, actor=SYSTEM, reason="test", entity_id=world.broker.entity.pk)
    refused(SwitchedOff, "stopped")
    assert not Payout.objects.exists()


def test_a_statement_on_hold_waits() -> None:
    held = PaidWorld(hold_days=3)
    with pytest.raises(Conflict, match="on hold"):
        held.pay()
    with time_machine.travel(clock.now() + timedelta(days=4)):
        assert list(payable_now(CommissionStatement.objects.all())) == [held.statement]
        assert held.pay().state == "paid"


def test_in_parts_where_the_terms_allow_it_and_never_too_much() -> None:
    world = PaidWorld(allows_partial=True)
    world.pay("a", amount=Decimal("30.25"))
    for wrong in ("39.76", "0", "-1", "1.005"):
        with pytest.raises(InvalidInput):
            world.pay("b", amount=Decimal(wrong))
    assert world.pay("c").amount == Decimal("39.75")
    # the database itself refuses what is too much
    with pytest.raises(IntegrityError, match="more than it made payable"), transaction.atomic():
        Payout.objects.create(
            statement=world.statement,
            partner=world.partner,
            number=9,
            kind="wallet",
            amount=Decimal("0.01"),
            currency="USD",
            idempotency_key="d",
            requested_by="x",
        )


def test_what_is_disputed_of_an_approved_statement_is_not_paid_until_it_is_decided(world: PaidWorld) -> None:
    def hold(reference: str, amount: str) -> None:
        hold_line(
            partner_id=world.partner.pk, line_reference=reference, booked_day=world.statement.from_day,
            amount=Decimal(amount), reason="disputed", actor=SYSTEM,
        )  # fmt: skip

    def ready() -> list[Decimal]:
        return [item.ready for item in payable_now(CommissionStatement.objects.filter(pk=world.statement.pk))]

    hold("1-1-0-20260302", "25")
    assert ready() == [Decimal(45)]
    assert world.pay().amount == Decimal(45)
    # then the rest waits for the decision, and is paid after it
    assert ready() == []
    with pytest.raises(Conflict) as refused:
        world.pay("again")
    assert refused.value.code == "statement_disputed"
    release_line(line_reference="1-1-0-20260302", actor=SYSTEM)
    assert ready() == [Decimal(25)]
    assert world.pay("rest").amount == Decimal(25)
    # and what was paid is not asked back by a hold
    hold("1-2-0-20260302", "10")
    with pytest.raises(Conflict) as refused:
        world.pay("more")
    assert (refused.value.code, ready()) == ("nothing_left", [])


def test_one_that_cannot_be_paid_keeps_no_other_waiting(world: PaidWorld) -> None:
    other = PaidWorld()
    set_partner_status(partner_id=world.partner.pk, status="suspended", actor=SYSTEM, reason="looked into")
    both = staff(Role.FINANCE, entities=[world.broker.entity, other.broker.entity], user_id=5)
    ids = [world.statement.pk, other.statement.pk]
    result = pay_statements(statement_ids=ids, actor=both, idempotency_key="bulk")
    assert [payout.statement_id for payout in result.made] == [other.statement.pk]
    assert list(result.problems.values()) == [f"{Partner.objects.get(pk=world.partner.pk)} is suspended."]
    again = pay_statements(statement_ids=ids, actor=both, idempotency_key="bulk")
    assert [payout.pk for payout in again.made] == [result.made[0].pk]


def test_a_new_way_to_be_paid_cools_and_is_confirmed_by_another_person(world: PaidWorld) -> None:
    bank = BankDetails(holder="Alpha", bank_name="Bank", account_number=IBAN)
    first = request_payout_method(partner_id=world.partner.pk, kind="bank", bank=bank, actor=world.one)
    method = request_payout_method(partner_id=world.partner.pk, kind="bank", bank=bank, actor=world.one)
    first.refresh_from_db()
    assert (first.state, WorkItem.objects.filter(kind="ib.payout_method_waits").exclude(state="closed").count()) == (
        "withdrawn",
        1,
    )
    with pytest.raises(Denied, match="asked for it"):
        confirm_payout_method(method_id=method.pk, actor=world.one, reason="me")
    confirm_payout_method(method_id=method.pk, actor=world.two, reason="Called back.")
    assert method_in_force(world.partner.pk) is None
    with time_machine.travel(clock.now() + timedelta(hours=47, minutes=59)):
        assert method_in_force(world.partner.pk) is None
    with time_machine.travel(clock.now() + timedelta(hours=48, minutes=1)):
        assert method_in_force(world.partner.pk) == method
    # the number is sealed
    raw = PayoutMethod.objects.filter(pk=method.pk).values_list("account_number", flat=True).get()
    assert "0532" not in str(raw) and method.number_tail == "3000"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"kind": "cash"}, "kind"),
        ({"kind": "trading_account", "account_id": 0}, "account"),
        ({"kind": "bank"}, "account_number"),
        ({"kind": "bank", "bank": BankDetails("A", "B", "DE89370400440532013001")}, "account_number"),
        ({"kind": "bank", "bank": BankDetails("", "B", IBAN)}, "holder"),
        ({"kind": "bank", "bank": BankDetails("A", " ", IBAN)}, "bank_name"),
        ({"kind": "bank", "bank": BankDetails("A", "B", IBAN, bic="X")}, "bic"),
    ],
)
def test_a_way_that_cannot_be_is_refused_with_its_field(more: dict[str, Any], field: str) -> None:
    world = World()
    with pytest.raises(InvalidInput) as refusal:
        request_payout_method(partner_id=world.partner.pk, actor=SYSTEM, **more)
    assert refusal.value.details["field"] == field


def test_only_an_own_trading_account_and_the_old_way_stays_when_refused(world: PaidWorld) -> None:
    world.own_account()
    for account in (make_account(world.broker.server), make_account(world.broker.server, currency="EUR")):
        with pytest.raises(InvalidInput, match="own"):
            request_payout_method(
                partner_id=world.partner.pk, kind="trading_account", account_id=account.pk, actor=world.one
            )
    method = request_payout_method(partner_id=world.partner.pk, kind="wallet", actor=world.one)
    refuse_payout_method(method_id=method.pk, actor=world.two, reason="not them")
    assert method_in_force(world.partner.pk) is None


@pytest.mark.parametrize(
    ("attempts", "state", "expected", "left"),
    [
        (1, "done", "paid", (Decimal(0), Decimal(0))),
        (1, "found", "paid", (Decimal(0), Decimal(0))),
        (1, "refused", "failed", (Decimal(70), Decimal(0))),
        (0, "cancelled", "failed", (Decimal(70), Decimal(0))),
        (1, "cancelled", "under_way", (Decimal(70), Decimal(70))),
        (1, "uncertain", "under_way", (Decimal(70), Decimal(70))),
    ],
)
def test_to_a_trading_account_by_one_operation(
    world: PaidWorld, attempts: int, state: str, expected: str, left: tuple[Decimal, Decimal]
) -> None:
    # given a payout to the partner's own account: held, and written down for the server
    world.use("trading_account", account_id=world.own_account().pk)
    payout = world.pay()
    assert world.left() == (Decimal(70), Decimal(70))
    operation = ServerOperation.objects.get()
    assert (payout.operation_id, operation.amount, operation.state) == (operation.pk, Decimal(70), "requested")
    # when the server made something of it, then the books follow that once
    now = clock.now()
    sent = {"attempts": attempts, "first_sent_at": now, "sent_at": now} if attempts else {}
    over = {} if state == "uncertain" else {"finished_at": now}
    ticket = {"deal_ticket": 4711} if state in {"done", "found"} else {}
    ServerOperation.objects.update(state=state, **sent, **over, **ticket)
    follow_payouts()
    follow_payouts()
    payout.refresh_from_db()
    assert (payout.state, world.left()) == (expected, left)
    assert ServerOperation.objects.count() == 1
    if state == "cancelled" and attempts:
        # it was sent: a person makes sure that nothing arrived before the money is free again
        assert WorkItem.objects.filter(kind="ib.payout_waits").count() == 1
        give_up_payout(payout_id=payout.pk, reason="Nothing at the server.", actor=world.two)
        assert world.left() == (Decimal(70), Decimal(0))
    elif state == "uncertain":
        with pytest.raises(IllegalTransition):
            give_up_payout(payout_id=payout.pk, reason="impatient", actor=world.two)
    if expected == "failed":
        assert world.pay("again").number == 2


def test_a_bank_is_paid_by_a_file_that_a_second_person_settles(world: PaidWorld) -> None:
    world.use_bank()
    account = world.bank_account()
    payout = world.pay()
    with pytest.raises(IllegalTransition):
        mark_payment_paid(payout_id=payout.pk, bank_reference="B-1", value_date=clock.now().date(), actor=world.two)
    made = world.export(account)
    with pytest.raises(Conflict, match="No payment waits"):
        world.export(account)
    # the file says who pays whom, and stays what it is
    name, data = read_payment_file(file_id=made.pk, file_format="xml", actor=world.one)
    root = Xml.fromstring(data)
    found = {tag: root.find(f".//{{{NAMESPACE}}}{tag}") for tag in ("CtrlSum", "InstdAmt", "EndToEndId", "IBAN")}
    assert {tag: item.text for tag, item in found.items() if item is not None} == {
        "CtrlSum": "70.00",
        "InstdAmt": "70.00",
        "EndToEndId": f"{world.partner.reference}-1-1",
        "IBAN": "CY17002001280000001200527600",
    }
    assert b"<Nm>Alpha Partners</Nm>" in data and b"DE89370400440532013000" in data
    assert (name, made.payments, made.total) == (f"{made.reference}.xml", 1, Decimal(70))
    assert world.left() == (Decimal(70), Decimal(70))
    # who exported it does not mark it paid; the second person does, once
    today = clock.now().date()
    with pytest.raises(Denied, match="exported"):
        mark_file_paid(file_id=made.pk, bank_reference="B-1", value_date=today, actor=world.one)
    with pytest.raises(InvalidInput):
        mark_file_paid(file_id=made.pk, bank_reference=" ", value_date=today, actor=world.two)
    for _ in range(2):
        mark_file_paid(file_id=made.pk, bank_reference="B-1", value_date=today, actor=world.two)
    payout.refresh_from_db()
    assert (payout.state, payout.bank_reference, world.left()) == ("paid", "B-1", (Decimal(0), Decimal(0)))
    # when the bank sends it back, it is payable again, by another payout
    for _ in range(2):
        return_payment(payout_id=payout.pk, reason="Account closed", actor=world.two)
    assert world.left() == (Decimal(70), Decimal(0))
    assert world.pay("again").number == 2
    assert JournalEntry.objects.filter(source_type="ib.payout").count() == 2
    # and other systems heard of both, once each
    for topic in ("ib.payout_paid", "ib.payout_returned"):
        (heard,) = told(topic)
        assert (heard["payout"], heard["amount"], heard["partner"]) == (
            payout.pk,
            "70.00000000",
            world.partner.reference,
        )


def test_a_suspended_partner_is_in_no_file(world: PaidWorld) -> None:
    world.use_bank()
    payout = world.pay()
    set_partner_status(partner_id=world.partner.pk, status="suspended", actor=SYSTEM, reason="looked into")
    with pytest.raises(Conflict, match="No payment waits"):
        world.export()
    give_up_payout(payout_id=payout.pk, reason="suspended", actor=world.one)
    assert world.left() == (Decimal(70), Decimal(0))


def test_papers_are_numbered_kept_and_taken_back(world: PaidWorld) -> None:
    since = world.statement.from_day
    entry = terms.TaxEntry("Alpha Media Ltd", "1 Harbour Road\nLimassol", "CY", since, "CY10000000X", since)
    tax_data = terms.enter_tax_data(partner_id=world.partner.pk, entry=entry, actor=SYSTEM)
    terms.confirm_tax_data(tax_data_id=tax_data.pk, vat_percent=Decimal(19), reason="VIES", actor=world.two)
    world.use_bank()
    payout = world.pay()
    made = world.export()
    assert issue_papers() == 0
    mark_file_paid(file_id=made.pk, bank_reference="B-1", value_date=clock.now().date(), actor=world.two)
    # when it is paid, then there is one invoice, whose bytes stay
    assert (issue_papers(), issue_papers()) == (1, 0)
    invoice = StatementPaper.objects.get()
    assert (invoice.kind, invoice.number.number) == ("invoice", 1)
    assert (invoice.body["net"], invoice.body["tax"], invoice.body["total"]) == ("58.82", "11.18", "70.00")
    paper, data = read_paper(paper_id=invoice.pk, actor=world.one)
    assert data.startswith(b"%PDF") and paper.digest
    # and it prints what was confirmed
    printed = " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(data)).pages).split())
    for text in (
        invoice.reference,
        "Alpha Media Ltd",
        "1 Harbour Road",
        "CY10000000X",
        "19",
        "58.82",
        "11.18",
        "70.00",
    ):
        assert text in printed
    # when the payment comes back, a credit note takes it back, once
    return_payment(payout_id=payout.pk, reason="Account closed", actor=world.two)
    assert (issue_papers(), issue_papers()) == (1, 0)
    note = StatementPaper.objects.get(kind="credit_note")
    assert (note.refers_to_id, note.body["takes_back"], note.body["why"]) == (
        invoice.pk,
        invoice.reference,
        "Account closed",
    )
    with pytest.raises(Exception, match="stays as it is"), transaction.atomic():
        StatementPaper.objects.filter(pk=invoice.pk).update(body={})
    # without tax data the next paper is a commission statement
    PartnerTaxData.objects.filter(pk=tax_data.pk).update(validity=DateRange(date(2020, 1, 1), date(2020, 1, 2)))
    PayoutMethod.objects.all().update(state="refused")
    world.pay("again")
    assert issue_papers() == 1
    assert StatementPaper.objects.latest("pk").kind == "commission_statement"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Müller & Söhne", "Muller   Sohne"), ("=SUM(A1)", "SUM(A1)"), ("株式会社", ""), ("a" * 200, "a" * 140)],
)
def test_text_for_a_bank(text: str, expected: str) -> None:
    assert bank_text(text) == expected


def test_the_desk_and_the_portal_show_and_act(world: PaidWorld) -> None:
    # given a payout under way to a bank, and two people at the desk
    browsers = []
    for name in ("one", "two"):
        browser = Browser()
        user = make_user(f"{name}@finance.test", Role.FINANCE, entities=(world.broker.entity,))
        log_in(browser, user)
        browsers.append(browser)
    one, two = browsers
    login = make_user("partner@alpha.test", Role.IB)
    link_partner_login(partner_id=world.partner.pk, user_id=login.pk, actor=SYSTEM)
    own = Browser()
    log_in(own, login)
    world.bank_account()
    # the partner asks for a bank account; a number that is none names its field
    method = reverse("portal:ib_payout_method")
    given = {"kind": "bank", "holder": "Alpha", "bank_name": "Bank", "account_number": "DE00"}
    assert b"This is no valid IBAN." in own.post(method, given).content
    assert own.post(method, {**given, "account_number": IBAN}).status_code == 302
    asked = PayoutMethod.objects.get()
    assert b"Waits to be confirmed" in own.get(method).content
    confirm = reverse("admin:ib_payoutmethod_confirm", args=[asked.pk])
    act(one, confirm, reason="Called back.")
    PayoutMethod.objects.update(requested_at=clock.now() - timedelta(days=3), cools_until=clock.now())
    # one person pays what is due and makes the file, the other one settles it
    act(one, reverse("admin:ib_payout_pay-due"), entity=world.broker.entity.pk)
    payout = Payout.objects.get()
    account = EntityBankAccount.objects.get()
    act(one, reverse("admin:ib_paymentfile_make"), bank_account=account.pk, execution_day=clock.now().date())
    made = PaymentFile.objects.get()
    assert one.get(reverse("admin:ib_payment_file_download", args=[made.pk, "csv"])).content.startswith(b"payment,name")
    settle = reverse("admin:ib_paymentfile_mark-paid", args=[made.pk])
    act(two, settle, bank_reference="B-1", value_date=clock.now().date())
    payout.refresh_from_db()
    assert payout.state == "paid"
    issue_papers()
    # every page opens, and nobody reads the number
    pages = [
        reverse(f"admin:ib_{name}_changelist")
        for name in ("payout", "paymentfile", "payoutmethod", "commissionstatement")
    ]
    pages += [
        reverse("admin:ib_payout_change", args=[payout.pk]),
        reverse("admin:ib_paymentfile_change", args=[made.pk]),
        reverse("admin:ib_payoutmethod_change", args=[asked.pk]),
        reverse("admin:ib_commissionstatement_change", args=[world.statement.pk]),
        reverse("admin:ib_partner_change", args=[world.partner.pk]),
    ]
    for page in pages:
        answer = one.get(page)
        assert answer.status_code == 200, page
        assert b"0532 0130" not in answer.content and b"05320130" not in answer.content, page
    paper = StatementPaper.objects.get()
    shown = own.get(reverse("portal:ib_statement", args=[1])).content.decode()
    assert paper.reference in shown and "Bank account" in shown
    assert own.get(reverse("portal:ib_statement_paper", args=[paper.public_id])).content.startswith(b"%PDF")
    assert own.get(reverse("portal:ib_payouts")).status_code == 200
    assert b"B-1" in own.get(reverse("portal:ib_payouts") + "?export=csv").getvalue()
    # another partner sees none of it
    other = world.broker.partner()
    stranger = make_user("partner@beta.test", Role.IB)
    link_partner_login(partner_id=other.pk, user_id=stranger.pk, actor=SYSTEM)
    foreign = Browser()
    log_in(foreign, stranger)
    assert foreign.get(reverse("portal:ib_statement_paper", args=[paper.public_id])).status_code == 404
    assert paper.reference.encode() not in foreign.get(reverse("portal:ib_payouts")).content


def act(browser: Browser, url: str, **data: Any) -> None:
    """Fills an act's form in, and confirms the summary."""
    shown = browser.post(url, data)
    assert "Please confirm" in shown.content.decode(), shown.content[-3000:]
    key = re.findall(r'name="idempotency_key" value="([^"]+)"', shown.content.decode())
    done = browser.post(url, {**data, "confirmed": "yes", "idempotency_key": key[0]})
    assert done.status_code == 302, done.content[:2000]


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [("70.00000000", "USD", "70.00"), ("1500", "JPY", "1500"), ("3.2", "BHD", "3.200"), ("0.12345", "USD", "0.12345")],
)
def test_amounts_for_a_bank_have_the_currencys_decimals_and_are_never_rounded(
    amount: str, currency: str, expected: str
) -> None:
    assert bank_amount(Decimal(amount), currency) == expected
