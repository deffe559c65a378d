"""Work items one by one: the page of an item, what may be done with it, and the mutes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.models import LegalEntity, Severity, User, WorkItem, WorkItemMute
from backoffice.core.organisation.scope import stands_for
from backoffice.core.services import work_delivery, work_items
from backoffice.core.types import Actor, Role
from backoffice.core.work.inbox import kinds_for
from backoffice.core.work.kinds import is_registered, work_kind
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, moment_column, number_column, state_column
from backoffice.ui.formats import format_time
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView

WORK = "core.work_on_items"
SEVERITY_TONES = {Severity.CRITICAL: "bad", Severity.HIGH: "warn", Severity.NORMAL: "info", Severity.LOW: "quiet"}
STATE_TONES = {"open": "info", "taken": "warn", "closed": "good"}
_CLOSED = WorkItem.State.CLOSED


def kind_label(kind: str) -> str:
    """What people call the kind."""
    return work_kind(kind).label if is_registered(kind) else kind


class CommentForm(forms.Form):
    """What was found out."""

    text = forms.CharField(label="Comment", widget=forms.Textarea(attrs={"rows": 4}), max_length=4000)


class ResolutionForm(forms.Form):
    """What was done."""

    resolution = forms.CharField(label="What was done", widget=forms.Textarea(attrs={"rows": 3}), max_length=4000)


class AssignForm(forms.Form):
    """To whom."""

    owner = forms.ModelChoiceField(queryset=User.objects.none(), label="Person")
    reason = forms.CharField(max_length=400, required=False, label="Note")


class MuteForm(forms.Form):
    """Until when, and why."""

    until = forms.DateField(
        label="Until the end of (UTC)", widget=forms.DateInput(attrs={"type": "date"}), help_text="At most 92 days."
    )
    reason = forms.CharField(max_length=400, label="Reason")


class MuteKindForm(MuteForm):
    """Which kind, for whom."""

    field_order = ("kind", "entity", "until", "reason")
    kind = forms.ChoiceField(label="Kind")
    entity = forms.ModelChoiceField(
        queryset=LegalEntity.objects.none(), required=False, label="Legal entity", empty_label="The whole broker"
    )


def end_of(day: Any) -> datetime:
    """The last moment of a day, in UTC."""
    return datetime.combine(day, time(23, 59, 59), tzinfo=UTC)


class ItemAction(DeskActionView):
    """Something that is done with an item that is not closed."""

    capability = WORK

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """While it is not closed."""
        return target.state != _CLOSED


class TakeItem(ItemAction):
    """Makes the viewer the owner."""

    slug, title, button = "take", "Take the item", "Take"
    needs_confirmation = False
    explanation = "You become the owner; the others see that you look after it."
    success_message = "The item is yours."

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """While nobody has it."""
        return target.state == WorkItem.State.OPEN

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Takes it."""
        return work_items.take_item(item_id=self.target.pk, actor=actor)


class PutBackItem(ItemAction):
    """Leaves it to the desk."""

    slug, title, button = "put-back", "Put the item back", "Put back"
    form_class = ReasonForm
    needs_confirmation = False
    explanation = "Nobody owns it any more; anybody of the desk may take it."
    success_message = "The item is back in the desk's inbox."

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """While somebody has it."""
        return target.state == WorkItem.State.TAKEN

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Puts it back."""
        return work_items.put_back_item(item_id=self.target.pk, actor=actor, reason=data["reason"])


class CommentItem(DeskActionView):
    """Adds to the timeline."""

    slug, title, button, capability = "comment", "Comment", "Comment", WORK
    form_class = CommentForm
    needs_confirmation = False
    success_message = "Added to the timeline."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes it down."""
        return work_items.comment_item(item_id=self.target.pk, text=data["text"], actor=actor)


