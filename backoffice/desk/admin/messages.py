"""Messages that were queued and sent, addresses that are not written to, and the folder of caught mails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import get_visible, visible_to
from backoffice.core.messages.catcher import CaughtMail, caught_mail, caught_mails, is_catching
from backoffice.core.messages.kinds import template_definitions
from backoffice.core.models import LegalEntity, Message, Suppression
from backoffice.core.services import audit, consents, message_delivery
from backoffice.core.services.messages import send_again
from backoffice.core.types import Actor
from backoffice.desk.admin.message_templates import mail_frame, mail_page
from backoffice.kernel.errors import NotFound
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed, computed_column, link_column, moment, moment_column, text
from backoffice.ui.forms import ReasonForm
from backoffice.ui.navigation import register_page, register_section
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page

STATE_TONES = {
    "queued": "info",
    "sending": "info",
    "sent": "good",
    "failed": "bad",
    "bounced": "bad",
    "suppressed": "quiet",
}
VIEW_CAUGHT = "core.view_caught_mail"


class SendAgain(DeskActionView):
    """A failed message gets a new round of attempts."""

    slug, title, button, capability = "again", "Send again", "Send again", "core.manage_messages"
    form_class = ReasonForm
    explanation = "The message is sent at once, with a full round of attempts."
    success_message = "The message is on its way again."

    @classmethod
    def is_offered(cls, target: Message, actor: Actor) -> bool:
        """Failed ones."""
        return target.state == Message.State.FAILED

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds it queued and is refused."""
        return send_again(message_id=self.target.pk, actor=actor, reason=data["reason"])


def template_label(message: Message) -> str:
    """What the message is, in words."""
    return {each.code: each.label for each in template_definitions()}.get(message.template, message.template)


@admin.register(Message)
class MessageAdmin(DeskModelAdmin):
    """What was written to whom, and what became of it."""

    view_capability = "core.view_messages"
    exports = False
    list_display = ("template_shown", "address_shown", "category_shown", "state_shown", "outcome", "queued_shown")
    list_select_related = ("entity", "brand", "version")
    list_filter = ("state", "category", "template", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("template", "public_id", "dedupe_key")
    object_actions = (SendAgain,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("template_shown", "category_shown"),
                    ("address_shown", "state_shown"),
                    "outcome",
                    "version_shown",
                )
            },
        ),
        (
            "Delivery",
            {"fields": (("entity_shown", "brand_shown", "language"), ("queued_shown", "finished_shown", "attempts"))},
        ),
        (
            "Record",
            {"fields": (("recipient_type", "recipient_id"), "dedupe_key", "provider_id"), "classes": ("collapse",)},
        ),
    )
    template_shown = computed_column(template_label, title="Message")
    address_shown = computed_column(lambda message: message.address, title="To")
    category_shown = badge_column("category", title="Category", tones={"security": "warn", "service": "info"})
    state_shown = badge_column("state", title="State", tones=STATE_TONES)
    version_shown = link_column("version", title="Text")
    entity_shown = link_column("entity", title="Legal entity", label="code")
    brand_shown = link_column("brand", title="Brand")
    queued_shown = moment_column("queued_at", title="Queued (UTC)", order="id")
    finished_shown = moment_column("finished_at", title="Ended (UTC)")
    empty_text = "No message was queued yet."


@register_desk_page
class MessageContent(DeskPage):
    """A message as its reader sees it; that somebody looked stands in the audit."""

    desk, slug, title, capability = "messages", "content", "Message", "core.view_messages"
    route = "sent/<int:message_id>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bare mail. Not found for one whose values were erased."""
        rows = Message.objects.select_related("brand__entity", "entity", "version")
        message = get_visible(rows, self.actor, pk=kwargs["message_id"])
        if not message.variables:
            raise NotFound("The content of this message was erased when it was sent.")
        with transaction.atomic():
            audit.record(actor=self.actor, action="core.view_message", target=message)
        return mail_page(message_delivery.render_message(message).html)


def content_panel(message: Any, actor: Actor) -> str:
    """What was written, on demand: looking is put on record."""
    if not message.variables:
        return format_html('<p class="bo-note">{}</p>', "The content was erased when the message was sent.")
    return format_html(
        '<p><a class="bo-link" href="{}" target="_blank" rel="noopener">Show what was written</a> '
        '<span class="bo-note">Looking stands in the audit trail.</span></p>',
        MessageContent.url(message_id=message.pk),
    )


register_panel("core.Message", "content", "Content", content_panel, order=10)


class SuppressForm(ReasonForm):
    """Which address, and from what."""

    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label="Legal entity", empty_label=None)
    address = forms.EmailField(label="Mail address")
    scope = forms.ChoiceField(choices=Suppression.Scope.choices, label="What is stopped")
    field_order = ("entity", "address", "scope", "reason")


