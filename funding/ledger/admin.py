"""The books on the desk: accounts, journal, holds, closed days and the trial balance. Read-only; acts are action views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    Column,
    badge_column,
    link,
    link_column,
    moment,
    moment_column,
    money,
    money_column,
    number,
    state,
    state_column,
    text,
    text_column,
)
from backoffice.ui.formats import currency_digits, format_amount, format_decimal
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from funding.ledger import selectors
from funding.ledger.models import ClosedDay, Hold, JournalEntry, LedgerAccount, Posting
from funding.ledger.services import accounts, entries
from funding.ledger.types import TrialBalanceTotal

PANEL_ROWS = 200
"""How many postings a page shows; the rest is in the export of the list."""

VIEW = "funding.view_ledger"


class ReasonForm(forms.Form):
    """Why something is done."""

    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


class FreezeAccount(DeskActionView):
    """Stops debits of an account."""

    slug, title, capability = "freeze", "Freeze the account", "funding.freeze_account"
    form_class = ReasonForm
    tone = "danger"
    success_message = "The account is frozen."

    @classmethod
    def is_offered(cls, target: LedgerAccount, actor: Actor) -> bool:
        """While it is not frozen."""
        return not target.is_frozen

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose money stands still."""
        return [
            ("Account", self.target.name),
            ("Balance", format_amount(self.target.balance.balance, self.target.currency)),
            ("What happens", "It takes no debit until it is released; credits still arrive."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Freezes it."""
        return accounts.freeze_account(account_id=self.target.pk, actor=actor, reason=data["reason"])


class ReleaseAccount(FreezeAccount):
    """Lets an account be debited again."""

    slug, title = "release", "Release the account"
    tone = "default"
    success_message = "The account is released."

    @classmethod
    def is_offered(cls, target: LedgerAccount, actor: Actor) -> bool:
        """While it is frozen."""
        return target.is_frozen

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes possible again."""
        return [
            ("Account", self.target.name),
            ("What happens", "It can be debited again at once."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Releases it."""
        return accounts.release_account(account_id=self.target.pk, actor=actor, reason=data["reason"])


class ReverseEntry(DeskActionView):
    """Books the opposite of an entry."""

    slug, title, capability = "reverse", "Reverse the entry", "funding.reverse_entry"
    form_class = ReasonForm
    tone = "danger"
    explanation = (
        "An entry is never changed. Its reversal books the opposite in the first open day and refers back to it."
    )
    success_message = "The reversal is booked."

    @classmethod
    def is_offered(cls, target: JournalEntry, actor: Actor) -> bool:
        """While it can be reversed."""
        return entries.is_reversible(target)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will be booked."""
        return [
            ("Entry", str(self.target)),
            ("Business day", self.target.business_day.isoformat()),
            *(
                (
                    f"{'Credit' if posting.side == Posting.Side.DEBIT else 'Debit'} {posting.account.name}",
                    format_amount(posting.amount, posting.currency),
                )
                for posting in self.target.postings.select_related("account")[:20]
            ),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it."""
        return entries.reverse_entry(entry_id=self.target.pk, actor=actor, reason=data["reason"])


@admin.register(LedgerAccount)
class LedgerAccountAdmin(DeskModelAdmin):
    """Accounts of the chart with their balances."""

    view_capability = VIEW
    list_display = (
        "name",
        "kind_shown",
        "entity_shown",
        "owner_shown",
        "balance_shown",
        "held_shown",
        "turnover_debit",
        "turnover_credit",
        "state_shown",
    )
    list_select_related = ("balance", "entity")
    list_filter = ("kind", "account_class", "currency", ("entity", admin.RelatedOnlyFieldListFilter), "is_frozen")
    search_fields = ("name", "=owner_id")
    object_actions = (FreezeAccount, ReleaseAccount)
    empty_text = "No account has been opened yet."
    fieldsets = (
        (None, {"fields": (("name", "kind_shown"), ("entity_shown", "owner_shown"), "state_shown")}),
        ("Balance", {"fields": (("balance_shown", "held_shown"), ("turnover_debit", "turnover_credit"))}),
    )
    kind_shown = text_column("get_kind_display", title="Kind", order="kind")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    owner_shown = text_column("owner_title", title="Of", order="owner_id")
    balance_shown = money_column("balance__balance", currency="currency", title="Balance", order="balance__balance")
    held_shown = money_column("balance__held", currency="currency", title="On hold", order="balance__held")
    turnover_debit = money_column("balance__debits", currency="currency", title="Debits", order="balance__debits")
    turnover_credit = money_column("balance__credits", currency="currency", title="Credits", order="balance__credits")
    state_shown = state_column(
        lambda account: "Frozen" if account.is_frozen else "", title="State", tones={"Frozen": "warn"}
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the balance, which every row shows."""
        return super().get_queryset(request).select_related("balance", "entity")


@admin.register(JournalEntry)
class JournalEntryAdmin(DeskModelAdmin):
    """The journal; the page of an entry shows its postings."""

    view_capability = VIEW
    list_display = (
        "id",
        "business_day",
        "kind_shown",
        "description",
        "entity_shown",
        "refers_to_day",
        "state_shown",
        "actor",
        "created_shown",
    )
    list_display_links = ("id", "description")
    list_select_related = ("entity", "reversed_by")
    list_filter = (
        "kind",
        "business_day",
        ("reopening", admin.EmptyFieldListFilter),
        ("entity", admin.RelatedOnlyFieldListFilter),
    )
    search_fields = ("=id", "idempotency_key", "description")
    object_actions = (ReverseEntry,)
    empty_text = "Nothing has been booked yet."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("description", "kind_shown"),
                    ("business_day", "refers_to_day"),
                    ("entity_shown", "state_shown"),
                    ("reopening_shown",),
                )
            },
        ),
        ("Why and by whom", {"fields": (("actor", "created_shown"), ("reason", "reverses_shown", "reversed_shown"))}),
        ("Record", {"fields": (("idempotency_key", "public_id"), ("source_type", "source_id"))}),
    )
    kind_shown = badge_column(
        "kind", title="Kind", tones={"adjustment": "warn", "reversal": "bad", "deposit": "good"}, order="kind"
    )
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    created_shown = moment_column("created_at", title="Booked (UTC)", order="created_at")
    reverses_shown = link_column("reverses", title="Reverses")
    reversed_shown = link_column("reversal", title="Reversed by")
    reopening_shown = link_column("reopening", title="Booked in days opened again")
    state_shown = state_column(
        lambda entry: "Reversed" if entry.reversal is not None else "Days opened again" if entry.reopening_id else "",
        title="State",
        tones={"Reversed": "quiet", "Days opened again": "warn"},
    )


@admin.register(Hold)
class HoldAdmin(DeskModelAdmin):
    """Money set aside."""

    view_capability = VIEW
    list_display = ("id", "account_shown", "amount_shown", "state_shown", "reason", "expires_shown", "entry_shown")
    list_select_related = ("account", "entry")
    list_filter = ("state",)
    search_fields = ("idempotency_key", "reason", "account__name")
    empty_text = "No money is or was on hold."
    account_shown = link_column("account", title="Account", order="account__name")
    amount_shown = money_column("amount", currency="account__currency", title="Amount", order="amount")
    state_shown = badge_column("state", title="State", tones={"pending": "info", "posted": "good"}, order="state")
    expires_shown = moment_column("expires_at", title="Expires (UTC)", order="expires_at")
    entry_shown = link_column("entry", title="Posted by")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("account_shown", "amount_shown"),
                    ("state_shown", "expires_shown"),
                    ("reason", "entry_shown"),
                )
            },
        ),
        ("Record", {"fields": (("idempotency_key", "public_id"), ("created_at", "finished_at"))}),
    )


