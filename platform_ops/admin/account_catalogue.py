"""The account catalogue at the desk: account types, and what is offered of them in which currency. Added and changed by forms
that show what becomes of what before it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.ui.formats import EMPTY, format_amount, format_plain
from backoffice.ui.views import DeskActionView
from platform_ops.admin.account_actions import reason_field
from platform_ops.models import AccountGroup, AccountOffer, AccountType
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.services.account_catalogue import TypeTerms, define_account_type, define_offer

OFFER_LABELS = {
    "live_group": "Live group", "demo_group": "Demo group", "minimum_deposit": "First deposit from",
    "demo_balance": "A demo account begins with",
}  # fmt: skip
TYPE_LABELS = {
    "name": "Name", "kind": "Kind", "is_swap_free": "Swap-free", "leverage_choices": "Leverage to choose from, 1 to",
    "leverage_by_class": "Highest leverage by class of client", "client_classes": "Open to classes of client",
    "commission_text": "Commission, in the client's words", "mark_up_text": "Spread, in the client's words",
    "is_offered": "Offered: accounts may be opened",
}  # fmt: skip
NOTHING_CHANGES = "That is how it stands already: nothing would change."
LIVE_ACCOUNTS = "Accounts that exist stay in their group and keep their leverage; new ones follow this."


class OfferForm(forms.Form):
    """Groups and amounts of an offer."""

    live_group = forms.ModelChoiceField(AccountGroup.objects.none(), required=False, label=OFFER_LABELS["live_group"])
    demo_group = forms.ModelChoiceField(AccountGroup.objects.none(), required=False, label=OFFER_LABELS["demo_group"])
    minimum_deposit = forms.DecimalField(
        min_value=0, max_digits=20, decimal_places=8, initial=0, label=OFFER_LABELS["minimum_deposit"],
        help_text="In the currency of the offer; of a cent account in cents.",
    )  # fmt: skip
    demo_balance = forms.DecimalField(
        min_value=0, max_digits=20, decimal_places=8, initial=0, label=OFFER_LABELS["demo_balance"]
    )
    reason = reason_field()


class NewOfferForm(OfferForm):
    """What is offered anew."""

    account_type = forms.ModelChoiceField(AccountType.objects.none(), label="Account type")
    currency = forms.CharField(max_length=5, label="Currency", help_text="Such as USD, or USC for a cent account.")

    field_order = ("account_type", "currency")


class TypeForm(forms.Form):
    """The terms of an account type."""

    name = forms.CharField(max_length=80, label=TYPE_LABELS["name"])
    kind = forms.ChoiceField(choices=AccountType.Kind.choices, label=TYPE_LABELS["kind"])
    leverage_choices = forms.CharField(
        max_length=200, label=TYPE_LABELS["leverage_choices"], help_text="With commas between: 30, 100, 200."
    )
    leverage_by_class = forms.CharField(
        max_length=400, required=False, label=TYPE_LABELS["leverage_by_class"],
        help_text="Class and leverage, with commas between: retail 30, professional 500. Not named: no limit of its own.",
    )  # fmt: skip
    client_classes = forms.CharField(
        max_length=400, required=False, label=TYPE_LABELS["client_classes"],
        help_text="With commas between. Empty: open to everybody.",
    )  # fmt: skip
    commission_text = forms.CharField(max_length=200, required=False, label=TYPE_LABELS["commission_text"])
    mark_up_text = forms.CharField(max_length=200, required=False, label=TYPE_LABELS["mark_up_text"])
    is_swap_free = forms.BooleanField(required=False, label=TYPE_LABELS["is_swap_free"])
    is_offered = forms.BooleanField(required=False, label=TYPE_LABELS["is_offered"])
    reason = reason_field()

    def clean_leverage_choices(self) -> list[int]:
        """Whole numbers."""
        return [_leverage(part) for part in _parts(self.cleaned_data["leverage_choices"])]

    def clean_leverage_by_class(self) -> dict[str, int]:
        """The leverage of each class."""
        found: dict[str, int] = {}
        for part in _parts(self.cleaned_data["leverage_by_class"]):
            name, _, leverage = part.rpartition(" ")
            if not name.strip():
                raise forms.ValidationError(f"“{part}” names no class, or no leverage: write retail 30.")
            found[name.strip()] = _leverage(leverage)
        return found

    def clean_client_classes(self) -> list[str]:
        """Their names."""
        return _parts(self.cleaned_data["client_classes"])


class NewTypeForm(TypeForm):
    """A type that does not exist yet."""

    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label="Legal entity")
    code = forms.SlugField(max_length=40, label="Code", help_text="Stays for good, such as standard-plus.")

    field_order = ("entity", "code")


class EditOffer(DeskActionView):
    """Changes the groups and amounts of an offer."""

    slug, title, button, capability = "edit", "Change the offer", "Change offer", MANAGE_CATALOGUE
    form_class = OfferForm
    success_message = "Changed. Accounts that are opened from now on follow it."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {
            "live_group": self.target.live_group_id,
            "demo_group": self.target.demo_group_id,
            "minimum_deposit": _plain(self.target.minimum_deposit),
            "demo_balance": _plain(self.target.demo_balance),
        }

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the groups of the offer's legal entity and currency."""
        form = super().make_form(actor, data, files)
        of_entity = AccountGroup.objects.filter(
            server__entity=self.target.account_type.entity_id, currency=self.target.currency
        )
        _offer_groups(form, of_entity, actor)
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes of what. Raises Conflict when nothing does."""
        offer: AccountOffer = self.target
        moved = [
            (
                label,
                f"{_offer_words(getattr(offer, name), offer.currency)} → {_offer_words(data[name], offer.currency)}",
            )
            for name, label in OFFER_LABELS.items()
            if getattr(offer, name) != data[name]
        ]
        if not moved:
            raise Conflict(NOTHING_CHANGES, code="changes_nothing")
        return [("Offer", str(offer)), *moved, ("What happens", LIVE_ACCOUNTS), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Changes it."""
        return define_offer(
            account_type_id=self.target.account_type_id,
            currency=self.target.currency,
            actor=actor,
            **_offer_values(data),
        )


