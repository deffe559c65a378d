"""The texts of messages: what there is in the code, what was written instead, previews, tests and publishing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import holds, visible_to
from backoffice.core.messages.kinds import MessageTemplateDefinition, template_definition, template_definitions
from backoffice.core.messages.rendering import MAX_MJML_LENGTH, MAX_SUBJECT_LENGTH
from backoffice.core.models import Brand, LegalEntity, MessageCategory, MessageTemplateVersion
from backoffice.core.services import message_templates as templates
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge, badge_column, computed, computed_column, link_column, moment_column, text
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page

VIEW, MANAGE = "core.view_templates", "core.manage_templates"
CATEGORY_TONES = {"Security": "warn", "Service": "info", "Marketing": "quiet"}
# What a mail may do in a preview: be looked at. The frame has no origin, no script, no form, no link that leads away.
MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'self'"


def mail_page(html: str) -> HttpResponse:
    """A mail as a page of its own for a frame of ours."""
    response = HttpResponse(html)
    response["Content-Security-Policy"] = MAIL_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["X-Content-Type-Options"] = "nosniff"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response


def mail_frame(url: str, title: str) -> SafeString:
    """The frame in which a mail is looked at."""
    return format_html('<iframe class="bo-mail" sandbox="" src="{}" title="{}"></iframe>', url, title)


@dataclass(frozen=True, slots=True)
class TemplateRow:
    """A message of the code, with how many texts were written for it."""

    code: str
    label: str
    category: str
    published: int
    drafts: int


def _label_link(row: TemplateRow) -> SafeString:
    return format_html('<a class="bo-link" href="{}">{}</a>', TemplatePage.url(code=row.code), row.label)


@register_desk_page
class TemplatesPage(DeskTablePage):
    """Every message there is."""

    desk, slug, title, capability = "messages", "templates", "Message templates", VIEW
    subtitle = "The texts in the product, and those that were published instead of them by brand and language."
    columns = (
        computed(_label_link, title="Message"),
        text("code", title="Code"),
        badge("category", title="Category", tones=CATEGORY_TONES),
        computed(lambda row: row.published or "", title="Published texts", is_numeric=True),
        computed(lambda row: row.drafts or "", title="Drafts", is_numeric=True),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> list[TemplateRow]:
        """By code."""
        counted = visible_to(MessageTemplateVersion.objects.all(), actor).order_by().values("code")
        found = {
            row["code"]: row
            for row in counted.annotate(
                published=Count("pk", filter=Q(state="published")), drafts=Count("pk", filter=Q(state="draft"))
            )
        }
        nothing = {"published": 0, "drafts": 0}
        return [
            TemplateRow(
                code=each.code,
                label=each.label,
                category=str(MessageCategory(each.category).label),
                published=found.get(each.code, nothing)["published"],
                drafts=found.get(each.code, nothing)["drafts"],
            )
            for each in template_definitions()
        ]


class OfTemplate:
    """A page about one message; its code stands in the address."""

    kwargs: dict[str, Any]

    @property
    def definition(self) -> MessageTemplateDefinition:
        """The message. Raises NotFound."""
        return template_definition(self.kwargs["code"])


@register_desk_page
class TemplatePage(OfTemplate, DeskPage):
    """One message: its variables, its texts, and how it looks."""

    desk, slug, title, capability = "messages", "template", "Message template", VIEW
    route = "templates/<str:code>/"
    template_name = "desk/messages/template.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The newest of each family first."""
        definition = self.definition
        return {
            "title": definition.label,
            "content_title": definition.label,
            "definition": definition,
            "category": MessageCategory(definition.category).label,
            "versions": templates.visible_versions(code=definition.code, actor=actor),
            "preview": mail_frame(TemplatePreview.url(code=definition.code, version_id=0), "The text in the product"),
            "buttons": [{"title": "Write a text", "url": WriteTemplate.url(code=definition.code), "tone": "default"}]
            if holds(actor, MANAGE)
            else [],
        }

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list."""
        return [*super().breadcrumbs(), ("Message templates", TemplatesPage.url())]


@register_desk_page
class TemplatePreview(OfTemplate, DeskPage):
    """A text with sample values, as its reader sees it; version 0 is the text in the product."""

    desk, slug, title, capability = "messages", "template-preview", "Preview", VIEW
    route = "templates/<str:code>/preview/<int:version_id>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bare mail."""
        definition = self.definition
        if kwargs["version_id"]:
            return mail_page(templates.preview_version(version_id=kwargs["version_id"], actor=self.actor).html)
        rendered = templates.preview(definition=definition, subject=definition.subject, mjml=definition.mjml)
        return mail_page(rendered.html)


