"""The levels of the filter in force, and how they are changed: by a change request, or by the house at set-up.

A person sets levels by a change request of the kind `platform.price_filter`, whose preview replays them over stored
ticks. Where nobody set any, the filter terms of the symbol's specification count, and where that states none either, its
usual spread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING
from enum import StrEnum
from typing import Any

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import QuerySet

from backoffice.core.access import authorise
from backoffice.core.locks import advisory_key
from backoffice.core.models import ChangeRequest
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from backoffice.kernel.prices import points_per_pip
from platform_ops.models import PriceFilterSetting, PriceSource, Symbol, SymbolSpec
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.price_filter import FilterLevels, PriceFilter, check_levels
from platform_ops.rules.price_sizing import StatedLevels, sized_levels, stated_levels

FILTER_KIND = "platform.price_filter"


class Origin(StrEnum):
    """Where the levels for all sources of a symbol come from."""

    SYMBOL = "set for this symbol"
    ALL = "set for all symbols"
    SPECIFICATION = "nobody set any: the filter terms of the symbol's specification"
    SPREAD = "nobody set any, and the specification states none: sized by its usual spread"


@dataclass(frozen=True, slots=True)
class SymbolFilter:
    """What judges a symbol's ticks at a moment: its digits, and its levels by source number with those of all others."""

    symbol: Symbol
    digits: int
    default: FilterLevels
    by_source: dict[int, FilterLevels]
    origin: Origin = Origin.SPREAD

    def levels_of(self, source_id: int) -> FilterLevels:
        """The levels for a source."""
        return self.by_source.get(source_id, self.default)

    def fresh(self) -> PriceFilter:
        """A filter that remembers nothing yet."""
        return PriceFilter(self.default, self.by_source)


def filters_at(*, symbol_ids: Iterable[int], at: datetime) -> dict[int, SymbolFilter]:
    """The filters in force at a moment, by symbol. A symbol without a specification is left out: it has no points."""
    wanted = set(symbol_ids)
    specs = SymbolSpec.objects.filter(symbol__in=wanted, validity__contains=at).select_related("symbol")
    settings = list(PriceFilterSetting.objects.filter(validity__contains=at))
    of_all = {row.source_id: row.levels() for row in settings if row.symbol_id is None}
    by_symbol: dict[int, dict[int | None, FilterLevels]] = {}
    for row in settings:
        if row.symbol_id in wanted:
            by_symbol.setdefault(row.symbol_id, {})[row.source_id] = row.levels()
    return {spec.symbol_id: _filter_of(spec, by_symbol.get(spec.symbol_id, {}), of_all) for spec in specs}


def _filter_of(
    spec: SymbolSpec, own: dict[int | None, FilterLevels], of_all: dict[int | None, FilterLevels]
) -> SymbolFilter:
    usual = usual_levels(spec)
    chosen = (
        (own.get(None), Origin.SYMBOL),
        (of_all.get(None), Origin.ALL),
        (stated_levels(_stated_by(spec), sized=usual), Origin.SPECIFICATION),
    )
    default, origin = next(((levels, origin) for levels, origin in chosen if levels), (usual, Origin.SPREAD))
    by_source = {} if None in own else {key: levels for key, levels in of_all.items() if key is not None}
    by_source |= {key: levels for key, levels in own.items() if key is not None}
    return SymbolFilter(spec.symbol, spec.digits, default, by_source, origin)


def _stated_by(spec: SymbolSpec) -> StatedLevels:
    return StatedLevels(
        soft_points=spec.filter_soft_points,
        soft_ticks=spec.filter_soft_ticks,
        hard_points=spec.filter_hard_points,
        hard_ticks=spec.filter_hard_ticks,
        discard_points=spec.filter_discard_points,
        spread_minimum=spec.filter_spread_minimum_points,
        spread_maximum=spec.filter_spread_maximum_points,
    )


def usual_levels(spec: SymbolSpec) -> FilterLevels:
    """The levels of a symbol for which nobody set or stated any."""
    return sized_levels(
        spread_points=int(spec.spread_points.to_integral_value(rounding=ROUND_CEILING)),
        points_per_pip=points_per_pip(spec.digits),
        is_forex=spec.symbol.asset_class == Symbol.AssetClass.FOREX,
    )


def setting_at(*, symbol_id: int | None, source_id: int | None, moment: datetime) -> PriceFilterSetting | None:
    """The setting made for exactly this symbol and source (None: for all) that counts at a moment."""
    return _own(symbol_id, source_id).filter(validity__contains=moment).first()


