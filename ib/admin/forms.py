"""Forms of the desk's acts. Choices are limited to what the actor sees; moments are UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Model
from django.forms.models import fields_for_model

from backoffice.core.access import visible_to
from backoffice.core.models import Brand
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import InvalidInput
from ib.models import Partner, Plan, PlanRule
from ib.rules.sentences import TERM_FIELDS
from ib.types import RuleTerms

RULE_FIELDS = ["basis", "rate", "currency", "symbol", "symbol_group", "account_group", "account_type"]
RULE_FIELDS += [name for name in TERM_FIELDS if name not in {*RULE_FIELDS, "position", "pays_negative_balance"}]
FIELD_OF_TERM = {name: f"{name}_id" for name in ("symbol", "symbol_group", "account_group", "account_type")}


def day_field(label: str, **options: Any) -> forms.DateField:
    """A day, picked from a calendar."""
    return forms.DateField(label=label, widget=forms.DateInput(attrs={"type": "date"}), **options)


def start_of(day: date) -> datetime:
    """The moment at which a change from a day on takes hold: midnight UTC."""
    return datetime.combine(day, time(), tzinfo=UTC)


class FromDayForm(forms.Form):
    """From when on something holds, and why."""

    valid_from = day_field("From", help_text="From midnight UTC of this day on. A day in the past is settled anew.")
    reason = forms.CharField(max_length=400, required=False, label="Reason", widget=forms.Textarea(attrs={"rows": 2}))


class ChangeFromDayForm(FromDayForm):
    """From when on something is to hold, and why: what another person reads who approves it."""

    reason = forms.CharField(max_length=400, label="Reason", widget=forms.Textarea(attrs={"rows": 2}))


class RegisterPartnerForm(forms.Form):
    """Who becomes a partner."""

    name = forms.CharField(max_length=160)
    brand = forms.ModelChoiceField(Brand.objects.none())
    email = forms.EmailField(required=False, label="E-mail")
    country = forms.CharField(max_length=2, required=False, help_text="Two letters, such as CY.")
    currency = forms.CharField(
        max_length=5, initial="USD", help_text="In which commissions are booked; it never changes."
    )

    @classmethod
    def for_actor(cls, actor: Actor, data: Any) -> RegisterPartnerForm:
        """With the brands that the actor sees."""
        form = cls(data)
        form.fields["brand"].queryset = visible_to(Brand.objects.all(), actor)  # type: ignore[attr-defined]
        return form


class PlacePartnerForm(ChangeFromDayForm):
    """Under whom a partner stands."""

    parent = forms.ModelChoiceField(Partner.objects.none(), required=False, empty_label="Nobody: the top of a tree")
    field_order = ("parent", "valid_from", "reason")

    @classmethod
    def for_actor(cls, actor: Actor, target: Partner, data: Any) -> PlacePartnerForm:
        """With the partners of the same entity that the actor sees."""
        form = cls(data, initial={"valid_from": clock.today_business_day()})
        others = visible_to(Partner.objects.filter(entity_id=target.entity_id), actor).exclude(pk=target.pk)
        form.fields["parent"].queryset = others.exclude(status=Partner.Status.CLOSED)  # type: ignore[attr-defined]
        return form


class SignAgreementForm(FromDayForm):
    """Which plan binds a partner."""

    plan = forms.ModelChoiceField(Plan.objects.none())
    field_order = ("plan", "valid_from", "reason")

    @classmethod
    def for_actor(cls, actor: Actor, target: Partner, data: Any) -> SignAgreementForm:
        """With the plans of the partner's entity."""
        form = cls(data, initial={"valid_from": clock.today_business_day()})
        plans = visible_to(Plan.objects.filter(entity_id=target.entity_id), actor)
        form.fields["plan"].queryset = plans  # type: ignore[attr-defined]
        return form


class StatusForm(forms.Form):
    """What becomes of a partner, and why."""

    status = forms.ChoiceField(choices=Partner.Status.choices)
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}))


class ReferClientForm(FromDayForm):
    """Which client a partner introduced."""

    client_reference = forms.CharField(max_length=20, label="Client", help_text="The reference, such as C-000123.")
    field_order = ("client_reference", "valid_from", "reason")


class LinkLoginForm(forms.Form):
    """Which login opens the partner's portal."""

    email = forms.EmailField(label="E-mail of the login", help_text="It must have the introducing broker's role.")


class DraftRuleForm(forms.Form):
    """A rule of a draft: everything that a rule may say. What is left empty does not limit it."""

    tiers = forms.CharField(
        required=False, help_text="From which measure on another rate holds, such as: 500: 5; 1000: 6."
    )

    refuses_negative_balance = forms.BooleanField(
        required=False, help_text="A trade that leaves the account below zero pays nothing."
    )

    @classmethod
    def for_draft(cls, data: Any = None) -> DraftRuleForm:
        """With a field for each term of a rule."""
        form = cls(data, initial={"level": 1, "currency": "USD"})
        form.fields |= fields_for_model(PlanRule, fields=RULE_FIELDS)
        for name in set(RULE_FIELDS) - {"rate"}:
            form.fields[name].required = False
        form.order_fields([*RULE_FIELDS, "tiers"])
        return form

    def clean_tiers(self) -> tuple[tuple[Decimal, Decimal], ...]:
        """Pairs of a measure and a rate."""
        pairs = []
        for part in filter(None, (piece.strip() for piece in self.cleaned_data["tiers"].split(";"))):
            start, _, rate = part.partition(":")
            try:
                pairs.append((exact_decimal(start.strip()), exact_decimal(rate.strip())))
            except InvalidInput as error:
                raise forms.ValidationError("Write each tier as: measure: rate.") from error
        return tuple(pairs)


def rule_terms_of(data: Mapping[str, Any]) -> RuleTerms:
    """What was filled in, as a rule's terms; what was left empty is as usual."""
    given = {
        FIELD_OF_TERM.get(name, name): value.pk if isinstance(value, Model) else value
        for name, value in data.items()
        if (name == "tiers" or name in RULE_FIELDS) and value not in (None, "")
    }
    return RuleTerms(**given, pays_negative_balance=not data["refuses_negative_balance"])


class CreatePlanForm(forms.Form):
    """A new plan."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    code = forms.SlugField(max_length=40)
    name = forms.CharField(max_length=120)


class RangeForm(forms.Form):
    """Days to settle."""

    from_day = day_field("From")
    to_day = day_field("To")
