"""API keys: issued, rotated and revoked by administrators; a secret is shown once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import capabilities, visible_to
from backoffice.core.models import ApiKey, LegalEntity, User
from backoffice.core.services import api_keys
from backoffice.core.services.api_keys import MANAGE_KEYS
from backoffice.core.types import STAFF_ROLES, Actor, Role
from backoffice.desk.admin.secrets_shown import ShowsSecretOnce
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView

USE_HINT = (
    "Send it with each call in the header “Authorization: Bearer …”. The API is described under API documentation."
)
STAFF_CHOICES = [(str(value), str(label)) for value, label in Role.choices if value in STAFF_ROLES]


class ServiceLoginForm(forms.Form):
    """Another system that is to call the API."""

    name = forms.CharField(max_length=160, help_text="Such as: Bank reconciliation.")
    email = forms.EmailField(help_text="Names the login in the audit; nothing is sent there.")
    roles = forms.MultipleChoiceField(choices=STAFF_CHOICES, widget=forms.CheckboxSelectMultiple)
    entities = forms.MultipleChoiceField(label="Legal entities", widget=forms.CheckboxSelectMultiple)


class CreateServiceLogin(DeskActionView):
    """Makes a login for another system."""

    slug, title, button, capability = "service", "New service login", "New service login", MANAGE_KEYS
    form_class = ServiceLoginForm
    explanation = "It has no password and opens nothing in a browser; the keys issued for it act in its roles."
    success_message = "The service login was made; issue a key for it."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the entities of the actor."""
        form = ServiceLoginForm(data)
        _offer(
            form, "entities", [(entity.code, entity.name) for entity in visible_to(LegalEntity.objects.all(), actor)]
        )
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What it will be able to do."""
        return [
            ("Service login", f"{data['name']} ({data['email']})"),
            ("Roles", ", ".join(label for value, label in STAFF_CHOICES if value in data["roles"])),
            ("Legal entities", ", ".join(data["entities"])),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds the address taken."""
        return api_keys.create_service_login(
            name=data["name"], email=data["email"], roles=data["roles"], entity_codes=data["entities"], actor=actor
        )


class IssueKeyForm(forms.Form):
    """The bounds of a new key."""

    owner = forms.ChoiceField(help_text="The key acts as this login, never with more rights than it has.")
    name = forms.CharField(label="Used by", max_length=80, help_text="Such as: nightly import on host 7.")
    scopes = forms.MultipleChoiceField(help_text="What the key may do, at most.", widget=forms.CheckboxSelectMultiple)
    entities = forms.MultipleChoiceField(
        label="Legal entities",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Only these; none chosen: all of the login's.",
    )
    addresses = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Networks it may call from, one a line, such as 192.0.2.0/24; empty: any.",
    )
    days = forms.IntegerField(label="Ends after (days)", min_value=1, max_value=730, initial=365)


