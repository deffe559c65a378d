"""Change requests and the policies that may approve them. What four eyes mean is held by the database itself.

Whoever writes to these tables, and however: a request begins as a draft and moves only along the steps of
`change_rules.TRANSITIONS`; its maker never approves it; what is approved or carried out has exactly one approval, a
person or a policy version of the same kind that was in force; the payload is what its hash says, never changes after it
was submitted, and the same hash stands at submission, approval and execution; nothing is deleted.
"""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from backoffice.core.access import ScopedQuerySet
from backoffice.core.changes.rules import (
    DUE,
    EXECUTED,
    MAX_TITLE_LENGTH,
    NEEDS_APPROVAL,
    ChangeState,
    allowed_steps,
)
from backoffice.core.models.entities import LegalEntity
from backoffice.core.triggers import IMMUTABLE_SQLSTATE, never_changes
from backoffice.kernel import clock
from backoffice.kernel.ids import uuid7


def _changed(*columns: str) -> str:
    """A condition of the trigger: whether any of the columns is not as it was."""
    new, old = (", ".join(f"{row}.{column}" for column in columns) for row in ("NEW", "OLD"))
    return f"({new}) IS DISTINCT FROM ({old})"


def _refuse(condition: str, message: str) -> str:
    return f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{IMMUTABLE_SQLSTATE}'; END IF;\n"


def _states(states: frozenset[ChangeState]) -> list[str]:
    return sorted(state.value for state in states)


_APPROVAL = ("checker_id", "checked_by", "policy_id", "approved_at", "approved_hash", "approval_reason")
_EXECUTION = ("executed_hash", "applied_at", "applied_by", "applied_by_user_id", "outcome")
_CLOSING = ("closed_at", "closed_by", "closed_by_user_id", "closing_reason", "revert_outcome")
_STEPS = ", ".join(f"('{start}', '{end}')" for start, end in allowed_steps())

_GUARD = "".join(
    (
        "IF TG_OP = 'INSERT' THEN\n",
        _refuse("NEW.state <> 'draft'", "a change request begins as a draft"),
        "ELSE\n",
        _refuse(
            "OLD.state IN ('rejected', 'withdrawn', 'reverted') AND NEW IS DISTINCT FROM OLD",
            "a closed change request never changes",
        ),
        _refuse(
            f"NEW.state <> OLD.state AND (OLD.state::text, NEW.state::text) NOT IN ({_STEPS})",
            "a change request has no such step",
        ),
        _refuse(
            _changed("id", "public_id", "reference", "kind", "desk", "entity_id", "maker_id", "made_by", "created_at"),
            "what a change request is about never changes",
        ),
        _refuse(
            "OLD.state <> 'draft' AND "
            + _changed(
                "payload", "payload_hash", "title", "reason", "target_type", "target_id", "target_label", "submitted_at"
            ),
            "a submitted change request never changes",
        ),
        _refuse(
            "NEW.state NOT IN ('draft', 'submitted') AND " + _changed("before", "after", "base_hash", "diff_hash"),
            "an approved diff never changes",
        ),
        _refuse(
            "NOT (NEW.state = 'approved' AND OLD.state = 'submitted') "
            "AND NOT (NEW.state = 'submitted' AND OLD.state IN ('approved', 'failed')) AND " + _changed(*_APPROVAL),
            "an approval never changes",
        ),
        _refuse(
            "NOT (NEW.state = 'applied' AND OLD.state IN ('approved', 'failed')) AND " + _changed(*_EXECUTION),
            "an execution never changes",
        ),
        _refuse(
            "NEW.state NOT IN ('rejected', 'withdrawn', 'reverted') AND " + _changed(*_CLOSING),
            "only an end is written down as one",
        ),
        "END IF;\n",
        _refuse(
            "NEW.payload_hash IS DISTINCT FROM encode(sha256(convert_to(NEW.payload::text, 'UTF8')), 'hex')",
            "the hash of a change request is not that of its payload",
        ),
        _refuse(
            "NEW.checker_id IS NOT NULL AND EXISTS (SELECT FROM core_user WHERE id = NEW.checker_id AND is_service)",
            "a change request is approved by a person",
        ),
        "IF NEW.policy_id IS NOT NULL AND (TG_OP = 'INSERT' OR OLD.policy_id IS DISTINCT FROM NEW.policy_id) THEN\n",
        _refuse(
            "NOT EXISTS (SELECT FROM core_approvalpolicy AS policy WHERE policy.id = NEW.policy_id "
            "AND policy.kind = NEW.kind AND (policy.entity_id IS NULL OR policy.entity_id = NEW.entity_id) "
            "AND policy.validity @> NEW.approved_at)",
            "the policy is not in force for this change request",
        ),
        "END IF;\nRETURN NEW;",
    )
)