@admin.register(ClosedDay)
class ClosedDayAdmin(DeskModelAdmin):
    """Days through which the books are closed."""

    view_capability = VIEW
    list_display = ("business_day", "entity_shown", "closed_shown", "closed_by")
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    empty_text = "No day is closed yet."
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    closed_shown = moment_column("closed_at", title="Closed (UTC)", order="closed_at")
    fieldsets = ((None, {"fields": (("business_day", "entity_shown"), ("closed_shown", "closed_by"))}),)


_DEBIT = money("debit", currency="currency", title="Debit")
_CREDIT = money("credit", currency="currency", title="Credit")
_POSTINGS_OF_ENTRY: tuple[Column, ...] = (
    link("account", title="Account"),
    text("account__get_kind_display", title="Kind"),
    _DEBIT,
    _CREDIT,
)
_POSTINGS_OF_ACCOUNT: tuple[Column, ...] = (
    moment("entry__business_day", title="Business day"),
    link("entry", title="Entry", label="description"),
    state(lambda row: row.entry.get_kind_display(), title="Kind"),
    _DEBIT,
    _CREDIT,
)


def postings_of_entry(entry: JournalEntry, actor: Actor) -> str:
    """The two sides of an entry."""
    rows = Posting.objects.filter(entry=entry).select_related("account").order_by("side", "account__kind", "id")
    return _panel_table(_POSTINGS_OF_ENTRY, rows, "Postings")


