"""Handing a finished grid in: one change request for all rows that change something."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import SwapSheet
from platform_ops.rules.swaps import RateDraft, rate_terms
from platform_ops.services.swap_desk.editing import locked_open_sheet
from platform_ops.services.swap_desk.figures import NightFigures
from platform_ops.services.swap_desk.grid import GridRow, grid_of
from platform_ops.services.swap_desk.sheets import symbols_open_elsewhere
from platform_ops.services.swaps.rates import SWAP_RATES_KIND

MAX_AHEAD = timedelta(days=92)
MAX_NAMED = 10


@transaction.atomic
def propose_sheet(
    *, sheet_id: int, actor: Actor, reason: str, valid_from: datetime | None = None, submit: bool = True
) -> ChangeRequest:
    """Hands the rows that change something in for another person's approval, from a moment on (now, if not given).

    A moment that lies ahead is also when it is applied and the servers are told. Raises Conflict (`sheet_incomplete`)
    for rows without figures and for symbols that were opened since and have no row, (`sheet_blocked`) for suspicious
    rows that nobody explained, naming what a night of them would cost; nothing is handed in then.
    """
    sheet = locked_open_sheet(sheet_id, actor)
    now = clock.now()
    moment = valid_from or now
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    if valid_from is not None and valid_from < now:
        raise InvalidInput("Rates begin now or later, never in the past.", field="valid_from")
    if moment - now > MAX_AHEAD:
        raise InvalidInput(f"At most {MAX_AHEAD.days} days ahead.", field="valid_from")
    grid = grid_of(sheet, actor=actor)
    _require_complete(sheet, grid.rows)
    _require_unblocked(grid.rows, grid.currency)
    payload = _payload(sheet, grid.changed, moment)
    if not payload["rates"]:
        raise Conflict("Every rate is as it stands today: nothing would change.", code="changes_nothing")
    change = changes.draft_change(
        kind=SWAP_RATES_KIND, payload=payload, actor=actor, reason=reason, target=sheet, apply_at=valid_from
    )
    sheet.state, sheet.change, sheet.closed_at = SwapSheet.State.PROPOSED, change, now
    sheet.save(update_fields=["state", "change", "closed_at"])
    audit.record(
        actor=actor,
        action="platform.propose_swap_sheet",
        target=sheet,
        reason=reason,
        changes={"change": change.reference, "rates": len(payload["rates"])},
    )
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change


def payload_of(drafts: Sequence[tuple[RateDraft, RateDraft | None, str]], *, moment: datetime) -> dict[str, Any]:
    """The payload of a change request: rates, each with what it replaces and why it is right where it is suspicious."""
    return {
        "valid_from": moment.isoformat(),
        "rates": [rate_terms(draft) for draft, _, _ in drafts],
        "before": [None if today is None else rate_terms(today) for _, today, _ in drafts],
        "explanations": [explanation for _, _, explanation in drafts],
    }


def _payload(sheet: SwapSheet, rows: Sequence[GridRow], moment: datetime) -> dict[str, Any]:
    drafts = [
        (row.draft, row.today, row.row.explanation if row.is_explained else "") for row in rows if row.draft is not None
    ]
    names = [str(row.row) for row in rows if row.draft is not None]
    return {**payload_of(drafts, moment=moment), "names": names, "sheet_id": sheet.pk, "provider": sheet.provider}


def _require_complete(sheet: SwapSheet, rows: Sequence[GridRow]) -> None:
    lacking = [f"{row.row}: {' and '.join(_empty(row))}" for row in rows if row.is_missing]
    for symbol, positions, servers in symbols_open_elsewhere({row.row.symbol_id for row in rows}):
        if sheet.file_id is not None:
            lacking.append(f"{symbol} on {servers}: no row, {positions:,} open")
    if lacking:
        more = f" and {len(lacking) - MAX_NAMED:,} more" if len(lacking) > MAX_NAMED else ""
        raise Conflict(
            f"The sheet is not complete: {'; '.join(lacking[:MAX_NAMED])}{more}.",
            code="sheet_incomplete",
            rows=lacking[:100],
        )


def _empty(row: GridRow) -> list[str]:
    return [f"{side} is missing" for side in ("long", "short") if getattr(row.row, side) is None]


def _require_unblocked(rows: Sequence[GridRow], currency: str) -> None:
    blocked = [row for row in rows if row.is_blocked]
    if not blocked:
        return
    named = []
    for row in blocked[:MAX_NAMED]:
        why = row.problem or " ".join(finding.message for finding in row.found if finding.weight == "block")
        cost = (
            ""
            if row.night is None
            else f" A night would be {row.night.then:,.2f} {currency} instead of {row.night.now:,.2f}."
        )
        named.append(f"{row.row}: {why}{cost}")
    total = NightFigures()
    for row in blocked:
        total = total.plus(row.night or NightFigures())
    raise Conflict(
        " ".join(named),
        code="sheet_blocked",
        symbols=[str(row.row) for row in blocked][:100],
        night_now=f"{total.now:.2f}",
        night_then=f"{total.then:.2f}",
        currency=currency,
    )
