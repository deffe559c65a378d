"""Approval policies in the desk: asked for by one person, approved by another, ended by either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.changes.kinds import change_kind, change_kinds
from backoffice.core.changes.permissions import CHECK_POLICIES, MAKE_POLICIES, VIEW_POLICIES
from backoffice.core.models import ApprovalPolicy, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Actor
from backoffice.desk.admin.changes import KindFilter, WhyForm, kind_label
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state_column
from backoffice.ui.views import DeskActionView

MAXIMUM_BOUNDS = 20


class PolicyForm(WhyForm):
    """What a policy may approve, within which bounds, from when to when."""

    field_order = ("kind", "entity", "bounds", "valid_from", "valid_to", "reason")
    kind = forms.ChoiceField(label="Changes of the kind")
    entity = forms.ModelChoiceField(
        label="Legal entity",
        queryset=LegalEntity.objects.none(),
        required=False,
        empty_label="The whole broker",
    )
    bounds = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}))
    valid_from = forms.DateTimeField(
        label="From (UTC)",
        required=False,
        input_formats=["%Y-%m-%d %H:%M"],
        help_text="Such as 2026-12-01 00:00; empty: once it is approved.",
    )
    valid_to = forms.DateTimeField(
        label="Until (UTC)",
        required=False,
        input_formats=["%Y-%m-%d %H:%M"],
        help_text="Empty: until somebody ends it.",
    )

    def clean_bounds(self) -> dict[str, str]:
        """Lines of `name = value` as a mapping."""
        bounds: dict[str, str] = {}
        lines = [line.strip() for line in self.cleaned_data["bounds"].splitlines() if line.strip()]
        for number, line in enumerate(lines, start=1):
            name, equals, value = (part.strip() for part in line.partition("="))
            if not (name and equals and value):
                raise forms.ValidationError(f"Line {number} is not of the form name = value.")
            if name in bounds:
                raise forms.ValidationError(f"{name} is bounded twice.")
            bounds[name] = value
        if len(bounds) > MAXIMUM_BOUNDS:
            raise forms.ValidationError(f"At most {MAXIMUM_BOUNDS} bounds.")
        return bounds

    def clean_valid_from(self) -> Any:
        """In UTC."""
        return _in_utc(self.cleaned_data["valid_from"])

    def clean_valid_to(self) -> Any:
        """In UTC."""
        return _in_utc(self.cleaned_data["valid_to"])


def _in_utc(moment: Any) -> Any:
    return moment.replace(tzinfo=UTC) if moment is not None else None


class RequestPolicy(DeskActionView):
    """Asks for a policy: a change request of its own, which another person approves."""

    slug, title, button, capability = "request", "Ask for a policy", "Ask for a policy", MAKE_POLICIES
    form_class = PolicyForm
    success_message = "The request is drafted; look at it and hand it in."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the kinds that a policy can approve, what each understands, and the actor's legal entities."""
        form = PolicyForm(data)
        kinds = [kind for kind in change_kinds() if kind.may_act_by_policy]
        choice, entity, bounds = form.fields["kind"], form.fields["entity"], form.fields["bounds"]
        assert isinstance(choice, forms.ChoiceField)
        assert isinstance(entity, forms.ModelChoiceField)
        choice.choices = [(kind.kind, kind.label) for kind in kinds]
        entity.queryset = visible_to(LegalEntity.objects.all(), actor)
        texts = " ".join(f"{kind.label}: {kind.bounds_help}" for kind in kinds if kind.bounds_help)
        bounds.help_text = f"One a line, such as swap_points = 1.5. {texts}"
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is asked for."""
        return [
            (
                "What happens",
                "A change request is drafted. In force, it approves by itself what lies within its bounds.",
            ),
            ("Changes of the kind", change_kind(data["kind"]).label),
            ("Legal entity", str(data["entity"] or "The whole broker")),
            ("Bounds", ", ".join(f"{name} at most {value}" for name, value in data["bounds"].items())),
            ("From", f"{data['valid_from']:%Y-%m-%d %H:%M} UTC" if data["valid_from"] else "its approval"),
            ("Until", f"{data['valid_to']:%Y-%m-%d %H:%M} UTC" if data["valid_to"] else "somebody ends it"),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts it."""
        return changes.request_policy(
            kind=data["kind"],
            bounds=data["bounds"],
            actor=actor,
            reason=data["reason"],
            entity_id=data["entity"].pk if data["entity"] else None,
            valid_from=data["valid_from"],
            valid_to=data["valid_to"],
        )

    def success_url(self, result: Any) -> str:
        """The request."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


class EndPolicy(DeskActionView):
    """Ends a policy now."""

    slug, title, button, capability, tone = "end", "End the policy", "End now", CHECK_POLICIES, "danger"
    form_class = WhyForm
    explanation = "From now on people approve changes of this kind."
    success_message = "The policy has ended."

    @classmethod
    def is_offered(cls, target: ApprovalPolicy, actor: Actor) -> bool:
        """While it lasts."""
        return policy_state(target) != "Ended"

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which policy."""
        return [("Policy", str(self.target)), ("What happens", self.explanation), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return changes.end_policy(policy_id=self.target.pk, actor=actor, reason=data["reason"])


def policy_state(policy: ApprovalPolicy) -> str:
    """Whether a policy acts now."""
    now, validity = clock.now(), policy.validity
    if validity.isempty or (validity.upper is not None and validity.upper <= now):
        return "Ended"
    return "In force" if validity.lower is None or validity.lower <= now else "To come"


@admin.register(ApprovalPolicy)
class ApprovalPolicyAdmin(DeskModelAdmin):
    """What may be approved without a person, within which bounds."""

    view_capability = VIEW_POLICIES
    list_display = ("kind_shown", "number", "entity_shown", "state_shown", "from_shown", "to_shown", "people_shown")
    list_filter = (KindFilter, "entity")
    list_select_related = ("entity", "maker", "checker", "change")
    search_fields = ("kind",)
    object_actions = (EndPolicy,)
    list_actions = (RequestPolicy,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("kind_shown", "number", "state_shown"),
                    ("entity_shown", "from_shown", "to_shown"),
                    ("people_shown", "change_shown"),
                    "bounds",
                    "end_reason",
                )
            },
        ),
    )
    empty_text = "No policy: people approve everything."

    kind_shown = computed_column(lambda policy: kind_label(policy.kind), title="Kind", order="kind")
    entity_shown = computed_column(lambda policy: str(policy.entity or "The whole broker"), title="Legal entity")
    state_shown = state_column(
        policy_state, title="State", tones={"In force": "good", "To come": "info", "Ended": "quiet"}
    )
    from_shown = moment_column("validity__lower", title="From (UTC)")
    to_shown = moment_column("validity__upper", title="Until (UTC)")
    people_shown = computed_column(lambda policy: f"{policy.maker} and {policy.checker}", title="Made and approved by")
    change_shown = link_column("change", title="Change request", label="reference")
