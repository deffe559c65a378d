"""Logins: who may enter, as what, for which legal entities. Everything changes by use cases with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity, User
from backoffice.core.services import users
from backoffice.core.types import Actor, Role
from backoffice.desk.admin.identity import EndSessions, RecordLeaver
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, moment_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView

MANAGE = "core.manage_users"


class AccessForm(ReasonForm):
    """Roles and legal entities of a login."""

    roles = forms.MultipleChoiceField(choices=Role.choices, widget=forms.CheckboxSelectMultiple)
    entities = forms.MultipleChoiceField(
        label="Legal entities",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Whose data they may see.",
    )
    field_order: Sequence[str] = ("roles", "entities", "reason")

    def offer_entities(self, actor: Actor) -> AccessForm:
        """Limits the entities to those of the person who gives them."""
        own = visible_to(LegalEntity.objects.all(), actor)
        field = self.fields["entities"]
        assert isinstance(field, forms.MultipleChoiceField), "declared above"
        field.choices = [(entity.code, entity.name) for entity in own]
        return self


class NewUserForm(AccessForm):
    """A new login."""

    email = forms.EmailField(help_text="The login name. The person sets a password by the link of “Forgot password”.")
    full_name = forms.CharField(max_length=160)
    field_order = ("email", "full_name", "roles", "entities")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["reason"]


def _names(pairs: Sequence[tuple[str, str]], chosen: Sequence[str]) -> str:
    return ", ".join(label for value, label in pairs if value in chosen) or "none"


class CreateUser(DeskActionView):
    """Makes a login for a member of staff, a trader or an introducing broker."""

    slug, title, button, capability = "create", "New user", "New user", MANAGE
    form_class = NewUserForm
    explanation = "The login opens once the person has set a password and, for staff, one-time codes."
    success_message = "The login was made."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the entities of the actor."""
        return NewUserForm(data, initial={"entities": []}).offer_entities(actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who gets which access."""
        return [
            ("Login", data["email"]),
            ("Name", data["full_name"]),
            ("Roles", _names(Role.choices, data["roles"])),
            ("Legal entities", ", ".join(data["entities"]) or "none"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds the address taken and changes nothing."""
        return users.create_user(
            email=data["email"],
            full_name=data["full_name"],
            roles=data["roles"],
            entity_codes=data["entities"],
            actor=actor,
        )


class ChangeAccess(DeskActionView):
    """Sets what a login may do and whose data it sees."""

    slug, title, button, capability = "access", "Roles and legal entities", "Change access", MANAGE
    success_message = "The access was changed; it counts from the next click."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Nobody changes their own access."""
        return target.pk != actor.user_id

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what the login has now."""
        now = {"roles": self.target.roles, "entities": list(self.target.entities.values_list("code", flat=True))}
        return AccessForm(data, initial=now).offer_entities(actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Before and after."""
        entities = ", ".join(self.target.entities.values_list("code", flat=True)) or "none"
        return [
            ("Login", self.target.email),
            ("Roles now", _names(Role.choices, self.target.roles)),
            ("Roles then", _names(Role.choices, data["roles"])),
            ("Entities now", entities),
            ("Entities then", ", ".join(data["entities"]) or "none"),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Setting the same twice is setting it once."""
        return users.change_access(
            user_id=self.target.pk,
            roles=data["roles"],
            entity_codes=data["entities"],
            actor=actor,
            reason=data["reason"],
        )


class CloseLogin(DeskActionView):
    """Closes a login."""

    slug, title, button, capability = "close", "Close the login", "Close login", MANAGE
    tone = "danger"
    form_class = ReasonForm
    explanation = "The person is out at the next click, whatever sessions are open. What they did stays."
    success_message = "The login is closed."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Only what is open, and not one's own."""
        return target.is_active and target.pk != actor.user_id

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Closing twice is closing once."""
        return users.set_active(user_id=self.target.pk, active=False, actor=actor, reason=data["reason"])


class OpenLogin(DeskActionView):
    """Opens a closed login again."""

    slug, title, button, capability = "open", "Open the login again", "Open login", MANAGE
    form_class = ReasonForm
    explanation = "The person may enter again with the same password, one-time codes and roles."
    success_message = "The login is open."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Only what is closed, and not one's own."""
        return not target.is_active and target.pk != actor.user_id

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Opening twice is opening once."""
        return users.set_active(user_id=self.target.pk, active=True, actor=actor, reason=data["reason"])


class ResetSecondFactor(DeskActionView):
    """Takes the one-time codes from a login whose phone is lost."""

    slug, title, button, capability = "reset-codes", "Reset the second factor", "Reset second factor", MANAGE
    tone = "danger"
    form_class = ReasonForm
    explanation = (
        "One-time codes, passkeys and recovery codes stop working at once and sessions end; "
        "the person sets new ones up at the next login."
    )
    success_message = "The second factor was reset."

    @classmethod
    def is_offered(cls, target: User, actor: Actor) -> bool:
        """Not one's own."""
        return target.pk != actor.user_id

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Resetting twice is resetting once."""
        return users.reset_second_factor(user_id=self.target.pk, actor=actor, reason=data["reason"])


class RoleFilter(admin.SimpleListFilter):
    """Logins that hold a role."""

    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Every role."""
        return [(str(value), str(label)) for value, label in Role.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        """Those that hold it."""
        return queryset.filter(roles__contains=[self.value()]) if self.value() else queryset


@admin.register(User)
class UserAdmin(DeskModelAdmin):
    """Logins of the viewer's legal entities."""

    view_capability = "core.view_users"
    list_display = ("email", "full_name", "roles_shown", "entities_shown", "codes_shown", "active_shown", "last_shown")
    list_prefetch_related = ("entities",)
    list_filter = (RoleFilter, "is_active")
    search_fields = ("email", "full_name")
    ordering = ("full_name", "email")
    list_actions = (CreateUser,)
    object_actions = (ChangeAccess, EndSessions, ResetSecondFactor, CloseLogin, OpenLogin, RecordLeaver)
    fieldsets = (
        (
            None,
            {"fields": (("full_name", "email"), ("roles_shown", "entities_shown"), ("codes_shown", "active_shown"))},
        ),
        ("Record", {"fields": (("last_shown", "created_at"), "public_id")}),
    )
    roles_shown = computed_column(
        lambda user: ", ".join(label for value, label in Role.choices if value in user.roles), title="Roles"
    )
    entities_shown = computed_column(
        lambda user: ", ".join(entity.code for entity in user.entities.all()), title="Legal entities"
    )
    codes_shown = badge_column("has_codes", title="Second factor", tones={True: "good", False: "warn"})
    active_shown = badge_column("is_active", title="Open", tones={True: "good", False: "bad"}, order="is_active")
    last_shown = moment_column("last_login", title="Last login", order="last_login")

    def visible_rows(self, actor: Actor) -> QuerySet[Any]:
        """With whether the login has one-time codes or a passkey."""
        kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
        codes = Authenticator.objects.filter(user=OuterRef("pk"), type__in=kinds)
        return super().visible_rows(actor).annotate(has_codes=Exists(codes))
