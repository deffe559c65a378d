"""The change of the price filter's levels: four eyes, with a replay over stored ticks as its preview."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import PriceSource, Symbol
from platform_ops.permissions import APPROVE_SPECIFICATIONS, MANAGE_CATALOGUE
from platform_ops.rules.price_filter import FLAGS, FilterLevels, read_levels
from platform_ops.services.prices import settings
from platform_ops.services.prices.replay import Replay, replay_filter

Payload = dict[str, Any]
MAXIMUM_ROWS = 200

LABELS = {
    "soft_points": "Soft level, points",
    "soft_ticks": "Soft ticks",
    "hard_points": "Hard level, points",
    "hard_ticks": "Hard ticks",
    "discard_points": "Discard level, points",
    "spread_minimum": "Smallest spread, points",
    "spread_maximum": "Largest spread, points",
    "allows_locked": "Locked quotes allowed",
    "break_seconds": "Silence that is a break, seconds",
    "ahead_milliseconds": "Time ahead of receipt, milliseconds",
    "spike_multiple": "Spread spike, times the usual",
    "frozen_ticks": "Frozen after so many equal ticks",
    "stale_seconds": "Stale without a change for, seconds",
    "stale_points": "Stale while others move, points",
    "cross_source_spreads": "Off the median, median spreads",
    "cross_source_deviations": "Off the median, median deviations",
    "consensus_seconds": "Sources asked up to an age of, seconds",
    "big_figure_points": "Big figure, points",
    "catches_ten_fold": "Ten times and a tenth are caught",
}


def register() -> None:
    """Registers the kind. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=settings.FILTER_KIND,
            label="Price filter",
            desk="platform_ops",
            maker_capability=MANAGE_CATALOGUE,
            checker_capability=APPROVE_SPECIFICATIONS,
            title=lambda payload: f"Filter prices of {_whose(payload)} from {_moment(payload):%Y-%m-%d %H:%M} UTC",
            current=_current,
            proposed=lambda payload: _in_words(_levels(payload).as_dict()),
            preview=_preview,
            apply=_apply,
            verify=_verify,
            revert=_revert,
            check=_check,
            labels=LABELS,
            target=_symbol,
            entity_of=lambda payload: None,
        )
    )


def _check(payload: Payload) -> None:
    _levels(payload)
    symbol, source = _symbol(payload), _source(payload)
    standing = settings.setting_at(
        symbol_id=symbol.pk if symbol else None, source_id=source.pk if source else None, moment=_moment(payload)
    )
    if (standing.levels().as_dict() if standing else {}) != (payload.get("replaces") or {}):
        raise Conflict("The filter is set otherwise by now: withdraw this and ask anew.", code="filter_moved")


def _current(payload: Payload) -> dict[str, Any]:
    return _in_words(levels_in_force(_symbol(payload), _source(payload), _moment(payload)).as_dict())


def levels_in_force(symbol: Symbol | None, source: PriceSource | None, at: datetime) -> FilterLevels:
    """The levels that count for a symbol and source at a moment; those of all where no symbol is named."""
    if symbol is None:
        standing = settings.setting_at(symbol_id=None, source_id=source.pk if source else None, moment=at)
        return standing.levels() if standing else FilterLevels()
    found = settings.filters_at(symbol_ids=[symbol.pk], at=at).get(symbol.pk)
    if found is None:
        return FilterLevels()
    return found.levels_of(source.pk) if source else found.default


def _in_words(levels: dict[str, Any]) -> dict[str, Any]:
    return {name: ("yes" if value else "no") if name in FLAGS else value for name, value in levels.items()}


def _preview(payload: Payload, actor: Actor) -> Impact:
    symbol, source = _symbol(payload), _source(payload)
    if symbol is None:
        return Impact("Levels of all symbols are judged by nothing here: replay a draft on a symbol first.")
    found = replay_filter(
        symbol_id=symbol.pk,
        source_id=source.pk if source else None,
        draft=_levels(payload),
        start=_optional(payload, "replay_from"),
        end=_optional(payload, "replay_to"),
        actor=actor,
    )
    return impact_of(found)


