"""What-if studies over HTTP: asked for, followed, and read by partner and month."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, code_of, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib.api.partners import PartnerField
from ib.models import WhatIfMonth, WhatIfRow, WhatIfStudy
from ib.services import studies

VIEW = "ib.view_commissions"


class WhatIfMonthSerializer(serializers.ModelSerializer[WhatIfMonth]):
    """The broker's side of a month in the entity's currency; the margin is revenue minus cost."""

    class Meta:
        model = WhatIfMonth
        fields = ["period", "revenue", "cost_booked", "cost_then", "unvalued", "currency"]
        read_only_fields = fields


class WhatIfStudySerializer(serializers.ModelSerializer[WhatIfStudy]):
    """A study: what was tried, how far it is, and by currency what all partners together would have earned more."""

    entity = code_of("entity.code")
    partner = code_of("partner.reference", allow_null=True)
    parent = code_of("parent.reference", allow_null=True)
    percent = serializers.IntegerField(read_only=True)
    described = serializers.DictField(child=serializers.CharField(), read_only=True)
    difference = serializers.DictField(child=serializers.CharField(), read_only=True)
    waiting_for = serializers.ListField(child=serializers.CharField(), read_only=True)
    months = WhatIfMonthSerializer(many=True, read_only=True)

    class Meta:
        model = WhatIfStudy
        fields = [
            "id",
            "entity",
            "kind",
            "version_id",
            "partner",
            "parent",
            "from_period",
            "to_period",
            "state",
            "percent",
            "described",
            "difference",
            "waiting_for",
            "problem",
            "months",
            "requested_by",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields


class WhatIfRowSerializer(serializers.ModelSerializer[WhatIfRow]):
    """What a partner was booked for a month, and would have been."""

    partner = code_of("partner.reference")
    difference = AmountField(read_only=True)

    class Meta:
        model = WhatIfRow
        fields = [
            "id",
            "partner",
            "period",
            "booked_by_trade",
            "then_by_trade",
            "booked_by_period",
            "then_by_period",
            "difference",
            "currency",
        ]
        read_only_fields = fields


class MonthsSerializer(StrictSerializer):
    """Whole months, named by their first days; the last may be the open one, as far as it is known."""

    from_period = serializers.DateField()
    to_period = serializers.DateField()

    @staticmethod
    def months(data: dict[str, Any]) -> studies.Months:
        """Checked."""
        return studies.Months(data["from_period"], data["to_period"])


class StudyVersionSerializer(MonthsSerializer):
    """Which version of a plan."""

    version = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class StudyPlaceSerializer(MonthsSerializer):
    """Who is tried under whom (null: at the top)."""

    partner = PartnerField()
    parent = PartnerField(allow_null=True)  # type: ignore[assignment]  # a field of that name


class StudyBooksSerializer(MonthsSerializer):
    """Whose books."""

    entity = entity_field()


class WhatIfStudyViewSet(ScopedReadOnlyViewSet):
    """Studies, the newest first."""

    capability = VIEW
    queryset = WhatIfStudy.objects.select_related("entity", "partner", "parent").prefetch_related("months")
    serializer_class = WhatIfStudySerializer
    filterset_fields = {"kind": ["exact"], "state": ["exact"]}

    @use_case(
        capability=VIEW,
        output=WhatIfStudySerializer,
        status=201,
        route="again",
        operation_id="what_if_studies_again",
        description="Asks the same question again, on what is known today.",
    )
    def again(self, call: Call) -> WhatIfStudy:
        """The new study."""
        return studies.study_again(study_id=call.target.pk, actor=call.actor)


class WhatIfRowViewSet(ScopedReadOnlyViewSet):
    """What studies say by partner and month; `study` names one."""

    capability = VIEW
    queryset: QuerySet[WhatIfRow] = WhatIfRow.objects.select_related("partner")
    serializer_class = WhatIfRowSerializer
    filterset_fields = {"study": ["exact"], "period": ["exact"], "currency": ["exact"]}


class StudyVersionView(ApiView):
    """Trying a plan version."""

    @use_case(
        capability=studies.CAPABILITIES[WhatIfStudy.Kind.PLAN_VERSION],
        input=StudyVersionSerializer,
        output=WhatIfStudySerializer,
        status=201,
        operation_id="what_if_studies_of_version",
        description="Values past months as if the version had been in force since the first of them. Nothing is booked.",
    )
    def post(self, call: Call) -> WhatIfStudy:
        """The study, to be followed."""
        return studies.study_version(
            version_id=call.data["version"], months=MonthsSerializer.months(call.data), actor=call.actor
        )


class StudyPlaceView(ApiView):
    """Trying a place in the tree."""

    @use_case(
        capability=studies.CAPABILITIES[WhatIfStudy.Kind.PLACE],
        input=StudyPlaceSerializer,
        output=WhatIfStudySerializer,
        status=201,
        operation_id="what_if_studies_of_place",
        description="Values past months as if the partner, with all below, had stood there. Nothing is moved or booked.",
    )
    def post(self, call: Call) -> WhatIfStudy:
        """The study, to be followed."""
        parent = call.data["parent"]
        return studies.study_place(
            partner_id=call.data["partner"].pk,
            parent_id=parent.pk if parent else None,
            months=MonthsSerializer.months(call.data),
            actor=call.actor,
        )


class StudyBooksView(ApiView):
    """Valuing the books anew."""

    @use_case(
        capability=studies.CAPABILITIES[WhatIfStudy.Kind.AS_IT_IS],
        input=StudyBooksSerializer,
        output=WhatIfStudySerializer,
        status=201,
        operation_id="what_if_studies_of_books",
        description="Values past months by the set-up as it is: what differs from the books is not settled, or a fault.",
    )
    def post(self, call: Call) -> WhatIfStudy:
        """The study, to be followed."""
        return studies.study_books(
            entity_id=call.data["entity"].pk, months=MonthsSerializer.months(call.data), actor=call.actor
        )


def register() -> None:
    """Puts studies on the API."""
    register_endpoint("what-if-studies/of-version/", StudyVersionView, "what-if-studies-of-version")
    register_endpoint("what-if-studies/of-place/", StudyPlaceView, "what-if-studies-of-place")
    register_endpoint("what-if-studies/of-books/", StudyBooksView, "what-if-studies-of-books")
    register_router("what-if-studies", WhatIfStudyViewSet, "what-if-study")
    register_router("what-if-rows", WhatIfRowViewSet, "what-if-row")
