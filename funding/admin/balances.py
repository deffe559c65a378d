"""Bank, provider and liquidity-provider balances on the desk: stated, compared, explained, reconciled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.models import EntityBankAccount
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import previous_business_day
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_html,
    computed,
    link,
    link_column,
    moment_column,
    money,
    money_column,
    number,
    state,
    state_column,
    text,
    text_column,
)
from backoffice.ui.dashboards import Card
from backoffice.ui.formats import format_amount
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from funding.admin.parts import EntityForm, panel_table
from funding.models import BalanceStatement, DifferenceItem, ExternalAccount
from funding.permissions import VIEW_BALANCES
from funding.services import external_balances as balances

STATE_TONES = {
    "reconciled": "good",
    "agrees": "info",
    "explained": "info",
    "differs": "bad",
    "moved since": "warn",
    "not stated": "warn",
}
PANEL_ROWS = 200
CARD_ROWS = 8
OLD_AFTER_DAYS = 3


class OpenAccountForm(EntityForm):
    """An account outside the house."""

    kind = forms.ChoiceField(choices=ExternalAccount.Kind.choices, label="At")
    name = forms.CharField(max_length=120, label="Name")
    currency = forms.CharField(max_length=5, label="Currency")
    watched_from = forms.DateField(label="Compared from", widget=forms.DateInput)
    bank_account = forms.ModelChoiceField(
        queryset=EntityBankAccount.objects.none(), required=False, label="Bank account of the entity"
    )
    is_main = forms.BooleanField(
        required=False,
        label="Deposits and withdrawals are booked here",
        help_text="The main account of its kind and currency.",
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, **kwargs)
        held = EntityBankAccount.objects.filter(closed_at__isnull=True, external_account__isnull=True)
        self.fields["bank_account"].queryset = visible_to(held, actor)  # type: ignore[attr-defined]


class OpenExternalAccount(DeskActionView):
    """Adds an account to compare."""

    slug, title, capability = "open", "Add an account", balances.MANAGE
    explanation = "It gets a ledger account of its own, or stands for the one to which deposits are booked."
    success_message = "The account is added."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities and bank accounts are those of the actor."""
        return OpenAccountForm(data, files, initial=self.initial(actor), actor=actor)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """From today."""
        return {"watched_from": clock.today_business_day()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is added."""
        return [
            ("Account", f"{data['name']}, {data['currency'].upper()}"),
            ("Of", data["entity"].name),
            ("Compared from", data["watched_from"].isoformat()),
            ("Ledger", "the main account of its kind" if data["is_main"] else "an account of its own"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        return balances.open_external_account(
            entity_id=data["entity"].pk,
            kind=data["kind"],
            name=data["name"],
            currency=data["currency"].upper(),
            watched_from=data["watched_from"],
            bank_account_id=data["bank_account"].pk if data["bank_account"] else None,
            is_main=data["is_main"],
            actor=actor,
        )


class BalanceForm(forms.Form):
    """What the statement says."""

    business_day = forms.DateField(label="End of business day", widget=forms.DateInput)
    amount = forms.DecimalField(max_digits=24, decimal_places=8, label="Balance")
    note = forms.CharField(max_length=255, required=False, label="Note")


class EnterBalance(DeskActionView):
    """Writes a stated balance down."""

    slug, title, capability = "state", "Enter a balance", balances.ENTER
    form_class = BalanceForm
    success_message = "The balance is entered."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The last day that is over."""
        return {"business_day": previous_business_day(clock.today_business_day())}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is written down."""
        return [
            ("Account", str(self.target)),
            ("End of business day", data["business_day"].isoformat()),
            ("Balance", format_amount(data["amount"], self.target.currency)),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes it down."""
        return balances.enter_balance(
            account_id=self.target.pk,
            business_day=data["business_day"],
            amount=data["amount"],
            note=data["note"],
            actor=actor,
        )

    def success_url(self, result: Any) -> str:
        """The stated balance beside the ledger."""
        return reverse("admin:funding_balancestatement_change", args=[result.pk])


class CloseAccountForm(ReasonForm):
    """Since when, and why."""

    closed_on = forms.DateField(label="Last day compared", widget=forms.DateInput)
    field_order = ("closed_on", "reason")


class CloseExternalAccount(DeskActionView):
    """Says that an account is compared no longer."""

    slug, title, capability = "close", "Compare no longer", balances.MANAGE
    form_class = CloseAccountForm
    tone = "danger"
    success_message = "The account is compared no longer."

    @classmethod
    def is_offered(cls, target: ExternalAccount, actor: Actor) -> bool:
        """While it is compared."""
        return target.closed_on is None

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What ends."""
        return [("Account", str(self.target)), ("After", data["closed_on"].isoformat()), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return balances.close_external_account(
            account_id=self.target.pk, closed_on=data["closed_on"], actor=actor, reason=data["reason"]
        )


class BalanceFileForm(EntityForm):
    """Balances of one entity as a file."""

    file = forms.FileField(
        label="CSV file", help_text="Columns account (its name), business_day (2026-03-02), balance, note."
    )


class UploadBalances(DeskActionView):
    """Enters the balances of a file."""

    slug, title, capability = "upload", "Upload balances", balances.ENTER
    explanation = (
        "All rows are entered, or none; a row that cannot be read is named. The same file again changes nothing."
    )
    success_message = "The balances are entered."
    needs_confirmation = False

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return BalanceFileForm(data, files, initial=self.initial(actor), actor=actor)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Enters them."""
        if data["file"].size > balances.MAXIMUM_FILE_BYTES:
            raise InvalidInput("The file is too large.", field="file", code="file_too_large")
        return balances.import_balances(data=data["file"].read(), entity_id=data["entity"].pk, actor=actor)


class ItemForm(forms.Form):
    """One thing that explains a part of the difference."""

    amount = forms.DecimalField(
        max_digits=24, decimal_places=8, label="Amount", help_text="Positive where the statement holds more."
    )
    description = forms.CharField(max_length=255, label="What it is")
    reference = forms.CharField(max_length=120, required=False, label="Their reference")


class ExplainDifference(DeskActionView):
    """Explains a part of a difference."""

    slug, title, capability = "explain", "Explain a difference", balances.ENTER
    form_class = ItemForm
    success_message = "The explanation is kept."
    needs_confirmation = False

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What is left to explain."""
        left = balances.compare([self.target])[0].unexplained
        return {"amount": left.normalize() + 0 if left else None}

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Keeps it."""
        return balances.explain_difference(statement_id=self.target.pk, actor=actor, **data)


class NoteForm(forms.Form):
    """A note, if there is something to say."""

    note = forms.CharField(max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2}), label="Note")


