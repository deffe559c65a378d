"""Partners below: the league, the tree that opens one level at a time, and what the open month is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.ui.columns import Column, computed, money, money_html, number, state, text
from ib.data_centre_pages.base import DataCentrePage
from ib.data_centre_pages.lists import ListPage
from ib.selectors.data_centre import expected
from ib.selectors.data_centre import partners as reads
from ib.selectors.data_centre.partners import CHILDREN_AT_ONCE, Forest, LeagueRow, TreeBranch

SMALLEST, LARGEST = 4, 14
"""Radius of the circle that shows how large a branch is, in pixels."""
TONES = {"Active": "good", "Suspended": "warn", "Closed": "quiet"}
ARROWS = {"up": "▲", "down": "▼", "flat": "■", "new": "●", "quiet": "○"}
WORDS = {"new": "new volume", "quiet": "no volume", "flat": "about the same"}

LEAGUE_FACTS = (
    state(lambda row: row.status.capitalize(), title="Status", tones=TONES),
    number("clients", title="Clients", digits=0),
    number("registered", title="Registered", digits=0),
    number("active", title="Active", digits=0),
    number("trades", title="Trades", digits=0),
    number("lots", title="Lots", digits=2),
)
LEAGUE_EXPORT = (
    number("place", title="Place"),
    text("reference", title="Partner"),
    text("name", title="Name"),
    text("status", title="Status"),
    number("level", title="Levels below"),
    number("clients", title="Clients"),
    number("registered", title="Registered"),
    number("active", title="Active"),
    number("trades", title="Trades"),
    number("lots", title="Lots"),
    number("lots_before", title="Lots in the days before"),
    number("trend", title="Change in percent"),
    number("commission", title="Commission"),
    text("currency", title="Currency"),
)


def trend_html(row: LeagueRow | TreeBranch, direction: str) -> SafeString:
    """How the lots changed: an arrow, a tone and the words, so that no colour stands alone."""
    words = WORDS.get(direction, "") if row.trend is None or direction == "flat" else f"{row.trend:+,} %"
    return format_html(
        '<span class="dc-trend dc-{}"><span aria-hidden="true">{}</span> {}</span>', direction, ARROWS[direction], words
    )


def direction_of(row: LeagueRow) -> str:
    """up, down, flat, new or quiet."""
    if row.trend is None:
        return "new" if row.lots else "quiet"
    return "up" if row.trend >= reads.FLAT_PERCENT else "down" if row.trend <= -reads.FLAT_PERCENT else "flat"


class LeaguePage(ListPage):
    """Who brought most."""

    tab, export_name = "league", "data-centre-partners"

    def content(self) -> Mapping[str, Any]:
        """The best first."""
        rows = reads.league(self.view, self.filters)
        earned = "Commission through them" if self.view.partner is not None else "Commission"
        columns = (
            number("place", title="Place", digits=0),
            computed(self._partner, title="Partner"),
            *LEAGUE_FACTS,
            computed(lambda row: trend_html(row, direction_of(row)), title="Against the days before"),
            money("commission", currency="currency", title=earned),
        )
        note = "By the clients whom each of them introduced. The days before are as many days, just before these."
        return {
            "tables": [
                self.table(
                    "Partners", columns, rows, pages=True, note=note, empty="Nobody stands below you yet.",
                )
            ]
        }  # fmt: skip

    def _partner(self, row: LeagueRow) -> SafeString:
        address = self.link("trades", introducer=row.partner_id)
        if not self.view.is_own:
            address = self.link("centre", partner=row.reference)
        return format_html('<a class="bo-link" href="{}">{} {}</a>', address, row.reference, row.name)

    def export_columns(self) -> Sequence[Column]:
        """With what the trend is made of."""
        return LEAGUE_EXPORT

    def export_rows(self) -> Sequence[LeagueRow]:
        """Everybody."""
        return reads.league(self.view, self.filters)


class TreePage(DataCentrePage):
    """The tree: branches open one level at a time, sized by volume, with their trend."""

    tab, body = "tree", "ib/data_centre/tree.html"

    def kept_names(self) -> Sequence[str]:
        """What was looked for stays."""
        return ("q",)

    def content(self) -> Mapping[str, Any]:
        """The top, open down to the named partner; what was found."""
        trees = reads.forest(self.view, self.filters)
        wanted = self.request.GET.get("q", "")[:60]
        open_to = self._open_to(trees)
        found = reads.found_in(trees, wanted)
        return {
            "branches": self._branches(trees, None, set(open_to), chosen=open_to[-1] if open_to else None, level=1),
            "partners": len(trees.branches),
            "q": wanted,
            "found": [
                (self.link("tree", open=branch.partner_id), branch, self._path_words(trees, branch)) for branch in found
            ],
            "search_keeps": [
                (name, self.request.GET[name])
                for name in ("from_day", "to_day", "country", "campaign", "symbol_group", "partner", "entity")
                if self.request.GET.get(name)
            ],
            "table_url": self.link("league"),
            "has_tree": True,
        }

    def _open_to(self, trees: Forest) -> list[int]:
        """The way to the named partner; to the only one at the top when none is named."""
        asked = self.request.GET.get("open", "")
        if asked.isdigit() and asked.isascii() and len(asked) < 15 and int(asked) in trees.branches:
            return trees.path_to(int(asked))
        top = trees.below(None)
        return [top[0].partner_id] if len(top) == 1 else []

    def _branches(
        self, trees: Forest, parent: int | None, opened: set[int], *, chosen: int | None, level: int
    ) -> list[dict[str, Any]]:
        """What stands below one, with what stands below those that are open."""
        children = trees.below(parent)
        shown = [
            branch for place, branch in enumerate(children) if place < CHILDREN_AT_ONCE or branch.partner_id in opened
        ]
        return [
            {
                **self._branch(branch),
                "level": level,
                "place": place,
                "of": len(children),
                "is_open": branch.partner_id in opened,
                "is_chosen": branch.partner_id == chosen,
                "below": self._branches(trees, branch.partner_id, opened, chosen=chosen, level=level + 1)
                if branch.partner_id in opened
                else [],
            }
            for place, branch in enumerate(shown, start=1)
        ]

    def _branch(self, branch: TreeBranch) -> dict[str, Any]:
        radius = SMALLEST + (LARGEST - SMALLEST) * float(branch.share) ** 0.5
        return {
            "branch": branch,
            "radius": f"{radius:.1f}",
            "trend": trend_html(branch, branch.direction),
            "open_url": self.link("tree", open=branch.partner_id),
            "data_url": self.link("branch", branch.partner_id),
            "figures_url": self.link("trades", introducer=branch.partner_id)
            if self.view.is_own
            else self.link("centre", partner=branch.reference),
        }

    def _path_words(self, trees: Forest, branch: TreeBranch) -> str:
        path = trees.path_to(branch.partner_id)[:-1]
        return " › ".join(trees.branches[partner_id].reference for partner_id in path)


class BranchPage(TreePage):
    """What stands directly below a partner, as a piece of the tree."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The branches; 404 for a partner who is not in the viewer's tree."""
        self.view = self.viewpoint()
        self.filters, self.form = self._read_filters()
        trees = reads.forest(self.view, self.filters)
        partner_id = kwargs["partner_id"]
        reads.branch_of(trees, partner_id)
        level = len(trees.path_to(partner_id)) + 1
        branches = self._branches(trees, partner_id, set(), chosen=None, level=level)
        return TemplateResponse(request, "ib/data_centre/branches.html", {"branches": branches})


class ExpectedPage(DataCentrePage):
    """What the open month is worth by now, against what is booked."""

    tab, body = "expected", "ib/data_centre/expected.html"
    filter_fields = ("partner", "entity")

    def content(self) -> Mapping[str, Any]:
        """By kind, and in all where one currency is."""
        if self.view.partner is None:
            return {"needs_partner": True}
        found = expected.expected_month(self.view)
        rows = [
            {
                "part": part,
                "expected": money_html(part.expected, part.currency),
                "booked": money_html(part.booked, part.currency),
                "difference": money_html(part.difference, part.currency),
            }
            for part in found.parts
        ]
        totals = []
        for currency in sorted({part.currency for part in found.parts}):
            of_it = [part for part in found.parts if part.currency == currency]
            sums = [
                sum((getattr(part, name) for part in of_it), Decimal(0))
                for name in ("expected", "booked", "difference")
            ]
            totals.append([money_html(amount, currency) for amount in sums])
        return {"expectation": found, "rows": rows, "totals": totals}
