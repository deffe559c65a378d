"""What a night costs with the rates that a sheet proposes, by everything that accounts are grouped by."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backoffice.core.access import get_visible
from backoffice.kernel.errors import MissingRate
from backoffice.ui.columns import number, text
from backoffice.ui.exports import export_response
from backoffice.ui.formats import format_decimal
from backoffice.ui.views import DeskPage, register_desk_page
from platform_ops.admin.swap_desk import DESK, GridPage, SwapDeskPage
from platform_ops.models import SwapSheet
from platform_ops.permissions import VIEW_SWAP_DESK
from platform_ops.services.swap_desk.figures import NightFigures, night_of
from platform_ops.services.swap_desk.grid import grid_of

IMPACT_COLUMNS = (
    text("by", title="By"),
    text("name", title="Name"),
    number("figures__positions", title="Positions"),
    number("figures__lots", title="Lots"),
    number("figures__now", title="A night now"),
    number("figures__then", title="A night then"),
    number("figures__change", title="Change"),
)


@register_desk_page
class ImpactPage(DeskPage):
    """What a night costs with the proposed rates: by server, symbol, book, client, group and partner."""

    desk, slug, title, capability = DESK, "swap_impact", "Impact of a swap sheet", VIEW_SWAP_DESK
    route = "swap-grid/<int:sheet_id>/impact/"
    template_name = "platform_ops/swap_impact.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The tables, or one file of all of them."""
        sheet = get_visible(SwapSheet.objects.all(), self.actor, pk=kwargs["sheet_id"])
        grid = grid_of(sheet, actor=self.actor)
        problem, night = "", None
        try:
            night = (
                night_of(drafts=[row.draft for row in grid.changed if row.draft is not None], actor=self.actor)
                if grid.changed
                else None
            )
        except MissingRate as error:
            problem = error.message
        rows = [
            {"by": label, "name": name, "figures": figures}
            for label, named in (night.groupings if night else {}).items()
            for name, figures in named
        ]
        if kind := request.GET.get("export"):
            return export_response(
                request,
                name=f"swap-impact-{sheet.pk}",
                columns=IMPACT_COLUMNS,
                rows=rows,
                count=len(rows),
                file_format=kind,
            )
        return self.page(
            {
                "sheet": sheet,
                "subtitle": f"{sheet.provider}, sheet {sheet.pk}: negative is paid by clients.",
                "night": night,
                "problem": problem or grid.cost_problem,
                "tables": [
                    (label, [_impact_row(name, figures) for name, figures in named])
                    for label, named in (night.groupings if night else {}).items()
                ],
                "total": _impact_row("", night.total) if night else None,
                "export_urls": {"CSV": "?export=csv", "XLSX": "?export=xlsx"} if rows else {},
            }
        )

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the sheet."""
        sheet_id = self.kwargs["sheet_id"]
        return [
            *super().breadcrumbs(),
            ("Swap desk", SwapDeskPage.url()),
            (f"Sheet {sheet_id}", GridPage.url(sheet_id=sheet_id)),
        ]


def _impact_row(name: str, figures: NightFigures) -> dict[str, Any]:
    return {
        "name": name,
        "positions": f"{figures.positions:,}",
        "lots": format_decimal(figures.lots, 2),
        "now": format_decimal(figures.now, 2),
        "then": format_decimal(figures.then, 2),
        "change": ("+" if figures.change > 0 else "") + format_decimal(figures.change, 2),
        "is_worse": figures.change < 0,
    }
