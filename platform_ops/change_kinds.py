"""The desk's change that needs four eyes: the specification of a symbol."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.kernel.prices import point_size
from platform_ops.gateways.types import SwapMode
from platform_ops.models import Symbol, SymbolSpec
from platform_ops.permissions import APPROVE_SPECIFICATIONS, MANAGE_CATALOGUE
from platform_ops.rules import margin, trading
from platform_ops.rules.specifications import (
    LABELS,
    check_bounds,
    check_specification,
    reasons_outside,
    specification_terms,
    value_in_words,
)
from platform_ops.rules.trading import FOREX_MODES
from platform_ops.selectors.symbol_terms import terms_of
from platform_ops.services import specifications
from platform_ops.services.catalogue import Specification
from platform_ops.types import Side

Payload = dict[str, Any]

# What is open in the symbol now: by server, side and leverage, with the average price (the latest one where there is one).
_OPEN = """
SELECT server.code, position.side, coalesce(account.leverage, 0), count(*), sum(position.volume_lots),
       sum(position.volume_lots * coalesce((quote.bid + quote.ask) / 2, position.open_price)) / sum(position.volume_lots)
FROM platform_ops_position AS position
JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = position.server_symbol_id
JOIN platform_ops_tradingaccount AS account ON account.id = position.account_id
JOIN platform_ops_tradingserver AS server ON server.id = account.server_id
LEFT JOIN platform_ops_quote AS quote ON quote.symbol_id = server_symbol.symbol_id
WHERE server_symbol.symbol_id = %s AND NOT account.is_demo
GROUP BY server.code, position.side, coalesce(account.leverage, 0)
ORDER BY server.code, position.side, coalesce(account.leverage, 0)
"""


def register() -> None:
    """Registers the kind. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=specifications.SPECIFICATION_KIND,
            label="Symbol specification",
            desk="platform_ops",
            maker_capability=MANAGE_CATALOGUE,
            checker_capability=APPROVE_SPECIFICATIONS,
            title=lambda payload: f"Specify {_symbol(payload)} from {_moment(payload):%Y-%m-%d %H:%M} UTC",
            current=_current,
            proposed=_proposed,
            preview=_preview,
            apply=_apply,
            verify=_verify,
            revert=_revert,
            check=_check,
            target=lambda payload: _symbol(payload),
            entity_of=lambda payload: None,
            outside_bounds=lambda payload, impact, bounds: reasons_outside(payload, bounds),
            check_bounds=check_bounds,
            bounds_help="Points by which swaps (swap_points) and spread (spread_points) may move without a person.",
        )
    )


def _check(payload: Payload) -> None:
    symbol, moment = _symbol(payload), _moment(payload)
    check_specification(_specification(payload))
    standing = specifications.specification_at(symbol_id=symbol.pk, moment=moment)
    if (specification_terms(standing) if standing else {}) != payload.get("replaces"):
        raise Conflict(
            f"{symbol} is specified otherwise by now: withdraw this and ask anew.", code="specification_moved"
        )


def _current(payload: Payload) -> dict[str, Any]:
    symbol, moment = _symbol(payload), _moment(payload)
    standing = specifications.specification_at(symbol_id=symbol.pk, moment=moment)
    planned = SymbolSpec.objects.filter(symbol=symbol, validity__startswith__gt=moment).order_by("validity")
    return {
        **(_in_words(specification_terms(standing)) if standing else {}),
        "Planned for later": ", ".join(f"from {row.validity.lower:%Y-%m-%d %H:%M}" for row in planned) or "none",
    }


def _proposed(payload: Payload) -> dict[str, Any]:
    return {**_in_words(payload["specification"]), "Planned for later": "none"}


def _in_words(terms: dict[str, Any]) -> dict[str, Any]:
    return {LABELS[name]: value_in_words(name, terms[name]) for name in LABELS if name in terms}


def _preview(payload: Payload, actor: Actor) -> Impact:
    """Notional, margin (of each position for itself) and swap a night under both specifications, by server."""
    symbol, then = _symbol(payload), _specification(payload)
    now = specifications.read_specification(payload["replaces"]) if payload.get("replaces") else then
    units = _units(symbol, then)
    servers: dict[str, list[Decimal]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [symbol.pk])
        for server, side, leverage, count, lots, price in cursor.fetchall():
            sums = servers.setdefault(server, [Decimal(0)] * 8)
            figures = [Decimal(count), lots]
            for both in zip(
                *(_figures(symbol, given, Side(side), leverage, lots, price) for given in (now, then)), strict=True
            ):
                figures += both
            servers[server] = [old + new for old, new in zip(sums, figures, strict=True)]
    rows = [
        {
            "Server": server,
            "Open positions": int(sums[0]),
            "Lots": _text(sums[1]),
            f"Notional, {units[0]}": _text(sums[2]),
            "Then": _text(sums[3]),
            f"Margin, {units[1]}": _text(sums[4]),
            "Margin then": _text(sums[5]),
            f"Swap a night, {units[2]}": _text(sums[6]),
            "Swap then": _text(sums[7]),
        }
        for server, sums in servers.items()
    ]
    totals = [sum((sums[index] for sums in servers.values()), Decimal(0)) for index in range(8)]
    positions = int(totals[0])
    summary = (
        f"{positions:,} open {'position' if positions == 1 else 'positions'} in {symbol} are affected."
        if positions
        else f"Nothing is open in {symbol}: only what is opened from then on is affected."
    )
    return Impact(
        summary,
        rows,
        {
            "Open positions": positions,
            f"Notional changes by, {units[0]}": _text(totals[3] - totals[2]),
            f"Margin changes by, {units[1]}": _text(totals[5] - totals[4]),
            f"Swap a night changes by, {units[2]}": _text(totals[7] - totals[6]),
        },
    )


