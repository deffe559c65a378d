"""Clients, funnel and cohorts, trades and payments, down to the single client and the single trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core.paginator import Paginator
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.ui.columns import Column, computed, moment, money, money_html, number, text
from ib.data_centre_pages.base import DataCentrePage
from ib.selectors.data_centre import activity, people
from ib.selectors.data_centre.activity import PaymentRow, TradeRow
from ib.selectors.data_centre.people import SHOW_TITLES, ClientRow, Cohort, CohortMonth, Show, Through

PAGE_SIZE = 50
SHOWN_SHOWS = (Show.BEST, Show.SLEEPING, Show.ACTIVE, Show.REGISTERED, Show.FIRST_DEPOSIT, Show.ALL)


def client_facts(currency: str) -> tuple[Column, ...]:
    """What a list says of a client."""
    return (
        text("name", title="Name"),
        text("country", title="Country"),
        text("campaign", title="Campaign"),
        moment("joined", title="Since"),
        moment("verified", title="Verified"),
        moment("first_deposit", title="First deposit"),
        moment("last_trade", title="Last trade"),
        money("deposits", fixed_currency=currency, title="Deposits"),
        number("trades", title="Trades", digits=0),
        number("lots", title="Lots", digits=2),
        money("commission", fixed_currency=currency, title="Commission"),
    )


CLIENT_EXPORT = (
    text("reference", title="Client"),
    text("name", title="Name"),
    text("email", title="E-mail"),
    text("country", title="Country"),
    text("campaign", title="Campaign"),
    number("level", title="Level"),
    text("introducer", title="Introduced by"),
    moment("joined", title="Since"),
    number("accounts", title="Accounts"),
    moment("verified", title="Verified"),
    moment("first_deposit", title="First deposit"),
    moment("first_trade", title="First trade"),
    moment("last_trade", title="Last trade"),
    number("deposits", title="Deposits"),
    number("withdrawals", title="Withdrawals"),
    number("trades", title="Trades"),
    number("lots", title="Lots"),
    number("commission", title="Commission"),
    text("currency", title="Currency"),
)


def through_columns(currency: str) -> tuple[Column, ...]:
    """What a list says of the clients of a partner below."""
    return (
        number("clients", title="Clients", digits=0),
        money("deposits", fixed_currency=currency, title="Deposits"),
        number("trades", title="Trades", digits=0),
        number("lots", title="Lots", digits=2),
        money("commission", fixed_currency=currency, title="Commission"),
    )


TRADE_FACTS = (
    text("symbol", title="Symbol"),
    text("side", title="Side"),
    number("lots", title="Lots", digits=2),
    number("level", title="Level", digits=0),
    money("commission", currency="currency", title="Commission"),
)
TRADE_EXPORT = (
    moment("day", title="Business day"),
    moment("closed_at", title="Closed at (UTC)"),
    text("ticket", title="Trade"),
    text("client", title="Client"),
    number("level", title="Level"),
    text("symbol", title="Symbol"),
    text("symbol_group", title="Symbols"),
    text("side", title="Side"),
    number("lots", title="Lots"),
    number("commission", title="Commission"),
    text("currency", title="Currency"),
)
PAYMENT_FACTS = (
    text("kind", title="Kind"),
    money("amount", currency="currency", title="Amount"),
    money("worth", currency="worth_currency", title="Counted as"),
)
PAYMENT_EXPORT = (
    moment("day", title="Business day"),
    text("client", title="Client"),
    text("kind", title="Kind"),
    number("amount", title="Amount"),
    text("currency", title="Currency"),
    number("worth", title="Counted as"),
    text("worth_currency", title="Counted in"),
)
ACCOUNT_COLUMNS = (
    text("login", title="Account"),
    text("server", title="Server"),
    text("currency", title="Currency"),
    moment("opened_at", title="Opened"),
    number("trades", title="Trades", digits=0),
    number("lots", title="Lots", digits=2),
)

Table = dict[str, Any]


class ListPage(DataCentrePage):
    """A page whose body is made of tables."""

    body = "ib/data_centre/lists.html"

    def table(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Any],
        *,
        empty: str,
        pages: bool = False,
        note: str = "",
    ) -> Table:
        """A table for the body, in pages where it is the page's own."""
        page = Paginator(rows, PAGE_SIZE).get_page(self.request.GET.get("page")) if pages else None
        return {
            "title": title,
            "columns": columns,
            "rows": [[(column, column.html(row)) for column in columns] for row in (page or rows)],
            "page": page if page is not None and page.has_other_pages() else None,
            "previous_url": self.link_here(page=page.previous_page_number()) if page and page.has_previous() else "",
            "next_url": self.link_here(page=page.next_page_number()) if page and page.has_next() else "",
            "empty": empty,
            "note": note,
        }

    def client_link(self, reference: str) -> SafeString:
        """A client's number, leading to their page."""
        return format_html('<a class="bo-link" href="{}">{}</a>', self.link("client", reference), reference)


