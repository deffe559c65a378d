"""The pages of an introducing broker. Everything is read for the partner of the login and for nobody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.ui.charts import bar_chart
from backoffice.ui.columns import computed, moment, money, money_html, number, state, text
from backoffice.ui.exports import export_response
from backoffice.ui.portal import Panel, PortalTablePage, PortalView, register_home_panel, register_portal_page
from ib import selectors
from ib.selectors.disputes import open_dispute_about
from ib.types import Grouping, OwnLine

ROLES = (Role.IB.value,)
PERIOD_DAYS = 30
LONGEST_PERIOD_DAYS = 400
LINES_SHOWN = 5_000
BARS = 12
SUMS = (
    text("key", title="From"),
    number("trades", title="Trades", digits=0),
    number("lots", title="Lots", digits=2),
    money("amount", currency="currency", title="Commission"),
)


def _reference(line: OwnLine) -> Any:
    return format_html(
        '<a class="bo-link" href="{}">{}</a>', reverse("portal:ib_line", args=[line.reference]), line.reference
    )


LINE_COLUMNS = (
    moment("day", title="Business day"),
    computed(_reference, title="Line"),
    text("ticket", title="Trade"),
    text("source", title="From"),
    text("symbol", title="Symbol"),
    number("level", title="Level", digits=0),
    number("lots", title="Lots", digits=2),
    money("amount", currency="currency", title="Commission"),
)
EXPORT_COLUMNS = (
    moment("day", title="Business day"),
    text("reference", title="Line"),
    moment("closed_at", title="Closed at (UTC)"),
    text("ticket", title="Trade"),
    text("source", title="From"),
    text("symbol", title="Symbol"),
    text("symbol_group", title="Symbol group"),
    number("level", title="Level"),
    number("lots", title="Lots"),
    number("amount", title="Commission"),
    text("currency", title="Currency"),
)


class PeriodForm(forms.Form):
    """Which days."""

    from_day = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    to_day = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))


class PeriodMixin:
    """Reads the days from the address: the last thirty unless it says otherwise, never more than the bound."""

    request: HttpRequest

    def period(self) -> tuple[date, date]:
        """First and last day."""
        form = PeriodForm(self.request.GET)
        chosen = form.cleaned_data if form.is_valid() else {}
        to_day = chosen.get("to_day") or clock.today_business_day()
        from_day = chosen.get("from_day") or to_day - timedelta(days=PERIOD_DAYS)
        if not 0 <= (to_day - from_day).days <= LONGEST_PERIOD_DAYS:
            from_day = to_day - timedelta(days=PERIOD_DAYS)
        return from_day, to_day

    def period_context(self) -> dict[str, Any]:
        """The form with the days that are shown, and the link to the file of the same days."""
        from_day, to_day = self.period()
        return {
            "period_form": PeriodForm(initial={"from_day": from_day, "to_day": to_day}),
            "from_day": from_day,
            "to_day": to_day,
            "export_url": f"{reverse('portal:ib_lines')}?from_day={from_day}&to_day={to_day}&export=csv",
        }


class CommissionPage(PeriodMixin, PortalView):
    """What was earned, by day, by client or sub-partner, by level and by symbol group."""

    roles, title, template_name = ROLES, "Commission", "ib/portal/commission.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The sums of the period."""
        partner = selectors.own_partner(actor=actor)
        from_day, to_day = self.period()
        sums = {
            grouping: selectors.commission_by(
                actor=actor, partner=partner, grouping=grouping, from_day=from_day, to_day=to_day
            )
            for grouping in Grouping
        }
        days = sums[Grouping.DAY]
        digits = Currency.of(partner.currency).digits
        titles = {
            Grouping.SOURCE: "By client and sub-partner",
            Grouping.LEVEL: "By level",
            Grouping.SYMBOL_GROUP: "By symbol group",
            Grouping.DAY: "By day",
        }
        return {
            **self.period_context(),
            "summary": [
                ("Commission", money_html(sum((row.amount for row in days), Decimal(0)), partner.currency)),
                ("Lots", f"{sum((row.lots for row in sums[Grouping.LEVEL]), Decimal(0)):,.2f}"),
                ("Days with trades", str(len(days))),
            ],
            "chart": bar_chart(
                [(row.key, row.amount) for row in days[-BARS:]],
                title="Commission of the last days",
                unit=partner.currency,
                digits=digits,
            ),
            "tables": [
                (title, SUMS, [[(column, column.html(row)) for column in SUMS] for row in sums[grouping]])
                for grouping, title in titles.items()
            ],
        }


class LinesPage(PeriodMixin, PortalTablePage):
    """Every line, with the way to its explanation, and as a file."""

    roles, title, template_name = ROLES, "Commission lines", "ib/portal/lines.html"
    columns = LINE_COLUMNS
    empty_text = "Nothing was earned in these days."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") == "csv":
            rows = self.lines(self.actor, limit=selectors.MAXIMUM_LINES)
            return export_response(
                request, name="commission", columns=EXPORT_COLUMNS, rows=rows, count=len(rows), file_format="csv"
            )
        return super().get(request, *args, **kwargs)

    def rows(self, actor: Actor) -> Sequence[OwnLine]:
        """The newest first."""
        return self.lines(actor, limit=LINES_SHOWN)

    def lines(self, actor: Actor, *, limit: int) -> Sequence[OwnLine]:
        """The lines of the period."""
        from_day, to_day = self.period()
        partner = selectors.own_partner(actor=actor)
        return selectors.own_lines(actor=actor, partner=partner, from_day=from_day, to_day=to_day, limit=limit)

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """With the period."""
        from_day, to_day = self.period()
        return {
            **super().context(actor),
            **self.period_context(),
            "query": f"from_day={from_day}&to_day={to_day}",
        }


