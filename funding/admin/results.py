"""Funding on the desk: what was booked of trading, money that arrived and was paid, and the day's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse

from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link_column, moment_column, money_column, text_column
from backoffice.ui.dashboards import Card
from backoffice.ui.formats import format_amount
from backoffice.ui.views import DeskActionView, register_desk_page
from funding import selectors
from funding.ledger.admin import TrialBalancePage
from funding.ledger.chart import AccountKind
from funding.ledger.selectors import trial_balance
from funding.models import TradingResultLine, TradingResultRun
from funding.permissions import PAY_WITHDRAWAL, RECEIVE_DEPOSIT, VIEW_RESULTS
from funding.services import deposits

CARD_CURRENCIES = 6


@admin.register(TradingResultLine)
class TradingResultLineAdmin(DeskModelAdmin):
    """What was booked of each account's day, by component."""

    view_capability = VIEW_RESULTS
    list_display = (
        "business_day",
        "account_shown",
        "component_shown",
        "book",
        "amount_shown",
        "entry_shown",
        "created_shown",
    )
    list_select_related = ("account", "entry")
    list_filter = ("component", "book", "currency", "business_day")
    search_fields = ("account__login",)
    empty_text = "No trading result has been booked yet."
    account_shown = link_column("account", title="Account", order="account__login")
    component_shown = text_column("get_component_display", title="Component", order="component")
    amount_shown = money_column("amount", currency="currency", title="Client gained", order="amount")
    entry_shown = link_column("entry", title="Entry")
    created_shown = moment_column("created_at", title="Booked (UTC)", order="created_at")
    run_shown = link_column("run", title="Run")
    fieldsets = (
        (None, {"fields": (("business_day", "account_shown"), ("component_shown", "book"), "amount_shown")}),
        ("Booked", {"fields": (("entry_shown", "run_shown"), ("created_shown", "seq"))}),
    )


@admin.register(TradingResultRun)
class TradingResultRunAdmin(DeskModelAdmin):
    """Postings of results, server by server."""

    view_capability = VIEW_RESULTS
    list_display = ("id", "server_shown", "business_day", "actor", "started_shown")
    list_select_related = ("server",)
    list_filter = ("business_day",)
    empty_text = "Results have not been posted yet."
    server_shown = link_column("server", title="Server", order="server__code")
    started_shown = moment_column("started_at", title="Started (UTC)", order="started_at")
    fieldsets = ((None, {"fields": (("server_shown", "business_day"), ("actor", "started_shown"))}),)


class MovementForm(forms.Form):
    """Money between the outside and a trading account."""

    login = forms.CharField(max_length=32, label="Trading account (login)")
    server = forms.CharField(max_length=40, label="Server (code)")
    amount = forms.DecimalField(max_digits=24, decimal_places=8, label="Amount")
    currency = forms.CharField(max_length=5, label="Currency")
    method = forms.ChoiceField(choices=[("bank", "Bank"), ("psp", "Payment provider")], label="By")
    reference = forms.CharField(max_length=deposits.MAXIMUM_REFERENCE, label="Their reference")


@register_desk_page
class ReceiveDeposit(DeskActionView):
    """Books money that arrived."""

    desk, slug, title, capability = "funding", "receive_deposit", "Book a deposit", RECEIVE_DEPOSIT
    form_class = MovementForm
    explanation = (
        "Money arrived at the bank or provider. It waits in suspense until the server shows it on the account."
    )
    success_message = "The deposit is booked."
    word = "Deposit"

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will be booked, for which account."""
        account = self._account(actor, data)
        return [
            (self.word, format_amount(data["amount"], account.currency)),
            ("Account", f"{account.login} on {data['server']}"),
            ("By", dict(MovementForm.base_fields["method"].choices)[data["method"]]),  # type: ignore[attr-defined]
            ("Reference", data["reference"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it."""
        return deposits.receive_deposit(**self._request(actor, data, idempotency_key))

    def success_url(self, result: Any) -> str:
        """The entry."""
        return reverse("admin:ledger_journalentry_change", args=[result.pk])

    def _account(self, actor: Actor, data: Mapping[str, Any]) -> selectors.AccountFacts:
        return selectors.require_account_by_login(server_code=data["server"], login=data["login"], actor=actor)

    def _request(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> dict[str, Any]:
        return {
            "account_id": self._account(actor, data).pk,
            "amount": data["amount"],
            "currency": data["currency"].upper(),
            "method": data["method"],
            "reference": data["reference"],
            "actor": actor,
            "idempotency_key": f"desk:{idempotency_key}",
        }


@register_desk_page
class PayWithdrawal(ReceiveDeposit):
    """Books money that was paid out."""

    slug, title, capability = "pay_withdrawal", "Book a withdrawal", PAY_WITHDRAWAL
    explanation = "Money was paid out by the bank or provider; the server's balance operation takes the other half."
    success_message = "The withdrawal is booked."
    word = "Withdrawal"

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it."""
        return deposits.pay_withdrawal(**self._request(actor, data, idempotency_key))


def client_money_card(actor: Actor) -> Card | None:
    """What the house owes its clients, by currency, and what is on its way."""
    owed: dict[str, Decimal] = {}
    on_its_way: dict[str, Decimal] = {}
    for row in trial_balance(actor=actor):
        if row.kind in (AccountKind.CLIENT_LIABILITY, AccountKind.CLIENT_WALLET):
            owed[row.currency] = owed.get(row.currency, Decimal(0)) + row.credits - row.debits
        elif row.kind is AccountKind.SUSPENSE:
            on_its_way[row.currency] = on_its_way.get(row.currency, Decimal(0)) + row.debits - row.credits
    if not owed:
        return None
    largest = sorted(owed, key=lambda currency: -abs(owed[currency]))[:CARD_CURRENCIES]
    return Card(
        title="Client money",
        headings=("", "Owed", "In suspense"),
        rows=[
            (
                currency,
                format_amount(owed[currency], currency),
                format_amount(on_its_way.get(currency, Decimal(0)), currency),
            )
            for currency in largest
        ],
        note="Balances of trading accounts and wallets, as booked.",
        url=reverse(TrialBalancePage.url_name()),
        width=2,
    )
