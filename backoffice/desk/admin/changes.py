"""Change requests in the desk: the list, one request's page, and what may be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.core.changes.kinds import ChangeKind, change_kind, change_kinds, is_change_kind
from backoffice.core.changes.permissions import VIEW_CHANGES, may_see_kind
from backoffice.core.changes.rules import ChangeState
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column
from backoffice.ui.formats import format_time
from backoffice.ui.views import DeskActionView

STATE_TONES = {
    "draft": "quiet",
    "submitted": "warn",
    "approved": "info",
    "applied": "warn",
    "verified": "good",
    "rejected": "quiet",
    "withdrawn": "quiet",
    "failed": "bad",
    "reverted": "quiet",
}
_OPEN = ("draft", "submitted", "approved", "failed")


def kind_label(kind: str) -> str:
    """What people call the kind."""
    return change_kind(kind).label if is_change_kind(kind) else kind


def waiting_for(actor: Actor) -> QuerySet[ChangeRequest]:
    """Requests that the actor may approve: submitted by somebody else, of a kind that they check."""
    checked = [kind.kind for kind in change_kinds() if holds(actor, kind.checker_capability)]
    return (
        ChangeRequest.objects.visible_to(actor)
        .filter(state=ChangeState.SUBMITTED, kind__in=checked)
        .exclude(maker_id=actor.user_id)
    )


class WhyForm(forms.Form):
    """Why something is decided."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}), max_length=500, help_text="Kept in the audit."
    )


class ApproveForm(WhyForm):
    """Why it is right, and what was looked at."""

    seen_diff = forms.CharField(widget=forms.HiddenInput, required=False)
    then_apply = forms.BooleanField(
        label="Carry it out at once", required=False, help_text="Otherwise it waits until somebody applies it."
    )


class ScheduleForm(WhyForm):
    """When it is carried out."""

    field_order = ("apply_at", "reason")
    apply_at = forms.DateTimeField(
        label="Carry out at (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        help_text="Empty: when somebody applies it.",
    )

    def clean_apply_at(self) -> Any:
        """In UTC."""
        moment = self.cleaned_data["apply_at"]
        return moment.replace(tzinfo=UTC) if moment is not None else None


class ChangeAction(DeskActionView):
    """Something that is done with a request; the use case asks for the kind's own right."""

    capability = VIEW_CHANGES
    form_class: ClassVar[type[forms.Form]] = WhyForm
    verb = ""
    what = ""

    @classmethod
    def is_offered(cls, target: ChangeRequest, actor: Actor) -> bool:
        """Where the step exists and the viewer may take it."""
        return is_change_kind(target.kind) and cls.may(target, change_kind(target.kind), actor)

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """Whether the step makes sense for the viewer now."""
        return True

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which change, and what becomes of it."""
        lines = [("Change", str(self.target)), ("Impact", self.target.impact_summary)]
        if self.what:
            lines.append(("What happens", self.what))
        if data.get("reason"):
            lines.append(("Reason", data["reason"]))
        return lines


class SubmitChange(ChangeAction):
    """Hands a draft in."""

    slug, title, button = "submit", "Hand in for approval", "Hand in"
    form_class = forms.Form
    what = "Somebody else approves it. The request never changes from here on. A policy that is in force may approve it at once."
    success_message = "Handed in."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """The maker's draft."""
        return target.state == ChangeState.DRAFT and target.maker_id == actor.user_id

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Hands in."""
        return changes.submit_change(change_id=self.target.pk, actor=actor)

    def success_text(self, result: Any) -> str:
        """By whom it was approved, if it was."""
        if result.policy_id:
            return f"Handed in, approved by {result.policy}: {result.get_state_display().lower()}."
        return "Handed in: it waits for somebody else's approval."


class ApproveChange(ChangeAction):
    """Approves it."""

    slug, title, button = "approve", "Approve the change", "Approve"
    form_class = ApproveForm

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """By who checks the kind and did not make it."""
        return (
            target.state == ChangeState.SUBMITTED
            and holds(actor, kind.checker_capability)
            and target.maker_id != actor.user_id
        )

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The diff that is looked at now."""
        return {"seen_diff": self.target.diff_hash, "then_apply": self.target.apply_at is None}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The diff once more, in words."""
        before, after = flat(self.target.before), flat(self.target.after)
        moved = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        lines = [("Change", str(self.target)), ("Made by", self.target.made_by), ("Impact", self.target.impact_summary)]
        lines += [(label_of(self.target, key), f"{before.get(key, '—')} → {after.get(key, '—')}") for key in moved]
        if self.target.apply_at:
            when = f"at {format_time(self.target.apply_at)} UTC"
        else:
            when = "at once" if data["then_apply"] else "when somebody applies it"
        return [*lines, ("Carried out", when), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Approves, and applies where that is wanted."""
        change = changes.approve_change(
            change_id=self.target.pk, actor=actor, reason=data["reason"], seen_diff=data["seen_diff"]
        )
        if data["then_apply"] and change.apply_at is None:
            return changes.apply_change(change_id=change.pk, actor=actor)
        return change

    def success_text(self, result: Any) -> str:
        """Where it stands now."""
        return f"{result.reference}: {result.get_state_display().lower()}."