class LinePage(PortalView):
    """Why a line is what it is."""

    roles, template_name = ROLES, "ib/portal/line.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The steps, rebuilt just now."""
        facts, explanation = selectors.explain_line(actor=actor, reference=self.kwargs["reference"])
        return {
            "title": f"Line {facts.reference}",
            "facts": facts,
            "steps": explanation.steps,
            "explanation": explanation,
            "amount": money_html(facts.amount, facts.currency),
            "subject": facts.reference,
            "dispute": open_dispute_about(actor=actor, reference=facts.reference),
        }


class ClientsPage(PeriodMixin, PortalTablePage):
    """The clients whom the partner introduced."""

    roles, title = ROLES, "Clients"
    intro = "Clients whom you introduced, and what they traded in the last thirty days."
    columns = (
        text("reference", title="Client"),
        text("name", title="Name"),
        text("email", title="E-mail"),
        text("country", title="Country"),
        moment("since", title="Since"),
        number("trades", title="Trades", digits=0),
        number("lots", title="Lots", digits=2),
        moment("last_trade", title="Last trade"),
    )
    empty_text = "You have introduced no client yet."

    def rows(self, actor: Actor) -> Sequence[Any]:
        """Own clients, the most active first."""
        from_day, to_day = self.period()
        partner = selectors.own_partner(actor=actor)
        return selectors.clients_of(actor=actor, partner=partner, from_day=from_day, to_day=to_day)


class PartnersPage(PortalTablePage):
    """The partners below."""

    roles, title = ROLES, "Sub-partners"
    intro = "Everybody who stands below you now."
    columns = (
        computed(
            lambda node: format_html("{}{}", "· " * (node.depth - 1), f"{node.reference} {node.name}"), title="Partner"
        ),
        number("depth", title="Levels below you", digits=0),
        number("clients", title="Clients", digits=0),
        state(
            lambda node: node.status.capitalize(),
            title="Status",
            tones={"Active": "good", "Suspended": "warn", "Closed": "quiet"},
        ),
    )
    empty_text = "Nobody stands below you."

    def rows(self, actor: Actor) -> Sequence[Any]:
        """Parents before children, without the partner."""
        partner = selectors.own_partner(actor=actor)
        return [node for node in selectors.subtree(actor=actor, partner=partner) if node.depth]


def balance_panel(actor: Actor) -> Panel | None:
    """What has been earned and not paid out. Nothing while the login belongs to no partner yet."""
    partner = selectors.partner_of_login(actor=actor)
    if partner is None:
        return None
    held = selectors.balances_of(actor=actor, partner=partner)
    return Panel(
        title="Your balance",
        columns=(
            money("accrued", currency="currency", title="Accrued"),
            money("payable", currency="currency", title="Payable"),
            money("wallet", currency="currency", title="Wallet"),
        ),
        rows=[held],
        note="Accrued is earned and not yet approved; payable is approved; the wallet is yours to withdraw.",
    )


def commission_panel(actor: Actor) -> Panel | None:
    """The commission of the last days."""
    partner = selectors.partner_of_login(actor=actor)
    if partner is None:
        return None
    today = clock.today_business_day()
    days = selectors.commission_by(
        actor=actor,
        partner=partner,
        grouping=Grouping.DAY,
        from_day=today - timedelta(days=PERIOD_DAYS),
        to_day=today,
    )
    total = sum((row.amount for row in days), Decimal(0))
    digits = Currency.of(partner.currency).digits
    return Panel(
        title="Commission of the last 30 days",
        figure=f"{total:,.{digits}f} {partner.currency}",
        body=bar_chart(
            [(row.key, row.amount) for row in days[-BARS:]],
            title="By business day",
            unit=partner.currency,
            digits=digits,
        ),
        url=reverse("portal:ib_commission"),
        is_wide=True,
        empty_text="" if days else "Nothing was earned yet.",
    )


def register() -> None:
    """Adds the pages and panels."""
    register_home_panel("ib.balance", ROLES, balance_panel, 10)
    register_home_panel("ib.commission", ROLES, commission_panel, 20)
    register_portal_page(
        "ib.commission", "Commission", "portal:ib_commission", ROLES, 20, route="commission/", view=CommissionPage
    )
    register_portal_page("ib.lines", "Lines", "portal:ib_lines", ROLES, 30, route="commission/lines/", view=LinesPage)
    # Without roles the page stands in no menu; its view asks for the role itself.
    register_portal_page(
        "ib.line", "Line", "portal:ib_line", (), 31, route="commission/lines/<str:reference>/", view=LinePage
    )
    register_portal_page("ib.clients", "Clients", "portal:ib_clients", ROLES, 40, route="clients/", view=ClientsPage)
    register_portal_page(
        "ib.partners", "Sub-partners", "portal:ib_partners", ROLES, 50, route="partners/", view=PartnersPage
    )
