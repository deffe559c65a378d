"""The desk's change that needs four eyes: the specification of a symbol."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.change_kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import Symbol, SymbolSpec
from platform_ops.permissions import APPROVE_SPECIFICATIONS, MANAGE_CATALOGUE
from platform_ops.services import specifications
from platform_ops.services.catalogue import Specification
from platform_ops.specification_rules import (
    LABELS,
    check_bounds,
    check_specification,
    reasons_outside,
    specification_terms,
)

Payload = dict[str, Any]
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

# What is open in the symbol now, by server, under two specifications. The notional of a forex symbol is in its base asset,
# that of a CFD at the latest price (else the opening price) in its profit currency; margin is notional by the lower of the
# account's and the symbol's leverage. Positions without any leverage have no margin.
_OPEN = """
WITH open AS (
    SELECT server.code AS server, position.side, position.volume_lots AS lots, account.leverage,
           coalesce((quote.bid + quote.ask) / 2, position.open_price) AS price
    FROM platform_ops_position AS position
    JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = position.server_symbol_id
    JOIN platform_ops_tradingaccount AS account ON account.id = position.account_id
    JOIN platform_ops_tradingserver AS server ON server.id = account.server_id
    LEFT JOIN platform_ops_quote AS quote ON quote.symbol_id = server_symbol.symbol_id
    WHERE server_symbol.symbol_id = %(symbol)s AND NOT account.is_demo
), valued AS (
    SELECT open.server, open.side, open.lots, terms.version,
           open.lots * terms.contract * CASE WHEN terms.mode = 'forex' THEN 1 ELSE open.price END AS notional,
           least(open.leverage, terms.leverage) AS leverage,
           open.lots * terms.contract * power(10::numeric, -terms.digits)
             * CASE WHEN open.side = %(buy)s THEN terms.swap_long ELSE terms.swap_short END AS swap
    FROM open CROSS JOIN (VALUES
        ('now', %(contract_now)s::numeric, %(mode_now)s::text, %(leverage_now)s::integer, %(digits_now)s::integer,
         %(long_now)s::numeric, %(short_now)s::numeric),
        ('then', %(contract_then)s::numeric, %(mode_then)s::text, %(leverage_then)s::integer, %(digits_then)s::integer,
         %(long_then)s::numeric, %(short_then)s::numeric)
    ) AS terms(version, contract, mode, leverage, digits, swap_long, swap_short)
)
SELECT server, count(*) FILTER (WHERE version = 'now'), coalesce(sum(lots) FILTER (WHERE version = 'now'), 0),
       coalesce(sum(notional) FILTER (WHERE version = 'now'), 0), coalesce(sum(notional) FILTER (WHERE version = 'then'), 0),
       coalesce(sum(notional / leverage) FILTER (WHERE version = 'now'), 0),
       coalesce(sum(notional / leverage) FILTER (WHERE version = 'then'), 0),
       coalesce(sum(swap) FILTER (WHERE version = 'now'), 0), coalesce(sum(swap) FILTER (WHERE version = 'then'), 0)
FROM valued GROUP BY server ORDER BY server
"""
_BUY = 1


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
    words = {LABELS[name]: terms[name] for name in LABELS}
    words[LABELS["triple_swap_weekday"]] = _WEEKDAYS[terms["triple_swap_weekday"]]
    return words


def _preview(payload: Payload, actor: Actor) -> Impact:
    symbol, then = _symbol(payload), _specification(payload)
    now = specifications.read_specification(payload["replaces"]) if payload.get("replaces") else then
    rows, totals = [], dict.fromkeys(("positions", "notional", "margin", "swap"), Decimal(0))
    unit = symbol.base_asset if then.profit_mode == "forex" else symbol.profit_currency
    for server, count, lots, notional, notional_then, margin, margin_then, swap, swap_then in _open(
        symbol.pk, now, then
    ):
        totals["positions"] += count
        for name, old, new in (
            ("notional", notional, notional_then),
            ("margin", margin, margin_then),
            ("swap", swap, swap_then),
        ):
            totals[name] += new - old
        rows.append(
            {
                "Server": server,
                "Open positions": count,
                "Lots": _text(lots),
                f"Notional, {unit}": _text(notional),
                "Then": _text(notional_then),
                f"Margin, {unit}": _text(margin),
                "Margin then": _text(margin_then),
                f"Swap a night, {symbol.profit_currency}": _text(swap),
                "Swap then": _text(swap_then),
            }
        )
    positions = int(totals["positions"])
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
            f"Notional changes by, {unit}": _text(totals["notional"]),
            f"Margin changes by, {unit}": _text(totals["margin"]),
            f"Swap a night changes by, {symbol.profit_currency}": _text(totals["swap"]),
        },
    )


def _open(symbol_id: int, now: Specification, then: Specification) -> list[tuple[Any, ...]]:
    parameters: dict[str, Any] = {"symbol": symbol_id, "buy": _BUY}
    for name, terms in (("now", now), ("then", then)):
        parameters |= {
            f"contract_{name}": terms.contract_size,
            f"mode_{name}": terms.profit_mode,
            f"leverage_{name}": terms.leverage_maximum,
            f"digits_{name}": terms.digits,
            f"long_{name}": terms.swap_long_points,
            f"short_{name}": terms.swap_short_points,
        }
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, parameters)
        return cursor.fetchall()  # type: ignore[no-any-return]


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
