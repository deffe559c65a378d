"""Registers the desk's menu, cards, panels and portal pages; called when the application starts."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Count, Sum
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.ui.charts import line_chart
from backoffice.ui.columns import money_html
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import currency_digits, format_amount
from backoffice.ui.navigation import register_page, register_section
from ib import selectors
from ib.models import CommissionLine, Partner

DESK = "ib"
CARD_DAYS = 30
PAGES = (
    ("Partners", "admin:ib_partner_changelist", "ib.view_partners", 10, "handshake"),
    ("Partner tree", "admin:ib_tree", "ib.view_partners", 20, "account_tree"),
    ("Introduced clients", "admin:ib_clientreferral_changelist", "ib.view_partners", 30, "group_add"),
    ("Agreements", "admin:ib_agreement_changelist", "ib.view_partners", 40, "contract"),
    ("Plans", "admin:ib_plan_changelist", "ib.view_plans", 50, "percent"),
    ("Plan versions", "admin:ib_planversion_changelist", "ib.view_plans", 55, "history"),
    ("Commission lines", "admin:ib_lines", "ib.view_commissions", 60, "receipt_long"),
    ("Settle commissions", "admin:ib_settle", "ib.settle_commissions", 70, "play_arrow"),
    ("Settlements", "admin:ib_settlementbatch_changelist", "ib.view_commissions", 80, "done_all"),
    ("Coverage of trades", "admin:ib_coverage", "ib.view_commissions", 90, "fact_check"),
    ("Statements", "admin:ib_commissionstatement_changelist", "ib.view_statements", 62, "request_quote"),
    ("Payout terms", "admin:ib_payoutterms_changelist", "ib.view_statements", 64, "rule"),
    ("Disputes", "admin:ib_dispute_changelist", "ib.view_disputes", 82, "gavel"),
    ("Dispute statistics", "admin:ib_dispute_statistics", "ib.view_disputes", 84, "query_stats"),
    ("Goodwill", "admin:ib_commissionadjustment_changelist", "ib.view_disputes", 86, "volunteer_activism"),
    ("Limits of goodwill", "admin:ib_goodwilllimit_changelist", "ib.view_disputes", 88, "rule_settings"),
    ("Trades set aside", "admin:ib_quarantinedtrade_changelist", "ib.view_commissions", 95, "report"),
)


def register() -> None:
    """Menu entries, cards, panels and the partner's portal."""
    from ib.admin import dispute_panels, partners, plans, statements
    from ib.portal import disputes as own_disputes
    from ib.portal import pages
    from ib.portal import statements as own_statements

    register_section(DESK, "Partners", "handshake", 40)
    for title, url_name, capability, order, icon in PAGES:
        register_page(DESK, title, url_name, capability, order, icon=icon)
    roles = (Role.PARTNER_MANAGER, Role.FINANCE, Role.ADMINISTRATOR)
    register_card("ib.commissions", roles, commissions_card, order=40)
    partners.register_panels()
    plans.register_panels()
    statements.register_panels()
    dispute_panels.register_panels()
    register_card("ib.disputes", roles, dispute_panels.disputes_card, order=42)
    pages.register()
    own_statements.register()
    own_disputes.register()


def commissions_card(actor: Actor) -> Card | None:
    """What partners earned on the last day that was settled, and over the last month."""
    last = selectors.latest_day(actor=actor)
    if last is None:
        return None
    lines = visible_to(CommissionLine.objects.all(), actor)
    of_day = list(_sums(lines.filter(day=last), "currency"))
    booked = {row["currency"]: row["sum"] for row in of_day}
    # Amounts of different currencies cannot be compared; the one most lines are in speaks for the day.
    currency = max(of_day, key=lambda row: row["lines"])["currency"] if of_day else ""
    days = sorted({row["day"] for row in _sums(lines.filter(currency=currency), "day")})[-CARD_DAYS:]
    by_day = {row["day"]: row["sum"] for row in _sums(lines.filter(currency=currency, day__in=days), "day")}
    return Card(
        title="Partner commissions",
        figure=format_amount(booked.get(currency, Decimal(0)), currency),
        note=f"of {last}; {visible_to(Partner.objects.all(), actor).count():,} partners",
        rows=tuple((code, money_html(amount, code)) for code, amount in sorted(booked.items())),
        chart=line_chart(
            [(day.isoformat(), by_day[day]) for day in days],
            title="Commission by business day",
            unit=currency,
            digits=currency_digits(currency),
        ),
        url=reverse("admin:ib_lines"),
        width=2,
    )


def _sums(lines, key: str):  # type: ignore[no-untyped-def]
    return lines.values(key).annotate(sum=Sum("amount"), lines=Count("amount")).order_by(key)
