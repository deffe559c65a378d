"""What stands on a dispute's page, on a partner's and on the desk's first page."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

from django.db.models import Count, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.columns import money_html, object_link
from backoffice.ui.dashboards import Card
from backoffice.ui.formats import format_amount
from backoffice.ui.panels import register_panel
from ib.admin.disputes import VIEW, state_of
from ib.admin.tables import table
from ib.dispute_rules import DisputeDecision, DisputeState, DisputeSubject
from ib.models import CommissionStatement, Dispute, DisputeEvidence, Partner
from ib.selectors import disputed
from ib.selectors import disputes as selectors

Audience = DisputeEvidence.Audience
PANEL_ROWS = 10
CARD_DAYS = 90
MOST_DEALS = 100


def register_panels() -> None:
    """Adds the panels; called once when the application starts."""
    for key, title, render, order in (
        ("claim", "What the partner says", _claim, 10),
        ("now", "The amount then and now", _then_and_now, 20),
        ("why", "Why the line was what it was", _why, 30),
        ("deals", "Deals of the trade", _deals, 40),
        ("timeline", "What happened", _timeline, 50),
        ("evidence", "Evidence and files", _evidence, 60),
    ):
        register_panel("ib.Dispute", key, title, render, order=order, capability=VIEW)
    register_panel("ib.Partner", "disputes", "Disputes", _of_partner, order=36, capability=VIEW)
    register_panel("ib.CommissionStatement", "held", "Held lines", _held, order=20, capability=VIEW)


def _claim(dispute: Dispute, actor: Actor) -> SafeString:
    claimed = format_amount(dispute.claimed_amount, dispute.currency) if dispute.claimed_amount else ""
    return render_to_string("ib/dispute_claim.html", {"dispute": dispute, "claimed": claimed})


def _then_and_now(dispute: Dispute, actor: Actor) -> SafeString:
    currency = dispute.currency
    now = selectors.booked_now(actor=actor, dispute=dispute)
    rows = [
        ["When it was disputed", "", "", "", money_html(dispute.booked_before, currency)],
        *[
            [
                line.reference,
                str(line.booked_day),
                line.why,
                money_html(line.target, currency),
                money_html(line.amount, currency),
            ]
            for line in selectors.later_lines(actor=actor, dispute=dispute)
        ],
        ["Now", "", "", "", money_html(now, currency)],
        *[
            [f"Goodwill {made.reference}", str(made.booked_day), "", "", money_html(made.amount, made.currency)]
            for made in selectors.adjustments_of(actor=actor, dispute=dispute)
        ],
    ]
    return table(["Line", "In the books of", "Because", "Worth", "Booked"], rows, numeric_from=3)


def _why(dispute: Dispute, actor: Actor) -> SafeString:
    if dispute.subject == DisputeSubject.UNPAID_TRADE:
        why = disputed.why_unpaid(dispute.partner, dispute.trade_id or 0)
        return format_html("<p>Now: {}. The evidence below says what it was when the dispute came.</p>", why["why"])
    name = "admin:ib_period_line" if dispute.subject == DisputeSubject.PERIOD_LINE else "admin:ib_line"
    kept = [item for item in selectors.evidence_of(actor=actor, dispute=dispute) if item.audience == Audience.DESK]
    steps = json.loads(kept[-1].body).get("steps", []) if kept else []
    return render_to_string(
        "ib/dispute_why.html",
        {
            "steps": [{"title": title, "text": text, "figure": figure} for title, text, figure in steps],
            "taken_at": kept[-1].taken_at if kept else None,
            "url": reverse(name, args=[dispute.subject_reference]),
        },
    )


def _deals(dispute: Dispute, actor: Actor) -> SafeString:
    if dispute.trade_id is None:
        return SafeString("")
    deals = disputed.deals_of_trade(dispute.trade_id)[:MOST_DEALS]
    rows = [
        [
            str(deal["ticket"]),
            str(deal["revision"]),
            f"{deal['at']:%Y-%m-%d %H:%M:%S}",
            f"{deal['volume_lots']:.2f}",
            "" if deal["price"] is None else f"{deal['price'].normalize():f}",
            f"{deal['profit']:.2f}",
        ]
        for deal in deals
    ]
    headings = ["Deal", "Revision", "Time (UTC)", "Lots", "Price", "Result"]
    return table(headings, rows, numeric_from=3, empty="The deals of this trade are not known here.")


def _timeline(dispute: Dispute, actor: Actor) -> SafeString:
    events = selectors.timeline(actor=actor, dispute=dispute)
    return render_to_string("ib/dispute_timeline.html", {"events": events})


def _evidence(dispute: Dispute, actor: Actor) -> SafeString:
    return render_to_string(
        "ib/dispute_files.html",
        {
            "dispute": dispute,
            "evidence": selectors.evidence_of(actor=actor, dispute=dispute),
            "files": selectors.files_of(actor=actor, dispute=dispute),
            "adjustments": selectors.adjustments_of(actor=actor, dispute=dispute),
        },
    )


def _of_partner(partner: Partner, actor: Actor) -> SafeString:
    found = selectors.staff_disputes(actor=actor, partner_id=partner.pk).order_by("-opened_at")[:PANEL_ROWS]
    rows = [
        [
            object_link(item, item.reference),
            item.subject_reference,
            state_of(item),
            money_html(item.amount, item.currency),
        ]
        for item in found
    ]
    return table(["Dispute", "About", "State", "Amount"], rows, numeric_from=3, empty="Nothing is disputed.")


def _held(statement: CommissionStatement, actor: Actor) -> SafeString:
    """Which lines the statement leaves out, and which it takes up again."""
    holds = [*((hold, "Held") for hold in statement.holds.filter(released_at__isnull=True).order_by("pk"))]
    holds += [(hold, "Released") for hold in statement.releases.order_by("pk")]
    rows = [
        [hold.line_reference, hold.reason, state, money_html(hold.amount, hold.currency)] for hold, state in holds[:200]
    ]
    return table(["Line", "Why", "Now", "Amount"], rows, numeric_from=3)


def disputes_card(actor: Actor) -> Card | None:
    """What waits, what is late, and how many are upheld."""
    seen = selectors.staff_disputes(actor=actor)
    now = clock.now()
    waiting = Q(state__in=[DisputeState.RECEIVED, DisputeState.IN_WORK])
    counts = seen.order_by().aggregate(
        open=Count("pk", filter=~Q(state=DisputeState.CLOSED)),
        late=Count("pk", filter=waiting & Q(due_at__lt=now)),
        asked=Count("pk", filter=Q(state=DisputeState.ASKED)),
        correcting=Count("pk", filter=Q(state=DisputeState.CORRECTING)),
    )
    recent = seen.filter(opened_at__gte=now - timedelta(days=CARD_DAYS), state=DisputeState.CLOSED)
    decided = recent.exclude(decision=DisputeDecision.WITHDRAW).count()
    upheld = recent.filter(delta__gt=0).count()
    if not counts["open"] and not decided:
        return None
    share = f"{Decimal(upheld * 100) / decided:.0f} %" if decided else "none decided"
    return Card(
        title="Commission disputes",
        figure=str(counts["open"]),
        delta=f"{counts['late']} overdue" if counts["late"] else "none overdue",
        delta_tone="bad" if counts["late"] else "good",
        note=f"open; upheld in {CARD_DAYS} days: {share}",
        rows=(
            ("Partner is asked", str(counts["asked"])),
            ("Being corrected", str(counts["correcting"])),
            (f"Decided in {CARD_DAYS} days", str(decided)),
        ),
        url=f"{reverse('admin:ib_dispute_changelist')}?state=open",
    )