class AssignItem(ItemAction):
    """Gives it to a colleague."""

    slug, title, button = "assign", "Assign the item", "Assign"
    form_class = AssignForm
    success_message = "Assigned."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only people who see the item and may work on it."""
        form = AssignForm(data, files)
        people = work_delivery.people_who_see(self.target)
        able = [person.pk for person in people if work_items.may_own(person, self.target)]
        form.fields["owner"].queryset = people.filter(pk__in=able).order_by("full_name")  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From whom to whom."""
        return [("Item", str(self.target)), ("Owner", f"{self.target.owner or 'nobody'} → {data['owner']}")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Assigns it."""
        return work_items.assign_item(
            item_id=self.target.pk, user_id=data["owner"].pk, actor=actor, reason=data["reason"]
        )


class CloseItem(ItemAction):
    """Closes it with what was done."""

    slug, title, button = "close", "Close the item", "Close"
    form_class = ResolutionForm
    success_message = "Closed."

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """Not for what closes by itself: that is solved at its object."""
        kind = work_kind(target.kind) if is_registered(target.kind) else None
        closes_itself = kind is not None and kind.conditions is not None and not kind.closes_by_hand
        return target.state != _CLOSED and not closes_itself

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What stays written."""
        return [
            ("Item", str(self.target)),
            ("Seen", f"{self.target.occurrences:,} times since {format_time(self.target.opened_at)}"),
            ("What was done", data["resolution"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Closes it, unless its condition stands."""
        return work_items.close_item(item_id=self.target.pk, resolution=data["resolution"], actor=actor)


class ReopenItem(DeskActionView):
    """Brings a closed item back."""

    slug, title, button, capability = "reopen", "Open the item again", "Open again", WORK
    form_class = ReasonForm
    success_message = "The item is open again."

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """Once it is closed."""
        return target.state == _CLOSED

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """With a new due time."""
        return [
            ("Item", str(self.target)),
            ("It was closed because", self.target.resolution),
            ("What happens", "It waits for the desk again, with a new due time."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Opens it again."""
        return work_items.reopen_item(item_id=self.target.pk, reason=data["reason"], actor=actor)


class MuteItem(ItemAction):
    """Keeps the item's group quiet for a time."""

    slug, title, button = "mute", "Mute the item", "Mute"
    form_class = MuteForm
    success_message = "Muted. It is found under “All” with the filter “Muted”."

    @classmethod
    def is_offered(cls, target: WorkItem, actor: Actor) -> bool:
        """For the desk that looks after the kind."""
        return target.state != _CLOSED and target.kind in {kind.kind for kind in kinds_for(actor)}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Until when nobody is told."""
        return [
            ("Item", str(self.target)),
            ("Quiet until", format_time(end_of(data["until"]))),
            ("What happens", "Repeats are counted, nobody is told, and it is not escalated until then."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Mutes its group."""
        return work_items.mute_items(
            kind=self.target.kind,
            group_key=self.target.group_key,
            entity_id=self.target.entity_id,
            until=end_of(data["until"]),
            reason=data["reason"],
            actor=actor,
        )


@admin.register(WorkItem)
class WorkItemAdmin(DeskModelAdmin):
    """Every item that the viewer may see, also closed and muted ones: for searching and for files."""

    view_capability = "core.view_inbox"
    list_display = (
        "title",
        "kind_shown",
        "severity_shown",
        "state_shown",
        "owner_shown",
        "seen_shown",
        "opened_shown",
        "due_shown",
        "closed_shown",
    )
    list_filter = ("state", "severity", "kind")
    list_select_related = ("owner", "entity")
    search_fields = ("title", "group_key", "kind")
    ordering = ("-id",)
    object_actions = (TakeItem, CommentItem, CloseItem, AssignItem, MuteItem, PutBackItem, ReopenItem)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("state_shown", "severity_shown", "owner_shown"),
                    ("kind_shown", "entity_shown", "seen_shown"),
                    ("opened_shown", "last_shown", "due_shown"),
                    ("escalation_shown", "clears_shown", "mute_shown"),
                    "resolution_shown",
                )
            },
        ),
    )
    empty_text = "Nothing ever waited for you."

    def get_fieldsets(self, request: HttpRequest, obj: WorkItem | None = None) -> Any:
        """Without the facts that most items never have."""
        rare = {"escalation_shown", "clears_shown", "mute_shown", "resolution_shown"}
        if obj is None:
            return self.fieldsets
        has = {
            "escalation_shown": bool(obj.escalated_roles),
            "clears_shown": obj.clears_at is not None,
            "mute_shown": mutes_over(obj).exists(),
            "resolution_shown": obj.is_closed,
        }
        rows = [row if isinstance(row, tuple) else (row,) for row in self.fieldsets[0][1]["fields"]]
        kept = [tuple(name for name in row if name not in rare or has[name]) for row in rows]
        return ((None, {"fields": tuple(row for row in kept if row)}),)

    kind_shown = computed_column(lambda item: kind_label(item.kind), title="Kind", order="kind")
    severity_shown = badge_column("severity", title="Severity", tones=SEVERITY_TONES, order="severity")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    owner_shown = computed_column(lambda item: str(item.owner or ""), title="Owner", order="owner__full_name")
    entity_shown = computed_column(lambda item: str(item.entity or "The whole broker"), title="Legal entity")
    seen_shown = number_column("occurrences", title="Seen", order="occurrences")
    opened_shown = moment_column("opened_at", title="Opened (UTC)", order="opened_at")
    last_shown = moment_column("last_seen_at", title="Last seen (UTC)")
    due_shown = moment_column("due_at", title="Due (UTC)", order="due_at")
    closed_shown = moment_column("closed_at", title="Closed (UTC)", order="closed_at")
    escalation_shown = computed_column(lambda item: _escalation(item), title="Escalated to")
    clears_shown = moment_column("clears_at", title="Condition gone; closes at (UTC)")
    mute_shown = computed_column(lambda item: _mute(item), title="Muted")
    resolution_shown = computed_column(lambda item: _resolution(item), title="Resolution")


