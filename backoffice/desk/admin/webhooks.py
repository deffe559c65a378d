"""Webhooks: who is told of what, what became of each delivery, retrying and replaying."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity, PublicEvent, WebhookDelivery, WebhookEndpoint
from backoffice.core.services import public_events, webhooks
from backoffice.core.types import Actor
from backoffice.core.webhooks.topics import find_public_topic
from backoffice.desk.admin.secrets_shown import ShowsSecretOnce
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, link_column, moment_column, number_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView

MANAGE = webhooks.MANAGE
VERIFY_HINT = "The receiver checks each delivery with it, by the Standard Webhooks scheme: see the guide to the API."


class EndpointForm(forms.Form):
    """Where, and of what."""

    url = forms.CharField(label="Address", max_length=500, help_text="https only; it must be public.")
    topics = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    description = forms.CharField(max_length=120, required=False)

    def offer(self, actor: Actor) -> EndpointForm:
        """Limits topics to those that the actor may hear of."""
        topics = [find_public_topic(name) for name in public_events.readable_topics(actor)]
        field = self.fields["topics"]
        assert isinstance(field, forms.MultipleChoiceField), "declared above"
        field.choices = [(topic.topic, f"{topic.title} ({topic.topic})") for topic in topics if topic is not None]
        return self


class NewEndpointForm(EndpointForm):
    """An endpoint of a legal entity."""

    entity = forms.ModelChoiceField(label="Legal entity", queryset=LegalEntity.objects.none())
    field_order = ("entity", "url", "topics", "description")


class RegisterEndpoint(ShowsSecretOnce):
    """Makes an endpoint."""

    slug, title, button, capability = "register", "New webhook endpoint", "New endpoint", MANAGE
    form_class = NewEndpointForm
    success_message = "The endpoint was registered."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the actor's entities and topics."""
        form = NewEndpointForm(data)
        field = form.fields["entity"]
        assert isinstance(field, forms.ModelChoiceField), "declared above"
        field.queryset = visible_to(LegalEntity.objects.all(), actor)
        return form.offer(actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who will be told of what."""
        return [
            ("Legal entity", str(data["entity"])),
            ("Address", data["url"]),
            ("Topics", ", ".join(data["topics"])),
            ("What happens", "Every event of these topics is sent there, signed, from now on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Shows the secret, once."""
        made = webhooks.register_endpoint(
            entity_id=data["entity"].pk,
            url=data["url"],
            topics=data["topics"],
            description=data["description"],
            actor=actor,
        )
        self.show(title=made.endpoint.url, secret=made.secret, hint=VERIFY_HINT)
        return made


class ChangeEndpoint(DeskActionView):
    """Another address, other topics."""

    slug, title, button, capability = "edit", "Change the endpoint", "Change", MANAGE
    success_message = "The endpoint was changed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what it is now."""
        now = {"url": self.target.url, "topics": self.target.topics, "description": self.target.description}
        return EndpointForm(data, initial=now).offer(actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Before and after."""
        return [("Address", f"{self.target.url} → {data['url']}"), ("Topics then", ", ".join(data["topics"]))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Setting the same twice is setting it once."""
        return webhooks.change_endpoint(endpoint_id=self.target.pk, actor=actor, **data)


class RotateSecretForm(ReasonForm):
    """For how long both secrets sign."""

    overlap_hours = forms.IntegerField(label="Both secrets sign for (hours)", min_value=0, max_value=168, initial=24)


class RotateSecret(ShowsSecretOnce):
    """Makes a new secret."""

    slug, title, button, capability = "rotate", "New secret", "New secret", MANAGE
    form_class = RotateSecretForm
    explanation = (
        "Deliveries carry the signatures of both secrets for a while, so that the receiver can change in peace."
    )
    success_message = "The secret was replaced."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Shows the secret, once."""
        made = webhooks.rotate_secret(
            endpoint_id=self.target.pk,
            overlap=timedelta(hours=data["overlap_hours"]),
            actor=actor,
            reason=data["reason"],
        )
        self.show(title=made.endpoint.url, secret=made.secret, hint=VERIFY_HINT)
        return made


class DisableEndpoint(DeskActionView):
    """Stops sending."""

    slug, title, button, capability = "disable", "Disable the endpoint", "Disable", MANAGE
    tone = "danger"
    form_class = ReasonForm
    explanation = "Nothing is sent there any more. What happens meanwhile can be replayed later."
    success_message = "The endpoint is disabled."

    @classmethod
    def is_offered(cls, target: WebhookEndpoint, actor: Actor) -> bool:
        """What is enabled."""
        return target.state == WebhookEndpoint.State.ENABLED

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Twice is once."""
        return webhooks.disable_endpoint(endpoint_id=self.target.pk, actor=actor, reason=data["reason"])


class EnableEndpoint(DeskActionView):
    """Sends again."""

    slug, title, button, capability = "enable", "Enable the endpoint", "Enable", MANAGE
    form_class = ReasonForm
    explanation = "Events are sent again from now on; replay brings what was missed."
    success_message = "The endpoint is enabled."

    @classmethod
    def is_offered(cls, target: WebhookEndpoint, actor: Actor) -> bool:
        """What is disabled."""
        return target.state == WebhookEndpoint.State.DISABLED

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Twice is once."""
        return webhooks.enable_endpoint(endpoint_id=self.target.pk, actor=actor, reason=data["reason"])


class ReplayForm(forms.Form):
    """From where to replay: one of the two."""

    after = forms.UUIDField(
        label="After event", required=False, help_text="Id of the last event that the receiver has."
    )
    since = forms.DateTimeField(label="Or since (UTC)", required=False, help_text="Such as 2026-01-31 12:00.")


class Replay(DeskActionView):
    """Sends events again."""

    slug, title, button, capability = "replay", "Replay events", "Replay", MANAGE
    form_class = ReplayForm
    explanation = (
        "Every event after the cursor is sent again, delivered before or not. Receivers know repetitions by the id."
    )

    @classmethod
    def is_offered(cls, target: WebhookEndpoint, actor: Actor) -> bool:
        """What is enabled."""
        return target.state == WebhookEndpoint.State.ENABLED

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From where."""
        return [("To", self.target.url), ("From", str(data["after"] or data["since"] or "nothing given"))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """How many."""
        return webhooks.replay(endpoint_id=self.target.pk, after=data["after"], since=data["since"], actor=actor)

    def success_text(self, result: Any) -> str:
        """How many, and from where to go on."""
        events, go_on = result
        more = f" There are more: replay again after {go_on}." if go_on else ""
        return f"{events} events are on their way.{more}"


class RemoveEndpoint(DeskActionView):
    """Forgets an endpoint."""

    slug, title, button, capability = "remove", "Remove the endpoint", "Remove", MANAGE
    tone = "danger"
    form_class = ReasonForm
    explanation = "The endpoint goes, with the record of its deliveries. The audit stays."
    success_message = "The endpoint was removed."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Gone."""
        return webhooks.remove_endpoint(endpoint_id=self.target.pk, actor=actor, reason=data["reason"])

    def success_url(self, result: Any) -> str:
        """The list: the object is gone."""
        self.target = None
        return super().success_url(result)


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(DeskModelAdmin):
    """Who is told of what."""

    view_capability = "core.view_webhooks"
    list_display = ("url", "entity_shown", "topics_shown", "state_shown", "success_shown", "failing_shown")
    list_select_related = ("entity",)
    list_filter = ("state", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("url", "description")
    list_actions = (RegisterEndpoint,)
    object_actions = (Replay, ChangeEndpoint, RotateSecret, DisableEndpoint, EnableEndpoint, RemoveEndpoint)
    fieldsets = (
        (
            None,
            {"fields": (("url", "entity_shown"), ("state_shown", "disabled_reason"), "description", "topics_listed")},
        ),
        ("Health", {"fields": (("success_shown", "failing_shown"), ("resting_until", "previous_secret_until"))}),
        ("Record", {"fields": (("created_at", "created_by"), "public_id")}),
    )
    empty_text = "Nobody is told of anything yet."
    entity_shown = link_column("entity", title="Legal entity", label="code")
    topics_shown = computed_column(lambda endpoint: f"{len(endpoint.topics)}", title="Topics")
    topics_listed = computed_column(lambda endpoint: ", ".join(endpoint.topics), title="Topics")
    state_shown = badge_column("state", title="State", tones={"enabled": "good", "disabled": "bad"}, order="state")
    success_shown = moment_column("last_success_at", title="Last success (UTC)", order="last_success_at")
    failing_shown = moment_column("failing_since", title="Failing since (UTC)", order="failing_since")


class RetryDelivery(DeskActionView):
    """Brings a dead delivery back."""

    slug, title, button, capability = "retry", "Deliver again", "Deliver again", MANAGE
    explanation = "The event is sent again at once, with a full round of attempts."
    success_message = "The delivery is on its way again."

    @classmethod
    def is_offered(cls, target: WebhookDelivery, actor: Actor) -> bool:
        """What was given up."""
        return target.state == WebhookDelivery.State.DEAD

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds it pending."""
        return webhooks.retry_delivery(delivery_id=self.target.pk, actor=actor)


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(DeskModelAdmin):
    """What became of each delivery; the dead ones wait for a person."""

    view_capability = "core.view_webhooks"
    list_display = (
        "event_shown",
        "endpoint_shown",
        "state_shown",
        "attempts_shown",
        "status_shown",
        "last_shown",
        "next_shown",
    )
    list_select_related = ("event", "endpoint")
    list_filter = ("state", ("endpoint", admin.RelatedOnlyFieldListFilter))
    search_fields = ("event__event_id", "event__topic", "endpoint__url")
    object_actions = (RetryDelivery,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("event_shown", "endpoint_shown"),
                    ("state_shown", "attempts_shown"),
                    ("last_shown", "next_shown"),
                )
            },
        ),
        ("Answer", {"fields": (("status_shown", "duration_ms"), "error", "response_excerpt")}),
        ("Record", {"fields": (("created_at", "delivered_at", "round"),)}),
    )
    empty_text = "Nothing was sent yet."
    event_shown = link_column("event", title="Event", label="topic")
    endpoint_shown = link_column("endpoint", title="Endpoint")
    state_shown = badge_column(
        "state", title="State", tones={"delivered": "good", "dead": "bad", "pending": "info"}, order="state"
    )
    attempts_shown = number_column("attempts", title="Attempts")
    status_shown = computed_column(lambda row: str(row.status_code or row.error or ""), title="Answer")
    last_shown = moment_column("last_attempt_at", title="Last attempt (UTC)", order="last_attempt_at")
    next_shown = moment_column("next_attempt_at", title="Next attempt (UTC)", order="next_attempt_at")


@admin.register(PublicEvent)
class PublicEventAdmin(DeskModelAdmin):
    """What other systems can hear of, in its one order."""

    view_capability = "core.view_webhooks"
    list_display = ("topic", "event_id", "entity_shown", "occurred_shown", "placed_shown")
    list_select_related = ("entity",)
    list_filter = ("topic", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("event_id", "topic")
    fieldsets = (
        (None, {"fields": (("topic", "version"), ("event_id", "entity_shown"), ("occurred_shown", "placed_shown"))}),
        ("What it says", {"fields": ("data",)}),
    )
    empty_text = "Nothing has happened yet that other systems may hear of."
    entity_shown = link_column("entity", title="Legal entity", label="code")
    occurred_shown = moment_column("occurred_at", title="Happened (UTC)", order="occurred_at")
    placed_shown = moment_column("created_at", title="Placed (UTC)", order="id")
