"""Reads of marketing."""

from __future__ import annotations

from datetime import datetime

from django.apps import apps
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from marketing.models import Campaign

DIMENSION = "campaign"


def with_accounts(rows: QuerySet[Campaign], *, at: datetime) -> QuerySet[Campaign]:
    """The campaigns, each with `accounts`: how many accounts carry its code at a moment."""
    carrying = (
        apps.get_model("platform_ops", "AccountDimension")
        .objects.filter(dimension=DIMENSION, value=OuterRef("code"), validity__contains=at)
        .order_by()
        .values("value")
        .annotate(carrying=Count("pk"))
        .values("carrying")
    )
    return rows.annotate(accounts=Coalesce(Subquery(carrying, output_field=IntegerField()), 0))
