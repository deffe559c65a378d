"""Wanting to become a partner: the form for everybody, and the page on which an applicant follows the own application."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.files.kinds import file_purpose
from backoffice.core.models import Brand
from backoffice.core.services.files import read_upload
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.kernel.ids import uuid7
from backoffice.ui.portal import register_portal_page
from ib.models import PartnerApplication
from ib.models.applications import APPLIED_KINDS
from ib.portal.public import PublicView
from ib.services import applications
from ib.services.application_letters import FILE_PURPOSE, access_token
from ib.services.terms import agreement_in_force, has_applicant_accepted
from ib.types import ApplicationDetails

MOST_BRANDS = 50
VISITOR = Actor(label="applicant")
CURRENCIES = ("USD", "EUR", "GBP", "CHF", "JPY", "AUD")
LANGUAGES = (("en", "English"), ("de", "Deutsch"), ("es", "Español"), ("fr", "Français"))
TONES = {"draft": "quiet", "submitted": "info", "in_review": "info", "information": "warn", "approved": "good"}
STATE_WORDS = {
    "draft": "Not submitted yet",
    "submitted": "Received: we look at it within two working days",
    "in_review": "Somebody looks at it",
    "information": "We need more information from you",
    "approved": "Approved: welcome. Look for our mail with your first sign-in",
    "refused": "We cannot work with you as a partner",
    "withdrawn": "You withdrew it",
}
STEPS = ("draft", "submitted", "in_review", "approved")
STEP_TITLES = {"draft": "Begun", "submitted": "Submitted", "in_review": "In review", "approved": "Decided"}


class ApplicationForm(forms.Form):
    """What somebody says who wants to become a partner."""

    applicant = forms.ChoiceField(label="Who applies", choices=PartnerApplication.Applicant.choices)
    name = forms.CharField(label="Name of the person or company", max_length=160)
    contact_name = forms.CharField(
        label="Who speaks for the company", max_length=160, required=False, help_text="For companies only."
    )
    company_number = forms.CharField(
        label="Registration number", max_length=60, required=False, help_text="For companies only."
    )
    email = forms.EmailField(label="E-mail")
    phone = forms.CharField(label="Telephone", max_length=32, required=False)
    country = forms.RegexField(
        r"^[A-Za-z]{2}$", label="Country", help_text="Two letters, such as CY.", max_length=2,
        error_messages={"invalid": "Two letters, such as CY."},
        widget=forms.TextInput(attrs={"autocomplete": "country", "autocapitalize": "characters"}),
    )  # fmt: skip
    language = forms.ChoiceField(label="Language", choices=LANGUAGES)
    kind = forms.ChoiceField(label="How you want to work with us", choices=APPLIED_KINDS)
    currency = forms.ChoiceField(label="Paid in", choices=[(code, code) for code in CURRENCIES])
    website = forms.URLField(label="Web site or profile", required=False, max_length=300, assume_scheme="https")
    promised_clients = forms.IntegerField(label="New clients in a month", min_value=0, max_value=1_000_000, initial=0)
    promised_lots = forms.DecimalField(
        label="Lots in a month", min_value=Decimal(0), max_digits=12, decimal_places=2, initial=0
    )
    promotion = forms.CharField(
        label="How you win clients", max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 4})
    )
    form_key = forms.UUIDField(widget=forms.HiddenInput)
    code = forms.CharField(widget=forms.HiddenInput, required=False, max_length=32)

    def details(self) -> ApplicationDetails:
        """For the use case."""
        given = {name: value for name, value in self.cleaned_data.items() if name not in {"form_key", "code"}}
        return ApplicationDetails(**given)


def refuse(form: forms.Form, error: DomainError) -> None:
    """Writes a refusal to its field."""
    name = str(error.details.get("field", ""))
    form.add_error(name if name in form.fields and not form.fields[name].widget.is_hidden else None, error.message)


class ApplyPage(PublicView):
    """The form of a brand. On a brand's own host it is that brand's; on the house's host a brand without a host."""

    title, template_name = "Become a partner", "ib/portal/apply.html"
    sent_in_an_hour = 10

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The empty form."""
        open_brands = self._open_brands()
        if self.brand is None and not self.kwargs.get("brand") and len(open_brands) > 1:
            return self.public_page({"brands": open_brands}, template="ib/portal/apply_choice.html")
        brand = self._brand()
        initial = {"form_key": uuid7(), "code": request.GET.get("ref", "")[:32]}
        return self.public_page({"form": ApplicationForm(initial=initial), "brand": brand})

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Opens the application and leads to its page; the same form again leads to the same page."""
        brand = self._brand()
        form = ApplicationForm(request.POST)
        if not form.is_valid():
            return self.public_page({"form": form, "brand": brand}, status=400)
        try:
            application = applications.open_application(
                entity_id=brand.entity_id,
                brand_id=brand.pk,
                details=form.details(),
                form_key=UUID(str(form.cleaned_data["form_key"])),
                code=form.cleaned_data["code"],
                actor=VISITOR,
            )
        except DomainError as error:
            refuse(form, error)
            return self.public_page({"form": form, "brand": brand}, status=error.http_status)
        return HttpResponseRedirect(reverse("portal:ib_application", args=[access_token(application)]))

    def _brand(self) -> Brand:
        """The brand that is applied at. Raises 404 where a brand's own host is not the one that was asked."""
        brands = Brand.objects.select_related("entity")
        code = self.kwargs.get("brand", "")
        if self.brand is not None:
            if code and code != self.brand.code:
                raise Http404
            return brands.get(pk=self.brand.brand_id)
        found = [brand for brand in self._open_brands() if not code or brand.code == code]
        if len(found) != 1:
            raise Http404
        return found[0]

    def _open_brands(self) -> list[Brand]:
        """The house's own brands: those without a host that belong to no partner."""
        own = Brand.objects.filter(host="", white_label__isnull=True)
        return list(own.select_related("entity").order_by("pk")[:MOST_BRANDS])