class AddOffer(DeskActionView):
    """Offers a type in one more currency."""

    slug, title, button, capability = "new", "Offer a type in a currency", "Add an offer", MANAGE_CATALOGUE
    form_class = NewOfferForm
    success_message = "Added. Where the account type is offered, accounts of it may be opened now."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what the actor may see."""
        form = super().make_form(actor, data, files)
        _limit(form, "account_type", visible_to(AccountType.objects.select_related("entity"), actor))
        _offer_groups(form, AccountGroup.objects.all(), actor)
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is offered. Raises Conflict where it is offered already."""
        currency = data["currency"].strip().upper()
        if AccountOffer.objects.filter(account_type=data["account_type"], currency=currency).exists():
            raise Conflict("This type is offered in the currency already: change that offer.", code="offer_exists")
        return [
            ("Offer", f"{data['account_type']} in {currency}"),
            *((label, _offer_words(data[name], currency)) for name, label in OFFER_LABELS.items()),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        return define_offer(
            account_type_id=data["account_type"].pk, currency=data["currency"].strip().upper(), actor=actor,
            **_offer_values(data),
        )  # fmt: skip


class EditType(DeskActionView):
    """Changes the terms of an account type."""

    slug, title, button, capability = "edit", "Change the account type", "Change type", MANAGE_CATALOGUE
    form_class = TypeForm
    success_message = "Changed. Accounts that are opened from now on follow it."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        found: AccountType = self.target
        values = {name: getattr(found, name) for name in TYPE_LABELS}
        return values | {
            "leverage_choices": ", ".join(str(choice) for choice in found.leverage_choices),
            "leverage_by_class": ", ".join(f"{name} {most}" for name, most in found.leverage_by_class.items()),
            "client_classes": ", ".join(found.client_classes),
        }

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes of what. Raises Conflict when nothing does."""
        new = _type_values(data)
        moved = [
            (label, f"{_type_words(name, getattr(self.target, name))} → {_type_words(name, new[name])}")
            for name, label in TYPE_LABELS.items()
            if getattr(self.target, name) != new[name]
        ]
        if not moved:
            raise Conflict(NOTHING_CHANGES, code="changes_nothing")
        offers = ", ".join(self.target.offers.order_by("currency").values_list("currency", flat=True))
        return [
            ("Account type", f"{self.target} of {self.target.entity}"),
            *moved,
            ("Offered in", offers or "no currency"),
            ("What happens", LIVE_ACCOUNTS),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Changes it."""
        return define_account_type(
            entity_id=self.target.entity_id, code=self.target.code, terms=TypeTerms(**_type_values(data)), actor=actor,
            reason=data["reason"],
        )  # fmt: skip


class AddType(DeskActionView):
    """A new account type."""

    slug, title, capability = "new", "Add an account type", MANAGE_CATALOGUE
    form_class = NewTypeForm
    success_message = "Added. Offer it in a currency next."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the entities that the actor sees."""
        form = super().make_form(actor, data, files)
        _limit(form, "entity", visible_to(LegalEntity.objects.all(), actor))
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What it is. Raises InvalidInput for a code that is taken."""
        if AccountType.objects.filter(entity=data["entity"], code=data["code"]).exists():
            raise InvalidInput("The legal entity has a type of this code.", field="code", value=data["code"])
        values = _type_values(data)
        return [
            ("Legal entity", str(data["entity"])),
            *((label, _type_words(name, values[name])) for name, label in TYPE_LABELS.items()),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        terms = TypeTerms(**_type_values(data))
        return define_account_type(
            entity_id=data["entity"].pk, code=data["code"], terms=terms, actor=actor, reason=data["reason"]
        )


def _offer_groups(form: forms.Form, groups: Any, actor: Actor) -> None:
    of_actor = visible_to(groups, actor).order_by("server__code", "name")
    _limit(form, "live_group", of_actor.filter(is_demo=False))
    _limit(form, "demo_group", of_actor.filter(is_demo=True))


def _limit(form: forms.Form, name: str, rows: Any) -> None:
    form.fields[name].queryset = rows  # type: ignore[attr-defined]


def _offer_values(data: Mapping[str, Any]) -> dict[str, Any]:
    groups = {f"{name}_id": data[name].pk if data[name] else None for name in ("live_group", "demo_group")}
    return {**groups, **{name: data[name] for name in ("minimum_deposit", "demo_balance", "reason")}}


def _type_values(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sorted(set(data[name])) if name == "leverage_choices" else data[name] for name in TYPE_LABELS}


def _offer_words(value: Any, currency: str) -> str:
    return format_amount(value, currency) if isinstance(value, Decimal) else str(value or "none")


def _type_words(name: str, value: Any) -> str:
    if name == "kind":
        return str(AccountType.Kind(value).label)
    if name == "leverage_choices":
        return ", ".join(f"1:{choice}" for choice in value) or EMPTY
    if name == "leverage_by_class":
        return ", ".join(f"{client_class} 1:{most}" for client_class, most in value.items()) or "no limits"
    if name == "client_classes":
        return ", ".join(value) or "everybody"
    return format_plain(value)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _leverage(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise forms.ValidationError(f"“{text}” is no leverage: a whole number such as 100.")
    return int(text)
