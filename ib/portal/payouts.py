"""A partner's own payouts: what was paid, where to, and asking for another way to be paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import get_visible, visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import DomainError
from backoffice.ui.columns import computed, moment, money, number, state, text
from backoffice.ui.exports import export_response
from backoffice.ui.portal import PortalTablePage, PortalView, register_portal_page
from ib import selectors
from ib.admin.payouts import METHOD_TONES, TONES, method_state, paper_response
from ib.models import Partner, Payout, PayoutMethod, StatementPaper
from ib.models.payouts import PayoutKind
from ib.services import payout_methods

ROLES = (Role.IB.value,)
MOST_SHOWN = 1_000
MOST_METHODS = 20
EXPORT_COLUMNS = (
    number("statement__number", title="Statement", digits=0),
    moment("statement__from_day", title="From"),
    moment("statement__to_day", title="Through"),
    text("kind", title="To"),
    text("state", title="State"),
    number("amount", title="Amount"),
    text("currency", title="Currency"),
    text("bank_reference", title="Bank's reference"),
    moment("paid_at", title="Paid"),
)


def _statement_link(payout: Payout) -> Any:
    url = reverse("portal:ib_statement", args=[payout.statement.number])
    return format_html(
        '<a class="bo-link" href="{}">{} to {}</a>', url, payout.statement.from_day, payout.statement.to_day
    )


class PayoutsPage(PortalTablePage):
    """Every payout of the partner, and the same as a file."""

    roles, title, template_name = ROLES, "Payouts", "ib/portal/payouts.html"
    columns = (
        computed(_statement_link, title="Statement"),
        computed(lambda item: item.get_kind_display(), title="To"),
        state(lambda item: item.get_state_display(), title="State", tones=TONES),
        money("amount", currency="currency", title="Amount"),
        moment("paid_at", title="Paid"),
        text("bank_reference", title="Bank's reference"),
    )
    empty_text = "Nothing was paid yet. A statement is paid after its approval."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") in {"csv", "xlsx"}:
            rows = self.rows(self.actor)
            return export_response(
                request,
                name="payouts",
                columns=EXPORT_COLUMNS,
                rows=rows,
                count=len(rows),
                file_format=request.GET["export"],
            )
        return super().get(request, *args, **kwargs)

    def rows(self, actor: Actor) -> Sequence[Payout]:
        """The newest first."""
        partner = selectors.own_partner(actor=actor)
        own = visible_to(Payout.objects.filter(partner=partner), actor)
        return list(own.select_related("statement").order_by("-pk")[:MOST_SHOWN])


class MethodForm(forms.Form):
    """Where to be paid."""

    kind = forms.ChoiceField(label="Pay me to", choices=PayoutKind.choices)
    account = forms.TypedChoiceField(label="Own trading account", required=False, coerce=int, empty_value=None)
    holder = forms.CharField(label="Holder of the bank account", max_length=70, required=False)
    bank_name = forms.CharField(label="Bank", max_length=120, required=False)
    number_kind = forms.ChoiceField(
        label="The number is", choices=[("iban", "An IBAN"), ("other", "Another account number")], required=False
    )
    account_number = forms.CharField(
        label="IBAN or account number",
        max_length=50,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    bic = forms.CharField(label="BIC", max_length=11, required=False)

    def __init__(self, *args: Any, partner: Partner, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = payout_methods.own_accounts(partner)
        field: Any = self.fields["account"]
        field.choices = [("", "None"), *((item.pk, f"{item.login} on {item.server.name}") for item in accounts)]


class MethodPage(PortalView):
    """How the partner is paid, and asking for another way."""

    roles, title, template_name = ROLES, "How you are paid", "ib/portal/payout_method.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        partner = selectors.own_partner(actor=self.actor)
        return self.page(self._context(partner, MethodForm(partner=partner)))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Asks for another way."""
        partner = selectors.own_partner(actor=self.actor)
        form = MethodForm(request.POST, partner=partner)
        if not form.is_valid():
            return self.page(self._context(partner, form), status=400)
        given = form.cleaned_data
        bank = payout_methods.BankDetails(
            holder=given["holder"],
            bank_name=given["bank_name"],
            account_number=given["account_number"],
            bic=given["bic"],
            is_iban=given["number_kind"] != "other",
        )
        try:
            payout_methods.request_payout_method(
                partner_id=partner.pk,
                kind=given["kind"],
                account_id=given["account"],
                bank=bank if given["kind"] == PayoutKind.BANK else None,
                actor=self.actor,
            )
        except DomainError as error:
            name = str(error.details.get("field", ""))
            form.add_error(name if name in form.fields else None, error.message)
            return self.page(self._context(partner, form), status=error.http_status)
        messages.success(request, "Noted. We confirm it with you; it is used after two days at the earliest.")
        return HttpResponseRedirect(reverse("portal:ib_payout_method"))

    def _context(self, partner: Partner, form: MethodForm) -> Mapping[str, Any]:
        method = payout_methods.method_in_force(partner.pk)
        asked = visible_to(PayoutMethod.objects.filter(partner=partner), self.actor)
        return {
            "title": self.title,
            "now": str(method) if method is not None else PayoutKind.WALLET.label,
            "form": form,
            "asked": [
                (item, method_state(item), METHOD_TONES[method_state(item)])
                for item in asked.select_related("account")[:MOST_METHODS]
            ],
        }


class PaperPage(PortalView):
    """A paper about a paid statement, as it was issued."""

    roles, title = ROLES, "Paper"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bytes."""
        partner = selectors.own_partner(actor=self.actor)
        own = StatementPaper.objects.filter(statement__partner=partner)
        paper = get_visible(own, self.actor, public_id=self.kwargs["public_id"])
        return paper_response(paper.pk, self.actor)


def register() -> None:
    """Adds the pages."""
    register_portal_page("ib.payouts", "Payouts", "portal:ib_payouts", ROLES, 36, route="payouts/", view=PayoutsPage)
    # Without roles the pages stand in no menu; their views ask for the role themselves.
    register_portal_page(
        "ib.payout_method",
        "How you are paid",
        "portal:ib_payout_method",
        (),
        37,
        route="payouts/method/",
        view=MethodPage,
    )
    register_portal_page(
        "ib.statement_paper",
        "Paper",
        "portal:ib_statement_paper",
        (),
        38,
        route="papers/<uuid:public_id>/",
        view=PaperPage,
    )