class RejectChange(ChangeAction):
    """Refuses it for good."""

    slug, title, button, tone = "reject", "Reject the change", "Reject", "danger"
    what = "Nothing is changed. The maker may draft another one."
    success_message = "Rejected."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """By who may approve it."""
        return ApproveChange.may(target, kind, actor)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Rejects."""
        return changes.reject_change(change_id=self.target.pk, actor=actor, reason=data["reason"])


class ApplyChange(ChangeAction):
    """Carries it out now."""

    slug, title, button = "apply", "Apply the change now", "Apply now"
    form_class = forms.Form
    success_message = "Applied."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """By who makes or checks the kind."""
        may_act = holds(actor, kind.maker_capability) or holds(actor, kind.checker_capability)
        return target.state in (ChangeState.APPROVED, ChangeState.FAILED) and may_act

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is carried out, and who approved it."""
        return [
            ("Change", str(self.target)),
            ("Approved by", f"{self.target.checked_by}, {format_time(self.target.approved_at)} UTC"),
            ("Impact", self.target.impact_summary),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Applies."""
        return changes.apply_change(change_id=self.target.pk, actor=actor)

    def success_text(self, result: Any) -> str:
        """Whether it was verified."""
        if result.problems:
            return "Applied, but the proof failed: look at what is wrong."
        return "Applied and verified."


class RefreshChange(ChangeAction):
    """Takes the diff anew."""

    slug, title, button = "refresh", "Take diff and impact anew", "Refresh"
    form_class = forms.Form
    needs_confirmation = False
    explanation = "The state before and the impact are read again. An approval that was given to the old diff falls."
    success_message = "Diff and impact are those of now."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """While it is open."""
        return target.state in _OPEN and (holds(actor, kind.maker_capability) or holds(actor, kind.checker_capability))

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refreshes."""
        return changes.refresh_change(change_id=self.target.pk, actor=actor)


class ScheduleChange(ChangeAction):
    """Sets when it is carried out."""

    slug, title, button = "schedule", "When it is carried out", "Schedule"
    form_class = ScheduleForm
    success_message = "Scheduled."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """The maker of a draft, later who checks it."""
        if target.state == ChangeState.DRAFT:
            return target.maker_id == actor.user_id
        return target.state in (ChangeState.SUBMITTED, ChangeState.APPROVED) and (
            holds(actor, kind.checker_capability) and target.maker_id != actor.user_id
        )

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {"apply_at": self.target.apply_at}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From when to when."""
        moments = [format_time(moment) if moment else "by hand" for moment in (self.target.apply_at, data["apply_at"])]
        return [("Change", str(self.target)), ("Carried out (UTC)", " → ".join(moments)), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Schedules."""
        return changes.schedule_change(
            change_id=self.target.pk, apply_at=data["apply_at"], actor=actor, reason=data["reason"]
        )


class RevertChange(ChangeAction):
    """Restores what was before."""

    slug, title, button, tone = "revert", "Revert the change", "Revert", "danger"
    success_message = "Reverted."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """Once it was applied, by who may revert the kind."""
        is_applied = target.state in (ChangeState.APPLIED, ChangeState.VERIFIED)
        return is_applied and kind.revert is not None and holds(actor, kind.who_reverts)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What comes back."""
        before, after = flat(self.target.before), flat(self.target.after)
        moved = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        lines = [(label_of(self.target, key), f"{after.get(key, '—')} → {before.get(key, '—')}") for key in moved]
        return [("Change", str(self.target)), *lines, ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Reverts."""
        return changes.revert_change(change_id=self.target.pk, actor=actor, reason=data["reason"])


class WithdrawChange(ChangeAction):
    """Takes it back."""

    slug, title, button, tone = "withdraw", "Withdraw the change", "Withdraw", "danger"
    what = "Nothing is changed, and the request cannot be taken up again."
    success_message = "Withdrawn."

    @classmethod
    def may(cls, target: ChangeRequest, kind: ChangeKind, actor: Actor) -> bool:
        """The maker, or who checks the kind."""
        return target.state in _OPEN and (target.maker_id == actor.user_id or holds(actor, kind.checker_capability))

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Withdraws."""
        return changes.withdraw_change(change_id=self.target.pk, actor=actor, reason=data["reason"])


class WhoseFilter(admin.SimpleListFilter):
    """What it is to the viewer."""

    title = "for me"
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """What waits, what is mine."""
        return [("approve", "Waiting for my approval"), ("mine", "Made by me"), ("open", "Not finished")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChangeRequest]) -> QuerySet[ChangeRequest]:
        """Those."""
        actor = actor_of(request)
        if self.value() == "approve":
            return queryset.filter(pk__in=waiting_for(actor).order_by().values("pk"))
        if self.value() == "mine":
            return queryset.filter(maker_id=actor.user_id)
        if self.value() == "open":
            return queryset.filter(state__in=_OPEN)
        return queryset


class KindFilter(admin.SimpleListFilter):
    """Which kind."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """The kinds that are the viewer's business."""
        actor = actor_of(request)
        return [(kind.kind, kind.label) for kind in change_kinds() if may_see_kind(actor, kind)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(ChangeRequest)
class ChangeRequestAdmin(DeskModelAdmin):
    """Changes that somebody proposed, and what became of them."""

    view_capability = VIEW_CHANGES
    list_display = (
        "reference",
        "title",
        "state_shown",
        "maker_shown",
        "checker_shown",
        "due_shown",
    )
    list_filter = (WhoseFilter, "state", KindFilter, "desk", "entity")
    list_select_related = ("entity",)
    search_fields = ("reference", "title", "target_label", "made_by", "checked_by")
    ordering = ("-id",)
    object_actions = (
        SubmitChange,
        ApproveChange,
        ApplyChange,
        RejectChange,
        RevertChange,
        RefreshChange,
        ScheduleChange,
        WithdrawChange,
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("reference", "state_shown", "kind_shown"),
                    ("entity_shown", "target_shown", "apply_shown"),
                    ("maker_shown", "checker_shown", "applied_shown"),
                    "reason",
                    "approval_reason",
                    "closing_reason",
                )
            },
        ),
    )
    empty_text = "No change request yet. They begin where the thing is changed: at a plan's draft, a partner, a symbol."

    kind_shown = computed_column(lambda change: kind_label(change.kind), title="Kind", order="kind")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    maker_shown = computed_column(lambda change: change.made_by, title="Made by", order="made_by")
    checker_shown = computed_column(lambda change: change.checked_by or "", title="Approved by", order="checked_by")
    entity_shown = computed_column(lambda change: str(change.entity or "The whole broker"), title="Legal entity")
    target_shown = computed_column(lambda change: change.target_label, title="Concerns")
    apply_shown = computed_column(
        lambda change: format_time(change.apply_at) if change.apply_at else "By hand", title="To be applied (UTC)"
    )
    due_shown = computed_column(
        lambda change: (
            format_time(change.applied_at or change.apply_at) if change.applied_at or change.apply_at else ""
        ),
        title="Applied, or due (UTC)",
    )
    applied_shown = computed_column(
        lambda change: f"{change.applied_by}, {format_time(change.applied_at)}" if change.applied_at else "",
        title="Applied by (UTC)",
    )


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """A nested state as pairs of key and text, for the diff."""
    if not isinstance(value, dict):
        return {prefix: text_of(value)}
    pairs: dict[str, str] = {}
    for key, item in value.items():
        name = f"{prefix} › {key}" if prefix else str(key)
        pairs |= flat(item, name) if isinstance(item, dict) and item else {name: text_of(item)}
    return pairs


def text_of(value: Any) -> str:
    """A value as people read it."""
    if value in (None, "", [], {}):
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "\n".join(text_of(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {text_of(item)}" for key, item in value.items())
    return str(value)


def label_of(change: ChangeRequest, key: str) -> str:
    """The words for a key of the diff."""
    head, *rest = key.split(" › ")
    words = change_kind(change.kind).labels.get(head) if is_change_kind(change.kind) else None
    name = words or (head if " " in head or head[:1].isupper() else head.replace("_", " ").capitalize())
    return " › ".join([name, *(part.replace("_", " ") for part in rest)])