class SuppressAddress(DeskActionView):
    """Stops messages to an address."""

    slug, title, button, capability = (
        "suppress",
        "Suppress an address",
        "Suppress an address",
        "core.manage_suppressions",
    )
    success_message = "The address is suppressed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """For one's own legal entities."""
        form = SuppressForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What follows."""
        scope = Suppression.Scope(data["scope"])
        is_all = scope == Suppression.Scope.ALL
        what = "Nothing is sent there any more, password resets included." if is_all else "No marketing is sent there."
        return [("Address", data["address"]), ("Legal entity", str(data["entity"])), ("What happens", what)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Suppressing twice is suppressing once."""
        return consents.suppress_address(
            entity_id=data["entity"].pk,
            address=data["address"],
            scope=data["scope"],
            reason=data["reason"],
            actor=actor,
        )


class LiftSuppression(DeskActionView):
    """Lets messages go to the address again."""

    slug, title, button, capability = "lift", "Lift the suppression", "Lift", "core.manage_suppressions"
    form_class = ReasonForm
    explanation = "Messages go to the address again. Marketing still needs the person's consent."
    success_message = "The suppression was lifted."

    @classmethod
    def is_offered(cls, target: Suppression, actor: Actor) -> bool:
        """Entries that stop."""
        return not target.is_lifted and target.entity_id is not None

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refused when it does not stand any more."""
        return consents.lift_suppression(suppression_id=self.target.pk, reason=data["reason"], actor=actor)


@admin.register(Suppression)
class SuppressionAdmin(DeskModelAdmin):
    """Addresses that are not written to. Only ever added to; the last entry counts."""

    view_capability = "core.view_suppressions"
    exports = False
    list_display = ("address_shown", "scope_shown", "state_shown", "source_shown", "reason", "entity_shown", "at_shown")
    list_select_related = ("entity",)
    list_filter = ("scope", "source", "is_lifted", ("entity", admin.RelatedOnlyFieldListFilter))
    list_actions = (SuppressAddress,)
    object_actions = (LiftSuppression,)
    fieldsets = (
        (
            None,
            {"fields": (("address_shown", "scope_shown", "state_shown"), ("source_shown", "entity_shown"), "reason")},
        ),
        ("Record", {"fields": (("actor", "at_shown"),)}),
    )
    address_shown = computed_column(lambda entry: entry.address, title="Address")
    scope_shown = badge_column("scope", title="Stops", tones={"all": "bad", "marketing": "warn"})
    state_shown = computed_column(lambda entry: "Lifted" if entry.is_lifted else "Suppressed", title="Entry")
    source_shown = badge_column("source", title="Because")
    entity_shown = link_column("entity", title="Legal entity", label="code")
    at_shown = moment_column("at", title="Since (UTC)", order="id")
    empty_text = "Every address may be written to."


def _mail_link(mail: CaughtMail) -> SafeString:
    return format_html('<a class="bo-link" href="{}">{}</a>', CaughtMailPage.url(number=mail.number), mail.subject)


def _caught(number: str) -> CaughtMail:
    """A mail of the folder. Not found where mails leave the house, whatever an old folder still holds."""
    if not is_catching():
        raise NotFound("Mails are not caught here.")
    return caught_mail(number)


@register_desk_page
class CaughtMailsPage(DeskTablePage):
    """The folder in which mails end on this installation."""

    desk, slug, title, capability = "messages", "caught", "Caught mails", VIEW_CAUGHT
    subtitle = "Where no mail provider is set, every mail ends here instead of leaving. The newest 200 are shown."
    columns = (
        moment("caught_at", title="Caught (UTC)"),
        text("to", title="To"),
        computed(_mail_link, title="Subject"),
        text("sender", title="From"),
    )
    empty_text = "No mail was caught."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> list[CaughtMail]:
        """The newest first."""
        return caught_mails() if is_catching() else []


@register_desk_page
class CaughtMailPage(DeskPage):
    """One mail: its head, how it looks, and its plain text."""

    desk, slug, title, capability = "messages", "caught-mail", "Caught mail", VIEW_CAUGHT
    route = "caught/<str:number>/"
    template_name = "desk/messages/mail.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """Head and both bodies."""
        mail = _caught(self.kwargs["number"])
        frame = mail_frame(CaughtMailBody.url(number=mail.number), mail.subject)
        return {"title": mail.subject, "content_title": mail.subject, "mail": mail, "frame": frame}

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the folder."""
        return [*super().breadcrumbs(), ("Caught mails", reverse(CaughtMailsPage.url_name()))]


@register_desk_page
class CaughtMailBody(DeskPage):
    """The HTML of a mail, for the frame."""

    desk, slug, title, capability = "messages", "caught-body", "Caught mail", VIEW_CAUGHT
    route = "caught/<str:number>/body/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Harmless, whatever is in it."""
        return mail_page(_caught(kwargs["number"]).html)


def register() -> None:
    """The section of the menu."""
    register_section("messages", "Messages", "mail", 80)
    register_page("messages", "Templates", "admin:messages_templates", "core.view_templates", 10)
    register_page("messages", "Messages", "admin:core_message_changelist", "core.view_messages", 20)
    register_page("messages", "Suppressed addresses", "admin:core_suppression_changelist", "core.view_suppressions", 30)
    if is_catching():
        register_page("messages", "Caught mails", "admin:messages_caught", VIEW_CAUGHT, 40)
