"""Change requests and approval policies: read with diff and impact, handed in, decided on, carried out, taken back.

What approves is a person: `require_person` refuses API keys, service logins and jobs, so those steps are called with the
session of a browser and answer a key with 403 `person_needed`.
"""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.changes.permissions import CHECK_POLICIES, MAKE_POLICIES, VIEW_CHANGES, VIEW_POLICIES
from backoffice.core.models import ApprovalPolicy, ChangeEvent, ChangeRequest
from backoffice.core.services import changes
from backoffice.ui.api_fields import MomentField, ValiditySerializer, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case

PERSON_ONLY = "In a person's own session only: an API key is answered 403 person_needed."
KIND_DECIDES = "The kind's own capabilities decide who may."


class ChangeRequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """A proposed change: from draft over approval to its proof."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code", allow_null=True, default=None)
    is_policy_approved = serializers.SerializerMethodField(help_text="Whether a policy approved it, not a person.")

    class Meta:
        model = ChangeRequest
        fields = [
            "id",
            "reference",
            "kind",
            "desk",
            "title",
            "entity",
            "target_type",
            "target_label",
            "state",
            "reason",
            "made_by",
            "created_at",
            "submitted_at",
            "checked_by",
            "is_policy_approved",
            "approved_at",
            "approval_reason",
            "apply_at",
            "applied_at",
            "applied_by",
            "verified_at",
            "error",
            "closed_at",
            "closed_by",
            "closing_reason",
        ]
        read_only_fields = fields

    def get_is_policy_approved(self, change: ChangeRequest) -> bool:
        """See the field."""
        return change.policy_id is not None


class ChangeEventSerializer(serializers.ModelSerializer[ChangeEvent]):
    """A step of a request."""

    class Meta:
        model = ChangeEvent
        fields = ["at", "verb", "state", "actor", "text"]
        read_only_fields = fields


class ChangeDetailSerializer(ChangeRequestSerializer):
    """A request with its diff (`before`, `after`), its impact, and its steps."""

    before = serializers.JSONField(read_only=True)
    after = serializers.JSONField(read_only=True)
    impact_rows = serializers.JSONField(read_only=True)
    impact_figures = serializers.JSONField(read_only=True)
    problems = serializers.JSONField(read_only=True, help_text="What the proof found wrong; empty: nothing.")
    is_stale = serializers.SerializerMethodField(help_text="Whether the state moved since the diff was taken.")
    events = ChangeEventSerializer(many=True, read_only=True)

    class Meta(ChangeRequestSerializer.Meta):
        fields = [
            *ChangeRequestSerializer.Meta.fields,
            "before",
            "after",
            "diff_hash",
            "payload_hash",
            "impact_summary",
            "impact_rows",
            "impact_figures",
            "impact_at",
            "problems",
            "is_stale",
            "events",
        ]
        read_only_fields = fields

    def get_is_stale(self, change: ChangeRequest) -> bool:
        """See the field."""
        return changes.is_stale(change)


class ApproveSerializer(StrictSerializer):
    """Why, and the `diff_hash` of the diff that the person looked at."""

    reason = serializers.CharField(max_length=500)
    seen_diff = serializers.RegexField(r"^[0-9a-f]{64}$", help_text="409 diff_changed when the diff is another by now.")


class ScheduleChangeSerializer(StrictSerializer):
    """When to carry it out; null: when somebody says so."""

    apply_at = MomentField(allow_null=True)
    reason = serializers.CharField(max_length=500)


class ChangeFilter(filters.FilterSet):
    """Which requests."""

    entity = filters.CharFilter(field_name="entity__code")
    state = filters.MultipleChoiceFilter(choices=ChangeRequest.State.choices)

    class Meta:
        model = ChangeRequest
        fields = ["kind", "desk", "reference"]


class ChangeViewSet(ScopedReadOnlyViewSet):
    """Requests of the kinds that are the caller's business, of the caller's legal entities."""

    capability = VIEW_CHANGES
    queryset = ChangeRequest.objects.select_related("entity")
    serializer_class = ChangeRequestSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = ChangeFilter

    def get_serializer_class(self) -> Any:
        """One request comes with its diff."""
        return ChangeDetailSerializer if self.action == "retrieve" else ChangeRequestSerializer

    @use_case(
        capability=VIEW_CHANGES,
        output=ChangeDetailSerializer,
        route="submit",
        apart=True,
        operation_id="changes_submit",
        description=(
            "Hands a draft in, by its maker. Where a policy in force covers it, it is approved and carried out at once."
        ),
    )
    def submit(self, call: Call) -> ChangeRequest:
        """The request."""
        return changes.submit_change(change_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=VIEW_CHANGES,
        input=ApproveSerializer,
        output=ChangeDetailSerializer,
        route="approve",
        operation_id="changes_approve",
        description=f"Approves a request, by another person than its maker. {PERSON_ONLY} {KIND_DECIDES}",
    )
    def approve(self, call: Call) -> ChangeRequest:
        """The request, approved."""
        return changes.approve_change(change_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_CHANGES,
        input=ReasonSerializer,
        output=ChangeDetailSerializer,
        route="reject",
        operation_id="changes_reject",
        description=f"Refuses a request for good, by another person than its maker. {PERSON_ONLY} {KIND_DECIDES}",
    )
    def reject(self, call: Call) -> ChangeRequest:
        """The request, rejected."""
        return changes.reject_change(change_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_CHANGES,
        input=ReasonSerializer,
        output=ChangeDetailSerializer,
        route="withdraw",
        operation_id="changes_withdraw",
        description="Takes back a request that was not carried out: by its maker, or by who may check the kind.",
    )
    def withdraw(self, call: Call) -> ChangeRequest:
        """The request, withdrawn."""
        return changes.withdraw_change(change_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_CHANGES,
        input=ScheduleChangeSerializer,
        output=ChangeDetailSerializer,
        route="schedule",
        operation_id="changes_schedule",
        description=(
            "Sets when the request is carried out: its maker for a draft, afterwards who may check the kind, "
            f"because the moment is part of what was approved. Once it was handed in: {PERSON_ONLY}"
        ),
    )
    def schedule(self, call: Call) -> ChangeRequest:
        """The request with its time."""
        return changes.schedule_change(change_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_CHANGES,
        output=ChangeDetailSerializer,
        route="apply",
        apart=True,
        operation_id="changes_apply",
        description=(
            "Carries out an approved request and proves it; 409 change_stale when the state moved since, not_due before "
            f"its time. A refusal of the kind marks the request as failed. {KIND_DECIDES}"
        ),
    )
    def apply(self, call: Call) -> ChangeRequest:
        """The request, carried out. It commits by itself, so that a failure stays written down."""
        return changes.apply_change(change_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=VIEW_CHANGES,
        input=ReasonSerializer,
        output=ChangeDetailSerializer,
        route="revert",
        operation_id="changes_revert",
        description=f"Restores what was before; 409 not_revertible where that cannot be. {KIND_DECIDES}",
    )
    def revert(self, call: Call) -> ChangeRequest:
        """The request, reverted."""
        return changes.revert_change(change_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_CHANGES,
        output=ChangeDetailSerializer,
        route="refresh",
        operation_id="changes_refresh",
        description=f"Takes diff and impact anew. An approval of the old diff falls. {KIND_DECIDES}",
    )
    def refresh(self, call: Call) -> ChangeRequest:
        """The request with its new diff."""
        return changes.refresh_change(change_id=call.target.pk, actor=call.actor)


class PolicySerializer(serializers.ModelSerializer[ApprovalPolicy]):
    """A version of a policy that approves changes of a kind by itself, within its bounds."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code", allow_null=True, default=None)
    bounds = serializers.JSONField(read_only=True)
    validity = ValiditySerializer(read_only=True)
    change = serializers.UUIDField(source="change.public_id", read_only=True)

    class Meta:
        model = ApprovalPolicy
        fields = [
            "id",
            "kind",
            "entity",
            "number",
            "bounds",
            "validity",
            "change",
            "published_at",
            "ended_by",
            "end_reason",
        ]
        read_only_fields = fields