class ClientsPage(ListPage):
    """Clients: the best, the sleeping, or those behind a figure."""

    tab, export_name = "clients", "data-centre-clients"

    @property
    def show(self) -> Show:
        """Which clients."""
        asked = self.request.GET.get("show", "")
        return Show(asked) if asked in {show.value for show in Show} else Show.BEST

    def kept_names(self) -> Sequence[str]:
        """Which clients stay."""
        return ("show",)

    def content(self) -> Mapping[str, Any]:
        """One by one, then those of partners below as sums."""
        rows = people.client_rows(self.view, self.filters, self.show, limit=people.MAXIMUM_CLIENTS)
        through = people.clients_through(self.view, self.filters, self.show)
        columns = (
            computed(lambda row: self.client_link(row.reference), title="Client"),
            *client_facts(self.view.currency),
        )
        tables = [
            self.table(
                SHOW_TITLES[self.show], columns, rows, pages=True,
                empty="No client of yours is among these. Choose other days, or another list.",
                note=" ".join(
                    [
                        *(["Clients whom you introduced yourself."] if self.view.is_own else []),
                        f"Money in {self.view.currency}.",
                        *([f"The first {len(rows):,}; the file has all."] if self._is_cut(rows) else []),
                    ]
                ),
            )
        ]  # fmt: skip
        if through:
            tables.append(
                self.table(
                    "Through sub-partners",
                    (computed(self._introducer, title="Introduced by"), *through_columns(self.view.currency)),
                    through,
                    empty="",
                    note="Clients of partners below you, as sums.",
                )
            )
        return {
            "choices": [
                (self.link("clients", show=show.value), SHOW_TITLES[show], show is self.show) for show in SHOWN_SHOWS
            ],
            "summary": _clients_summary(self._counted(rows), through, self.view.currency),
            "tables": tables,
        }

    def _is_cut(self, rows: Sequence[ClientRow]) -> bool:
        return len(rows) == people.MAXIMUM_CLIENTS

    def _counted(self, rows: Sequence[ClientRow]) -> Sequence[ClientRow | Through]:
        """What the summary adds up: the rows, or where the page does not hold all of them, their sums."""
        if not self._is_cut(rows):
            return rows
        return [people.client_sums(self.view, self.filters, self.show)]

    def _introducer(self, row: Through) -> SafeString:
        return format_html(
            '<a class="bo-link" href="{}">{}</a>', self.link("trades", introducer=row.introducer_id), row.introducer
        )

    def export_columns(self) -> Sequence[Column]:
        """With everything that the page says of a client."""
        return CLIENT_EXPORT

    def export_rows(self) -> Sequence[ClientRow]:
        """The clients one by one, all of them."""
        return people.client_rows(self.view, self.filters, self.show, limit=activity.MAXIMUM_EXPORTED)