class ChangeRequest(models.Model):
    """A change that somebody proposes, another person (or a policy) approves, and the house carries out and proves.

    `before` and `after` are the diff that is approved (`diff_hash` names it); `base_hash` is the digest of `before`, by
    which it is seen that the current state moved since. `verified_at` with `problems` says that the proof failed.
    """

    State = ChangeState

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    reference = models.CharField(max_length=20, unique=True)
    kind = models.CharField(max_length=60)
    desk = models.CharField(max_length=40)
    title = models.CharField(max_length=MAX_TITLE_LENGTH)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True)
    target_type = models.CharField(max_length=80, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_label = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=10, choices=ChangeState.choices, default=ChangeState.DRAFT)
    reason = models.TextField()
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    payload_hash = models.CharField(max_length=64)
    before = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    after = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    base_hash = models.CharField(max_length=64)
    diff_hash = models.CharField(max_length=64)
    impact_summary = models.TextField(blank=True)
    impact_rows = models.JSONField(default=list, encoder=DjangoJSONEncoder)
    impact_figures = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    impact_at = models.DateTimeField()
    # jsonb forgets the order of keys; people read fields, columns and figures in the order in which the desk gave them.
    shown_order = models.JSONField(default=dict)

    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    made_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    submitted_at = models.DateTimeField(null=True)

    checker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    policy = models.ForeignKey("core.ApprovalPolicy", on_delete=models.PROTECT, null=True, related_name="approvals")
    checked_by = models.CharField(max_length=200, blank=True)
    approved_at = models.DateTimeField(null=True)
    approved_hash = models.CharField(max_length=64, blank=True)
    approval_reason = models.TextField(blank=True)

    apply_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    failed_at = models.DateTimeField(null=True)
    executed_hash = models.CharField(max_length=64, blank=True)
    applied_at = models.DateTimeField(null=True)
    applied_by = models.CharField(max_length=200, blank=True)
    applied_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    outcome = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    verified_at = models.DateTimeField(null=True)
    problems = models.JSONField(default=list, encoder=DjangoJSONEncoder)

    closed_at = models.DateTimeField(null=True)
    closed_by = models.CharField(max_length=200, blank=True)
    closed_by_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    closing_reason = models.TextField(blank=True)
    revert_outcome = models.JSONField(null=True, encoder=DjangoJSONEncoder)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[state.value for state in ChangeState]), name="core_change_state_known"
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="core_change_has_reason"),
            models.CheckConstraint(
                condition=Q(checker__isnull=True) | Q(maker__isnull=True) | ~Q(checker=F("maker")),
                name="core_change_maker_is_not_checker",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state__in=_states(NEEDS_APPROVAL))
                    & (Q(checker__isnull=False, policy__isnull=True) | Q(checker__isnull=True, policy__isnull=False))
                    & Q(approved_at__isnull=False, approved_hash=F("payload_hash"))
                )
                | (
                    Q(state__in=["draft", "submitted", "rejected"])
                    & Q(checker__isnull=True, policy__isnull=True, approved_at__isnull=True, approved_hash="")
                )
                | (Q(state="withdrawn") & (Q(checker__isnull=True) | Q(policy__isnull=True))),
                name="core_change_one_approval",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state__in=_states(EXECUTED))
                    & Q(executed_hash=F("approved_hash"), applied_at__isnull=False, outcome__isnull=False)
                )
                | (~Q(state__in=_states(EXECUTED)) & Q(executed_hash="", applied_at__isnull=True)),
                name="core_change_executed_as_approved",
            ),
            models.CheckConstraint(
                condition=Q(state="draft", submitted_at__isnull=True)
                | Q(state="withdrawn")
                | (~Q(state="draft") & Q(submitted_at__isnull=False)),
                name="core_change_submitted_whole",
            ),
            models.CheckConstraint(
                condition=(~Q(state="verified") | Q(verified_at__isnull=False, problems=[])),
                name="core_change_verified_whole",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | (~Q(error="") & Q(failed_at__isnull=False)),
                name="core_change_failed_whole",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state__in=["rejected", "withdrawn", "reverted"], closed_at__isnull=False)
                    & ~Q(closing_reason="")
                    & ~Q(closed_by="")
                )
                | (~Q(state__in=["rejected", "withdrawn", "reverted"]) & Q(closed_at__isnull=True, closing_reason="")),
                name="core_change_closed_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "kind"], name="core_change_queue"),
            models.Index(fields=["entity", "-id"], name="core_change_entity"),
            models.Index(fields=["kind", "target_type", "target_id"], name="core_change_target"),
            # Beat asks every few seconds what is due.
            models.Index(fields=["apply_at"], name="core_change_due", condition=Q(state__in=_states(DUE))),
            models.Index(
                fields=["id"], name="core_change_unproved", condition=Q(state="applied", verified_at__isnull=True)
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="four_eyes",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=_GUARD,
            ),
            pgtrigger.Protect(name="changes_stay", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.reference} {self.title}"

    @property
    def is_open(self) -> bool:
        """Whether something can still become of it."""
        return self.state in ("draft", "submitted", "approved", "failed")