def impact_of(found: Replay) -> Impact:
    """A replay in the words of a preview."""
    rows = [
        {"Verdict": verdict.words, "Ticks now": f"{before:,}", "Ticks then": f"{after:,}"}
        for verdict, before, after in found.reasons()
    ]
    results = {f"Their net result, {currency}": f"{net:,.2f}" for currency, net in sorted(found.results().items())}
    figures = {
        "Ticks replayed": f"{found.ticks:,}",
        "Dropped now": f"{found.dropped(found.before):,}",
        "Dropped then": f"{found.dropped(found.after):,}",
        "Newly dropped": f"{found.newly_dropped:,}",
        "Newly kept": f"{found.newly_kept:,}",
        "Trades executed on such ticks": f"{len({each.trade.pk for each in found.trades}):,}",
        **results,
    }
    if not found.ticks:
        return Impact(f"No ticks of {found.symbol} are stored for this time: nothing could be replayed.", [], figures)
    summary = (
        f"{found.ticks:,} ticks from {found.start:%Y-%m-%d %H:%M} to {found.end:%Y-%m-%d %H:%M} UTC:"
        f" {found.newly_dropped:,} would be dropped that were kept, {found.newly_kept:,} kept that were dropped."
    )
    return Impact(summary, rows[:MAXIMUM_ROWS], figures)


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    keys = _keys(payload)
    before = settings.settings_of(**keys)
    settings.set_filter(
        **keys, levels=_levels(payload), valid_from=_moment(payload), actor=actor,
        reason=f"{request.reference}: {request.reason}", approval=request,
    )  # fmt: skip
    return {
        **keys, "valid_from": payload["valid_from"], "levels": payload["levels"], "before": before,
        "after": settings.settings_of(**keys),
    }  # fmt: skip


def _verify(outcome: dict[str, Any]) -> list[str]:
    standing = settings.setting_at(
        symbol_id=outcome["symbol_id"], source_id=outcome["source_id"],
        moment=datetime.fromisoformat(outcome["valid_from"]),
    )  # fmt: skip
    if standing is None:
        return ["No setting is in force at that moment."]
    read = standing.levels().as_dict()
    return [
        f"{LABELS[name]} reads {read[name]}, not {wanted}."
        for name, wanted in outcome["levels"].items()
        if read[name] != wanted
    ]


def _revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    settings.restore_settings(
        symbol_id=outcome["symbol_id"], source_id=outcome["source_id"], expected=outcome["after"],
        before=outcome["before"], actor=actor, reason=reason,
    )  # fmt: skip
    return {"restored": len(outcome["before"])}


def _keys(payload: Payload) -> dict[str, int | None]:
    symbol, source = _symbol(payload), _source(payload)
    return {"symbol_id": symbol.pk if symbol else None, "source_id": source.pk if source else None}


def _levels(payload: Payload) -> FilterLevels:
    levels = payload.get("levels")
    if not isinstance(levels, dict):
        raise InvalidInput("The levels are missing.", field="levels")
    return read_levels(levels)


def _symbol(payload: Payload) -> Symbol | None:
    if payload.get("symbol_id") is None:
        return None
    found = Symbol.objects.filter(pk=payload["symbol_id"]).first()
    if found is None:
        raise InvalidInput("No such symbol.", field="symbol_id")
    return found


def _source(payload: Payload) -> PriceSource | None:
    if payload.get("source_id") is None:
        return None
    found = PriceSource.objects.filter(pk=payload["source_id"]).first()
    if found is None:
        raise InvalidInput("No such source of prices.", field="source_id")
    return found


def _whose(payload: Payload) -> str:
    symbol, source = _symbol(payload), _source(payload)
    return f"{symbol or 'all symbols'}{f' from {source}' if source else ''}"


def _moment(payload: Payload) -> datetime:
    moment = _optional(payload, "valid_from")
    if moment is None:
        raise InvalidInput("This is no moment.", field="valid_from")
    return moment


def _optional(payload: Payload, name: str) -> datetime | None:
    if payload.get(name) is None:
        return None
    try:
        moment = datetime.fromisoformat(str(payload[name]))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field=name) from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field=name)
    return moment