def _clients_summary(
    rows: Sequence[ClientRow | Through], through: Sequence[Through], currency: str
) -> list[tuple[str, Any]]:
    every = [*rows, *through]
    return [
        ("Clients", f"{sum(row.clients if isinstance(row, Through) else 1 for row in every):,}"),
        ("Trades", f"{sum(row.trades for row in every):,}"),
        ("Lots", f"{sum((row.lots for row in every), Decimal(0)):,.2f}"),
        ("Commission", money_html(sum((row.commission for row in every), Decimal(0)), currency)),
    ]


class ClientPage(ListPage):
    """One client: what is known, accounts, trades and payments of the days."""

    tab = "clients"

    def content(self) -> Mapping[str, Any]:
        """Everything of the client that the viewer may read."""
        client = people.one_client(self.view, self.filters, self.kwargs["reference"])
        wide = replace(self.filters, level=None, country="", campaign="", symbol_group_id=None)
        trades = activity.trades(self.view, wide, client=client.reference)
        payments = activity.payments(self.view, wide, client=client.reference)
        accounts = activity.accounts_of(self.view, self.filters, client)
        trade_columns = tuple(column for column in trade_table(self) if column.title != "Client")
        return {
            "title": f"{client.reference} {client.name}".strip(),
            "facts": _client_facts(client),
            "summary": [
                ("Trades", f"{client.trades:,}"),
                ("Lots", f"{client.lots:,.2f}"),
                ("Deposits", money_html(client.deposits, client.currency)),
                ("Withdrawals", money_html(client.withdrawals, client.currency)),
                ("Commission", money_html(client.commission, client.currency)),
            ],
            "tables": [
                self.table("Accounts", ACCOUNT_COLUMNS, accounts, empty="No live account yet."),
                self.table("Trades", trade_columns, trades, pages=True, empty="No trade in these days."),
                self.table("Payments", payment_table(self), payments, empty="No payment in these days."),
            ],
        }


def _client_facts(client: ClientRow) -> list[tuple[str, str]]:
    facts = [
        ("E-mail", client.email),
        ("Country", client.country),
        ("Campaign", client.campaign),
        ("Introduced by", client.introducer),
        ("Since", str(client.joined)),
        ("Until", f"{client.left:%Y-%m-%d}" if client.left else ""),
        ("Verified", str(client.verified or "")),
        ("First deposit", str(client.first_deposit or "")),
        ("First trade", str(client.first_trade or "")),
        ("Last trade", str(client.last_trade or "")),
    ]
    return [(label, value) for label, value in facts if value]


def trade_table(page: ListPage) -> tuple[Column, ...]:
    """Columns of trades, leading to the trade and to its client."""

    def ticket(row: TradeRow) -> SafeString:
        return format_html('<a class="bo-link" href="{}">{}</a>', page.link("trade", row.trade_id), row.ticket)

    def client(row: TradeRow) -> SafeString | str:
        return page.client_link(row.client) if row.is_named else row.client

    return (
        moment("closed_at", title="Closed"),
        computed(ticket, title="Trade"),
        computed(client, title="Client"),
        *TRADE_FACTS,
    )


def payment_table(page: ListPage) -> tuple[Column, ...]:
    """Columns of payments."""

    def client(row: PaymentRow) -> SafeString:
        return page.client_link(row.client)

    return (moment("day", title="Business day"), computed(client, title="Client"), *PAYMENT_FACTS)


class TradesPage(ListPage):
    """Trades of the days, the newest first."""

    tab, export_name = "trades", "data-centre-trades"

    def kept_names(self) -> Sequence[str]:
        """Whose trades stay."""
        return ("introducer",)

    @property
    def introducer(self) -> int | None:
        """Only those that came through this partner."""
        asked = self.request.GET.get("introducer", "")
        return int(asked) if asked.isdigit() and asked.isascii() and len(asked) < 15 else None

    def content(self) -> Mapping[str, Any]:
        """The newest."""
        rows = activity.trades(self.view, self.filters, introducer_id=self.introducer)
        note = ""
        if len(rows) == activity.MAXIMUM_TRADES:
            note = f"The newest {activity.MAXIMUM_TRADES:,}; choose fewer days to see the others, or take the file."
        return {
            "tables": [
                self.table(
                    "Trades", trade_table(self), rows, pages=True, note=note,
                    empty="Nothing was traded in these days. Choose other days or fewer filters.",
                )
            ]
        }  # fmt: skip

    def export_columns(self) -> Sequence[Column]:
        """With the symbols."""
        return TRADE_EXPORT

    def export_rows(self) -> Sequence[TradeRow]:
        """As many as a file holds."""
        return activity.trades(self.view, self.filters, introducer_id=self.introducer, limit=activity.MAXIMUM_EXPORTED)