def _escalation(item: WorkItem) -> str:
    return ", ".join(Role(role).label for role in item.escalated_roles)


def _resolution(item: WorkItem) -> str:
    return f"{item.resolution} — {item.closed_by}" if item.state == _CLOSED else ""


def mutes_over(item: WorkItem) -> QuerySet[WorkItemMute]:
    """The mutes that cover the item now."""
    return work_delivery.mutes_covering(kind=item.kind, group_key=item.group_key, entity_id=item.entity_id)


def _mute(item: WorkItem) -> str:
    mute = mutes_over(item).order_by("-until").first()
    return f"until {format_time(mute.until)} by {mute.muted_by}: {mute.reason}" if mute else ""


class EndMute(DeskActionView):
    """Ends a mute before its time."""

    slug, title, button, capability = "end", "End the mute", "End now", WORK
    form_class = ReasonForm
    explanation = "What it kept back and still stands is delivered within a minute."
    success_message = "The mute has ended."

    @classmethod
    def is_offered(cls, target: WorkItemMute, actor: Actor) -> bool:
        """While it lasts, by who decides for its legal entity."""
        return target.until > clock.now() and stands_for(actor, target.entity_id)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which."""
        return [("Mute", str(self.target)), ("What happens", self.explanation), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return work_items.end_mute(mute_id=self.target.pk, reason=data["reason"], actor=actor)


class MuteKind(DeskActionView):
    """Keeps all items of a kind quiet for a time."""

    slug, title, button, capability = "mute-kind", "Mute a kind of items", "Mute a kind", WORK
    form_class = MuteKindForm
    success_message = "Muted."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Kinds of the viewer's desks, and legal entities that are theirs."""
        form = MuteKindForm(data, files)
        form.fields["kind"].choices = [(kind.kind, kind.label) for kind in kinds_for(actor)]  # type: ignore[attr-defined]
        entity: Any = form.fields["entity"]
        entity.queryset = LegalEntity.objects.filter(pk__in=actor.entity_ids)
        if not stands_for(actor, None):
            entity.required, entity.empty_label = True, "Choose one"
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What nobody hears of until when."""
        return [
            ("Kind", kind_label(data["kind"])),
            ("Legal entity", str(data["entity"] or "The whole broker")),
            ("Quiet until", format_time(end_of(data["until"]))),
            ("What happens", "Items are recorded and counted, nobody is told, and none is escalated until then."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Mutes it."""
        return work_items.mute_items(
            kind=data["kind"],
            entity_id=data["entity"].pk if data["entity"] else None,
            until=end_of(data["until"]),
            reason=data["reason"],
            actor=actor,
        )


class MuteFilter(admin.SimpleListFilter):
    """Whether a mute still lasts."""

    title = "mute"
    parameter_name = "lasts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Two."""
        return [("yes", "In force"), ("no", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkItemMute]) -> QuerySet[WorkItemMute]:
        """Filters."""
        if self.value() == "yes":
            return queryset.filter(until__gt=clock.now())
        return queryset.filter(until__lte=clock.now()) if self.value() == "no" else queryset


@admin.register(WorkItemMute)
class WorkItemMuteAdmin(DeskModelAdmin):
    """What is kept quiet, until when, by whom and why."""

    view_capability = "core.view_inbox"
    list_display = (
        "kind_shown",
        "group_shown",
        "entity_shown",
        "state_shown",
        "until_shown",
        "reason",
        "muted_by",
        "kept_shown",
    )
    list_filter = (MuteFilter,)
    list_select_related = ("entity",)
    object_actions = (EndMute,)
    list_actions = (MuteKind,)
    fieldsets = (
        (
            None,
            {"fields": (("kind_shown", "group_shown", "entity_shown"), ("state_shown", "until_shown", "muted_shown"))},
        ),
        ("Why", {"fields": ("reason", ("muted_by", "kept_shown"))}),
    )
    empty_text = "Nothing was ever muted."

    kind_shown = computed_column(lambda mute: kind_label(mute.kind), title="Kind")
    group_shown = computed_column(lambda mute: mute.group_key or "All", title="Group")
    entity_shown = computed_column(lambda mute: str(mute.entity or "The whole broker"), title="Legal entity")
    state_shown = state_column(
        lambda mute: "In force" if mute.until > clock.now() else "Over",
        title="State",
        tones={"In force": "warn", "Over": "quiet"},
    )
    until_shown = moment_column("until", title="Until (UTC)", order="until")
    muted_shown = moment_column("muted_at", title="Muted (UTC)")
    kept_shown = computed_column(lambda mute: _kept(mute), title="Items kept quiet", is_numeric=True)


def _kept(mute: WorkItemMute) -> int:
    return work_delivery.items_covered_by(mute).exclude(state=_CLOSED).count()
