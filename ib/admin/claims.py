"""Claims on clients at the desk: conflicts with the evidence of all, what the rule proposes, the decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state_column, text_column
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.tables import table
from ib.models import ClaimConflict, ClientClaim, ClientReferral
from ib.permissions import DECIDE_CLAIMS, VIEW_CLAIMS
from ib.rules.claims import evidence_words
from ib.services import claims

CLAIM_TONES = {"Stands": "good", "To be decided": "warn", "Does not stand": "quiet"}
CONFLICT_TONES = {"To be decided": "warn", "Decided": "good"}
PANEL_ROWS = 20


def conflict_state(conflict: ClaimConflict) -> str:
    """Whether somebody decided."""
    return "To be decided" if conflict.decided_at is None else "Decided"


class OpenFilter(admin.SimpleListFilter):
    """Whether somebody decided."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Two."""
        return [("open", "To be decided"), ("decided", "Decided")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By it."""
        return queryset if not self.value() else queryset.filter(decided_at__isnull=self.value() == "open")


class DecideForm(forms.Form):
    """Whose client it is."""

    winner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="The client belongs to")
    valid_from = forms.DateTimeField(
        label="From (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M:%S"),
        help_text="Also in the past: the days since then are settled again, and only differences are booked.",
    )
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}))


class DecideConflict(DeskActionView):
    """Decides a conflict."""

    slug, title, button, capability = "decide", "Decide", "Decide", DECIDE_CLAIMS
    explanation = "All who claim the client are told how it ended. Days since then are settled again."
    success_message = "Decided; all who claim the client are told."

    @classmethod
    def is_offered(cls, target: ClaimConflict, actor: Actor) -> bool:
        """Until somebody decided."""
        return target.decided_at is None

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What the rule proposes, from when that claim says."""
        proposed = self.target.proposed
        return {"winner": proposed, "valid_from": proposed.at if proposed else None}

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the claims of this client."""
        form = DecideForm(data, initial=self.initial(actor))
        rivals = ClientClaim.objects.filter(client_id=self.target.client_id).exclude(state=ClientClaim.State.LOST)
        field: Any = form.fields["winner"]
        field.queryset = visible_to(rivals, actor)
        field.label_from_instance = lambda claim: f"{claim.claimant}: {evidence_words(claim.evidence)}"
        field.empty_label = None
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose from when, and whether the rule says so, too."""
        winner = data["winner"]
        agrees = (
            "The rule proposes the same." if winner.pk == self.target.proposed_id else "The rule proposes another one."
        )
        return [
            ("Client", str(self.target.client)),
            ("Belongs to", winner.claimant),
            ("From", f"{data['valid_from']:%Y-%m-%d %H:%M} UTC"),
            ("The rule", f"{agrees} {self.target.proposed_because}"),
            ("Reason", data["reason"]),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Decides."""
        return claims.decide_conflict(
            conflict_id=self.target.pk,
            winner_claim_id=data["winner"].pk,
            valid_from=data["valid_from"],
            reason=data["reason"],
            actor=actor,
        )


@admin.register(ClaimConflict)
class ClaimConflictAdmin(DeskModelAdmin):
    """Clients whom two or more say to have brought."""

    view_capability = VIEW_CLAIMS
    list_display = (
        "client_shown",
        "state_shown",
        "proposed_shown",
        "winner_shown",
        "from_shown",
        "opened_shown",
        "decided_by",
    )
    fields = (
        "client_shown",
        "state_shown",
        "proposed_because",
        "winner_shown",
        "from_shown",
        "reason",
        "decided_by",
        "opened_shown",
    )
    list_select_related = ("client", "proposed", "winner")
    list_filter = (OpenFilter, "entity", "opened_at")
    search_fields = ("client__reference", "client__full_name", "proposed__claimant", "winner__claimant")
    object_actions = (DecideConflict,)
    empty_text = "Nobody claims a client whom somebody else has. The first claim stands by itself."

    client_shown = link_column("client", title="Client", order="client__reference")
    state_shown = state_column(conflict_state, title="State", tones=CONFLICT_TONES, order="decided_at")
    proposed_shown = text_column("proposed__claimant", title="The rule proposes")
    winner_shown = text_column("winner__claimant", title="Decided for")
    from_shown = moment_column("valid_from", title="From", order="valid_from")
    opened_shown = moment_column("opened_at", title="Opened", order="opened_at")


@admin.register(ClientClaim)
class ClientClaimAdmin(DeskModelAdmin):
    """Who says to have brought which client, and by what."""

    view_capability = VIEW_CLAIMS
    list_display = (
        "client_shown",
        "claimant",
        "claimed_by_type",
        "state_shown",
        "evidence_shown",
        "at_shown",
        "made_shown",
    )
    list_select_related = ("client",)
    list_filter = ("state", "claimed_by_type", "entity", "made_at")
    search_fields = ("client__reference", "client__full_name", "claimant")
    empty_text = "Nobody has claimed a client yet. A code given at the registration is the usual claim."

    client_shown = link_column("client", title="Client", order="client__reference")
    state_shown = state_column(lambda row: row.get_state_display(), title="State", tones=CLAIM_TONES, order="state")
    evidence_shown = computed_column(lambda row: evidence_words(row.evidence), title="Evidence")
    at_shown = moment_column("at", title="From", order="at")
    made_shown = moment_column("made_at", title="Claimed", order="made_at")


def rivals_panel(conflict: ClaimConflict, actor: Actor) -> SafeString:
    """The claims with their evidence, side by side."""
    rows = visible_to(ClientClaim.objects.filter(client_id=conflict.client_id), actor).order_by("at", "pk")
    shown = [
        [
            format_html("<strong>{}</strong>", row.claimant) if row.pk == conflict.proposed_id else row.claimant,
            row.get_claimed_by_type_display(),
            evidence_words(row.evidence),
            f"{row.at:%Y-%m-%d %H:%M} UTC",
            row.get_state_display(),
        ]
        for row in rows[:PANEL_ROWS]
    ]
    return table(["Claimant", "Is a", "Evidence", "From", "State"], shown, empty="No claim.")


def referrals_panel(conflict: ClaimConflict, actor: Actor) -> SafeString:
    """Whom the client counted for, and when."""
    rows = visible_to(ClientReferral.objects.filter(client_id=conflict.client_id), actor).select_related("partner")
    shown = [
        [
            str(row.partner),
            f"{row.validity.lower:%Y-%m-%d %H:%M}" if row.validity.lower else "always",
            f"{row.validity.upper:%Y-%m-%d %H:%M}" if row.validity.upper else "further notice",
        ]
        for row in rows[:PANEL_ROWS]
    ]
    return table(["Counted for", "From (UTC)", "Until (UTC)"], shown, empty="The client counts for no partner.")


def client_panel(client: Any, actor: Actor) -> SafeString:
    """On a client's page: who claims them."""
    rows = visible_to(ClientClaim.objects.filter(client_id=client.pk), actor).order_by("at", "pk")[:PANEL_ROWS]
    shown = [[row.claimant, evidence_words(row.evidence), row.get_state_display()] for row in rows]
    return table(["Claimant", "Evidence", "State"], shown)


def register_panels() -> None:
    """Adds the panels."""
    register_panel("ib.ClaimConflict", "ib.rivals", "Claims", rivals_panel, order=10)
    register_panel("ib.ClaimConflict", "ib.counted", "Referrals", referrals_panel, order=20)
    register_panel("crm.Client", "ib.claims", "Who brought them", client_panel, order=60, capability=VIEW_CLAIMS)