class TemplateForm(forms.Form):
    """A text for a brand and a language."""

    brand = forms.ModelChoiceField(Brand.objects.none(), required=False, empty_label="Every brand")
    language = forms.CharField(
        max_length=10, required=False, help_text="en, de or pt-br; empty for every language without a text of its own."
    )
    subject = forms.CharField(max_length=MAX_SUBJECT_LENGTH)
    mjml = forms.CharField(
        label="Text (MJML)",
        max_length=MAX_MJML_LENGTH,
        widget=forms.Textarea(attrs={"rows": 16, "spellcheck": "false"}),
        help_text="Sections between the house's head and foot, or a whole <mjml> document.",
    )
    note = forms.CharField(max_length=200, required=False, help_text="What was changed; for colleagues.")


@register_desk_page
class WriteTemplate(OfTemplate, DeskActionView):
    """Writes the draft of a text."""

    desk, slug, title, capability = "messages", "template-write", "Write a text", MANAGE
    route = "templates/<str:code>/write/"
    button = "Save draft"
    needs_confirmation = False
    success_message = "The draft is saved. Nothing is sent with it until it is published."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Begins with the newest text of the same family, or the product's."""
        form = TemplateForm(data, initial=self.initial(actor))
        brands = visible_to(Brand.objects.all(), actor)
        form.fields["brand"].queryset = brands  # type: ignore[attr-defined]
        if not actor.is_system and LegalEntity.objects.exclude(pk__in=actor.entity_ids).exists():
            # A text for every brand needs somebody who works for every legal entity.
            form.fields["brand"].empty_label = "Choose a brand"  # type: ignore[attr-defined]
        names = ", ".join(f"{{{{ {name} }}}}" for name in self.definition.samples())
        form.fields["mjml"].help_text = f"{form.fields['mjml'].help_text} Variables: {names}"
        return form

    def initial(self, actor: Actor) -> dict[str, Any]:
        """From the version that the address names, else from the product's text."""
        number = self.request.GET.get("from", "")
        known = {str(each.pk): each for each in templates.visible_versions(code=self.definition.code, actor=actor)}
        if number in known:
            version = known[number]
            return {
                "brand": version.brand_id,
                "language": version.language,
                "subject": version.subject,
                "mjml": version.mjml,
            }
        return {"subject": self.definition.subject, "mjml": self.definition.mjml}

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saving twice is saving once."""
        return templates.save_draft(
            code=self.definition.code,
            brand_id=data["brand"].pk if data["brand"] else None,
            language=data["language"],
            subject=data["subject"],
            mjml=data["mjml"],
            note=data["note"],
            actor=actor,
        )

    def success_url(self, result: MessageTemplateVersion) -> str:
        """On to the preview."""
        return reverse("admin:core_messagetemplateversion_change", args=[result.pk])

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the message."""
        code = self.kwargs["code"]
        return [*super().breadcrumbs(), ("Message templates", TemplatesPage.url()), (code, TemplatePage.url(code=code))]


def _is_draft(version: MessageTemplateVersion) -> bool:
    return version.state == MessageTemplateVersion.State.DRAFT