class TradePage(ListPage):
    """One trade and the lines about it."""

    tab = "trades"

    def content(self) -> Mapping[str, Any]:
        """What the viewer may read of it."""
        found = activity.one_trade(self.view, self.kwargs["trade_id"])
        row = found.row
        facts: list[tuple[str, Any]] = [
            ("Client", self.client_link(row.client) if row.is_named else row.client),
            ("Account", found.login),
            ("Symbol", f"{row.symbol} ({row.symbol_group})"),
            ("Side and volume", f"{row.side} {row.lots:,.2f} lots"),
            ("Opened", f"{found.opened_at:%Y-%m-%d %H:%M:%S} UTC" if found.opened_at else ""),
            ("Closed", f"{row.closed_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Business day", str(row.day)),
        ]
        if found.close_price is not None and found.profit is not None:
            opened = f"{found.open_price.normalize():f}" if found.open_price is not None else "unknown"
            facts.append(("Prices", f"{opened} to {found.close_price.normalize():f}"))
            facts.append(("Result of the client", money_html(found.profit, found.account_currency)))
        columns = (
            computed(self._line_link, title="Line"),
            text("partner", title="Partner"),
            number("level", title="Level", digits=0),
            moment("booked_day", title="Booked"),
            money("amount", currency="currency", title="Commission"),
        )
        return {
            "title": f"Trade {row.ticket}",
            "facts": [(label, value) for label, value in facts if value],
            "tables": [
                self.table(
                    "Commission lines", columns, found.lines,
                    empty="Nobody you may read of earned anything on this trade.",
                    note="A line leads to how it came about, step by step.",
                )
            ],
        }  # fmt: skip

    def _line_link(self, line: activity.TradeLine) -> SafeString | str:
        if self.view.is_own:
            address = reverse("portal:ib_line", args=[line.reference])
        else:
            address = reverse("admin:ib_line", kwargs={"reference": line.reference})
        return format_html('<a class="bo-link" href="{}">{}</a>', address, line.reference)


class PaymentsPage(ListPage):
    """Deposits and withdrawals of the days."""

    tab, export_name = "payments", "data-centre-payments"
    KINDS = {"": "All", "deposit": "Deposits", "withdrawal": "Withdrawals", "returned": "Refunds and chargebacks"}

    @property
    def kind(self) -> str:
        """Which payments."""
        asked = self.request.GET.get("kind", "")
        return asked if asked in self.KINDS else ""

    def kept_names(self) -> Sequence[str]:
        """Which payments stay."""
        return ("kind",)

    def content(self) -> Mapping[str, Any]:
        """One by one, then those of partners below as sums."""
        rows = activity.payments(self.view, self.filters, kind=self.kind)
        through = activity.payments_through(self.view, self.filters, kind=self.kind)
        tables = [
            self.table(
                self.KINDS[self.kind] if self.kind else "Payments", payment_table(self), rows, pages=True,
                empty="No payment in these days.",
                note=" ".join(
                    [
                        *(["Of clients whom you introduced yourself."] if self.view.is_own else []),
                        *([_CUT] if len(rows) == activity.MAXIMUM_TRADES else []),
                    ]
                ),
            )
        ]  # fmt: skip
        if through:
            sums = {
                "deposit": money("paid_in", fixed_currency=self.view.currency, title="Deposits"),
                "withdrawal": money("paid_out", fixed_currency=self.view.currency, title="Withdrawals"),
                "returned": money("returned", fixed_currency=self.view.currency, title="Refunds and chargebacks"),
            }
            columns = (
                text("introducer", title="Introduced by"),
                number("clients", title="Clients", digits=0),
                number("payments", title="Payments", digits=0),
                *([sums[self.kind]] if self.kind else sums.values()),
            )
            tables.append(self.table("Through sub-partners", columns, through, empty=""))
        return {
            "choices": [
                (self.link("payments", kind=kind), words, kind == self.kind) for kind, words in self.KINDS.items()
            ],
            "tables": tables,
        }

    def export_columns(self) -> Sequence[Column]:
        """As the page."""
        return PAYMENT_EXPORT

    def export_rows(self) -> Sequence[PaymentRow]:
        """As the page."""
        return activity.payments(self.view, self.filters, kind=self.kind, limit=activity.MAXIMUM_EXPORTED)


