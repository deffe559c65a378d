"""What people do with a legal entity on the desk: currencies, bank accounts, terms, patterns of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms

from backoffice.core.files.kinds import file_purpose
from backoffice.core.models import EntityBankAccount, TermsVersion
from backoffice.core.organisation.document_kinds import document_kinds, get_document_kind, render_reference
from backoffice.core.services import brand_logos, entities, numbering, terms
from backoffice.core.services.files import read_upload
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.views import DeskActionView

REASON = {"max_length": 500, "label": "Reason"}


def _reason() -> forms.CharField:
    return forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), **REASON)  # type: ignore[arg-type]


class LogoForm(forms.Form):
    """A picture."""

    file = forms.FileField(label="Logo", help_text="PNG, JPEG or WebP of at most 1 MB.")


class SetLogo(DeskActionView):
    """Gives a brand a logo."""

    slug, title, button, capability = "logo", "Set the logo", "Set the logo", entities.MANAGE
    explanation = "It stands on the pages of the brand's own host, for everybody."
    needs_confirmation = False
    success_message = "The pages of the brand's host show it within half a minute."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what is taken."""
        form = LogoForm(data, files)
        form.fields["file"].widget.attrs["accept"] = file_purpose(brand_logos.LOGO_PURPOSE).endings
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Keeps and sets it."""
        upload = data["file"]
        return brand_logos.set_brand_logo(
            brand_id=self.target.pk,
            data=read_upload(upload, purpose=brand_logos.LOGO_PURPOSE),
            file_name=upload.name or "logo",
            actor=actor,
        )


class CurrenciesForm(forms.Form):
    """In which currencies accounts may be opened."""

    currencies = forms.CharField(
        required=False,
        max_length=400,
        label="Currencies",
        help_text="Codes, such as EUR USD GBP. The base currency is always among them. Empty: not limited.",
    )
    reason = _reason()


class SetCurrencies(DeskActionView):
    """Limits the currencies of an entity."""

    slug, title, capability = "currencies", "Permitted currencies", entities.MANAGE
    form_class = CurrenciesForm
    explanation = "Accounts that exist stay as they are; new ones are opened in these currencies only."
    success_message = "The currencies are set."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {"currencies": " ".join(self.target.currencies)}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Before and after."""
        return [
            ("Legal entity", str(self.target)),
            ("So far", ", ".join(self.target.currencies) or "not limited"),
            ("From now on", ", ".join(self._codes(data)) or "not limited"),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets them."""
        return entities.set_currencies(
            entity_id=self.target.pk, currencies=self._codes(data), actor=actor, reason=data["reason"]
        )

    def _codes(self, data: Mapping[str, Any]) -> list[str]:
        return data["currencies"].replace(",", " ").upper().split()


class BankAccountForm(forms.Form):
    """An account at a bank."""

    name = forms.CharField(max_length=120, label="What the house calls it")
    purpose = forms.ChoiceField(choices=EntityBankAccount.Purpose.choices, label="Purpose")
    currency = forms.CharField(max_length=5, label="Currency")
    bank_name = forms.CharField(max_length=120, label="Bank")
    account_number = forms.CharField(max_length=48, label="IBAN or account number")
    is_iban = forms.BooleanField(required=False, initial=True, label="It is an IBAN")
    bic = forms.CharField(max_length=11, required=False, label="BIC")
    reason = _reason()


class AddBankAccount(DeskActionView):
    """Adds a bank account of an entity."""

    slug, title, capability = "bank_account", "Add a bank account", entities.MANAGE_BANK_ACCOUNTS
    form_class = BankAccountForm
    explanation = "The number is checked, encrypted, and shown by its last four characters from then on."
    success_message = "The bank account is added."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is added."""
        return [
            ("Legal entity", str(self.target)),
            ("Account", f"{data['name']}, {data['currency'].upper()}"),
            ("Bank", " ".join(filter(None, (data["bank_name"], data["bic"])))),
            ("Number", data["account_number"]),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        return entities.add_bank_account(
            entity_id=self.target.pk, actor=actor, **{**data, "currency": data["currency"].upper()}
        )


class OnlyReasonForm(forms.Form):
    """Why."""

    reason = _reason()


class CloseBankAccount(DeskActionView):
    """Says that a bank account is no longer used."""

    slug, title, capability = "close", "Close the account", entities.MANAGE_BANK_ACCOUNTS
    form_class = OnlyReasonForm
    tone = "danger"
    success_message = "The bank account is closed."

    @classmethod
    def is_offered(cls, target: EntityBankAccount, actor: Actor) -> bool:
        """While it is open."""
        return target.closed_at is None

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What closes."""
        return [("Account", str(self.target)), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Closes it."""
        return entities.close_bank_account(bank_account_id=self.target.pk, actor=actor, reason=data["reason"])


class RevealNumber(DeskActionView):
    """Shows the whole number once, with a reason."""

    slug, title, capability = "reveal", "Show the number", entities.REVEAL_BANK_ACCOUNT
    form_class = OnlyReasonForm
    explanation = "Who looked, when and why stands in the audit."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose number."""
        return [("Account", str(self.target)), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """The number."""
        return entities.reveal_account_number(bank_account_id=self.target.pk, actor=actor, reason=data["reason"])

    def success_text(self, result: Any) -> str:
        """The number, in groups of four."""
        return "Number: " + " ".join(result[start : start + 4] for start in range(0, len(result), 4))


class TermsForm(forms.Form):
    """A document."""

    kind = forms.ChoiceField(choices=TermsVersion.Kind.choices, label="Document")
    language = forms.CharField(max_length=8, initial="en", label="Language")
    title = forms.CharField(max_length=160, label="Title")
    body = forms.CharField(max_length=terms.MAXIMUM_BODY, widget=forms.Textarea(attrs={"rows": 14}), label="Text")


class DraftTerms(DeskActionView):
    """Drafts a version of a document."""

    slug, title, capability = "terms", "Draft terms", terms.MANAGE
    form_class = TermsForm
    needs_confirmation = False
    success_message = "The draft is kept. It counts once it is published."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Keeps it."""
        return terms.draft_terms(entity_id=self.target.pk, actor=actor, **data)


class EditTermsForm(forms.Form):
    """The text of a draft."""

    title = forms.CharField(max_length=160, label="Title")
    body = forms.CharField(max_length=terms.MAXIMUM_BODY, widget=forms.Textarea(attrs={"rows": 14}), label="Text")


class EditTerms(DeskActionView):
    """Changes a draft."""

    slug, title, capability = "edit", "Edit the draft", terms.MANAGE
    form_class = EditTermsForm
    needs_confirmation = False
    success_message = "The draft is changed."

    @classmethod
    def is_offered(cls, target: TermsVersion, actor: Actor) -> bool:
        """Until it is published."""
        return target.published_at is None

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {"title": self.target.title, "body": self.target.body}

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Changes it."""
        return terms.change_draft(terms_id=self.target.pk, actor=actor, **data)


class PublishForm(forms.Form):
    """From when, and why."""

    valid_from = forms.DateField(label="Counts from", widget=forms.DateInput)
    reason = _reason()


class PublishTerms(DeskActionView):
    """Publishes a draft."""

    slug, title, capability = "publish", "Publish", terms.MANAGE
    form_class = PublishForm
    explanation = "Published terms never change. The version before ends where this one begins."
    success_message = "The terms are published."

    @classmethod
    def is_offered(cls, target: TermsVersion, actor: Actor) -> bool:
        """Until it is published."""
        return target.published_at is None

    def initial(self, actor: Actor) -> dict[str, Any]:
        """Today."""
        return {"valid_from": clock.now().date()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What counts from when."""
        before = terms.terms_in_force(
            entity_id=self.target.entity_id,
            kind=self.target.kind,
            on=data["valid_from"],
            language=self.target.language,
        )
        return [
            ("Document", f"{self.target}: {self.target.title}"),
            ("Counts from", data["valid_from"].isoformat()),
            ("Ends then", f"version {before.number}" if before else "nothing: it is the first"),
            ("Digest", self.target.sha256),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Publishes it."""
        return terms.publish_terms(
            terms_id=self.target.pk, valid_from=data["valid_from"], actor=actor, reason=data["reason"]
        )


class PatternForm(forms.Form):
    """The pattern of a kind of document."""

    kind = forms.ChoiceField(label="Document")
    pattern = forms.CharField(
        max_length=80,
        label="Pattern",
        help_text="{number} or {number:05}, and perhaps {entity} and {year}: {entity}-JV-{year}-{number:05}.",
    )
    reason = _reason()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["kind"].choices = [(kind.kind, kind.label) for kind in document_kinds()]  # type: ignore[attr-defined]


class SetNumberPattern(DeskActionView):
    """Gives a kind of document another pattern."""

    slug, title, capability = "numbering", "Pattern of numbers", entities.MANAGE
    form_class = PatternForm
    explanation = "Numbers go on where they stand; the new pattern counts from the next document on."
    success_message = "The pattern is set."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How a number would look."""
        numbering.check_pattern(data["pattern"], is_yearly=get_document_kind(data["kind"]).is_yearly)
        example = render_reference(data["pattern"], entity_code=self.target.code, year=clock.now().year, number=1)
        return [
            ("Document", get_document_kind(data["kind"]).label),
            ("Number 1 would be", example),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets it."""
        return numbering.set_number_pattern(entity_id=self.target.pk, actor=actor, **data)
