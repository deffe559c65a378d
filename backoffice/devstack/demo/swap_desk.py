"""The swap desk of the demo: mark-up rules, rates that went through two people, a sheet with a slipped decimal point and a
symbol that its provider left out, and one that was refused."""

from __future__ import annotations

from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from platform_ops.models import SwapSheet, SwapSheetRow, Symbol, SymbolGroup
from platform_ops.services.swap_desk import editing, markup, sheets
from platform_ops.services.swap_desk.editing import CellEdit
from platform_ops.services.swap_desk.grid import grid_of
from platform_ops.services.swap_desk.proposing import propose_sheet
from platform_ops.services.swap_desk.standing import Standing

PROVIDER = "Prime LP"
FLAG_PERCENT = {"crypto": Decimal(25)}
MARKUP_PERCENT = {"majors": Decimal(10), "metals": Decimal(15), "crypto": Decimal(20)}
SMALL_MOVE, SLIP = Decimal("1.04"), Decimal(10)
FIRST_RATE = {"long": "-12", "short": "-3"}
EXPLANATION = "The provider's rate turned with the last decision of the central bank."


def write_swap_desk(seeding: Seeding) -> None:
    """Comes after the history, the second entity and the people who look after both."""
    seeding.say("swap desk: mark-up rules, approved rates, a sheet with a slip")
    maker = _person(Role.PLATFORM_OPERATIONS)
    _rules(maker)
    lines = _lines()
    if not lines:
        return
    first = _open(maker, {code: (long * SMALL_MOVE, short / SMALL_MOVE) for code, (long, short) in lines.items()})
    _explain(first, maker)
    change = propose_sheet(sheet_id=first.pk, actor=maker, reason="Rates of the month, as the provider states them.")
    if change.state == "submitted":
        checker = _person(Role.ADMINISTRATOR)
        changes.approve_change(change_id=change.pk, actor=checker, reason="Compared with the provider's mail.")
        changes.apply_change(change_id=change.pk, actor=checker)
    slipped = dict(_lines())
    code = "EURUSD" if "EURUSD" in slipped else next(iter(slipped))
    slipped[code] = (slipped[code][0] * SLIP, slipped[code][1])
    slipped.pop("XAUUSD", None)
    _open(maker, slipped)
    sheets.open_sheet(
        provider="Second LP",
        data=b"Symbol;Long;Short\nEURUSD;-6,125;2.1\nGBPUSD;;1.2\n",
        file_name="second-lp.csv",
        actor=maker,
    )


def _person(role: Role) -> Actor:
    """The first person of a role who sees every legal entity; else the first of the role."""
    people = [actor_of_user(user) for user in User.objects.filter(roles__contains=[role.value]).order_by("pk")]
    return max(people, key=lambda actor: len(actor.entity_ids))


def _rules(maker: Actor) -> None:
    for group in SymbolGroup.objects.filter(code__in=MARKUP_PERCENT):
        percent = MARKUP_PERCENT[group.code]
        markup.set_markup_rule(
            kind="percent", long_value=percent, short_value=percent, symbol_group_id=group.pk,
            flag_percent=FLAG_PERCENT.get(group.code, Decimal(10)), actor=maker,
        )  # fmt: skip


def _lines() -> dict[str, tuple[Decimal, Decimal]]:
    """Every symbol's rate of today, by its code."""
    symbols = list(Symbol.objects.order_by("code"))
    standing = Standing(at=clock.now(), symbol_ids=[symbol.pk for symbol in symbols])
    rates = {symbol.code: standing.counts((symbol.pk, None)) for symbol in symbols}
    return {code: (rate.long, rate.short) for code, rate in rates.items() if rate is not None}


def _open(maker: Actor, lines: dict[str, tuple[Decimal, Decimal]]) -> SwapSheet:
    rows = "\n".join(f"{code},{round(long, 2)},{round(short, 2)}" for code, (long, short) in lines.items())
    data = f"Symbol,Swap long,Swap short\n{rows}\n".encode()
    return sheets.open_sheet(provider=PROVIDER, data=data, file_name="prime-lp-swaps.csv", actor=maker)


def _explain(sheet: SwapSheet, maker: Actor) -> None:
    """Fills what the provider left out, and explains what is suspicious."""
    grid = grid_of(sheet, actor=maker)
    kept = [row.row.pk for row in grid.rows if row.is_missing and row.today is not None]
    if kept:
        editing.keep_todays(sheet_id=sheet.pk, row_ids=kept, actor=maker)
    new = [
        CellEdit(row.row.pk, side, value)
        for row in grid.rows
        if row.is_missing and row.today is None
        for side, value in FIRST_RATE.items()
    ]
    if new:
        editing.edit_cells(sheet_id=sheet.pk, edits=new, actor=maker)
    blocked: list[SwapSheetRow] = [row.row for row in grid.rows if row.is_blocked and not row.is_missing]
    if blocked:
        edits = [CellEdit(row.pk, "explanation", EXPLANATION) for row in blocked]
        editing.edit_cells(sheet_id=sheet.pk, edits=edits, actor=maker)
