"""A partner's pages of what is earned by the period: lines and why, who is about to qualify, what is carried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.ui.columns import computed, moment, money, money_html, number, state, text
from backoffice.ui.exports import export_response
from backoffice.ui.portal import Panel, PortalTablePage, PortalView, register_home_panel, register_portal_page
from ib import selectors
from ib.models import CpaClaim, PeriodLine
from ib.selectors import period_lines
from ib.selectors.disputes import open_dispute_about

ROLES = (Role.IB.value,)
SHOWN = 2_000
STATE_TONES = {"Waiting": "quiet", "Qualified": "good", "Expired": "quiet", "Declined": "bad", "Taken back": "bad"}


def _reference(line: PeriodLine) -> Any:
    return format_html(
        '<a class="bo-link" href="{}">{}</a>', reverse("portal:ib_period_line", args=[line.reference]), line.reference
    )


LINE_COLUMNS = (
    computed(lambda line: f"{line.period:%Y-%m}", title="Month"),
    computed(_reference, title="Line"),
    computed(lambda line: line.get_kind_display(), title="For"),
    text("client_reference", title="Client"),
    money("amount", currency="currency", title="Commission"),
    moment("booked_day", title="In the books of"),
)
EXPORT_COLUMNS = (
    computed(lambda line: f"{line.period:%Y-%m}", title="Month"),
    text("reference", title="Line"),
    computed(lambda line: line.get_kind_display(), title="For"),
    text("client_reference", title="Client"),
    number("target", title="Due"),
    number("amount", title="Commission"),
    text("currency", title="Currency"),
    moment("booked_day", title="In the books of"),
)


class PeriodLinesPage(PortalTablePage):
    """Everything that was booked by the month, and as a file."""

    roles, title = ROLES, "Commission by the month"
    intro = (
        "Shares of net revenue, rewards for clients and what was taken back. A month's share is booked when the month is "
        "over. Open a line to read how it came about."
    )
    columns = LINE_COLUMNS
    empty_text = "Nothing was earned by the month yet."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") in {"csv", "xlsx"}:
            rows = list(self.rows(self.actor))
            return export_response(
                request,
                name="commission-by-month",
                columns=EXPORT_COLUMNS,
                rows=rows,
                count=len(rows),
                file_format=request.GET["export"],
            )
        return super().get(request, *args, **kwargs)

    def rows(self, actor: Actor) -> Sequence[Any]:
        """The newest first."""
        partner = selectors.own_partner(actor=actor)
        return list(period_lines.own_period_lines(actor=actor, partner=partner)[:SHOWN])

    def summary(self, actor: Actor) -> Sequence[tuple[str, str]]:
        """What is carried on, and the files."""
        partner = selectors.own_partner(actor=actor)
        newest = period_lines.balances_of_losses(actor=actor, partner=partner).first()
        files = format_html(
            '<a class="bo-link" href="?export={}">CSV</a> <a class="bo-link" href="?export={}">XLSX</a>', "csv", "xlsx"
        )
        if newest is None or not newest.closing:
            return [("As a file", files)]
        return [("Losses carried on", money_html(newest.closing, newest.currency)), ("As a file", files)]


class PeriodLinePage(PortalView):
    """Why a line is what it is."""

    roles, template_name = ROLES, "ib/portal/period_line.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The steps, rebuilt just now."""
        line, explanation = period_lines.explain_period_line(actor=actor, reference=self.kwargs["reference"])
        return {
            "title": f"{line.get_kind_display()}, {line.period:%B %Y}",
            "line": line,
            "steps": explanation.steps,
            "explanation": explanation,
            "amount": money_html(line.amount, line.currency),
            "subject": line.reference,
            "dispute": open_dispute_about(actor=actor, reference=line.reference),
        }


class RewardsPage(PortalTablePage):
    """Clients on the way to a reward."""

    roles, title = ROLES, "Rewards for clients"
    intro = "Clients whose first deposit promises you a reward, and what each still needs."
    columns = (
        text("client_reference", title="Client"),
        state(lambda claim: claim.get_state_display(), title="State", tones=STATE_TONES),
        computed(lambda claim: "; ".join(claim.missing) or claim.reason, title="Waits for, or why"),
        moment("first_deposit_at", title="First deposit"),
        moment("qualified_at", title="Qualified"),
        moment("expires_at", title="Until"),
        money("reward", currency="currency", title="Reward"),
    )
    empty_text = "No client with a first deposit is on the way to a reward."

    def rows(self, actor: Actor) -> Sequence[Any]:
        """Those who still wait first."""
        partner = selectors.own_partner(actor=actor)
        claims = list(period_lines.claims_of(actor=actor, partner=partner)[:SHOWN])
        return sorted(claims, key=lambda claim: claim.state != CpaClaim.State.WAITING)


def rewards_panel(actor: Actor) -> Panel | None:
    """How many clients are about to qualify. Nothing where no reward is promised."""
    partner = selectors.partner_of_login(actor=actor)
    if partner is None:
        return None
    claims = period_lines.claims_of(actor=actor, partner=partner)
    if not claims.exists():
        return None
    month = clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    waiting = claims.filter(state=CpaClaim.State.WAITING).count()
    qualified = claims.filter(state=CpaClaim.State.QUALIFIED, qualified_at__gte=month).count()
    return Panel(
        title="Clients about to qualify",
        figure=str(waiting),
        note=f"{qualified} qualified this month.",
        url=reverse("portal:ib_rewards"),
    )


def register() -> None:
    """Adds the pages and the panel."""
    register_home_panel("ib.rewards", ROLES, rewards_panel, 30)
    register_portal_page(
        "ib.period_lines", "By the month", "portal:ib_period_lines", ROLES, 32,
        route="commission/months/", view=PeriodLinesPage,
    )  # fmt: skip
    register_portal_page(
        "ib.period_line", "Line by the month", "portal:ib_period_line", (), 33,
        route="commission/months/<str:reference>/", view=PeriodLinePage,
    )  # fmt: skip
    register_portal_page("ib.rewards", "Rewards", "portal:ib_rewards", ROLES, 34, route="rewards/", view=RewardsPage)
