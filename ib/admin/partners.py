"""Partners: the list, one partner's page, and what partner managers do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import User
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.client_views import ViewAsClient
from backoffice.ui.columns import badge_column, link_column, money_html, number_column, object_link, text_column
from backoffice.ui.formats import format_day, format_decimal
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib import selectors
from ib.admin.forms import (
    LinkLoginForm,
    PlacePartnerForm,
    ReferClientForm,
    RegisterPartnerForm,
    SignAgreementForm,
    StatusForm,
    start_of,
)
from ib.admin.rank_pages import AgreeRate, GiveRank
from ib.admin.studies import StudyPlace
from ib.admin.tables import table
from ib.models import (
    Agreement,
    ClientReferral,
    CommissionLine,
    NegotiatedRate,
    Partner,
    PartnerEdge,
    PartnerRank,
)
from ib.services import partners, plans, referrals, requests
from ib.services.shards import days_of_client

PANEL_ROWS = 20
STATUS_TONES = {"active": "good", "suspended": "warn", "closed": "quiet"}

# How many partners stand above, now; the path ends a circle that tampering made.
_DEPTH = """
(WITH RECURSIVE above AS (
    SELECT ib_partner.id AS partner_id, ARRAY[ib_partner.id] AS path, 0 AS depth
    UNION ALL
    SELECT edge.parent_id, above.path || edge.parent_id, above.depth + 1
    FROM above JOIN ib_partneredge AS edge ON edge.child_id = above.partner_id
    WHERE edge.validity @> %s AND edge.parent_id <> ALL(above.path)
) SELECT max(depth) FROM above)
"""


class RegisterPartner(DeskActionView):
    """Takes on a new partner."""

    slug, title, capability = "register", "Register a partner", "ib.manage_partners"
    success_message = "Registered, with the accounts accrued, payable and wallet."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the actor's brands."""
        return RegisterPartnerForm.for_actor(actor, data)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who is taken on."""
        return [("Partner", data["name"]), ("Brand", str(data["brand"])), ("Currency", data["currency"].upper())]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Registers."""
        return partners.register_partner(
            entity_id=data["brand"].entity_id,
            brand_id=data["brand"].pk,
            name=data["name"],
            email=data["email"],
            country=data["country"],
            currency=data["currency"],
            actor=actor,
        )


