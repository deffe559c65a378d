"""A trader's accounts: what there is, and what the trader changes alone. Passwords are shown once, on the answering page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.kernel.ids import uuid7
from backoffice.ui.columns import badge, money, number, text
from backoffice.ui.portal import PortalView, register_portal_page
from crm.selectors import client_of_user
from platform_ops.models import AccountOffer, TradingAccount
from platform_ops.selectors.account_catalogue import class_of_client, leverage_allowed, offers_open_to
from platform_ops.selectors.own_accounts import account_states
from platform_ops.services import account_operations as operations
from platform_ops.services.account_operations import Outcome

ROLES = (Role.TRADER.value,)
URL_NAME = "portal:own_accounts"
COLUMNS = (
    text("login", title="Account"),
    text("type", title="Type"),
    text("server", title="Server"),
    number("leverage", title="Leverage, 1 to", digits=0),
    badge("status", title="Status", tones={"Active": "good", "Read only": "warn", "Closed": "bad"}),
    number("open_positions", title="Open positions", digits=0),
    money("balance", currency="currency", title="Balance"),
)


class OfferChoice(forms.ModelChoiceField):
    """An offer in words."""

    def label_from_instance(self, offer: Any) -> str:
        """Type, currency, and what comes with it."""
        costs = " · ".join(
            part for part in (offer.account_type.commission_text, offer.account_type.mark_up_text) if part
        )
        return f"{offer.account_type} in {offer.currency}{f' · {costs}' if costs else ''}"


class DemoForm(forms.Form):
    """A demo account."""

    offer = OfferChoice(AccountOffer.objects.none(), label="Account type", empty_label="Choose …")
    leverage = forms.TypedChoiceField(coerce=int, label="Leverage")


class LeverageForm(forms.Form):
    """Another leverage."""

    account = forms.ModelChoiceField(TradingAccount.objects.none(), label="Account", empty_label="Choose …")
    leverage = forms.TypedChoiceField(coerce=int, label="Leverage")


class PasswordForm(forms.Form):
    """A new password."""

    account = forms.ModelChoiceField(TradingAccount.objects.none(), label="Account", empty_label="Choose …")
    which = forms.ChoiceField(choices=[("main", "Main password"), ("investor", "Investor password")], label="Password")


class OwnAccountsPage(PortalView):
    """The accounts, and three things that can be done."""

    roles, title, template_name = ROLES, "My accounts", "platform_ops/portal/accounts.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The accounts and the empty forms."""
        return self._context(None, "")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """One of the forms."""
        action = request.POST.get("action", "")
        forms_by_action = self._forms(action, request.POST)
        form = forms_by_action.get(action)
        if form is None:
            return HttpResponseRedirect(reverse(URL_NAME))
        if not form.is_valid():
            return self.page(self._context(form, action), status=400)
        key = f"portal:{self.actor.user_id}:{request.POST.get('key', '')[:64] or uuid7()}"
        try:
            outcome = self._perform(action, form.cleaned_data, key)
        except DomainError as error:
            form.add_error(None, error.message)
            return self.page(self._context(form, action), status=error.http_status)
        if outcome.credentials is not None:
            page = self.page({**self._context(None, ""), "credentials": outcome.credentials})
            page.headers["Cache-Control"] = "no-store"
            return page
        messages.info(request, _told(outcome))
        return HttpResponseRedirect(reverse(URL_NAME))

    def _perform(self, action: str, data: Mapping[str, Any], key: str) -> Outcome:
        client = client_of_user(actor=self.actor)
        if client is None:
            raise InvalidInput("Your login is not connected to a client yet.")
        if action == "demo":
            operation = operations.request_account_opening(
                client_id=client.pk,
                offer_id=data["offer"].pk,
                is_demo=True,
                leverage=data["leverage"],
                actor=self.actor,
                reason="Opened in the portal",
                idempotency_key=key,
            )
        elif action == "leverage":
            operation = operations.request_leverage_change(
                account_id=data["account"].pk,
                leverage=data["leverage"],
                actor=self.actor,
                reason="Changed in the portal",
                idempotency_key=key,
            )
        else:
            operation = operations.request_new_password(
                account_id=data["account"].pk,
                is_investor=data["which"] == "investor",
                actor=self.actor,
                reason="Made in the portal",
                idempotency_key=key,
            )
        return operations.carry_out(operation_id=operation.pk, actor=self.actor)

    def _forms(self, action: str, data: Any) -> dict[str, Any]:
        """The three forms, with what this client may choose; the one of *action* is filled."""
        client = client_of_user(actor=self.actor)
        if client is None:
            return {}
        made: dict[str, Any] = {
            name: form(data if name == action else None, prefix=name)
            for name, form in (("demo", DemoForm), ("leverage", LeverageForm), ("password", PasswordForm))
        }
        offers = offers_open_to(client_id=client.pk, entity_id=client.entity_id, is_demo=True)
        client_class = class_of_client(client_id=client.pk)
        made["demo"].fields["offer"].queryset = AccountOffer.objects.filter(
            pk__in=[offer.pk for offer in offers]
        ).select_related("account_type")
        made["demo"].fields["leverage"].choices = _choices([offer.account_type for offer in offers], client_class)
        accounts = visible_to(TradingAccount.objects.exclude(status="closed"), self.actor).select_related(
            "account_type"
        )
        types = [account.account_type for account in accounts if account.account_type is not None]
        for name in ("leverage", "password"):
            made[name].fields["account"].queryset = accounts
        made["leverage"].fields["leverage"].choices = _choices(types, client_class)
        if not offers:
            del made["demo"]
        if not accounts:
            del made["leverage"], made["password"]
        return made

    def _context(self, failed: Any, action: str) -> dict[str, Any]:
        shown = self._forms("", None)
        if failed is not None:
            shown[action] = failed
        headings = {
            "demo": ("Open a demo account", "Open the account", "Practise with money that is not real."),
            "leverage": ("Change the leverage", "Change it", "Close your open positions on the account first."),
            "password": (
                "Make a new password",
                "Make it",
                "The old one stops working at once; the new one is shown once.",
            ),
        }
        return {
            "columns": COLUMNS,
            "table_rows": [
                [(column, column.html(row)) for column in COLUMNS] for row in account_states(actor=self.actor)
            ],
            "forms": [(name, *headings[name], form) for name, form in shown.items()],
            "key": str(uuid7()),
        }


def _choices(types: list[Any], client_class: str) -> list[tuple[int, str]]:
    values = sorted({value for kind in types for value in leverage_allowed(kind, client_class)})
    return [(value, f"1:{value}") for value in values]


def _told(outcome: Outcome) -> str:
    state = outcome.operation.state
    if state in ("done", "found"):
        return "Done."
    if state in ("refused", "cancelled"):
        return outcome.operation.problem or "The trading server refused it."
    return "The trading server is busy. It is done as soon as it answers; you need not ask again."


def register() -> None:
    """Mounts the page."""
    register_portal_page(
        "platform.own_accounts", "My accounts", URL_NAME, ROLES, 15, route="accounts/", view=OwnAccountsPage
    )
