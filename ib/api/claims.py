"""Claims on clients over HTTP: for systems that know who brought whom, and the decisions of managers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from backoffice.kernel.errors import InvalidInput
from backoffice.ui.api_fields import IdField, MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib.api.partners import ClientField, PartnerField
from ib.models import ClaimConflict, ClientClaim
from ib.models.claims import ClaimantType
from ib.permissions import CLAIM_CLIENTS, DECIDE_CLAIMS, NAME_INTRODUCER, VIEW_CLAIMS
from ib.rules.claims import EVIDENCE_KINDS
from ib.services import claims


class ClientClaimSerializer(serializers.ModelSerializer[ClientClaim]):
    """Somebody says to have brought a client."""

    client = code_of("client.reference")
    claimed_by_type = serializers.ChoiceField(choices=ClaimantType.choices, read_only=True)
    state = serializers.ChoiceField(choices=ClientClaim.State.choices, read_only=True)
    evidence = serializers.DictField(read_only=True)

    class Meta:
        model = ClientClaim
        fields = [
            "id", "public_id", "client", "claimed_by_type", "claimed_by_id", "claimant", "state", "evidence", "at",
            "made_at", "made_by",
        ]  # fmt: skip
        read_only_fields = fields


class EvidenceSerializer(StrictSerializer):
    """What a claim rests on. `touched_at` for a touch, with its zone; `code` for a code."""

    kind = serializers.ChoiceField(
        choices=[(name, words) for name, words in EVIDENCE_KINDS.items() if name != "referral"]
    )
    code = serializers.CharField(max_length=32, required=False)
    campaign = serializers.CharField(max_length=160, required=False)
    touched_at = MomentField(required=False)
    note = serializers.CharField(max_length=500, required=False)


class NewClaimSerializer(StrictSerializer):
    """A claim: by a partner, or by a campaign's number."""

    client = ClientField()
    partner = PartnerField(allow_null=True, default=None)
    campaign_id = IdField(allow_null=True, default=None)
    evidence = EvidenceSerializer()
    at = MomentField()


class CodeClaimSerializer(StrictSerializer):
    """A client who registered with a code."""

    client = ClientField()
    code = serializers.CharField(max_length=32)
    at = MomentField()


class ClientClaimViewSet(ScopedReadOnlyViewSet):
    """Claims on clients, and making one."""

    capability = VIEW_CLAIMS
    queryset = ClientClaim.objects.select_related("client")
    serializer_class = ClientClaimSerializer
    lookup_value_converter = "int"
    filterset_fields = ["state", "claimed_by_type"]

    @use_case(
        capability=CLAIM_CLIENTS,
        input=NewClaimSerializer,
        output=ClientClaimSerializer,
        status=201,
        operation_id="client_claims_create",
        description="Says who brought a client. The first claim stands; another one opens a conflict that a manager decides.",
    )
    def create(self, call: Call) -> ClientClaim:
        """The claim."""
        partner, campaign = call.data["partner"], call.data["campaign_id"]
        if (partner is None) == (campaign is None):
            raise InvalidInput("Name a partner or a campaign, one of both.", field="partner")
        evidence: dict[str, Any] = dict(call.data["evidence"])
        if "touched_at" in evidence:
            evidence["touched_at"] = evidence["touched_at"].isoformat()
        return claims.claim_client(
            client_id=call.data["client"].pk,
            claimed_by_type=ClaimantType.PARTNER if partner is not None else ClaimantType.CAMPAIGN,
            claimed_by_id=partner.pk if partner is not None else campaign,
            evidence=evidence,
            at=call.data["at"],
            actor=call.actor,
        )


class ClaimByCodeView(ApiView):
    """A code given at a registration."""

    @use_case(
        capability=CLAIM_CLIENTS,
        input=CodeClaimSerializer,
        output=ClientClaimSerializer,
        status=201,
        operation_id="client_claims_by_code",
        description="A client registered with a partner's code: the partner claims them at that instant.",
    )
    def post(self, call: Call) -> ClientClaim:
        """The claim."""
        given = dict(call.data)
        return claims.claim_by_code(client_id=given.pop("client").pk, actor=call.actor, **given)


class ClaimConflictSerializer(serializers.ModelSerializer[ClaimConflict]):
    """A client whom several claim."""

    client = code_of("client.reference")

    class Meta:
        model = ClaimConflict
        fields = [
            "id", "public_id", "client", "opened_at", "proposed", "proposed_because", "winner", "valid_from",
            "decided_at", "decided_by", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class ConflictDecisionSerializer(ReasonSerializer):
    """Whose claim wins, from when on; a moment in the past is settled again."""

    winner = VisibleField(slug_field="id", queryset=ClientClaim.objects.all())
    valid_from = MomentField()


class ClaimConflictViewSet(ScopedReadOnlyViewSet):
    """Conflicts about clients, and deciding one."""

    capability = VIEW_CLAIMS
    queryset = ClaimConflict.objects.select_related("client")
    serializer_class = ClaimConflictSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=DECIDE_CLAIMS,
        input=ConflictDecisionSerializer,
        output=ClaimConflictSerializer,
        route="decide",
        operation_id="claim_conflicts_decide",
        description="Decides whose client it is from a moment on, also in the past: only differences are booked.",
    )
    def decide(self, call: Call) -> ClaimConflict:
        """The decided conflict."""
        given = dict(call.data)
        return claims.decide_conflict(
            conflict_id=call.target.pk, winner_claim_id=given.pop("winner").pk, actor=call.actor, **given
        )


class IntroducerSerializer(StrictSerializer):
    """The code of who brought the caller."""

    code = serializers.CharField(max_length=32)


class IntroducerAnswerSerializer(serializers.Serializer[Any]):
    """That it was noted, and from when it counts."""

    at = serializers.DateTimeField()


class OwnIntroducerView(ApiView):
    """Who brought the caller, a client."""

    @use_case(
        capability=NAME_INTRODUCER,
        input=IntroducerSerializer,
        output=IntroducerAnswerSerializer,
        operation_id="own_introducer",
        description="Names who brought the caller, within thirty days of the registration, once.",
    )
    def post(self, call: Call) -> ClientClaim:
        """What was noted."""
        return claims.name_introducer(code=call.data["code"], actor=call.actor)


def register() -> None:
    """Puts claims on the API."""
    register_endpoint("client-claims/by-code/", ClaimByCodeView, "client-claims-by-code")
    register_endpoint("own/introducer/", OwnIntroducerView, "own-introducer")
    register_router("client-claims", ClientClaimViewSet, "client-claim")
    register_router("claim-conflicts", ClaimConflictViewSet, "claim-conflict")