class ReconcileBalance(DeskActionView):
    """Settles a day of an account."""

    slug, title, capability = "reconcile", "Reconcile", balances.RECONCILE
    form_class = NoteForm
    success_message = "The balance is reconciled."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The two sides and what lies between."""
        found = balances.compare([self.target])[0]
        currency = self.target.account.currency
        return [
            ("Account", f"{self.target.account}, end of {self.target.business_day}"),
            ("Stated", format_amount(self.target.amount, currency)),
            ("Ledger", format_amount(found.ledger_balance, currency)),
            ("Difference", format_amount(found.difference, currency)),
            ("Not explained", format_amount(found.unexplained, currency)),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Settles it."""
        return balances.reconcile_balance(statement_id=self.target.pk, actor=actor, note=data["note"])


@admin.register(ExternalAccount)
class ExternalAccountAdmin(DeskModelAdmin):
    """Accounts at banks and providers whose statements are compared with the ledger."""

    view_capability = VIEW_BALANCES
    list_display = ("name", "kind_shown", "currency", "entity_shown", "ledger_shown", "watched_from", "state_shown")
    list_select_related = ("entity", "ledger_account")
    list_filter = ("kind", "currency", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name",)
    list_actions = (OpenExternalAccount, UploadBalances)
    object_actions = (EnterBalance, CloseExternalAccount)
    empty_text = "No account is compared yet. Add the entity's banks and providers."
    fieldsets = (
        (None, {"fields": (("name", "kind_shown"), ("currency", "entity_shown"), ("ledger_shown", "bank_shown"))}),
        ("Compared", {"fields": (("watched_from", "closed_on"), ("state_shown", "created_shown"))}),
    )
    kind_shown = text_column("get_kind_display", title="At", order="kind")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    ledger_shown = link_column("ledger_account", title="Ledger account")
    bank_shown = text_column("bank_account", title="Bank account")
    created_shown = moment_column("created_at", title="Added (UTC)")
    state_shown = state_column(
        lambda account: "Compared" if account.closed_on is None else "Closed",
        title="State",
        tones={"Compared": "good", "Closed": "quiet"},
    )


@admin.register(BalanceStatement)
class BalanceStatementAdmin(DeskModelAdmin):
    """Stated balances; the page of one shows the ledger beside it."""

    view_capability = VIEW_BALANCES
    list_display = (
        "business_day",
        "account_shown",
        "amount_shown",
        "revision",
        "source_shown",
        "entered_by",
        "entered_shown",
    )
    list_select_related = ("account",)
    list_filter = ("business_day", "source", ("account", admin.RelatedOnlyFieldListFilter))
    search_fields = ("account__name", "note")
    object_actions = (ExplainDifference, ReconcileBalance)
    empty_text = "No balance has been entered yet."
    fieldsets = (
        (None, {"fields": (("business_day", "account_shown"), ("amount_shown", "revision"), "note")}),
        ("Entered", {"fields": (("entered_by", "entered_shown"), "source_shown")}),
    )
    account_shown = link_column("account", title="Account", order="account__name")
    amount_shown = money_column("amount", currency="account__currency", title="Stated", order="amount")
    source_shown = text_column("get_source_display", title="How")
    entered_shown = moment_column("entered_at", title="Entered (UTC)", order="id")


_ITEMS = (
    text("description", title="What"),
    text("reference", title="Reference"),
    money("amount", currency="statement__account__currency", title="Amount"),
    text("entered_by", title="Entered by"),
    state(lambda item: "Withdrawn" if item.withdrawn_at else "", title="State"),
)
_COMPARISON = (
    text("label", title=""),
    money("amount", currency="currency", title="Amount"),
)


def comparison_panel(statement: BalanceStatement, actor: Actor) -> str:
    """Stated, booked, what is explained, and who settled it."""
    found = balances.compare([statement])[0]
    rows = [
        {"label": label, "amount": amount, "currency": statement.account.currency}
        for label, amount in (
            ("Stated", statement.amount),
            ("Ledger", found.ledger_balance),
            ("Difference", found.difference),
            ("Explained", found.explained),
            ("Not explained", found.unexplained),
        )
    ]
    settled = found.reconciliation
    words = f"{found.state}{f', by {settled.reconciled_by}' if settled else ''}"
    return badge_html(words, STATE_TONES.get(found.state, "quiet")) + panel_table(_COMPARISON, rows, "Comparison")


def items_panel(statement: BalanceStatement, actor: Actor) -> str:
    """What explains the difference."""
    items = DifferenceItem.objects.filter(statement=statement).select_related("statement__account")
    return panel_table(_ITEMS, list(items[:PANEL_ROWS]), "Explanations")


register_panel(
    "funding.BalanceStatement", "comparison", "Beside the ledger", comparison_panel, order=10, capability=VIEW_BALANCES
)
register_panel("funding.BalanceStatement", "items", "Explanations", items_panel, order=20, capability=VIEW_BALANCES)


class DayFilter(forms.Form):
    """Which day; each account's latest without one."""

    day = forms.DateField(required=False, label="Business day", widget=forms.DateInput())


@register_desk_page
class BalancesPage(DeskTablePage):
    """Every account: what is stated, what is booked, what lies between and for how long."""

    desk, slug, title, capability = "funding", "balances", "Balances outside", VIEW_BALANCES
    filter_form = DayFilter
    empty_text = "No account is compared yet. Add the entity's banks and providers under External accounts."
    columns = (
        link("account", title="Account"),
        text("account__entity__code", title="Legal entity"),
        text("account__get_kind_display", title="At"),
        link("statement", title="Day", label="business_day"),
        money("stated", currency="account__currency", title="Stated"),
        money("ledger", currency="account__currency", title="Ledger"),
        money("difference", currency="account__currency", title="Difference"),
        money("unexplained", currency="account__currency", title="Not explained"),
        number("age", title="Days old"),
        state(lambda row: row["state"], title="State", tones=STATE_TONES),
        computed(lambda row: row["reconciled_by"], title="By"),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[Any]:
        """One row per account that is compared."""
        return balance_rows(actor, filters.get("day"))


def balance_rows(actor: Actor, day: Any = None) -> list[dict[str, Any]]:
    """Every account that the actor sees beside the ledger, what needs a look first."""
    accounts = list(visible_to(ExternalAccount.objects.filter(closed_on__isnull=True).select_related("entity"), actor))
    found = {
        item.statement.account_id: item
        for item in balances.compare(balances.latest_statements(accounts, business_day=day))
    }
    today = clock.today_business_day()
    rows = []
    for account in accounts:
        item = found.get(account.pk)
        since = item.statement.business_day if item else account.watched_from
        rows.append(
            {
                "account": account,
                "statement": item.statement if item else None,
                "stated": item.statement.amount if item else None,
                "ledger": item.ledger_balance if item else None,
                "difference": item.difference if item else None,
                "unexplained": item.unexplained if item and not item.is_reconciled else None,
                "age": (today - since).days,
                "state": item.state if item else "not stated",
                "reconciled_by": item.reconciliation.reconciled_by
                if item and item.is_reconciled and item.reconciliation
                else "",
            }
        )
    urgency = ["differs", "moved since", "not stated", "explained", "agrees", "reconciled"]
    return sorted(rows, key=lambda row: (urgency.index(row["state"]), -row["age"], row["account"].name))


def balances_card(actor: Actor) -> Card | None:
    """Accounts outside the house: the difference and how old the last stated balance is."""
    rows = balance_rows(actor)
    if not rows:
        return None
    waiting = [row for row in rows if row["state"] != "reconciled"]
    return Card(
        title="Balances outside",
        figure=f"{len(rows) - len(waiting)} of {len(rows)} reconciled",
        headings=("", "Difference", "Days old"),
        rows=[
            (
                row["account"].name,
                format_amount(row["difference"], row["account"].currency)
                if row["difference"] is not None
                else badge_html("not stated", "warn"),
                badge_html(str(row["age"]), "warn" if row["age"] > OLD_AFTER_DAYS else "quiet"),
            )
            for row in rows[:CARD_ROWS]
        ],
        note="Statements of banks and providers beside the ledger.",
        url=BalancesPage.url(),
        width=2,
        tone="bad" if any(row["state"] == "differs" for row in rows) else "",
    )
