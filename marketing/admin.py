"""Marketing's pages of the desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.models import Brand
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link_column, moment_column, number_column, state_column
from backoffice.ui.views import DeskActionView
from marketing import rules
from marketing.models import Campaign
from marketing.selectors import with_accounts
from marketing.services.campaigns import attribute_account, create_campaign


class CampaignForm(forms.Form):
    """A new campaign."""

    name = forms.CharField(max_length=120)
    code = forms.CharField(max_length=40, help_text="Written on the accounts that it brings, such as spring-2026.")
    brand = forms.ModelChoiceField(queryset=Brand.objects.none())
    channel = forms.CharField(max_length=40, required=False, help_text="Such as search, social or affiliates.")
    starts_on = forms.DateField(label="First day", widget=forms.DateInput)
    ends_on = forms.DateField(label="Last day", widget=forms.DateInput, required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        brands = Brand.objects.order_by("name")
        self.fields["brand"].queryset = (  # type: ignore[attr-defined]
            brands if actor.is_system else brands.filter(entity__in=actor.entity_ids)
        )


class CreateCampaign(DeskActionView):
    """Starts a campaign."""

    slug, title, capability = "create", "New campaign", "marketing.create_campaign"
    success_message = "The campaign stands."
    needs_confirmation = False

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Brands are those of the actor's entities."""
        return CampaignForm(data, files, initial={"starts_on": clock.today_business_day()}, actor=actor)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Campaign:
        """Calls the use case."""
        return create_campaign(
            brand_id=data["brand"].pk,
            code=data["code"],
            name=data["name"],
            channel=data["channel"],
            starts_on=data["starts_on"],
            ends_on=data["ends_on"],
            actor=actor,
        )


class AttributionForm(forms.Form):
    """Which account came by the campaign."""

    server = forms.ChoiceField()
    login = forms.CharField(max_length=32, help_text="Number of the trading account.")
    reason = forms.CharField(max_length=200, widget=forms.Textarea)

    def __init__(self, *args: Any, entity_id: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        servers = apps.get_model("platform_ops", "TradingServer").objects.filter(entity_id=entity_id).order_by("code")
        self.fields["server"].choices = [(str(server.pk), server.code) for server in servers]  # type: ignore[attr-defined]


class AttributeAccount(DeskActionView):
    """Attributes an account to the campaign, from now on."""

    slug, title, capability = "attribute", "Attribute an account", "marketing.attribute_account"
    success_message = "The account is attributed to the campaign."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Servers are those of the campaign's entity."""
        return AttributionForm(data, files, entity_id=self.target.entity_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which account, and what ends."""
        self._account_id(data)
        return [
            ("Account", data["login"]),
            ("Campaign", f"{self.target.name} ({self.target.code})"),
            ("What happens", "From now on the account counts for this campaign; another campaign of it ends."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Calls the use case."""
        return attribute_account(
            campaign_id=self.target.pk,
            account_id=self._account_id(data),
            valid_from=clock.now(),
            reason=data["reason"],
            actor=actor,
        )

    def _account_id(self, data: Mapping[str, Any]) -> int:
        accounts = apps.get_model("platform_ops", "TradingAccount")
        found = accounts.objects.filter(server_id=data["server"], login=data["login"].strip()).first()
        if found is None:
            raise InvalidInput("There is no such account on this server.", field="login", value=data["login"])
        return int(found.pk)


def _state(campaign: Campaign) -> str:
    today = clock.today_business_day()
    if rules.is_running(starts_on=campaign.starts_on, ends_on=campaign.ends_on, day=today):
        return "Running"
    return "Planned" if campaign.starts_on > today else "Ended"


@admin.register(Campaign)
class CampaignAdmin(DeskModelAdmin):
    """Campaigns of the actor's entities."""

    view_capability = "marketing.view_campaign"
    list_display = (
        "name",
        "code",
        "brand_shown",
        "channel",
        "state_shown",
        "starts_shown",
        "ends_shown",
        "accounts_shown",
    )
    list_select_related = ("brand", "entity")
    list_filter = ("channel", ("brand", admin.RelatedOnlyFieldListFilter), "starts_on")
    search_fields = ("code", "name", "channel")
    list_actions = (CreateCampaign,)
    object_actions = (AttributeAccount,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("name", "code"),
                    ("brand_shown", "entity_shown"),
                    ("channel", "state_shown"),
                    ("starts_shown", "ends_shown"),
                    "accounts_shown",
                )
            },
        ),
    )
    empty_text = "No campaign yet."
    brand_shown = link_column("brand", title="Brand", order="brand__name")
    entity_shown = link_column("entity", title="Legal entity", label="code")
    state_shown = state_column(_state, title="State", tones={"Running": "good", "Planned": "info", "Ended": "quiet"})
    starts_shown = moment_column("starts_on", title="First day", order="starts_on")
    ends_shown = moment_column("ends_on", title="Last day", order="ends_on")
    accounts_shown = number_column("accounts", title="Accounts now")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Campaign]:
        """With the number of accounts that each has now."""
        return with_accounts(super().get_queryset(request), at=clock.now())