class AnswerForm(forms.Form):
    """What the applicant answers."""

    answer = forms.CharField(label="Your answer", max_length=2000, widget=forms.Textarea(attrs={"rows": 4}))


class ApplicationPage(PublicView):
    """An application by its secret address: documents, the agreement, what we ask, what was decided."""

    title, template_name = "Your application", "ib/portal/application.html"
    sent_in_an_hour = 60

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        return self._shown(self._application())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """One of the acts: a document, the submission, an answer, the withdrawal."""
        application = self._application()
        act = {
            "document": self._give_document,
            "submit": self._submit,
            "accept": self._accept,
            "answer": self._answer,
            "withdraw": self._withdraw,
        }.get(request.POST.get("act", ""))
        if act is None:
            raise Http404
        try:
            said = act(application)
        except DomainError as error:
            return self._shown(self._application(), problem=error.message, status=error.http_status)
        messages.success(request, said)
        return HttpResponseRedirect(request.path)

    def _application(self) -> PartnerApplication:
        application = applications.application_of(self.kwargs["token"])
        host_brand = self.brand.brand_id if self.brand is not None else None
        if (host_brand or application.brand_id) != application.brand_id or (
            host_brand is None and application.brand.host
        ):
            raise Http404
        return application

    def _give_document(self, application: PartnerApplication) -> str:
        upload = self.request.FILES.get("file")
        if upload is None:
            raise InvalidInput("Choose a file first.", field="file")
        stored = applications.give_document(
            application_id=application.pk,
            data=read_upload(upload, purpose=FILE_PURPOSE),
            file_name=upload.name or "document",
            actor=applications.applicant(application),
        )
        if stored.state == stored.State.REFUSED:
            raise InvalidInput(f"We cannot take this file: {stored.reason}", field="file")
        return "We have your document."

    def _agreed(self) -> dict[str, Any]:
        if not self.request.POST.get("agreed"):
            raise InvalidInput("Read the agreement and tick that you agree.", field="agreed")
        number = self.request.POST.get("terms", "")
        return {
            "terms_id": int(number) if number.isdigit() else 0,
            "sha256": self.request.POST.get("sha256", ""),
            "address": self.address,
        }

    def _submit(self, application: PartnerApplication) -> str:
        applications.submit_application(
            application_id=application.pk, actor=applications.applicant(application), **self._agreed()
        )
        return "Thank you: we have your application."

    def _accept(self, application: PartnerApplication) -> str:
        applications.accept_for_applicant(
            application_id=application.pk, actor=applications.applicant(application), **self._agreed()
        )
        return "Thank you: you agreed to the new version."

    def _answer(self, application: PartnerApplication) -> str:
        form = AnswerForm(self.request.POST)
        if not form.is_valid():
            raise InvalidInput("Write an answer of at most 2,000 letters.", field="answer")
        applications.answer_application(
            application_id=application.pk,
            answer=form.cleaned_data["answer"],
            actor=applications.applicant(application),
        )
        return "Thank you: we go on with your application."

    def _withdraw(self, application: PartnerApplication) -> str:
        applications.withdraw_application(application_id=application.pk, actor=applications.applicant(application))
        return "You withdrew your application."

    def _shown(self, application: PartnerApplication, *, problem: str = "", status: int = 200) -> HttpResponseBase:
        terms = agreement_in_force(entity_id=application.entity_id, language=application.language)
        is_agreed = terms is not None and has_applicant_accepted(application, terms)
        reached = STEPS.index(application.state) if application.state in STEPS else (2 if application.is_open else 3)
        return self.public_page(
            {
                "application": application,
                "state": STATE_WORDS[application.state],
                "tone": TONES.get(application.state, "bad"),
                "steps": [(STEP_TITLES[step], index <= reached) for index, step in enumerate(STEPS)],
                "documents": list(applications.documents_of(application)),
                "accepts": file_purpose(FILE_PURPOSE).endings,
                "terms": terms,
                "is_agreed": is_agreed,
                "answer_form": AnswerForm(initial={"answer": self.request.POST.get("answer", "")}),
                "problem": problem,
            },
            status=status,
        )


def register() -> None:
    """Adds the pages. Without roles they stand in no menu; they are for everybody."""
    register_portal_page("ib.apply", "Become a partner", "portal:ib_apply", (), 90, route="apply/", view=ApplyPage)
    register_portal_page(
        "ib.apply_brand",
        "Become a partner",
        "portal:ib_apply_brand",
        (),
        91,
        route="apply/<slug:brand>/",
        view=ApplyPage,
    )
    register_portal_page(
        "ib.application",
        "Your application",
        "portal:ib_application",
        (),
        92,
        route="application/<str:token>/",
        view=ApplicationPage,
    )