def postings_of_account(account: LedgerAccount, actor: Actor) -> str:
    """The account's ledger, the latest first."""
    rows = Posting.objects.filter(account=account).select_related("entry").order_by("-id")
    return _panel_table(_POSTINGS_OF_ACCOUNT, rows, "Postings")


def _panel_table(columns: Sequence[Column], rows: QuerySet[Posting], label: str) -> str:
    shown = list(rows[: PANEL_ROWS + 1])
    if not shown:
        return ""
    table = render_to_string(
        "desk/parts/table.html",
        {
            "columns": columns,
            "table_rows": [[column.html(row) for column in columns] for row in shown[:PANEL_ROWS]],
            "label": label,
            "title": label,
        },
    )
    if len(shown) <= PANEL_ROWS:
        return table
    return format_html('{}<p class="bo-note">The first {} of more.</p>', SafeString(table), PANEL_ROWS)


register_panel("ledger.JournalEntry", "postings", "Postings", postings_of_entry, order=10, capability=VIEW)
register_panel("ledger.LedgerAccount", "postings", "Postings", postings_of_account, order=10, capability=VIEW)


class TrialBalanceFilter(forms.Form):
    """Which books, in which currency, as of which day."""

    entity = forms.TypedChoiceField(coerce=int, empty_value=None, required=False, label="Legal entity")
    currency = forms.ChoiceField(required=False, label="Currency")
    as_of = forms.DateField(required=False, label="As of business day", widget=forms.DateInput())


@register_desk_page
class TrialBalancePage(DeskTablePage):
    """Debits and credits of every kind of account, which must agree in each currency."""

    desk, slug, title = "funding", "trial_balance", "Trial balance"
    capability = "funding.view_trial_balance"
    empty_text = "Nothing is booked in these books up to that day."
    columns = (
        text("entity", title="Legal entity"),
        text("title", title="Account"),
        text("account_class_title", title="Class"),
        text("currency", title="Currency"),
        number("accounts", title="Accounts"),
        money("debits", currency="currency", title="Debits"),
        money("credits", currency="currency", title="Credits"),
        money("debit_balance", currency="currency", title="Balance, debit"),
        money("credit_balance", currency="currency", title="Balance, credit"),
    )

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Offers only what the actor may see."""
        super().setup(request, *args, **kwargs)
        entities, currencies = selectors.books_of(actor=self.actor)

        class Filter(TrialBalanceFilter):
            def __init__(self, *form_args: Any, **form_kwargs: Any) -> None:
                super().__init__(*form_args, **form_kwargs)
                self.fields["entity"].choices = [("", "All"), *entities]  # type: ignore[attr-defined]
                self.fields["currency"].choices = [("", "All"), *((code, code) for code in currencies)]  # type: ignore[attr-defined]

        self.filter_form = Filter  # type: ignore[misc]

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[Any]:
        """The trial balance."""
        return selectors.trial_balance(
            actor=actor,
            entity_id=filters.get("entity"),
            as_of=filters.get("as_of"),
            currency=filters.get("currency") or "",
        )

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The sums per currency: debit and credit, and whether they agree."""
        totals = selectors.trial_balance_totals(self.rows(actor, filters))
        return {"summary": [_shown_total(total) for total in totals]}


def _shown_total(total: TrialBalanceTotal) -> tuple[str, SafeString]:
    """A currency's sums: equal, or plainly not."""
    verdict = "debits equal credits" if total.agrees else "debits and credits differ"
    figures = format_html(
        '<span class="bo-num{}">{} {} {}</span>',
        "" if total.agrees else " bo-neg",
        format_decimal(total.debits, currency_digits(total.currency)),
        "=" if total.agrees else "≠",
        format_decimal(total.credits, currency_digits(total.currency)),
    )
    return f"{total.currency}: {verdict}", figures