class ChangeEvent(models.Model):
    """Something that happened to a change request: its timeline. Appended only."""

    id = models.BigAutoField(primary_key=True)
    change = models.ForeignKey(ChangeRequest, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField(default=clock.now, editable=False)
    verb = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=ChangeState.choices)
    actor = models.CharField(max_length=200)
    user_id = models.BigIntegerField(null=True)
    text = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["change", "id"], name="core_changeevent_change")]
        triggers = [never_changes()]

    def __str__(self) -> str:
        return f"{self.verb} {self.change_id}"


_POLICY_STAYS = (
    "IF isempty(OLD.validity) OR "
    + _changed(
        "id",
        "public_id",
        "kind",
        "entity_id",
        "number",
        "bounds",
        "change_id",
        "maker_id",
        "checker_id",
        "published_at",
    )
    + " OR NOT (isempty(NEW.validity) OR (lower(NEW.validity) = lower(OLD.validity) AND upper(NEW.validity) IS NOT NULL "
    "AND (upper(OLD.validity) IS NULL OR upper(NEW.validity) <= upper(OLD.validity)))) THEN\n"
    f"RAISE EXCEPTION 'a published policy never changes; it may only end' USING ERRCODE = '{IMMUTABLE_SQLSTATE}';\n"
    "END IF;\nRETURN NEW;"
)


class ApprovalPolicy(models.Model):
    """A version of a policy that may approve changes of a kind by itself, within bounds, during a time.

    It comes about by a change request of its own, so it has a maker and a checker, two people. Once published it never
    changes; it can only end earlier.
    """

    id = models.BigAutoField(primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    kind = models.CharField(max_length=60)
    entity = models.ForeignKey(LegalEntity, on_delete=models.PROTECT, null=True, blank=True)
    number = models.PositiveIntegerField()
    bounds = models.JSONField(encoder=DjangoJSONEncoder)
    validity = DateTimeRangeField()
    change = models.OneToOneField(ChangeRequest, on_delete=models.PROTECT, related_name="published_policy")
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    checker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    published_at = models.DateTimeField(default=clock.now, editable=False)
    ended_by = models.CharField(max_length=200, blank=True)
    end_reason = models.TextField(blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["kind", "-number"]
        verbose_name_plural = "approval policies"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "entity", "number"], name="core_policy_number_unique", nulls_distinct=False
            ),
            models.CheckConstraint(condition=~Q(checker=F("maker")), name="core_policy_two_people"),
            ExclusionConstraint(
                name="core_policy_no_overlap",
                expressions=[
                    ("kind", RangeOperators.EQUAL),
                    (Coalesce(F("entity"), 0), RangeOperators.EQUAL),
                    ("validity", RangeOperators.OVERLAPS),
                ],
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="published_policies_stay",
                level=pgtrigger.Row,
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                func=_POLICY_STAYS,
            ),
            pgtrigger.Protect(name="policies_stay", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.kind} policy v{self.number}"