class PlacePartner(DeskActionView):
    """Asks for a move in the tree."""

    slug, title, capability = "place", "Move in the tree", "ib.manage_partners"

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners of the entity."""
        return PlacePartnerForm.for_actor(actor, self.target, data)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who moves where, and with whom."""
        below = len(selectors.subtree(actor=actor, partner=self.target)) - 1
        return [
            ("Partner", str(self.target)),
            ("Stands under", str(data["parent"] or "nobody")),
            ("From", f"{data['valid_from']} 00:00 UTC, until further notice"),
            ("Comes along", f"{below} partners below"),
            (
                "What happens",
                "A change request is drafted, with a preview of who gains and who loses; nothing moves yet. A partner"
                " with neither clients nor partners nor commissions is placed at once.",
            ),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts the change request, or places who is new."""
        return requests.place_or_request(
            partner_id=self.target.pk,
            parent_id=data["parent"].pk if data["parent"] else None,
            valid_from=start_of(data["valid_from"]),
            reason=data["reason"],
            actor=actor,
        )

    def success_url(self, result: Any) -> str:
        """To the request, with its diff and its impact; without one, back to the partner."""
        if result is None:
            return super().success_url(result)
        return reverse("admin:core_changerequest_change", args=[result.pk])

    def success_text(self, result: Any) -> str:
        """What became of it."""
        if result is None:
            return "Placed."
        return "Drafted. Look at what it changes, and hand it in: another person approves it."


class SignAgreement(DeskActionView):
    """Binds a partner to a plan."""

    slug, title, capability = "sign", "Sign an agreement", "ib.manage_partners"
    success_message = "Signed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the plans of the entity."""
        return SignAgreementForm.for_actor(actor, self.target, data)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What binds whom."""
        return [
            ("Partner", str(self.target)),
            ("Plan", str(data["plan"])),
            ("From", f"{data['valid_from']} 00:00 UTC, until further notice"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Signs."""
        return plans.sign_agreement(
            partner_id=self.target.pk,
            plan_id=data["plan"].pk,
            valid_from=start_of(data["valid_from"]),
            reason=data["reason"],
            actor=actor,
        )


class ReferClient(DeskActionView):
    """Says whom a partner introduced."""

    slug, title, capability = "refer", "Add a client", "ib.manage_partners"
    form_class = ReferClientForm
    success_message = "Done. The days on which the client traded since then are settled again."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """From today."""
        return {"valid_from": clock.today_business_day()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose client it was, and what is settled again."""
        client = self._client(actor, data)
        current = ClientReferral.objects.filter(client_id=client.pk, validity__contains=clock.now()).first()
        since = start_of(data["valid_from"])
        return [
            ("Client", str(client)),
            ("Introduced by", f"{current.partner if current else 'nobody'} → {self.target}"),
            ("From", f"{data['valid_from']} 00:00 UTC, until further notice"),
            ("Days settled again", str(len(days_of_client(client_id=client.pk, since=since)))),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Refers."""
        return referrals.refer_client(
            client_id=self._client(actor, data).pk,
            partner_id=self.target.pk,
            valid_from=start_of(data["valid_from"]),
            reason=data["reason"],
            actor=actor,
        )

    def _client(self, actor: Actor, data: Mapping[str, Any]) -> Any:
        clients = apps.get_model("crm", "Client")._default_manager.all()
        client = visible_to(clients, actor).filter(reference__iexact=data["client_reference"].strip()).first()
        if client is None:
            raise InvalidInput("No client that you see has this reference.", field="client_reference")
        return client


class SetStatus(DeskActionView):
    """Suspends, closes or reactivates a partner."""

    slug, title, capability = "status", "Change the status", "ib.manage_partners"
    form_class = StatusForm
    tone = "danger"

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From what to what."""
        return [
            ("Partner", str(self.target)),
            ("Status", f"{self.target.get_status_display()} → {Partner.Status(data['status']).label}"),
            ("What happens", "Commissions go on being accrued while a partner is suspended."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Changes it."""
        return partners.set_partner_status(
            partner_id=self.target.pk, status=data["status"], reason=data["reason"], actor=actor
        )


class LinkLogin(DeskActionView):
    """Opens the portal to a login."""

    slug, title, capability = "login", "Link a login", "ib.manage_partners"
    form_class = LinkLoginForm

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who gets to see the partner's portal."""
        return [("Partner", str(self.target)), ("Login", data["email"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Links."""
        user = User.objects.filter(email__iexact=data["email"]).first()
        if user is None:
            raise InvalidInput("No login has this address.", field="email")
        return partners.link_partner_login(partner_id=self.target.pk, user_id=user.pk, actor=actor)


@admin.register(Partner)
class PartnerAdmin(DeskModelAdmin):
    """Partners and where they stand."""

    view_capability = "ib.view_partners"
    list_display = (
        "reference",
        "name",
        "status_shown",
        "depth_shown",
        "parent_shown",
        "plan_shown",
        "currency",
        "country",
    )
    list_filter = ("status", "entity", "brand", "currency", "country")
    search_fields = ("reference", "name", "email")
    list_actions = (RegisterPartner,)
    object_actions = (
        PlacePartner,
        StudyPlace,
        SignAgreement,
        ReferClient,
        GiveRank,
        AgreeRate,
        LinkLogin,
        SetStatus,
        ViewAsClient,
    )
    empty_text = "No partner yet. Register the first one."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "reference",
                    "name",
                    "status",
                    "email",
                    "country",
                    "currency",
                    "entity",
                    "brand",
                    "user",
                    "created_at",
                )
            },
        ),
    )

    status_shown = badge_column("status", title="Status", tones=STATUS_TONES, order="status")
    depth_shown = number_column("depth", title="Depth", digits=0, order="depth")
    parent_shown = text_column("parent_name", title="Stands under")
    plan_shown = text_column("plan_name", title="Plan")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With depth, parent and plan as they are now."""
        now = clock.now()
        parent = (
            "(SELECT parent.reference || ' ' || parent.name FROM ib_partneredge AS edge JOIN ib_partner AS parent"
            " ON parent.id = edge.parent_id WHERE edge.child_id = ib_partner.id AND edge.validity @> %s)"
        )
        plan = (
            "(SELECT plan.name FROM ib_agreement AS agreement JOIN ib_plan AS plan ON plan.id = agreement.plan_id"
            " WHERE agreement.partner_id = ib_partner.id AND agreement.validity @> %s)"
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                depth=RawSQL(_DEPTH, [now]),  # noqa: S611 - own text
                parent_name=RawSQL(parent, [now]),  # noqa: S611 - own text
                plan_name=RawSQL(plan, [now]),  # noqa: S611 - own text
            )
        )


@admin.register(Agreement)
class AgreementAdmin(DeskModelAdmin):
    """Which plan binds which partner, and when."""

    view_capability = "ib.view_partners"
    list_display = ("partner_shown", "plan_shown", "from_shown", "to_shown")
    list_select_related = ("partner", "plan")
    list_filter = ("plan",)
    search_fields = ("partner__reference", "partner__name", "plan__name")
    empty_text = "No agreement yet. Sign one on a partner's page."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    plan_shown = link_column("plan", title="Plan", order="plan__name")
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")


@admin.register(ClientReferral)
class ClientReferralAdmin(DeskModelAdmin):
    """Who introduced whom, and when that counts."""

    view_capability = "ib.view_partners"
    list_display = ("client_shown", "partner_shown", "from_shown", "to_shown")
    list_select_related = ("partner", "client")
    search_fields = ("client__reference", "partner__reference", "partner__name")
    empty_text = "No client was introduced yet."

    client_shown = link_column("client", title="Client", label="reference", order="client__reference")
    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")


def register_panels() -> None:
    """What a partner's page and a client's page show beside their fields."""
    register_panel("ib.Partner", "balances", "Balances", _balances, order=10, capability="ib.view_commissions")
    register_panel("ib.Partner", "place", "Place in the tree", _place, order=20, capability="ib.view_partners")
    register_panel("ib.Partner", "agreements", "Agreements", _agreements, order=30, capability="ib.view_partners")
    register_panel(
        "ib.Partner", "rates", "Ranks and agreed rates", _ranks_and_rates, order=35, capability="ib.view_partners"
    )
    register_panel("ib.Partner", "lines", "Last commission lines", _lines, order=40, capability="ib.view_commissions")
    register_panel(
        "crm.Client", "introduced_by", "Introduced by", _introducers, order=60, capability="ib.view_partners"
    )


def _balances(partner: Partner, actor: Actor) -> SafeString:
    held = selectors.balances_of(actor=actor, partner=partner)
    parts = [("Accrued", held.accrued), ("Payable", held.payable), ("Wallet", held.wallet)]
    return table(
        [name for name, _ in parts], [[money_html(amount, held.currency) for _, amount in parts]], numeric_from=0
    )


def _place(partner: Partner, actor: Actor) -> SafeString:
    above = PartnerEdge.objects.filter(child=partner).select_related("parent").order_by("-validity")
    below = PartnerEdge.objects.filter(parent=partner, validity__contains=clock.now()).select_related("child")
    rows = [["Under", object_link(edge.parent), *_dates(edge.validity)] for edge in above[:PANEL_ROWS]]
    rows += [
        ["Above", object_link(edge.child), *_dates(edge.validity)]
        for edge in below.order_by("child__reference")[:PANEL_ROWS]
    ]
    link = format_html(
        '<p><a class="bo-link" href="{}?root={}">Show the tree below</a></p>', reverse("admin:ib_tree"), partner.pk
    )
    return table(["Stands", "Partner", "From", "Until"], rows, empty="At the top, with nobody below.") + link


def _ranks_and_rates(partner: Partner, actor: Actor) -> SafeString:
    rows = [
        ["Rank", rank.rank, rank.get_source_display(), *_dates(rank.validity)]
        for rank in visible_to(PartnerRank.objects.filter(partner=partner), actor)
    ]
    for agreed in visible_to(NegotiatedRate.objects.filter(partner=partner), actor).select_related("set_by"):
        if agreed.rate is not None:
            what = format_decimal(agreed.rate)
        else:
            what = f"{format_decimal(agreed.allocation_percent or 0)} % of the rate above"
        by = f"agreed by {agreed.set_by.reference}" if agreed.set_by is not None else "agreed by the desk"
        rows.append([f"Rate, {agreed.component}", what, by, *_dates(agreed.validity)])
    return table(["What", "Value", "How", "From", "Until"], rows, empty="No rank and no agreed rate.")


def _agreements(partner: Partner, actor: Actor) -> SafeString:
    found = Agreement.objects.filter(partner=partner).select_related("plan").order_by("-validity")[:PANEL_ROWS]
    rows = [[object_link(item.plan), *_dates(item.validity)] for item in found]
    return table(["Plan", "From", "Until"], rows, empty="No agreement: this partner earns nothing.")


def _lines(partner: Partner, actor: Actor) -> SafeString:
    lines = visible_to(CommissionLine.objects.filter(partner_id=partner.pk), actor).order_by(
        "-day", "-trade_id", "-seq"
    )
    rows = [
        [
            format_day(line.day),
            format_html(
                '<a class="bo-link" href="{}">{}</a>', reverse("admin:ib_line", args=[line.reference]), line.reference
            ),
            f"{line.level}",
            format_decimal(line.quantity),
            money_html(line.amount, line.currency),
        ]
        for line in lines[:PANEL_ROWS]
    ]
    return table(["Day", "Line", "Level", "Lots", "Amount"], rows, numeric_from=2, empty="Nothing was earned yet.")


def _introducers(client: Any, actor: Actor) -> SafeString:
    found = visible_to(ClientReferral.objects.filter(client_id=client.pk), actor).select_related("partner")
    rows = [[object_link(item.partner), *_dates(item.validity)] for item in found.order_by("-validity")[:PANEL_ROWS]]
    return table(["Partner", "From", "Until"], rows)


def _dates(validity: Any) -> list[str]:
    return [format_day(end.date() if end else None) for end in (validity.lower, validity.upper)]
