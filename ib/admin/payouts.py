"""Payouts at the desk: what may be paid now, what is under way, files for the bank, and where partners want to be paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import EntityBankAccount, LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed_column,
    link_column,
    moment_column,
    money_column,
    money_html,
    number_column,
    object_link,
    state_column,
)
from backoffice.ui.dashboards import Card
from backoffice.ui.formats import format_amount, format_day
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from ib.admin.forms import day_field
from ib.admin.tables import table
from ib.models import CommissionStatement, Partner, PaymentFile, Payout, PayoutMethod, StatementPaper
from ib.models.payouts import PayoutKind
from ib.permissions import CONFIRM_METHODS, EXPORT_PAYMENTS, MAKE_PAYOUTS, READ_PAPERS, VIEW_PAYOUTS
from ib.services import payment_files, payout_methods, payouts, statement_papers
from platform_ops.rules.operations import OperationState

TONES = {"Under way": "warn", "Paid": "good", "Not paid": "bad", "Returned": "bad"}
METHOD_TONES = {
    "Waits to be confirmed": "warn",
    "Confirmed, cools": "warn",
    "Confirmed": "good",
    "Refused": "bad",
    "Replaced before it was confirmed": "quiet",
}
PANEL_ROWS = 20
SHOWN_IN_SUMMARY = 6
CONTENT_TYPES = {"xml": "application/xml", "csv": "text/csv; charset=utf-8"}


# Paying


class PayStatement(DeskActionView):
    """Pays what is left of one statement, or a part of it."""

    slug, title, button, capability = "pay", "Pay", "Pay", MAKE_PAYOUTS

    @classmethod
    def is_offered(cls, target: CommissionStatement, actor: Actor) -> bool:
        """While something is left that may be paid."""
        return payouts.payable_now(CommissionStatement.objects.filter(pk=target.pk)).exists()

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """An amount only where the terms allow parts."""
        form = PayForm(data)
        if not self.target.terms.allows_partial:
            del form.fields["amount"]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How much, and where it goes."""
        statement = payouts.payable_now(CommissionStatement.objects.filter(pk=self.target.pk)).first()
        if statement is None:
            raise Conflict("It is not approved, on hold, its partner suspended, or everything is paid.")
        amount = data.get("amount") or statement.ready
        method = payout_methods.method_in_force(self.target.partner_id)
        return [
            ("Partner", str(self.target.partner)),
            ("Days", f"{self.target.from_day} to {self.target.to_day}"),
            ("Amount", format_amount(amount, self.target.currency)),
            ("To", str(method) if method is not None else PayoutKind.WALLET.label),
            ("What happens", _what_happens(method.kind if method is not None else PayoutKind.WALLET.value)),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Once for the form's key."""
        return payouts.pay_statement(
            statement_id=self.target.pk, amount=data.get("amount"), actor=actor, idempotency_key=idempotency_key
        )

    def success_text(self, result: Payout) -> str:
        """Whether it arrived."""
        amount = format_amount(result.amount, result.currency)
        return f"{amount}: {result.get_state_display().lower()}, {result.get_kind_display().lower()}."


class PayForm(forms.Form):
    """A part of what is left."""

    amount = forms.DecimalField(
        required=False,
        min_value=Decimal(0),
        max_digits=24,
        decimal_places=8,
        help_text="Empty: everything that is left.",
    )


def _what_happens(kind: str) -> str:
    return {
        PayoutKind.WALLET.value: "The money is in the partner's wallet at once.",
        PayoutKind.TRADING_ACCOUNT.value: "The money is held until the server has credited it.",
        PayoutKind.BANK.value: "The money is held; the payment waits for the next payment file.",
    }[kind]


class WhichStatementsForm(forms.Form):
    """Which statements."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    currency = forms.CharField(max_length=5, required=False, help_text="Empty: every currency.")
    most = forms.DecimalField(
        label="Only those up to", required=False, min_value=Decimal(0), max_digits=24, decimal_places=8
    )
    as_of = forms.DateTimeField(widget=forms.HiddenInput, required=False)


class PayDue(DeskActionView):
    """Pays every statement that may be paid, after a summary."""

    slug, title, button, capability = "pay-due", "Pay what is due", "Pay what is due", MAKE_PAYOUTS
    explanation = "Each statement is paid by itself, to where its partner wants it. One that cannot be paid waits."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the actor's legal entities."""
        entities = visible_to(LegalEntity.objects.all(), actor)
        form = WhichStatementsForm(data, initial={"as_of": clock.now(), "entity": entities.first()})
        form.fields["entity"].queryset = entities  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many, how much by currency, to whom."""
        due = _due(actor, data)
        if not due.exists():
            raise Conflict("No statement may be paid now: none is approved, past its hold and unpaid.")
        sums = due.order_by().values("currency").annotate(sum=Sum("ready"), count=Count("pk")).order_by("currency")
        first = due.select_related("partner").order_by("-ready", "pk")[:SHOWN_IN_SUMMARY]
        return [
            ("Statements", str(min(due.count(), payouts.MOST_AT_ONCE))),
            *((f"In {row['currency']}", format_amount(row["sum"], row["currency"])) for row in sums),
            *((f"{item.partner}", format_amount(item.ready, item.currency)) for item in first),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Those of the summary; what was approved since is not among them."""
        ids = list(_due(actor, data).order_by("pk").values_list("pk", flat=True)[: payouts.MOST_AT_ONCE])
        return payouts.pay_statements(statement_ids=ids, actor=actor, idempotency_key=idempotency_key)

    def success_text(self, result: payouts.BulkPayout) -> str:
        """How many, and whom it could not pay."""
        text = f"{len(result.made)} paid or under way."
        if not result.problems:
            return text
        return f"{text} {len(result.problems)} wait: {next(iter(result.problems.values()))}"


def _due(actor: Actor, data: Mapping[str, Any]) -> QuerySet[Any]:
    statements = visible_to(CommissionStatement.objects.filter(partner__entity=data["entity"]), actor)
    due = payouts.payable_now(statements)
    if data.get("as_of"):
        due = due.filter(approved_at__lte=data["as_of"])
    if data.get("currency"):
        due = due.filter(currency=data["currency"].strip().upper())
    if data.get("most") is not None:
        due = due.filter(ready__lte=data["most"])
    return due


class GiveUpPayout(DeskActionView):
    """Ends a payment that did not leave the house."""

    slug, title, button, capability, tone = "give-up", "Give up", "Give up", MAKE_PAYOUTS, "danger"
    form_class = ReasonForm
    explanation = "The money is payable again. Only for a payment that did not leave the house."
    success_message = "Given up; the money is payable again."

    @classmethod
    def is_offered(cls, target: Payout, actor: Actor) -> bool:
        """While it is under way and the server will not carry it out."""
        if target.state != Payout.State.UNDER_WAY:
            return False
        return target.operation is None or target.operation.state == OperationState.CANCELLED.value

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which, and why."""
        return [*_about(self.target), ("What happens", self.explanation), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return payouts.give_up_payout(payout_id=self.target.pk, reason=data["reason"], actor=actor)


class ReturnPayment(GiveUpPayout):
    """Books a payment that the bank sent back."""

    slug, title, button, capability = "return", "The bank sent it back", "The bank sent it back", EXPORT_PAYMENTS
    explanation = "The money is back at the bank account, and payable again."
    success_message = "Booked; the money is payable again."

    @classmethod
    def is_offered(cls, target: Payout, actor: Actor) -> bool:
        """After the bank paid it."""
        return target.state == Payout.State.PAID and target.kind == PayoutKind.BANK

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it back."""
        return payment_files.return_payment(payout_id=self.target.pk, reason=data["reason"], actor=actor)


class BankSaidForm(forms.Form):
    """What the bank's statement says."""

    bank_reference = forms.CharField(max_length=100, label="The bank's reference")
    value_date = day_field("Value date")


class MarkPaid(DeskActionView):
    """Says that the bank made one payment."""

    slug, title, button, capability = "mark-paid", "The bank paid it", "The bank paid it", EXPORT_PAYMENTS
    form_class = BankSaidForm
    success_message = "Booked as paid."

    @classmethod
    def is_offered(cls, target: Payout, actor: Actor) -> bool:
        """Once it is in a file, to another person than who exported that."""
        in_file = target.state == Payout.State.UNDER_WAY and target.file is not None
        return in_file and target.file.exported_by_id != actor.user_id  # type: ignore[union-attr]

    def initial(self, actor: Actor) -> dict[str, Any]:
        """Today."""
        return {"value_date": clock.now().date()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which payment, and what the bank said."""
        return [
            *_about(self.target),
            ("The bank's reference", data["bank_reference"]),
            ("Value date", format_day(data["value_date"])),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it."""
        return payment_files.mark_payment_paid(payout_id=self.target.pk, actor=actor, **data)


class MarkFilePaid(MarkPaid):
    """Says that the bank made every payment of a file."""

    title, button = "The bank paid them all", "The bank paid them all"

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While one is under way, to another person than who exported it."""
        waits = target.payouts.filter(state=Payout.State.UNDER_WAY).exists()
        return bool(waits and target.exported_by_id != actor.user_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many and how much."""
        waiting = self.target.payouts.filter(state=Payout.State.UNDER_WAY)
        found = waiting.aggregate(count=Count("pk"), sum=Sum("amount"))
        return [
            ("File", self.target.reference),
            ("Payments", str(found["count"])),
            ("Amount", format_amount(found["sum"] or Decimal(0), self.target.currency)),
            ("The bank's reference", data["bank_reference"]),
            ("Value date", format_day(data["value_date"])),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books them."""
        return payment_files.mark_file_paid(file_id=self.target.pk, actor=actor, **data)


def _about(payout: Payout) -> list[tuple[str, str]]:
    return [
        ("Partner", str(payout.partner)),
        ("Amount", format_amount(payout.amount, payout.currency)),
        ("To", payout.get_kind_display()),
    ]


@admin.register(Payout)
class PayoutAdmin(DeskModelAdmin):
    """What was paid of statements, and what is under way."""

    view_capability = VIEW_PAYOUTS
    list_display = (
        "partner_shown",
        "statement_shown",
        "amount_shown",
        "state_shown",
        "to_shown",
        "by_shown",
        "requested_shown",
        "paid_shown",
        "problem",
    )
    exclude = ("idempotency_key", "requested_by_id", "paid_by_id", "hold")
    list_select_related = ("partner", "statement__partner", "file", "operation")
    list_filter = ("state", "kind", "currency", "partner__entity", "requested_at")
    search_fields = ("partner__reference", "partner__name", "bank_reference", "operation__reference", "file__reference")
    object_actions = (MarkPaid, ReturnPayment, GiveUpPayout)
    list_actions = (PayDue,)
    empty_text = "Nothing was paid yet. Approve statements, then pay what is due."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    statement_shown = computed_column(
        lambda item: object_link(item.statement, f"{item.statement.from_day} to {item.statement.to_day}"),
        title="Statement",
        order="statement__to_day",
    )
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")
    state_shown = state_column(lambda item: item.get_state_display(), title="State", tones=TONES, order="state")
    to_shown = computed_column(
        lambda item: format_html('<span class="bo-time">{}</span>', item.get_kind_display()), title="To", order="kind"
    )
    by_shown = computed_column(
        lambda item: (
            object_link(item.file) if item.file is not None else object_link(item.operation) if item.operation else ""
        ),
        title="File or operation",
    )
    requested_shown = moment_column("requested_at", title="Asked for", order="requested_at")
    paid_shown = moment_column("paid_at", title="Paid", order="paid_at")


# Files for the bank


class ExportForm(forms.Form):
    """From which account, and when."""

    bank_account: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="From bank account")
    execution_day = day_field("Day of execution")


class ExportPayments(DeskActionView):
    """Puts what waits into a file."""

    slug, title, button, capability = "make", "New payment file", "New payment file", EXPORT_PAYMENTS
    explanation = (
        "Every payment that waits in the account's currency goes into one file; another person says when it is paid."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the house's own accounts."""
        ids = [account.pk for account in payment_files.own_money_accounts(actor)]
        form = ExportForm(data, initial={"execution_day": clock.now().date()})
        field: Any = form.fields["bank_account"]
        field.queryset = EntityBankAccount.objects.filter(pk__in=ids).select_related("entity")
        field.label_from_instance = lambda item: f"{item.entity}: {item.name}, {item.currency} {item.masked_number}"
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many and how much."""
        waiting = payment_files.waiting_payments(data["bank_account"])
        found = waiting.order_by().aggregate(count=Count("pk"), sum=Sum("amount"))
        if not found["count"]:
            raise Conflict("No payment waits for this account.", code="nothing_waits", field="bank_account")
        return [
            ("From", f"{data['bank_account'].name} {data['bank_account'].masked_number}"),
            ("Payments", str(found["count"])),
            ("Amount", format_amount(found["sum"], data["bank_account"].currency)),
            ("Day of execution", format_day(data["execution_day"])),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Exports."""
        return payment_files.export_payments(
            bank_account_id=data["bank_account"].pk, execution_day=data["execution_day"], actor=actor
        )

    def success_text(self, result: PaymentFile) -> str:
        """Its number."""
        return f"{result.reference}: {result.payments} payments. Take the file below and hand it to the bank."

    def success_url(self, result: PaymentFile) -> str:
        """The file."""
        return reverse("admin:ib_paymentfile_change", args=[result.pk])


@admin.register(PaymentFile)
class PaymentFileAdmin(DeskModelAdmin):
    """Files for a bank: exported once, paid when a second person says so."""

    view_capability = VIEW_PAYOUTS
    list_display = (
        "reference",
        "entity",
        "account_shown",
        "payments_shown",
        "total_shown",
        "state_shown",
        "execution_shown",
        "exported_by",
        "exported_shown",
    )
    list_select_related = ("entity", "bank_account")
    list_filter = ("entity", "currency", "exported_at")
    search_fields = ("reference", "payouts__bank_reference")
    exclude = ("xml", "csv", "number", "exported_by_id")
    object_actions = (MarkFilePaid,)
    list_actions = (ExportPayments,)
    empty_text = "No payment file yet. Pay statements of partners with a bank account, then make the first file."

    account_shown = computed_column(
        lambda item: f"{item.bank_account.name} {item.bank_account.masked_number}", title="From"
    )
    payments_shown = number_column("payments", title="Payments", digits=0, order="payments")
    total_shown = money_column("total", currency="currency", title="Total", order="total")
    state_shown = state_column(
        lambda item: "Under way" if item.waiting else "Settled",
        title="State",
        tones={"Under way": "warn", "Settled": "good"},
    )
    execution_shown = moment_column("execution_day", title="Day of execution", order="execution_day")
    exported_shown = moment_column("exported_at", title="Exported", order="exported_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With how many of its payments wait."""
        return (
            super()
            .get_queryset(request)
            .defer("xml", "csv")
            .annotate(waiting=Count("payouts", filter=Q(payouts__state=Payout.State.UNDER_WAY)))
        )


@register_desk_page
class PaymentFileDownload(DeskPage):
    """An exported file, as it was."""

    desk, slug, title, capability = "ib", "payment_file_download", "Payment file", EXPORT_PAYMENTS
    route = "payment-files/<int:file_id>/<str:file_format>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bytes."""
        name, data = payment_files.read_payment_file(
            file_id=self.kwargs["file_id"], file_format=self.kwargs["file_format"], actor=self.actor
        )
        return attachment(name, data, CONTENT_TYPES[self.kwargs["file_format"]])


@register_desk_page
class StatementPaperDownload(DeskPage):
    """A paper about a paid statement, as it was issued."""

    desk, slug, title, capability = "ib", "statement_paper_download", "Paper", READ_PAPERS
    route = "statement-papers/<int:paper_id>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bytes."""
        return paper_response(self.kwargs["paper_id"], self.actor)


def paper_response(paper_id: int, actor: Actor) -> HttpResponse:
    """The PDF of a paper, to be kept."""
    paper, data = statement_papers.read_paper(paper_id=paper_id, actor=actor)
    return attachment(f"{paper.reference}.pdf", data, "application/pdf")


def attachment(name: str, data: bytes, content_type: str) -> HttpResponse:
    """A file to be kept, never shown in the page's own place."""
    response = HttpResponse(data, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


# Ways to be paid


class ConfirmMethod(DeskActionView):
    """Lets a way to be paid come into force."""

    slug, title, button, capability = "confirm", "Confirm", "Confirm", CONFIRM_METHODS
    form_class = ReasonForm
    explanation = (
        "Make sure with the partner by a way that you knew before. It is used when it has cooled, not earlier."
    )
    success_message = "Confirmed."

    @classmethod
    def is_offered(cls, target: PayoutMethod, actor: Actor) -> bool:
        """While it waits, not to who asked for it."""
        waits = target.state == PayoutMethod.State.REQUESTED
        return waits and (target.requested_by_id is None or target.requested_by_id != actor.user_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, where, and from when."""
        method: PayoutMethod = self.target
        return [
            ("Partner", str(method.partner)),
            ("To", str(method)),
            *([("Holder", method.holder), ("Bank", method.bank_name)] if method.kind == PayoutKind.BANK else []),
            ("Used from", f"{method.cools_until:%Y-%m-%d %H:%M} UTC at the earliest"),
            ("What happens", self.explanation),
            ("How you made sure", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Confirms."""
        return payout_methods.confirm_payout_method(method_id=self.target.pk, reason=data["reason"], actor=actor)


class RefuseMethod(ConfirmMethod):
    """Turns a way to be paid down."""

    slug, title, button, tone = "refuse", "Refuse", "Refuse", "danger"
    explanation = "What was in force stays."
    success_message = "Refused."

    @classmethod
    def is_offered(cls, target: PayoutMethod, actor: Actor) -> bool:
        """While it waits."""
        return target.state == PayoutMethod.State.REQUESTED

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refuses."""
        return payout_methods.refuse_payout_method(method_id=self.target.pk, reason=data["reason"], actor=actor)


def method_state(method: PayoutMethod) -> str:
    """The state in words; one that is confirmed and not yet used says so."""
    if method.state == PayoutMethod.State.CONFIRMED and method.cools_until > clock.now():
        return "Confirmed, cools"
    return method.get_state_display()


@admin.register(PayoutMethod)
class PayoutMethodAdmin(DeskModelAdmin):
    """Where partners want to be paid."""

    view_capability = VIEW_PAYOUTS
    list_display = (
        "partner_shown",
        "where_shown",
        "state_shown",
        "holder_shown",
        "bank_name",
        "requested_shown",
        "cools_shown",
        "decided_by",
    )
    list_select_related = ("partner", "account__server")
    list_filter = ("state", "kind", "partner__entity")
    search_fields = ("partner__reference", "partner__name", "holder")
    exclude = ("account_number", "account_number_index", "requested_by_id", "decided_by_id")
    object_actions = (ConfirmMethod, RefuseMethod)
    empty_text = "Every partner is paid to the wallet: nobody asked for another way yet."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    where_shown = computed_column(
        lambda item: f"{item}: {item.account.login}" if item.account is not None else str(item),
        title="To",
        order="kind",
    )
    holder_shown = computed_column(
        lambda item: format_html('<span class="bo-time">{}</span>', item.holder), title="Holder", order="holder"
    )
    state_shown = state_column(method_state, title="State", tones=METHOD_TONES, order="state")
    requested_shown = moment_column("requested_at", title="Asked for", order="requested_at")
    cools_shown = moment_column("cools_until", title="Cools until", order="cools_until")


# Panels and card


def register_panels() -> None:
    """What stands on a statement's page, a partner's and a file's."""
    for label, key, title, render, order in (
        ("ib.CommissionStatement", "payouts", "Payouts", _of_statement, 20),
        ("ib.CommissionStatement", "papers", "Papers", _papers, 30),
        ("ib.Partner", "payouts", "Payouts", _of_partner, 36),
        ("ib.PaymentFile", "payments", "Payments", _of_file, 10),
    ):
        register_panel(label, key, title, render, order=order, capability=VIEW_PAYOUTS)


def _rows(found: QuerySet[Payout]) -> list[list[Any]]:
    return [
        [
            object_link(item, f"{item.partner.reference} {item.statement.number}-{item.number}"),
            item.get_kind_display(),
            item.get_state_display(),
            item.bank_reference or (item.operation.reference if item.operation is not None else ""),
            money_html(item.amount, item.currency),
        ]
        for item in found.select_related("partner", "statement", "operation").order_by("-pk")[:PANEL_ROWS]
    ]


HEADINGS = ["Payout", "To", "State", "Reference", "Amount"]


def _of_statement(statement: CommissionStatement, actor: Actor) -> SafeString:
    rows = _rows(visible_to(statement.payouts.all(), actor))
    now = payouts.with_left(CommissionStatement.objects.filter(pk=statement.pk)).get()
    disputed = (now.left or 0) - now.ready
    if now.left and (rows or disputed):
        rows.append(["Left to pay", "", "", "", money_html(now.left, statement.currency)])
    if disputed:
        rows.append(["Of it disputed", "", "Held", "", money_html(disputed, statement.currency)])
    return table(HEADINGS, rows, numeric_from=4, empty="Nothing was paid yet.")


def _of_partner(partner: Partner, actor: Actor) -> SafeString:
    method = payout_methods.method_in_force(partner.pk)
    where = str(method) if method is not None else PayoutKind.WALLET.label
    shown = table(
        HEADINGS, _rows(visible_to(partner.payouts.all(), actor)), numeric_from=4, empty="Nothing was paid yet."
    )
    return format_html("<p>Is paid to: {}</p>{}", where, shown)


def _of_file(file: PaymentFile, actor: Actor) -> SafeString:
    links = [
        (reverse("admin:ib_payment_file_download", args=[file.pk, file_format]), words)
        for file_format, words in (("xml", "pain.001 (XML)"), ("csv", "Table (CSV)"))
    ]
    return format_html(
        '<p><a class="bo-link" href="{}">{}</a> · <a class="bo-link" href="{}">{}</a></p>{}',
        *links[0],
        *links[1],
        table(HEADINGS, _rows(visible_to(file.payouts.all(), actor)), numeric_from=4),
    )


def _papers(statement: CommissionStatement, actor: Actor) -> SafeString:
    found = visible_to(StatementPaper.objects.filter(statement=statement), actor).order_by("pk")
    rows = [
        [
            format_html(
                '<a class="bo-link" href="{}">{}</a>',
                reverse("admin:ib_statement_paper_download", args=[paper.pk]),
                paper.reference,
            ),
            paper.get_kind_display(),
            format_day(paper.issued_at.date()),
        ]
        for paper in found
    ]
    return table(["Paper", "Kind", "Issued"], rows, empty="A paper is made when the statement is paid in full.")


def payouts_card(actor: Actor) -> Card | None:
    """What may be paid now, and what is under way."""
    due = payouts.payable_now(visible_to(CommissionStatement.objects.all(), actor))
    sums = list(due.order_by().values("currency").annotate(sum=Sum("ready"), count=Count("pk")).order_by("-count"))
    under_way = visible_to(Payout.objects.filter(state=Payout.State.UNDER_WAY), actor).count()
    methods = visible_to(PayoutMethod.objects.filter(state=PayoutMethod.State.REQUESTED), actor).count()
    if not (sums or under_way or methods):
        return None
    count = sum(row["count"] for row in sums)
    return Card(
        title="Payouts to partners",
        figure=f"{count:,}",
        note=f"statements may be paid; {under_way} payments under way, {methods} ways to be paid to confirm",
        rows=tuple((row["currency"], money_html(row["sum"], row["currency"])) for row in sums),
        url=reverse("admin:ib_payout_changelist"),
    )
