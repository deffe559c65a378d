"""What staff do with applications: enter one, take it in hand, ask, decide the identity, approve, refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

from django import forms
from django.apps import apps

from backoffice.core.access import visible_to
from backoffice.core.files.kinds import file_purpose
from backoffice.core.models import Brand
from backoffice.core.services.files import read_upload
from backoffice.core.types import Actor
from backoffice.ui.views import DeskActionView
from ib.admin.forms import day_field, start_of
from ib.models import PartnerApplication, Plan
from ib.models.applications import APPLIED_KINDS
from ib.permissions import DECIDE_APPLICATIONS, ENTER_APPLICATIONS
from ib.services import application_decisions, applications
from ib.services.application_letters import FILE_PURPOSE
from ib.types import ApplicationDetails

FORM_KEYS = UUID("8a7a2f0e-52b4-5d0e-9c55-0f3a6d1c2b10")
"""Under which the keys of the desk's forms become keys of applications."""


class EnterForm(forms.Form):
    """An application that staff enter for somebody."""

    brand: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Brand")
    applicant = forms.ChoiceField(label="Who applies", choices=PartnerApplication.Applicant.choices)
    name = forms.CharField(max_length=160, label="Name of the person or company")
    contact_name = forms.CharField(max_length=160, required=False, label="Who speaks for the company")
    company_number = forms.CharField(max_length=60, required=False, label="Registration number")
    email = forms.EmailField(label="E-mail")
    phone = forms.CharField(max_length=32, required=False, label="Telephone")
    country = forms.CharField(max_length=2, help_text="Two letters, such as CY.")
    language = forms.CharField(max_length=5, initial="en")
    kind = forms.ChoiceField(choices=APPLIED_KINDS, label="Kind of partner")
    currency = forms.CharField(max_length=5, initial="USD", label="Paid in")
    website = forms.CharField(required=False, max_length=300, label="Web site", help_text="Such as https://example.com")
    promised_clients = forms.IntegerField(min_value=0, initial=0, label="New clients in a month")
    promised_lots = forms.DecimalField(min_value=0, initial=0, max_digits=12, decimal_places=2, label="Lots in a month")
    promotion = forms.CharField(
        max_length=2000, required=False, label="How they win clients", widget=forms.Textarea(attrs={"rows": 3})
    )
    client_reference = forms.CharField(
        max_length=20, required=False, label="Client they are", help_text="Such as C-000123, where they are one."
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        self.fields["brand"].queryset = visible_to(Brand.objects.select_related("entity"), actor)  # type: ignore[attr-defined]

    def clean_client_reference(self) -> int | None:
        """The client of the reference, if the actor may see them."""
        reference = self.cleaned_data["client_reference"].strip().upper()
        if not reference:
            return None
        clients = visible_to(apps.get_model("crm", "Client")._default_manager.all(), self.actor)
        found = clients.filter(reference=reference).values_list("pk", flat=True).first()
        if found is None:
            raise forms.ValidationError("No such client, or they are not yours to see.")
        return int(found)


class EnterApplication(DeskActionView):
    """Enters an application for somebody; a colleague decides it."""

    slug, title, button, capability = "enter", "Enter an application", "Enter an application", ENTER_APPLICATIONS
    explanation = (
        "They get a mail with a link, on which they give documents and accept the agreement. A colleague decides."
    )
    success_message = "Entered. The applicant has the link by mail."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the brands that the actor sees."""
        return EnterForm(data, actor=actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who, and what follows."""
        return [
            ("Applicant", data["name"]),
            ("E-mail", data["email"]),
            ("Brand", str(data["brand"])),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Enters it, once for the key."""
        given = dict(data)
        brand, client_id = given.pop("brand"), given.pop("client_reference")
        return applications.open_application(
            entity_id=brand.entity_id,
            brand_id=brand.pk,
            details=ApplicationDetails(**given, client_id=client_id),
            form_key=uuid5(FORM_KEYS, idempotency_key),
            actor=actor,
        )


class ApplicationAct(DeskActionView):
    """What the acts share: they concern one application and are offered while their step is possible."""

    capability = DECIDE_APPLICATIONS
    step = ""
    target: PartnerApplication

    @classmethod
    def is_offered(cls, target: PartnerApplication, actor: Actor) -> bool:
        """While the step is possible; decisions not to who entered it."""
        is_own = target.entered_by_user_id is not None and target.entered_by_user_id == actor.user_id
        return applications.may_step(cls.step, target.state) and not (is_own and cls.step in {"approve", "refuse"})

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, and what follows."""
        words = [(str(name).replace("_", " ").capitalize(), str(text)) for name, text in data.items() if text]
        return [("Applicant", str(self.target)), *words, ("What happens", self.explanation)]


class TakeApplication(ApplicationAct):
    """Makes the actor the one who looks at it."""

    slug, title, step = "take", "Take in hand", "take"
    explanation, success_message = "It is yours to look at.", "It is yours."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Takes."""
        return applications.take_application(application_id=self.target.pk, actor=actor)


class QuestionForm(forms.Form):
    """What is wanted."""

    question = forms.CharField(max_length=2000, label="What we need", widget=forms.Textarea(attrs={"rows": 4}))


class WantInformation(ApplicationAct):
    """Asks the applicant."""

    slug, title, step = "ask", "Ask for more information", "ask"
    form_class = QuestionForm
    explanation = "The applicant gets a mail; the application waits for the answer."
    success_message = "Asked."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Asks."""
        return applications.want_information(application_id=self.target.pk, question=data["question"], actor=actor)


class AnswerForm(forms.Form):
    """What the applicant said."""

    answer = forms.CharField(max_length=2000, label="What they answered", widget=forms.Textarea(attrs={"rows": 4}))


class AnswerForApplicant(ApplicationAct):
    """Writes down what an applicant said on the telephone."""

    slug, title, step, capability = "answer", "Write the answer down", "answer", ENTER_APPLICATIONS
    form_class = AnswerForm
    explanation = "The application is in review again."
    success_message = "Written down."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Answers."""
        return applications.answer_application(application_id=self.target.pk, answer=data["answer"], actor=actor)


class IdentityForm(forms.Form):
    """Whether it is known who this is."""

    is_verified = forms.TypedChoiceField(
        label="Identity",
        choices=[("yes", "Verified"), ("no", "Not accepted")],
        coerce=lambda value: value == "yes",
    )
    reason = forms.CharField(max_length=300, label="By what you know", widget=forms.Textarea(attrs={"rows": 2}))


class DecideIdentity(ApplicationAct):
    """Says whether it is known who the applicant is."""

    slug, title = "identity", "Decide the identity"
    form_class = IdentityForm
    explanation = "Without a verified identity nobody is approved."
    success_message = "Noted."

    @classmethod
    def is_offered(cls, target: PartnerApplication, actor: Actor) -> bool:
        """While it is open, not to who entered it."""
        return target.is_open and (target.entered_by_user_id is None or target.entered_by_user_id != actor.user_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is said."""
        return [
            ("Applicant", str(self.target)),
            ("Identity", "verified" if data["is_verified"] else "not accepted"),
            ("By what you know", data["reason"]),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Says it."""
        return applications.decide_identity(application_id=self.target.pk, actor=actor, **data)


class UploadForm(forms.Form):
    """A document."""

    file = forms.FileField(label="Document")


class GiveDocument(ApplicationAct):
    """Keeps a document that the applicant sent by mail."""

    slug, title, capability = "document", "Add a document", ENTER_APPLICATIONS
    needs_confirmation = False
    success_message = "Kept."

    @classmethod
    def is_offered(cls, target: PartnerApplication, actor: Actor) -> bool:
        """While it is open."""
        return target.is_open

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what is taken."""
        form = UploadForm(data, files)
        form.fields["file"].widget.attrs["accept"] = file_purpose(FILE_PURPOSE).endings
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Keeps it."""
        upload = data["file"]
        return applications.give_document(
            application_id=self.target.pk,
            data=read_upload(upload, purpose=FILE_PURPOSE),
            file_name=upload.name or "document",
            actor=actor,
        )


class ApproveForm(forms.Form):
    """What the new partner gets."""

    plan: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Commission plan")
    valid_from = day_field("From", required=False)
    under_parent = forms.BooleanField(label="Stands below who brought them", required=False, initial=True)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, actor: Actor, application: PartnerApplication, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        plans = visible_to(Plan.objects.filter(entity_id=application.entity_id), actor)
        self.fields["plan"].queryset = plans  # type: ignore[attr-defined]
        self.fields["valid_from"].help_text = "Empty: from now on."
        if application.parent is None:
            del self.fields["under_parent"]


class Approve(ApplicationAct):
    """Makes a partner of the applicant."""

    slug, title, button, step = "approve", "Approve", "Approve", "approve"
    explanation = "A partner, a login with an invitation by mail, the agreement on the plan and a first link come of it, all at once."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the plans of the legal entity."""
        return ApproveForm(data, actor=actor, application=self.target)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What comes of it, and what stands against it."""
        missing = applications.missing_for_approval(self.target)
        return [
            ("Applicant", str(self.target)),
            ("Kind", self.target.get_kind_display()),
            ("Plan", str(data["plan"])),
            ("Below", str(self.target.parent) if self.target.parent and data.get("under_parent") else "nobody"),
            *[("Still missing", text) for text in missing],
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Approves."""
        return application_decisions.approve_application(
            application_id=self.target.pk,
            plan_id=data["plan"].pk,
            valid_from=start_of(data["valid_from"]) if data["valid_from"] else None,
            under_parent=bool(data.get("under_parent", False)),
            reason=data["reason"],
            actor=actor,
        )

    def success_text(self, result: PartnerApplication) -> str:
        """Who came of it."""
        return f"{result.partner} is a partner now; the invitation is on its way."


class RefuseForm(forms.Form):
    """Why, for us and for them."""

    reason = forms.CharField(max_length=500, label="Why, for the desk", widget=forms.Textarea(attrs={"rows": 2}))
    letter = forms.CharField(
        max_length=2000, label="What the applicant reads", widget=forms.Textarea(attrs={"rows": 5})
    )


class Refuse(ApplicationAct):
    """Refuses the applicant with a letter."""

    slug, title, button, step, tone = "refuse", "Refuse", "Refuse", "refuse", "danger"
    form_class = RefuseForm
    explanation = "The applicant gets the letter by mail. The reason stays at the desk."
    success_message = "Refused; the letter is on its way."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refuses."""
        return application_decisions.refuse_application(application_id=self.target.pk, actor=actor, **data)


class WithdrawForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2}))


class Withdraw(ApplicationAct):
    """Ends it on the applicant's wish."""

    slug, title, step, capability, tone = "withdraw", "Withdraw", "withdraw", ENTER_APPLICATIONS, "danger"
    form_class = WithdrawForm
    explanation = "It ends on the applicant's wish. They may apply again."
    success_message = "Withdrawn."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Withdraws."""
        return applications.withdraw_application(application_id=self.target.pk, reason=data["reason"], actor=actor)
