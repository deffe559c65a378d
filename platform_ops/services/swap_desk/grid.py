"""The grid of a sheet as people see it: the sheet's figures, today's, the proposed ones, what is suspicious, what a night costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import MissingRate
from platform_ops.gateways.types import SwapMode
from platform_ops.models import SwapSheet, SwapSheetRow
from platform_ops.rules.swap_desk import Finding, Rates, Weight, change_percent, findings, is_blocked
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.swap_desk.figures import NightFigures, night_by_row, reporting_currency
from platform_ops.services.swap_desk.standing import Standing, rates_of

SPECIFICATION_MISSING = "No specification is in force: the symbol cannot be traded, nor its swap be worth anything."


@dataclass(frozen=True, slots=True)
class GridRow:
    """One row with all that is known about it. `draft` is None while a figure is missing."""

    row: SwapSheetRow
    today: RateDraft | None
    draft: RateDraft | None
    found: tuple[Finding, ...]
    night: NightFigures | None
    problem: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether a figure is still missing."""
        return self.draft is None

    @property
    def is_blocked(self) -> bool:
        """Whether the row keeps the sheet from being proposed."""
        return self.is_missing or bool(self.problem) or is_blocked(self.found, self.row.explanation)

    @property
    def is_explained(self) -> bool:
        """Whether something suspicious was explained."""
        return not self.is_blocked and any(finding.weight is Weight.BLOCK for finding in self.found)

    @property
    def is_flagged(self) -> bool:
        """Whether something should be looked at."""
        return bool(self.found)

    @property
    def is_changed(self) -> bool:
        """Whether the proposal is another rate than today's, the provider's own figures apart."""
        if self.draft is None or self.today is None:
            return self.draft is not None
        return rates_of(self.draft) != rates_of(self.today)

    @property
    def is_news(self) -> bool:
        """Whether anything of it is another than today's, the provider's figures included."""
        if self.is_changed or self.draft is None or self.today is None:
            return self.is_changed
        given = (self.draft.lp_long, self.draft.lp_short)
        return None not in given and given != (self.today.lp_long, self.today.lp_short)

    @property
    def state(self) -> str:
        """One word for the row: missing, blocked, explained, flagged, changed or same."""
        if self.is_missing:
            return "missing"
        if self.is_blocked:
            return "blocked"
        if self.is_explained:
            return "explained"
        if self.is_flagged:
            return "flagged"
        return "changed" if self.is_changed else "same"

    def change_of(self, side: str) -> Decimal | None:
        """By how many percent a side's figure moves, unsigned; None where that cannot be said."""
        if self.draft is None or self.today is None or self.draft.mode is not self.today.mode:
            return None
        return change_percent(getattr(self.draft, side), getattr(self.today, side))


@dataclass(frozen=True, slots=True)
class Grid:
    """All rows, the night of all of them, and what stands in the way of proposing."""

    rows: list[GridRow]
    currency: str
    cost_problem: str = ""

    @property
    def total(self) -> NightFigures:
        """The night of every row."""
        total = NightFigures()
        for row in self.rows:
            total = total.plus(row.night or NightFigures())
        return total

    def count(self, *states: str) -> int:
        """How many rows are in one of the states."""
        return sum(row.state in states for row in self.rows)

    @property
    def blocked(self) -> list[GridRow]:
        """The rows that stand in the way."""
        return [row for row in self.rows if row.is_blocked]

    @property
    def changed(self) -> list[GridRow]:
        """The rows that would change something."""
        return [row for row in self.rows if row.is_news]


def grid_of(sheet: SwapSheet, *, actor: Actor, row_ids: Iterable[int] | None = None) -> Grid:
    """The grid of a sheet, or the given rows of it with those of the same symbols.

    Rows whose night cannot be priced have none, and `cost_problem` says why: the desk works on without money.
    """
    query = sheet.rows.select_related("symbol", "symbol__group", "group", "group__server").order_by(
        "symbol__code", "group__name"
    )
    if row_ids is not None:
        symbols = sheet.rows.filter(pk__in=list(row_ids)).values("symbol_id")
        query = query.filter(symbol_id__in=symbols)
    stored = list(query)
    at = clock.now()
    standing = Standing(at=at, symbol_ids=[row.symbol_id for row in stored])
    drafts = {row.pk: draft_of_row(row, standing, sheet) for row in stored}
    nights, problem = _nights(stored, [draft for draft in drafts.values() if draft is not None], actor)
    rows = [_row(row, drafts[row.pk], standing, nights) for row in stored]
    return Grid(rows, reporting_currency(actor), problem)


def draft_of_row(row: SwapSheetRow, standing: Standing, sheet: SwapSheet) -> RateDraft | None:
    """The rate that a row proposes; nights and year are those of today's rate. None while a figure is missing."""
    if row.long is None or row.short is None:
        return None
    today = standing.counts((row.symbol_id, row.group_id))
    mode = SwapMode(row.mode)
    if today is None:
        today = RateDraft(symbol_id=row.symbol_id)
    return replace(
        today,
        symbol_id=row.symbol_id,
        group_id=row.group_id,
        mode=mode,
        long=row.long,
        short=row.short,
        source=f"{sheet.provider}, sheet {sheet.pk}"[:120],
        lp_long=row.lp_long,
        lp_short=row.lp_short,
    )


def row_findings(row: SwapSheetRow, draft: RateDraft, today: RateDraft | None) -> tuple[Finding, ...]:
    """What is suspicious about a row's proposal."""
    mode = SwapMode(row.mode)
    provider = Rates(row.lp_long, row.lp_short, mode) if None not in (row.lp_long, row.lp_short) else None  # type: ignore[arg-type]
    expected = (
        Rates(row.expected_long, row.expected_short, mode)  # type: ignore[arg-type]
        if None not in (row.expected_long, row.expected_short)
        else None
    )
    proposed = Rates(draft.long, draft.short, draft.mode)
    return findings(
        proposed, current=rates_of(today), provider=provider, expected=expected, flag_percent=row.flag_percent
    )


def _row(
    row: SwapSheetRow,
    draft: RateDraft | None,
    standing: Standing,
    nights: dict[tuple[int, int | None], NightFigures] | None,
) -> GridRow:
    today = standing.counts((row.symbol_id, row.group_id))
    found = row_findings(row, draft, today) if draft is not None else ()
    problem = "" if standing.has_specification(row.symbol_id) else SPECIFICATION_MISSING
    night = nights.get((row.symbol_id, row.group_id), NightFigures()) if nights is not None else None
    return GridRow(row, today, draft, found, night, problem)


def _nights(
    rows: Sequence[SwapSheetRow], drafts: Sequence[RateDraft], actor: Actor
) -> tuple[dict[tuple[int, int | None], NightFigures] | None, str]:
    """The night by row: positions of a group without a row of its own count to the symbol's row."""
    keys = {(row.symbol_id, row.group_id) for row in rows}
    if not keys:
        return {}, ""
    try:
        counted = night_by_row(drafts=drafts, symbol_ids={symbol for symbol, _ in keys}, actor=actor)
    except MissingRate as error:
        return None, error.message
    found: dict[tuple[int, int | None], NightFigures] = {}
    for (symbol_id, group_id), figures in counted.items():
        key = (symbol_id, group_id) if (symbol_id, group_id) in keys else (symbol_id, None)
        found[key] = found.get(key, NightFigures()).plus(figures)
    return found, ""
