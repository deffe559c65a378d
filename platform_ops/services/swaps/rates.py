"""Dated swap rates: which are in force, and setting them. A rate of a group goes before the symbol's own.

What a person sets is carried out by an approved change request; jobs of the system (a seed, an import of a whole broker)
may set rates without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from backoffice.core.access import authorise
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, InvalidInput
from platform_ops.gateways.types import SwapMode
from platform_ops.locks import lock_swap_rates
from platform_ops.models import AccountGroup, GroupSymbolOverride, SwapRate, Symbol, SymbolSpec
from platform_ops.permissions import MANAGE_SWAPS
from platform_ops.rules.swaps import RateDraft, check_rate, rate_terms

SWAP_RATES_KIND = "platform.swap_rates"
"""The kind of change request that sets rates. Its payload says `valid_from` (ISO) and `rates` (a list of `rate_terms`)."""

MAXIMUM_RATES = 5_000
OF_SPECIFICATION = "specification"
"""The source of a rate that no `SwapRate` states."""

RateKey = tuple[int, int | None]
"""Symbol id, and group id or None."""


@transaction.atomic
def set_swap_rates(
    *, rates: Sequence[RateDraft], valid_from: datetime, approval: Any, actor: Actor, reason: str = ""
) -> list[SwapRate]:
    """Makes rates the valid ones of their symbols (and groups) from a moment on; those before end then, later ones go.

    All or nothing. *approval* is the change request of kind `platform.swap_rates` that carries this out; only a system
    actor may do without. Raises Denied (`approval_needed`), InvalidInput naming symbol and field, also for the same symbol
    and group twice.
    """
    _authorise(actor, approval, rates=[rate_terms(rate) for rate in rates], valid_from=valid_from.isoformat())
    symbols = _check(rates, valid_from)
    lock_swap_rates()
    keys = [(rate.symbol_id, rate.group_id) for rate in rates]
    before = {key: rate_terms(rate) for key, rate in rates_in_force(at=valid_from, keys=keys).items()}
    _end(keys, valid_from)
    change_id = getattr(approval, "pk", None)
    written = SwapRate.objects.bulk_create(
        [
            SwapRate(
                symbol_id=rate.symbol_id,
                group_id=rate.group_id,
                validity=DateTimeTZRange(valid_from, None),
                mode=int(rate.mode),
                long=rate.long,
                short=rate.short,
                multipliers=list(rate.multipliers),
                year_days=rate.year_days,
                considers_holidays=rate.considers_holidays,
                lp_long=rate.lp_long,
                lp_short=rate.lp_short,
                source=rate.source[:120],
                change_id=change_id,
            )
            for rate in rates
        ]
    )
    for rate, row in zip(rates, written, strict=True):
        audit.record(
            actor=actor,
            action="platform.set_swap_rate",
            target=symbols[rate.symbol_id],
            reason=reason,
            changes={
                "valid_from": valid_from.isoformat(),
                "rate_id": row.pk,
                "before": before.get((rate.symbol_id, rate.group_id)),
                "after": rate_terms(rate),
            },
        )
    return written


@transaction.atomic
def end_swap_rates(*, keys: Sequence[RateKey], at: datetime, approval: Any, actor: Actor, reason: str = "") -> int:
    """Ends rates at a moment without any in their place, so that the symbol's own rate (or none) counts; how many ended.

    *approval* is a change request of kind `platform.swap_rates` whose payload says `ends` (a list of [symbol, group]) and
    `valid_from`. Used to take back a group's rate that there was none of before.
    """
    _authorise(actor, approval, ends=[list(key) for key in keys], valid_from=at.isoformat())
    lock_swap_rates()
    standing = rates_in_force(at=at, keys=keys)
    ended = _end(keys, at)
    symbols = Symbol.objects.in_bulk({symbol_id for symbol_id, _ in keys})
    for (symbol_id, group_id), rate in standing.items():
        audit.record(
            actor=actor,
            action="platform.end_swap_rate",
            target=symbols[symbol_id],
            reason=reason,
            changes={"at": at.isoformat(), "group_id": group_id, "before": rate_terms(rate)},
        )
    return ended


def rates_in_force(
    *, at: datetime, keys: Iterable[RateKey] | None = None, symbol_ids: Iterable[int] | None = None
) -> dict[RateKey, RateDraft]:
    """The rates valid at a moment, by symbol and group; of all symbols unless some are named."""
    rows = SwapRate.objects.filter(validity__contains=at)
    wanted = None if keys is None else set(keys)
    if wanted is not None:
        rows = rows.filter(symbol_id__in={symbol_id for symbol_id, _ in wanted})
    if symbol_ids is not None:
        rows = rows.filter(symbol_id__in=list(symbol_ids))
    found = {(row.symbol_id, row.group_id): draft_of(row) for row in rows}
    return found if wanted is None else {key: rate for key, rate in found.items() if key in wanted}


def rate_ids_in_force(*, at: datetime, symbol_ids: Iterable[int]) -> dict[RateKey, int]:
    """The ids of the rates that `rates_in_force` gives."""
    rows = SwapRate.objects.filter(validity__contains=at, symbol_id__in=list(symbol_ids))
    return {(symbol_id, group_id): pk for pk, symbol_id, group_id in rows.values_list("pk", "symbol_id", "group_id")}


def rate_for(
    rates: Mapping[RateKey, RateDraft],
    symbol_id: int,
    group_id: int | None,
    spec: SymbolSpec | None = None,
    override: GroupSymbolOverride | None = None,
) -> RateDraft | None:
    """The rate that counts for a group: its own, else the symbol's, else what the group's terms or the specification say."""
    found = rates.get((symbol_id, group_id)) if group_id is not None else None
    found = found or rates.get((symbol_id, None))
    return found if found is not None or spec is None else rate_of_specification(spec, override)


def rate_of_specification(spec: SymbolSpec, override: GroupSymbolOverride | None = None) -> RateDraft | None:
    """The swap that a specification (as a group has it) states; None when it states nothing."""

    def stated(name: str) -> Any:
        own = getattr(override, name) if override is not None else None
        return getattr(spec, name) if own is None else own

    mode, long, short = SwapMode(stated("swap_mode")), stated("swap_long"), stated("swap_short")
    if mode is not SwapMode.NONE and not long and not short:
        return None
    return RateDraft(
        symbol_id=spec.symbol_id,
        mode=mode,
        long=long,
        short=short,
        multipliers=tuple(stated("swap_multipliers")),
        year_days=stated("swap_year_days"),
        considers_holidays=spec.swap_considers_holidays,
        source=OF_SPECIFICATION,
    )


def draft_of(row: SwapRate) -> RateDraft:
    """A stored rate as the rules know it."""
    return RateDraft(
        symbol_id=row.symbol_id,
        group_id=row.group_id,
        mode=SwapMode(row.mode),
        long=row.long,
        short=row.short,
        multipliers=tuple(row.multipliers),
        year_days=row.year_days,
        considers_holidays=row.considers_holidays,
        lp_long=row.lp_long,
        lp_short=row.lp_short,
        source=row.source,
    )


def with_drafts(rates: Mapping[RateKey, RateDraft], drafts: Iterable[RateDraft]) -> dict[RateKey, RateDraft]:
    """The rates as they would be with drafts in force."""
    return {**rates, **{(draft.symbol_id, draft.group_id): replace(draft) for draft in drafts}}


def _authorise(actor: Actor, approval: Any, **expected: Any) -> None:
    if approval is not None:
        changes.require_approved(approval, kind=SWAP_RATES_KIND, **expected)
        return
    authorise(actor, MANAGE_SWAPS)
    if not actor.is_system:
        raise Denied("Swap rates are set by a change request that another person approved.", code="approval_needed")


def _check(rates: Sequence[RateDraft], valid_from: datetime) -> dict[int, Symbol]:
    if valid_from.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    if not rates or len(rates) > MAXIMUM_RATES:
        raise InvalidInput(f"One to {MAXIMUM_RATES} rates at once.", field="rates")
    symbols = Symbol.objects.in_bulk({rate.symbol_id for rate in rates})
    groups = AccountGroup.objects.in_bulk({rate.group_id for rate in rates if rate.group_id is not None})
    seen: set[RateKey] = set()
    for number, rate in enumerate(rates, start=1):
        if rate.symbol_id not in symbols:
            raise InvalidInput("No such symbol.", field="symbol", value=rate.symbol_id, row=number)
        name = symbols[rate.symbol_id].code
        if rate.group_id is not None and rate.group_id not in groups:
            raise InvalidInput(f"{name}: no such group.", field="group", value=rate.group_id, row=number, symbol=name)
        key = (rate.symbol_id, rate.group_id)
        if key in seen:
            raise InvalidInput(f"{name} stands twice in the same group.", field="symbol", value=name, row=number)
        seen.add(key)
        check_rate(rate, name=name)
    return symbols


def _end(keys: Sequence[RateKey], at: datetime) -> int:
    """Ends what is valid at *at* and removes what was planned for later; how many rows ended or went."""
    wanted = set(keys)
    count = 0
    lasting = Q(validity__upper_inf=True) | Q(validity__endswith__gt=at)
    rows = SwapRate.objects.filter(lasting, symbol_id__in={symbol_id for symbol_id, _ in wanted}).order_by("pk")
    gone: list[int] = []
    cut: list[SwapRate] = []
    for row in rows:
        if (row.symbol_id, row.group_id) not in wanted:
            continue
        count += 1
        if row.validity.lower is None or row.validity.lower < at:
            row.validity = DateTimeTZRange(row.validity.lower, at)
            cut.append(row)
        else:
            gone.append(row.pk)
    SwapRate.objects.filter(pk__in=gone).delete()
    SwapRate.objects.bulk_update(cut, ["validity"])
    return count
