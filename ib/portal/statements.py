"""A partner's own statements: what was earned, what waits, what is payable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import get_visible, visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.columns import computed, moment, money, money_html, number, state, text
from backoffice.ui.exports import EXPORT_ROW_LIMIT, FORMATS, export_response
from backoffice.ui.portal import PortalTablePage, PortalView, register_portal_page
from ib import selectors
from ib.models import CommissionStatement, StatementHold, StatementPaper
from ib.selectors.statement_lines import count_lines, statement_lines
from ib.services.payouts import with_left
from ib.statement_rules import PART_TITLES

ROLES = (Role.IB.value,)
MOST_HOLDS = 200
MOST_SHOWN = 1_000
WORDS = {
    CommissionStatement.State.IN_REVIEW: "In review",
    CommissionStatement.State.CONFIRMED: "In review",
    CommissionStatement.State.APPROVED: "Payable",
    CommissionStatement.State.CARRIED: "Carried to the next",
}
PAID = "Paid"
TONES = {PAID: "good", "In review": "warn", "Payable": "good", "Carried to the next": "quiet"}


def state_of(statement: Any) -> str:
    """The state in the partner's words; needs what is left to pay."""
    if statement.left is not None and statement.left <= 0:
        return PAID
    return WORDS[CommissionStatement.State(statement.state)]


# Why something is withheld is the house's own note; a partner reads that it is being looked at.
COLUMNS = (
    computed(
        lambda item: format_html(
            '<a class="bo-link" href="{}">{} to {}</a>',
            reverse("portal:ib_statement", args=[item.number]),
            item.from_day,
            item.to_day,
        ),
        title="Days",
    ),
    state(state_of, title="State", tones=TONES),
    money("earned", currency="currency", title="Earned"),
    money("total", currency="currency", title="Total"),
    money("payable", currency="currency", title="Payable"),
    moment("payable_from", title="Payable from"),
)
EXPORT_COLUMNS = (
    number("number", title="Statement", digits=0),
    moment("from_day", title="From"),
    moment("to_day", title="Through"),
    text("state", title="State"),
    number("carried_in", title="Carried in"),
    number("earned", title="Earned"),
    number("held", title="Held"),
    number("released", title="Released"),
    number("total", title="Total"),
    number("payable", title="Payable"),
    text("currency", title="Currency"),
    text("digest", title="SHA-256 of the postings"),
)


LINE_COLUMNS = (
    text("what", title="Of"),
    text("reference", title="Line"),
    moment("booked_day", title="Booked"),
    moment("day", title="Day"),
    moment("closed_at", title="Trade closed"),
    number("ticket", title="Trade", digits=0),
    text("source", title="Client"),
    text("symbol", title="Symbol"),
    number("lots", title="Lots"),
    number("amount", title="Amount"),
    text("currency", title="Currency"),
)
"""Of the file of a statement's lines, on the desk too."""


class StatementsPage(PortalTablePage):
    """Every statement of the partner, and the same as a file."""

    roles, title, template_name = ROLES, "Statements", "ib/portal/statements.html"
    columns = COLUMNS
    empty_text = "No statement yet. The first is made when a period with commission is over."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") in {"csv", "xlsx"}:
            rows = self.rows(self.actor)
            return export_response(
                request,
                name="statements",
                columns=EXPORT_COLUMNS,
                rows=rows,
                count=len(rows),
                file_format=request.GET["export"],
            )
        return super().get(request, *args, **kwargs)

    def rows(self, actor: Actor) -> Sequence[CommissionStatement]:
        """The newest first."""
        partner = selectors.own_partner(actor=actor)
        own = with_left(visible_to(CommissionStatement.objects.filter(partner=partner), actor))
        return list(own.order_by("-number")[:MOST_SHOWN])


class StatementPage(PortalView):
    """How one statement's total comes about."""

    roles, template_name = ROLES, "ib/portal/statement.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or its lines as a file."""
        file_format = request.GET.get("export", "")
        if file_format not in FORMATS:
            return super().get(request, *args, **kwargs)
        statement = self.statement(self.actor)
        try:
            return lines_file(request, statement, file_format, actor=self.actor)
        except InvalidInput as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)

    def statement(self, actor: Actor) -> CommissionStatement:
        """The partner's own of this number."""
        partner = selectors.own_partner(actor=actor)
        own = with_left(CommissionStatement.objects.filter(partner=partner))
        return get_visible(own.select_related("partner"), actor, number=self.kwargs["number"])

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """Its parts, and the way to its lines."""
        statement = self.statement(actor)
        sums = [(PART_TITLES.get(source, source), Decimal(amount)) for source, amount in statement.parts]
        rows = [
            ("Carried from earlier statements", statement.carried_in),
            *sums,
            ("Held, because it is looked into", -statement.held),
            ("Held before and released", statement.released),
        ]
        return {
            "title": f"Statement {statement.number}",
            "statement": statement,
            "state": state_of(statement),
            "tone": TONES[state_of(statement)],
            "rows": [(title, money_html(amount, statement.currency)) for title, amount in rows if amount],
            "holds": _holds(statement, actor),
            "payouts": [
                (item, money_html(item.amount, item.currency))
                for item in visible_to(statement.payouts.all(), actor).order_by("number")
            ],
            "papers": list(visible_to(StatementPaper.objects.filter(statement=statement), actor).order_by("pk")),
            "total": money_html(statement.total, statement.currency),
            "payable": money_html(statement.payable, statement.currency) if statement.payable is not None else "",
        }


def lines_file(request: HttpRequest, statement: Any, file_format: str, *, actor: Actor) -> HttpResponseBase:
    """The lines of a statement as a file. Raises InvalidInput when they are too many for one."""
    count = count_lines(statement)
    rows = statement_lines(actor=actor, statement=statement) if count <= EXPORT_ROW_LIMIT else []
    return export_response(
        request,
        name=f"statement-{statement.partner.reference}-{statement.number}",
        columns=LINE_COLUMNS,
        rows=rows,
        count=max(count, len(rows)),
        file_format=file_format,
    )


def _holds(statement: CommissionStatement, actor: Actor) -> list[dict[str, Any]]:
    """Lines that the statement leaves out, and those that it takes up again, with the disputes that say why."""
    holds = StatementHold.objects.filter(held_in=statement, released_at__isnull=True) | StatementHold.objects.filter(
        released_in=statement
    )
    shown = visible_to(holds, actor).order_by("pk").prefetch_related("disputes")[:MOST_HOLDS]
    return [
        {
            "line": hold.line_reference,
            "state": "Held" if hold.released_at is None else "Released",
            "dispute": next(iter(hold.disputes.all()), None),
            "amount": money_html(hold.amount, hold.currency),
        }
        for hold in shown
    ]


def register() -> None:
    """Adds the pages."""
    register_portal_page(
        "ib.statements", "Statements", "portal:ib_statements", ROLES, 35, route="statements/", view=StatementsPage
    )
    # Without roles the page stands in no menu; its view asks for the role itself.
    register_portal_page(
        "ib.statement", "Statement", "portal:ib_statement", (), 36, route="statements/<int:number>/", view=StatementPage
    )
