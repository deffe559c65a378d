"""What partners agreed to, and their tax data, at the desk. The versions themselves stand under Organisation, Terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed_column,
    link_column,
    moment_column,
    number_column,
    object_link,
    state_column,
    text_column,
)
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.forms import day_field
from ib.admin.tables import table
from ib.models import Partner, PartnerTaxData, TermsAcceptance
from ib.permissions import CONFIRM_TAX_DATA, ENTER_TAX_DATA, VIEW_APPLICATIONS
from ib.services import terms

TONES = {"Waits for confirmation": "warn", "Confirmed": "good", "Refused": "bad"}
PANEL_ROWS = 20


class TaxDataForm(forms.Form):
    """What a partner's invoices say."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None)
    legal_name = forms.CharField(max_length=160)
    address = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}))
    country = forms.CharField(max_length=2, help_text="Two letters, such as CY.")
    vat_number = forms.CharField(max_length=30, required=False, label="VAT number")
    valid_from = day_field("From")
    self_billing_on = day_field("Self-billing agreed on", required=False)


class EnterTaxData(DeskActionView):
    """Enters tax data for a partner."""

    slug, title, button, capability = "enter", "Enter tax data", "Enter tax data", ENTER_TAX_DATA
    explanation = "They count once a colleague confirmed them."
    success_message = "Entered; a colleague confirms them."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners that the actor sees."""
        form = TaxDataForm(data, initial={"valid_from": clock.now().date()})
        form.fields["partner"].queryset = visible_to(Partner.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, from when."""
        return [
            ("Partner", str(data["partner"])),
            ("Legal name", data["legal_name"]),
            ("From", str(data["valid_from"])),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Enters them."""
        given = dict(data)
        partner = given.pop("partner")
        return terms.enter_tax_data(partner_id=partner.pk, entry=terms.TaxEntry(**given), actor=actor)


class ConfirmForm(forms.Form):
    """What invoices state, and how it was checked."""

    vat_percent = forms.DecimalField(
        label="VAT, percent",
        min_value=Decimal(0),
        max_value=Decimal("99.99"),
        max_digits=5,
        decimal_places=2,
        initial=0,
    )
    vat_note = forms.CharField(
        max_length=200, required=False, label="Note on the tax", help_text="Such as Reverse charge."
    )
    reason = forms.CharField(max_length=300, label="How you checked", widget=forms.Textarea(attrs={"rows": 2}))


class TaxDecision(DeskActionView):
    """What both decisions share."""

    capability = CONFIRM_TAX_DATA

    @classmethod
    def is_offered(cls, target: PartnerTaxData, actor: Actor) -> bool:
        """While they wait, not to who entered them."""
        is_own = target.entered_by_user_id is not None and target.entered_by_user_id == actor.user_id
        return target.state == PartnerTaxData.State.WAITING and not is_own

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, from when."""
        return [
            ("Partner", str(self.target.partner)),
            ("From", str(self.target.validity.lower)),
            *([("VAT", f"{data['vat_percent']} percent")] if "vat_percent" in data else []),
            ("Reason", data["reason"]),
            ("What happens", self.explanation),
        ]


class ConfirmTaxData(TaxDecision):
    """Lets tax data count."""

    slug, title, button = "confirm", "Confirm", "Confirm"
    form_class = ConfirmForm
    explanation = "They count from their day on; those before end there."
    success_message = "Confirmed."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Confirms."""
        return terms.confirm_tax_data(tax_data_id=self.target.pk, actor=actor, **data)


class RefuseTaxData(TaxDecision):
    """Turns tax data down."""

    slug, title, button, tone = "refuse", "Refuse", "Refuse", "danger"
    form_class = ReasonForm
    explanation = "What counted before goes on."
    success_message = "Refused."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refuses."""
        return terms.refuse_tax_data(tax_data_id=self.target.pk, actor=actor, **data)


@admin.register(PartnerTaxData)
class PartnerTaxDataAdmin(DeskModelAdmin):
    """What invoices to partners say, dated."""

    view_capability = "ib.view_partners"
    list_display = (
        "partner_shown",
        "legal_name",
        "country",
        "vat_number",
        "percent_shown",
        "self_billing_shown",
        "from_shown",
        "until_shown",
        "state_shown",
        "entered_by",
        "decided_by",
    )
    list_select_related = ("partner",)
    list_filter = ("state", "country", "partner__entity", ("self_billing_on", admin.EmptyFieldListFilter))
    search_fields = ("partner__reference", "partner__name", "legal_name", "vat_number")
    object_actions = (ConfirmTaxData, RefuseTaxData)
    list_actions = (EnterTaxData,)
    empty_text = "No tax data yet. A partner enters them in the portal, or you do; without them there are no invoices."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    percent_shown = number_column("vat_percent", title="VAT, percent", digits=2, order="vat_percent")
    self_billing_shown = moment_column("self_billing_on", title="Self-billing since", order="self_billing_on")
    from_shown = text_column("validity__lower", title="From")
    until_shown = computed_column(lambda row: row.validity.upper or "further notice", title="Until")
    state_shown = state_column(lambda row: row.get_state_display(), title="State", tones=TONES, order="state")


@admin.register(TermsAcceptance)
class TermsAcceptanceAdmin(DeskModelAdmin):
    """Who agreed to which version of the partner agreement: when, and from where."""

    view_capability = VIEW_APPLICATIONS
    list_display = ("who_shown", "terms_shown", "accepted_shown", "accepted_by", "address", "digest_shown")
    list_select_related = ("terms", "application", "partner")
    list_filter = ("terms__entity", "terms__language", "accepted_at")
    search_fields = (
        "partner__reference",
        "partner__name",
        "application__reference",
        "application__name",
        "accepted_by",
    )
    empty_text = "Nobody has agreed to anything yet. Publish a partner agreement under Organisation, Terms."

    who_shown = computed_column(lambda row: object_link(row.partner or row.application), title="Who")
    terms_shown = link_column("terms", title="Document")
    accepted_shown = moment_column("accepted_at", title="Agreed", order="accepted_at")
    digest_shown = computed_column(lambda row: f"{row.sha256[:16]}…", title="Digest of the text")


def tax_panel(partner: Partner, actor: Actor) -> str:
    """A partner's tax data."""
    rows = visible_to(PartnerTaxData.objects.filter(partner=partner), actor)[:PANEL_ROWS]
    shown = [
        [object_link(row, row.legal_name), row.vat_number or "none", str(row.validity.lower), row.get_state_display()]
        for row in rows
    ]
    return table(["Legal name", "VAT number", "From", "State"], shown)


def register_panels() -> None:
    """Adds the panel of a partner's page."""
    register_panel("ib.Partner", "ib.tax_data", "Tax data", tax_panel, order=47, capability="ib.view_partners")
