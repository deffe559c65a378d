"""Brands of partners at the desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import Brand
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    link_column,
    moment_column,
    object_link,
    text_column,
)
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.tables import table
from ib.models import Partner, WhiteLabel
from ib.services import white_labels


class WhiteLabelForm(forms.Form):
    """Whose brand."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="White-label partner")
    brand: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Brand")
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class GiveBrand(DeskActionView):
    """Gives a brand to a white-label partner."""

    slug, title, button, capability = "give", "Give a brand to a partner", "Give a brand", "ib.manage_partners"
    explanation = (
        "Everybody below the partner, and their clients, see this brand on its host; nobody else gets in there."
    )
    success_message = "Given."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With white-label partners and free brands."""
        form = WhiteLabelForm(data)
        partners = Partner.objects.filter(kind=Partner.Kind.WHITE_LABEL, white_label__isnull=True)
        form.fields["partner"].queryset = visible_to(partners, actor)  # type: ignore[attr-defined]
        brands = visible_to(Brand.objects.filter(white_label__isnull=True), actor)
        form.fields["brand"].queryset = brands  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, which."""
        return [
            ("Partner", str(data["partner"])),
            ("Brand", str(data["brand"])),
            ("Host", data["brand"].host or "none yet: set it at the brand"),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Gives it."""
        return white_labels.give_brand(
            partner_id=data["partner"].pk, brand_id=data["brand"].pk, reason=data["reason"], actor=actor
        )


@admin.register(WhiteLabel)
class WhiteLabelAdmin(DeskModelAdmin):
    """Brands that belong to partners."""

    view_capability = "ib.view_partners"
    list_display = ("partner_shown", "brand_shown", "host_shown", "since_shown")
    list_select_related = ("partner", "brand")
    search_fields = ("partner__reference", "partner__name", "brand__name", "brand__host")
    list_actions = (GiveBrand,)
    empty_text = "No partner has a brand of their own. Add a brand with a host under Organisation, then give it here."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    brand_shown = link_column("brand", title="Brand", order="brand__name")
    host_shown = text_column("brand__host", title="Host", order="brand__host")
    since_shown = moment_column("since", title="Since", order="since")


def brand_panel(partner: Partner, actor: Actor) -> SafeString:
    """The brand of a white-label partner."""
    label = visible_to(WhiteLabel.objects.filter(partner=partner), actor).select_related("brand").first()
    if label is None:
        return SafeString("")
    return table(["Brand", "Host"], [[object_link(label.brand), label.brand.host or "none yet"]])


def register_panels() -> None:
    """Adds the panel of a partner's page."""
    register_panel("ib.Partner", "ib.white_label", "Own brand", brand_panel, order=45, capability="ib.view_partners")