class IssueKey(ShowsSecretOnce):
    """Makes a key."""

    slug, title, button, capability = "issue", "Issue an API key", "Issue a key", MANAGE_KEYS
    form_class = IssueKeyForm
    success_message = "The key was issued."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the logins that the actor may make keys for: the own one and service logins."""
        form = IssueKeyForm(data)
        logins = visible_to(User.objects.filter(is_active=True), actor)
        owners = [
            user for user in logins.order_by("-is_service", "full_name") if user.is_service or user.pk == actor.user_id
        ]
        _offer(form, "owner", [(str(user.pk), f"{user} — {', '.join(sorted(user.roles))}") for user in owners])
        _offer(form, "scopes", [(name, name) for name in capabilities()])
        _offer(
            form, "entities", [(entity.code, entity.name) for entity in visible_to(LegalEntity.objects.all(), actor)]
        )
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Everything that bounds the key."""
        ends = clock.now() + timedelta(days=data["days"])
        return [
            ("Acts as", str(User.objects.get(pk=data["owner"]))),
            ("Used by", data["name"]),
            ("Scopes", ", ".join(data["scopes"])),
            ("Legal entities", ", ".join(data["entities"]) or "all of the login's"),
            ("May call from", ", ".join(data["addresses"].split()) or "anywhere"),
            ("Ends", f"{ends:%Y-%m-%d %H:%M} UTC"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Shows the secret, once."""
        issued = api_keys.issue_key(
            owner_id=int(data["owner"]),
            name=data["name"],
            scopes=data["scopes"],
            entity_codes=data["entities"],
            addresses=data["addresses"].split(),
            expires_at=clock.now() + timedelta(days=data["days"]),
            actor=actor,
        )
        self.show(title=str(issued.key), secret=issued.text, hint=USE_HINT)
        return issued


class RotateKeyForm(ReasonForm):
    """For how long both keys work."""

    overlap_hours = forms.IntegerField(
        label="Old key works for (hours)", min_value=0, max_value=720, initial=24, help_text="0 ends it at once."
    )


class RotateKey(ShowsSecretOnce):
    """Replaces a key by one with the same bounds."""

    slug, title, button, capability = "rotate", "Rotate the key", "Rotate", MANAGE_KEYS
    form_class = RotateKeyForm
    explanation = "A new key with the same bounds; the old one works on for a while, so that nothing stops."
    success_message = "The key was rotated."

    @classmethod
    def is_offered(cls, target: ApiKey, actor: Actor) -> bool:
        """Active keys of one's own or of service logins."""
        is_allowed = target.owner.is_service or target.owner_id == actor.user_id
        return target.state == "active" and is_allowed and not target.replaced_by.exists()

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Shows the new secret, once."""
        issued = api_keys.rotate_key(
            key_id=self.target.pk,
            overlap=timedelta(hours=data["overlap_hours"]),
            actor=actor,
            reason=data["reason"],
        )
        self.show(title=str(issued.key), secret=issued.text, hint=USE_HINT)
        return issued


class RevokeKey(DeskActionView):
    """Ends a key."""

    slug, title, button, capability = "revoke", "Revoke the key", "Revoke", MANAGE_KEYS
    tone = "danger"
    form_class = ReasonForm
    explanation = "Calls with this key are refused from this moment on."
    success_message = "The key is revoked."

    @classmethod
    def is_offered(cls, target: ApiKey, actor: Actor) -> bool:
        """What still works."""
        return target.state == "active"

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Revoking twice is revoking once."""
        return api_keys.revoke_key(key_id=self.target.pk, actor=actor, reason=data["reason"])


def _offer(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField), "declared above"
    field.choices = choices


@admin.register(ApiKey)
class ApiKeyAdmin(DeskModelAdmin):
    """Keys of the viewer's legal entities' logins."""

    view_capability = "core.view_api_keys"
    list_display = ("name", "prefix", "owner_shown", "state_shown", "scopes_shown", "expires_shown", "used_shown")
    list_select_related = ("owner",)
    list_prefetch_related = ("entities",)
    list_filter = (("owner", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("name", "prefix", "owner__email")
    list_actions = (IssueKey, CreateServiceLogin)
    object_actions = (RotateKey, RevokeKey)
    fieldsets = (
        (None, {"fields": (("name", "prefix"), ("owner_shown", "state_shown"), ("expires_shown", "used_shown"))}),
        ("Bounds", {"fields": ("scopes_listed", "entities_shown", "addresses_shown")}),
        (
            "Record",
            {"fields": (("created_at", "created_by"), ("revoked_at", "revoked_by", "revoked_reason"), "replaces")},
        ),
    )
    empty_text = "No key was issued yet. Make a service login for another system, then issue a key for it."
    owner_shown = link_column("owner", title="Acts as")
    state_shown = state_column(
        lambda key: key.state.capitalize(), title="State", tones={"Active": "good", "Expired": "warn", "Revoked": "bad"}
    )
    scopes_shown = computed_column(lambda key: f"{len(key.scopes)}", title="Scopes")
    scopes_listed = computed_column(lambda key: ", ".join(key.scopes), title="Scopes")
    entities_shown = computed_column(
        lambda key: ", ".join(entity.code for entity in key.entities.all()) or "all of the login's",
        title="Legal entities",
    )
    addresses_shown = computed_column(lambda key: ", ".join(key.addresses) or "anywhere", title="May call from")
    expires_shown = moment_column("expires_at", title="Ends (UTC)", order="expires_at")
    used_shown = moment_column("last_used_at", title="Last used (UTC)", order="last_used_at")