def request_filter(
    *,
    symbol_id: int | None,
    source_id: int | None,
    levels: FilterLevels,
    valid_from: datetime,
    actor: Actor,
    reason: str,
    replay_from: datetime | None = None,
    replay_to: datetime | None = None,
    submit: bool = False,
) -> ChangeRequest:
    """A change request for other levels from a moment on. The preview replays them over the stored ticks of the time
    given (else of the last day). Raises as `draft_change` does."""
    authorise(actor, MANAGE_CATALOGUE)
    if valid_from.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    check_levels(levels)
    if symbol_id is not None:
        find_symbol(symbol_id)
    if source_id is not None and not PriceSource.objects.filter(pk=source_id).exists():
        raise NotFound("No such source.", source_id=source_id)
    standing = setting_at(symbol_id=symbol_id, source_id=source_id, moment=valid_from)
    payload = {
        "symbol_id": symbol_id,
        "source_id": source_id,
        "valid_from": valid_from.isoformat(),
        "levels": levels.as_dict(),
        "replaces": standing.levels().as_dict() if standing else {},
        "replay_from": replay_from.isoformat() if replay_from else None,
        "replay_to": replay_to.isoformat() if replay_to else None,
    }
    change = changes.draft_change(kind=FILTER_KIND, payload=payload, actor=actor, reason=reason)
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change


@transaction.atomic
def set_filter(
    *,
    symbol_id: int | None,
    source_id: int | None,
    levels: FilterLevels,
    valid_from: datetime,
    actor: Actor,
    reason: str = "",
    approval: Any = None,
) -> PriceFilterSetting:
    """Makes levels count from a moment on; the setting before ends then, later ones are removed.

    *approval* is the change request that carries this out. Raises Denied (`approval_needed`) for a person without one.
    """
    if approval is not None:
        changes.require_approved(
            approval, kind=FILTER_KIND, symbol_id=symbol_id, source_id=source_id, valid_from=valid_from.isoformat(),
            levels=levels.as_dict(),
        )  # fmt: skip
    elif not actor.is_system:
        raise Denied("Levels of the filter change by an approved request.", code="approval_needed")
    check_levels(levels)
    lock_settings()
    before = settings_of(symbol_id=symbol_id, source_id=source_id)
    for row in _own(symbol_id, source_id).order_by("validity"):
        if row.validity.upper is not None and row.validity.upper <= valid_from:
            continue
        if row.validity.lower is None or row.validity.lower < valid_from:
            row.validity = DateTimeTZRange(row.validity.lower, valid_from)
            row.save(update_fields=["validity"])
        else:
            row.delete()
    setting = PriceFilterSetting.objects.create(
        symbol_id=symbol_id,
        source_id=source_id,
        validity=DateTimeTZRange(valid_from, None),
        change_reference=approval.reference if approval is not None else "",
        set_by=actor.label[:200],
        **levels.as_dict(),
    )
    audit.record(
        actor=actor, action="platform.set_price_filter", target=setting, reason=reason,
        changes={"before": before, "after": settings_of(symbol_id=symbol_id, source_id=source_id)},
    )  # fmt: skip
    return setting


def settings_of(*, symbol_id: int | None, source_id: int | None) -> list[dict[str, Any]]:
    """Every setting made for exactly this symbol and source as plain data, in the order of time."""
    return [
        {
            "from": row.validity.lower.isoformat() if row.validity.lower else None,
            "to": row.validity.upper.isoformat() if row.validity.upper else None,
            "change_reference": row.change_reference,
            "set_by": row.set_by,
            "levels": row.levels().as_dict(),
        }
        for row in _own(symbol_id, source_id).order_by("validity")
    ]


def restore_settings(
    *,
    symbol_id: int | None,
    source_id: int | None,
    expected: list[dict[str, Any]],
    before: list[dict[str, Any]],
    actor: Actor,
    reason: str,
) -> None:
    """Puts settings back to what they were *before*, in the caller's transaction. Raises Conflict when they moved on."""
    lock_settings()
    if settings_of(symbol_id=symbol_id, source_id=source_id) != expected:
        raise Conflict("The filter was set again since; revert that first.", code="moved_on")
    _own(symbol_id, source_id).delete()
    restored = None
    for row in before:
        start, end = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("from", "to"))
        restored = PriceFilterSetting.objects.create(
            symbol_id=symbol_id,
            source_id=source_id,
            validity=DateTimeTZRange(start, end),
            change_reference=row["change_reference"],
            set_by=row["set_by"],
            **row["levels"],
        )
    target = restored or (find_symbol(symbol_id) if symbol_id is not None else PriceSource.objects.first())
    if target is not None:
        audit.record(
            actor=actor, action="platform.restore_price_filter", target=target, reason=reason,
            changes={"before": expected, "after": before},
        )  # fmt: skip


def _own(symbol_id: int | None, source_id: int | None) -> QuerySet[PriceFilterSetting]:
    """The settings made for exactly this symbol and source; None is "all", stored as NULL."""
    return PriceFilterSetting.objects.filter(symbol=symbol_id, source=source_id)  # type: ignore[misc]


def find_symbol(symbol_id: int) -> Symbol:
    """The symbol. Raises NotFound."""
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise NotFound("No such symbol.", symbol_id=symbol_id)
    return symbol


def lock_settings() -> None:
    """One change of settings at a time: rows that do not exist yet cannot be locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("platform", "price_filter", "all")])
