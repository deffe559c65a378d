"""Work items: what waits for a person, what happened to it, what is muted, and how people want to be told."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q

from backoffice.core.models.entities import LegalEntity
from backoffice.core.triggers import never_changes
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


class Severity(models.IntegerChoices):
    """How much it matters. Higher comes first."""

    LOW = 1, "Low"
    NORMAL = 2, "Normal"
    HIGH = 3, "High"
    CRITICAL = 4, "Critical"


class WorkItem(models.Model):
    """One thing that waits for a person. Of one kind and group there is at most one that is not closed: repeats of the
    same condition are counted on it.

    `clears_at` is set while the condition is gone and the item waits to see whether it comes back (hysteresis).
    `escalation_level` counts the roles that were called in because it was overdue.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        TAKEN = "taken", "In progress"
        CLOSED = "closed", "Closed"

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    kind = models.CharField(max_length=60)
    group_key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    severity = models.SmallIntegerField(choices=Severity.choices, default=Severity.NORMAL)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="work_items"
    )
    target_type = models.CharField(max_length=80, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    url = models.CharField(max_length=300, blank=True)
    evidence = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    occurrences = models.IntegerField(default=1)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    last_seen_at = models.DateTimeField(default=clock.now, editable=False)
    due_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    clearing_since = models.DateTimeField(null=True)
    clears_at = models.DateTimeField(null=True)
    clear_reason = models.TextField(blank=True)
    escalation_level = models.PositiveSmallIntegerField(default=0)
    escalated_roles = ArrayField(models.CharField(max_length=24, choices=Role.choices), default=list, blank=True)
    escalates_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=200, blank=True)
    resolution = models.TextField(blank=True)

    class Meta:
        ordering = ["-severity", "due_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "group_key"], condition=~Q(state="closed"), name="core_workitem_one_open"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "taken", "closed"]), name="core_workitem_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="open", owner__isnull=True)
                | Q(state="taken", owner__isnull=False)
                | Q(state="closed"),
                name="core_workitem_owner_takes",
            ),
            models.CheckConstraint(
                condition=Q(state="closed", closed_at__isnull=False, clears_at__isnull=True)
                & ~Q(closed_by="")
                & ~Q(resolution="")
                | ~Q(state="closed") & Q(closed_at__isnull=True, closed_by="", resolution=""),
                name="core_workitem_closed_whole",
            ),
            models.CheckConstraint(
                condition=Q(clearing_since__isnull=True, clears_at__isnull=True)
                | Q(clearing_since__isnull=False, clears_at__isnull=False, clears_at__gte=F("clearing_since")),
                name="core_workitem_clearing_whole",
            ),
            models.CheckConstraint(condition=Q(occurrences__gte=1), name="core_workitem_seen"),
        ]
        indexes = [
            # The inbox and its badge read only what is not closed, of some entities and kinds.
            models.Index(fields=["entity", "kind"], name="core_workitem_inbox", condition=~Q(state="closed")),
            models.Index(fields=["owner"], name="core_workitem_mine", condition=~Q(state="closed")),
            models.Index(fields=["kind", "group_key", "-id"], name="core_workitem_group"),
            models.Index(fields=["clears_at"], name="core_workitem_clearing", condition=Q(clears_at__isnull=False)),
            models.Index(
                fields=["escalates_at"],
                name="core_workitem_escalating",
                condition=~Q(state="closed") & Q(escalates_at__isnull=False),
            ),
            models.Index(
                fields=["id"],
                name="core_workitem_undelivered",
                condition=~Q(state="closed") & Q(delivered_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_closed(self) -> bool:
        """Whether nobody needs to look at it any more."""
        return self.state == self.State.CLOSED


class WorkItemEvent(models.Model):
    """Something that happened to an item: its timeline. Appended only; repeats are counted on the item, not here."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        TAKEN = "taken", "Taken"
        ASSIGNED = "assigned", "Assigned"
        PUT_BACK = "put_back", "Put back"
        COMMENTED = "commented", "Comment"
        CLEARING = "clearing", "Condition gone"
        CAME_BACK = "came_back", "Condition back"
        DELIVERED = "delivered", "Delivered"
        ESCALATED = "escalated", "Escalated"
        CLOSED = "closed", "Closed"
        REOPENED = "reopened", "Reopened"

    id = models.BigAutoField(primary_key=True)
    item = models.ForeignKey(WorkItem, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(default=clock.now, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    actor = models.CharField(max_length=200)
    user_id = models.BigIntegerField(null=True)
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["item", "id"], name="core_workevent_item")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.kind} {self.item_id}"


class WorkItemMute(models.Model):
    """Items of a kind, or of one group of it, that are recorded and found but not delivered until a given moment.

    An empty `group_key` mutes the whole kind; no entity means every legal entity. It ends by itself.
    """

    kind = models.CharField(max_length=60)
    group_key = models.CharField(max_length=200, blank=True)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True)
    reason = models.TextField()
    muted_by = models.CharField(max_length=200)
    muted_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    muted_at = models.DateTimeField(default=clock.now, editable=False)
    until = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="core_workmute_has_reason"),
            models.CheckConstraint(condition=Q(until__gte=F("muted_at")), name="core_workmute_ends_later"),
        ]
        indexes = [models.Index(fields=["kind", "until"], name="core_workmute_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.group_key or '(all)'} until {self.until:%Y-%m-%d %H:%M}"


class WorkDelivery(models.Model):
    """How a person wants to hear of new items: the sound in the desk, and mail from a severity on (none: no mail)."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="work_delivery")
    plays_sound = models.BooleanField(default=False)
    mail_from = models.SmallIntegerField(choices=Severity.choices, null=True, blank=True, default=Severity.HIGH)

    class Meta:
        verbose_name = "delivery of work items"

    def __str__(self) -> str:
        return f"delivery to {self.user}"