def _units(symbol: Symbol, then: Specification) -> tuple[str, str, str]:
    """In what notional, margin and swap are stated."""
    swap = {
        SwapMode.BASE_CURRENCY: symbol.base_asset,
        SwapMode.MARGIN_CURRENCY: then.margin_currency,
        SwapMode.DEPOSIT_CURRENCY: "account currencies",
    }.get(SwapMode(then.swap_mode), symbol.profit_currency)
    is_forex = then.calculation_mode in FOREX_MODES
    return symbol.base_asset if is_forex else symbol.profit_currency, then.margin_currency, swap


def _figures(
    symbol: Symbol, given: Specification, side: Side, leverage: int, lots: Decimal, price: Decimal
) -> tuple[Decimal, Decimal, Decimal]:
    """Notional, margin and swap a night of open volume by one specification, each in its own unit."""
    terms = terms_of(given, base_asset=symbol.base_asset, profit_currency=symbol.profit_currency)
    is_forex = terms.calculation_mode in FOREX_MODES
    notional = lots * terms.contract_size if is_forex else trading.notional(terms=terms, lots=lots, price=price)
    effective = margin.effective_leverage(leverage, given.leverage_maximum)
    bound = Decimal(0)
    if leverage or given.leverage_maximum or terms.calculation_mode not in margin.LEVERAGED_MODES:
        leg = margin.MarginLeg(side=side, lots=lots, price=price)
        bound = margin.margin_of_symbol(
            terms=terms, legs=[leg], account_currency=terms.margin_currency, leverage=effective
        ).amount
    value = terms.swap_long if side is Side.BUY else terms.swap_short
    if terms.swap_mode in (SwapMode.POINTS, SwapMode.REOPEN_CLOSE_PRICE, SwapMode.REOPEN_BID):
        swap = trading.move_value(terms=terms, distance=value * point_size(terms.digits), lots=lots)[0]
    elif terms.swap_mode in (SwapMode.INTEREST_CURRENT_PRICE, SwapMode.INTEREST_OPEN_PRICE):
        swap = notional * value / 100 / terms.swap_year_days
    else:
        swap = Decimal(0) if terms.swap_mode is SwapMode.NONE else value * lots
    return notional, bound, swap


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    symbol = _symbol(payload)
    before = specifications.specifications_of(symbol.pk)
    specifications.set_specification(
        symbol_id=symbol.pk,
        specification=_specification(payload),
        valid_from=_moment(payload),
        actor=actor,
        reason=f"{request.reference}: {request.reason}",
        approval=request,
    )
    return {
        "symbol_id": symbol.pk,
        "valid_from": payload["valid_from"],
        "specification": payload["specification"],
        "before": before,
        "after": specifications.specifications_of(symbol.pk),
    }


def _verify(outcome: dict[str, Any]) -> list[str]:
    moment = datetime.fromisoformat(outcome["valid_from"])
    standing = specifications.specification_at(symbol_id=outcome["symbol_id"], moment=moment)
    if standing is None:
        return ["No specification is in force at that moment."]
    terms = specification_terms(standing)
    return [
        f"{LABELS[name]} reads {terms[name]}, not {wanted}."
        for name, wanted in outcome["specification"].items()
        if terms[name] != wanted
    ]


def _revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    specifications.restore_specifications(
        symbol_id=outcome["symbol_id"],
        expected=outcome["after"],
        before=outcome["before"],
        actor=actor,
        reason=reason,
    )
    return {"restored": len(outcome["before"])}


def _specification(payload: Payload) -> Specification:
    terms = payload.get("specification")
    if not isinstance(terms, dict):
        raise InvalidInput("The specification is missing.", field="specification")
    return specifications.read_specification(terms)


def _symbol(payload: Payload) -> Symbol:
    found = Symbol.objects.filter(pk=payload.get("symbol_id") or 0).first()
    if found is None:
        raise InvalidInput("No such symbol.", field="symbol_id")
    return found


def _moment(payload: Payload) -> datetime:
    try:
        moment = datetime.fromisoformat(str(payload.get("valid_from")))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field="valid_from") from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    return moment


def _text(number: Decimal) -> str:
    return f"{round(Decimal(number), 2):,.2f}"
