"""Trades that settlement set aside: which, why, and the act of putting one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import moment_column, state_column
from backoffice.ui.views import DeskActionView
from ib.models import QuarantinedTrade
from ib.services.quarantine import release_trade


class ReleaseForm(forms.Form):
    """What was done about it."""

    reason = forms.CharField(label="What was mended", max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class ReleaseTrade(DeskActionView):
    """Puts a trade back and settles its day again."""

    slug, title, button, capability = "release", "Put back", "Put back and settle", "ib.settle_commissions"
    form_class = ReleaseForm
    explanation = "The day is settled again with this trade. If the books still refuse it, it is set aside anew."
    success_message = "The trade is back; its day is being settled again."

    @classmethod
    def is_offered(cls, target: QuarantinedTrade, actor: Actor) -> bool:
        """Only what is set aside."""
        return target.released_at is None

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which trade, and what the books said."""
        return [
            ("Trade", str(self.target.ticket)),
            ("Business day", str(self.target.day)),
            ("What the books said", self.target.reason),
            ("What happens", self.explanation),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds the trade back already and is refused."""
        return release_trade(quarantine_id=self.target.pk, actor=actor, reason=data["reason"])


class StateFilter(admin.SimpleListFilter):
    """Where a trade stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both states."""
        return [("aside", "Set aside"), ("back", "Put back")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By whether it was released."""
        if self.value() is None:
            return queryset
        return queryset.filter(released_at__isnull=self.value() == "aside")


@admin.register(QuarantinedTrade)
class QuarantinedTradeAdmin(DeskModelAdmin):
    """What could not be settled while everything beside it was."""

    view_capability = "ib.view_commissions"
    list_display = ("ticket", "day", "state_shown", "error", "reason", "attempts", "found_shown")
    list_filter = (StateFilter, "day")
    search_fields = ("ticket", "reason", "error")
    object_actions = (ReleaseTrade,)
    empty_text = "No trade was ever set aside: the books took everything."

    state_shown = state_column(
        lambda row: "Set aside" if row.released_at is None else "Put back",
        title="State",
        tones={"Set aside": "bad", "Put back": "quiet"},
    )
    found_shown = moment_column("quarantined_at", title="Set aside at", order="quarantined_at")