class PublishVersion(DeskActionView):
    """Makes a draft the text that is sent."""

    slug, title, button, capability = "publish", "Publish the text", "Publish", MANAGE
    success_message = "Published: every message from now on takes this text."

    @classmethod
    def is_offered(cls, target: MessageTemplateVersion, actor: Actor) -> bool:
        """Drafts."""
        return _is_draft(target)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What changes for whom."""
        rendered = templates.preview_version(version_id=self.target.pk, actor=actor)
        return [
            ("Message", template_definition(self.target.code).label),
            ("Brand", self.target.brand.name if self.target.brand else "every brand"),
            ("Language", self.target.language or "every language"),
            ("Subject", rendered.subject),
            ("What happens", "Messages queued already and not sent yet take the new text, too. It cannot be changed."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Publishing twice is publishing once."""
        return templates.publish_template(version_id=self.target.pk, actor=actor)


class SendTest(DeskActionView):
    """Sends a text to oneself."""

    slug, title, button, capability = "test", "Send a test", "Send a test", MANAGE
    success_message = "The test is on its way to you."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """To whom."""
        return [("To", actor.label), ("Values", "The samples of the template")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """To nobody else."""
        return templates.send_test(version_id=self.target.pk, actor=actor)


class DiscardDraft(DeskActionView):
    """Forgets a draft."""

    slug, title, button, capability = "discard", "Discard the draft", "Discard", MANAGE
    tone = "danger"
    explanation = "The draft is forgotten; what is published goes on being sent."
    success_message = "The draft was discarded."

    @classmethod
    def is_offered(cls, target: MessageTemplateVersion, actor: Actor) -> bool:
        """Drafts."""
        return _is_draft(target)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds nothing."""
        return templates.discard_draft(version_id=self.target.pk, actor=actor)

    def success_url(self, result: Any) -> str:
        """Back to the message."""
        return TemplatePage.url(code=self.target.code)


@admin.register(MessageTemplateVersion)
class MessageTemplateVersionAdmin(DeskModelAdmin):
    """The versions of all texts."""

    view_capability = VIEW
    exports = False
    list_display = ("code", "brand_shown", "language_shown", "number", "state_shown", "subject", "written_shown")
    list_select_related = ("brand", "written_by", "published_by")
    list_filter = ("state", "code", "language")
    search_fields = ("code", "subject", "note")
    object_actions = (PublishVersion, SendTest, DiscardDraft)
    fieldsets = (
        (None, {"fields": (("code", "number", "state_shown"), ("brand_shown", "language_shown"), "subject", "note")}),
        (
            "History",
            {
                "fields": (
                    ("written_by_shown", "written_shown"),
                    ("published_by_shown", "published_shown"),
                    "edit_shown",
                )
            },
        ),
        ("Source", {"fields": ("mjml",), "classes": ("collapse",)}),
    )
    brand_shown = computed_column(lambda version: version.brand.name if version.brand else "Every brand", title="Brand")
    language_shown = computed_column(lambda version: version.language or "Every language", title="Language")
    state_shown = badge_column("state", title="State", tones={"draft": "warn", "published": "good"})
    written_by_shown = link_column("written_by", title="Written by")
    written_shown = moment_column("written_at", title="Written (UTC)", order="written_at")
    published_by_shown = link_column("published_by", title="Published by")
    published_shown = moment_column("published_at", title="Published (UTC)")
    edit_shown = computed_column(
        lambda version: format_html(
            '<a class="bo-link" href="{}?from={}">Write on from this text</a>',
            WriteTemplate.url(code=version.code),
            version.pk,
        ),
        title="Next text",
    )
    empty_text = "No text was written yet; messages take those of the product."


def preview_panel(version: Any, actor: Actor) -> str:
    """How the text looks."""
    return mail_frame(TemplatePreview.url(code=version.code, version_id=version.pk), f"Preview of {version}")


register_panel("core.MessageTemplateVersion", "preview", "With sample values", preview_panel, order=10)
