"""A partner's agreement and tax data in the portal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.addresses import client_address
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.ui.portal import PortalView, register_portal_notice, register_portal_page
from ib import selectors
from ib.admin.forms import day_field
from ib.models import PartnerTaxData, TermsAcceptance
from ib.models.partners import Partner
from ib.selectors.partners import partner_of_login
from ib.services import terms

ROLES = (Role.IB.value,)
MOST_SHOWN = 50
TAX_TONES = {"waiting": "warn", "confirmed": "good", "refused": "bad"}


class AgreementPage(PortalView):
    """The agreement that counts, what the partner agreed to, and agreeing to a new version."""

    roles, title, template_name = ROLES, "Agreement", "ib/portal/agreement.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        return self.page(self._context())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Agrees to the version that was read."""
        number = request.POST.get("terms", "")
        try:
            if not request.POST.get("agreed"):
                raise InvalidInput("Read the agreement and tick that you agree.", field="agreed")
            terms.accept_agreement(
                terms_id=int(number) if number.isdigit() else 0,
                sha256=request.POST.get("sha256", ""),
                actor=self.actor,
                address=client_address(request),
            )
        except DomainError as error:
            return self.page({**self._context(), "problem": error.message}, status=error.http_status)
        messages.success(request, "Thank you: you agreed to the agreement.")
        return HttpResponseRedirect(reverse("portal:ib_agreement"))

    def _context(self) -> Mapping[str, Any]:
        partner = selectors.own_partner(actor=self.actor)
        wanted = terms.agreement_wanted(partner)
        own = visible_to(TermsAcceptance.objects.filter(partner=partner), self.actor)
        given = TermsAcceptance.objects.filter(application__partner=partner)  # as they applied, without a login
        accepted = [*own.select_related("terms")[:MOST_SHOWN], *given.select_related("terms")[:MOST_SHOWN]]
        return {
            "wanted": wanted,
            "accepted": accepted,
            "newest": accepted[0].terms if accepted and wanted is None else None,
        }


class TaxForm(forms.Form):
    """What invoices say."""

    legal_name = forms.CharField(label="Legal name", max_length=160)
    address = forms.CharField(label="Address", max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
    country = forms.RegexField(
        r"^[A-Za-z]{2}$", label="Country", max_length=2, help_text="Two letters, such as CY.",
        error_messages={"invalid": "Two letters, such as CY."},
    )  # fmt: skip
    vat_number = forms.CharField(label="VAT number", max_length=30, required=False, help_text="Empty if you have none.")
    valid_from = day_field("From")
    self_billing = forms.BooleanField(
        label="I agree that you write my invoices for commission (self-billing)", required=False
    )


class TaxPage(PortalView):
    """The partner's tax data, and entering new ones."""

    roles, title, template_name = ROLES, "Tax data", "ib/portal/tax.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        partner = selectors.own_partner(actor=self.actor)
        return self.page(self._context(partner, TaxForm(initial=self._initial(partner))))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Enters what waits for confirmation then."""
        partner = selectors.own_partner(actor=self.actor)
        form = TaxForm(request.POST)
        if not form.is_valid():
            return self.page(self._context(partner, form), status=400)
        given = dict(form.cleaned_data)
        entry = terms.TaxEntry(self_billing_on=clock.now().date() if given.pop("self_billing") else None, **given)
        try:
            terms.enter_tax_data(partner_id=partner.pk, entry=entry, actor=self.actor)
        except DomainError as error:
            name = str(error.details.get("field", ""))
            form.add_error(name if name in form.fields else None, error.message)
            return self.page(self._context(partner, form), status=error.http_status)
        messages.success(request, "Noted. We confirm it; until then everything stays as it is.")
        return HttpResponseRedirect(reverse("portal:ib_tax"))

    def _initial(self, partner: Partner) -> dict[str, Any]:
        now = terms.tax_profile(partner.pk, clock.now().date())
        today = {"valid_from": clock.now().date()}
        if now is None:
            return {"legal_name": partner.name, "country": partner.country, **today}
        return {
            "legal_name": now.legal_name,
            "address": now.address,
            "country": now.country,
            "vat_number": now.vat_number,
            "self_billing": now.self_billing_on is not None,
            **today,
        }

    def _context(self, partner: Partner, form: TaxForm) -> Mapping[str, Any]:
        rows = visible_to(PartnerTaxData.objects.filter(partner=partner), self.actor)[:MOST_SHOWN]
        return {
            "form": form,
            "now": terms.tax_profile(partner.pk, clock.now().date()),
            "rows": [(row, TAX_TONES[row.state]) for row in rows],
        }


def agreement_notice(actor: Actor) -> str:
    """A sentence above every page while a new version waits to be accepted."""
    if not actor.has_role(*ROLES):
        return ""
    partner = partner_of_login(actor=actor)
    if partner is None or partner.status == Partner.Status.CLOSED or terms.agreement_wanted(partner) is None:
        return ""
    return "Our partner agreement has a new version: please read and accept it at Agreement."


def register() -> None:
    """Adds the pages and the notice."""
    register_portal_page(
        "ib.agreement", "Agreement", "portal:ib_agreement", ROLES, 60, route="agreement/", view=AgreementPage
    )
    # Without roles it stands in no menu: Agreement and Payouts lead to it. It asks for the role itself.
    register_portal_page("ib.tax", "Tax data", "portal:ib_tax", (), 61, route="tax-data/", view=TaxPage)
    register_portal_notice("ib.agreement", agreement_notice)