class NewPolicySerializer(StrictSerializer):
    """What the policy may approve by itself; null as the entity means the whole broker."""

    kind = serializers.CharField(max_length=60)
    entity = entity_field(allow_null=True)
    bounds = serializers.DictField(help_text="As the kind describes its bounds.")
    valid_from = MomentField(required=False, allow_null=True, default=None, help_text="Null: once it is approved.")
    valid_to = MomentField(required=False, allow_null=True, default=None, help_text="Null: until it is ended.")
    reason = serializers.CharField(max_length=500)


class PolicyFilter(filters.FilterSet):
    """Which policies."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = ApprovalPolicy
        fields = ["kind"]


class PolicyViewSet(ScopedReadOnlyViewSet):
    """Versions of approval policies."""

    capability = VIEW_POLICIES
    queryset = ApprovalPolicy.objects.select_related("entity", "change")
    serializer_class = PolicySerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = PolicyFilter

    @use_case(
        capability=MAKE_POLICIES,
        input=NewPolicySerializer,
        output=ChangeDetailSerializer,
        status=201,
        operation_id="approval_policies_request",
        description="Drafts the change request for a policy version. It is in force only once another person approved.",
    )
    def create(self, call: Call) -> ChangeRequest:
        """The draft."""
        given = dict(call.data)
        entity = given.pop("entity")
        return changes.request_policy(entity_id=entity.pk if entity else None, actor=call.actor, **given)

    @use_case(
        capability=CHECK_POLICIES,
        input=ReasonSerializer,
        output=PolicySerializer,
        route="end",
        operation_id="approval_policies_end",
        description="Ends a policy version now; without it people decide again.",
    )
    def end(self, call: Call) -> ApprovalPolicy:
        """The version, over."""
        changes.end_policy(policy_id=call.target.pk, actor=call.actor, **call.data)
        return self.get_queryset().get(pk=call.target.pk)  # type: ignore[no-any-return]


def register() -> None:
    """Puts change requests on the API."""
    register_router("changes", ChangeViewSet, "change")
    register_router("approval-policies", PolicyViewSet, "approval-policy")