_CUT = f"The newest {activity.MAXIMUM_TRADES:,}; the file has all of them."
COHORT_EXPORT = (
    text("cohort", title="Registered in"),
    number("clients", title="Clients"),
    number("deposited", title="With a deposit"),
    text("month", title="Month"),
    number("since", title="Months since"),
    number("active", title="Active"),
    number("commission", title="Commission"),
    text("currency", title="Currency"),
)


class FunnelPage(DataCentrePage):
    """How far those came who registered in the days, and what became of a year's cohorts."""

    tab, body, export_name = "funnel", "ib/data_centre/funnel.html", "data-centre-cohorts"

    def content(self) -> Mapping[str, Any]:
        """Steps with their share of the first and of the step before; cohorts by month."""
        steps = people.funnel(self.view, self.filters)
        whole = steps[0].clients
        shown = []
        for place, step in enumerate(steps):
            before = steps[place - 1].clients if place else whole
            shown.append(
                {
                    "step": step,
                    "percent": step.percent_of(whole),
                    "of_before": step.percent_of(before) if place and step.clients <= before else None,
                    "width": f"{step.percent_of(whole):f}",
                    "url": self.link("clients", show=step.show.value),
                }
            )
        cohorts = people.cohorts(self.view, self.filters)
        most = max((len(cohort.months) for cohort in cohorts), default=0)
        return {
            "steps": shown if whole else [],
            "cohorts": [self._cohort(cohort, most) for cohort in cohorts],
            "offsets": range(most),
        }

    def _cohort(self, cohort: Cohort, most: int) -> dict[str, Any]:
        last = (cohort.month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        cells: list[Any] = [
            {
                "active": month.active,
                "commission": money_html(month.commission, cohort.currency, show_currency=False),
                "shade": _shade(month, cohort),
            }
            for month in cohort.months
        ]
        return {
            "month": f"{cohort.month:%Y-%m}",
            "url": self.link(
                "clients", show=Show.REGISTERED.value, from_day=cohort.month.isoformat(), to_day=last.isoformat()
            ),
            "clients": cohort.clients,
            "deposited": cohort.deposited,
            "commission": money_html(cohort.commission, cohort.currency),
            "cells": cells + [None] * (most - len(cells)),
        }

    def export_columns(self) -> Sequence[Column]:
        """A row for each cohort and month."""
        return COHORT_EXPORT

    def export_rows(self) -> Sequence[dict[str, Any]]:
        """The cohorts of the year."""
        return [
            {
                "cohort": f"{cohort.month:%Y-%m}",
                "clients": cohort.clients,
                "deposited": cohort.deposited,
                "month": f"{month.month:%Y-%m}",
                "since": since,
                "active": month.active,
                "commission": month.commission,
                "currency": cohort.currency,
            }
            for cohort in people.cohorts(self.view, self.filters)
            for since, month in enumerate(cohort.months)
        ]


def _shade(month: CohortMonth, cohort: Cohort) -> int:
    """Nought to four, by how many of the cohort were active."""
    return -(-4 * month.active // cohort.clients) if cohort.clients else 0
