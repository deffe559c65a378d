"""What the positions of one symbol, side and kind of account share on a day: found for many at once.

A `Kind` is such a kind; there are hundreds where there are hundreds of thousands of positions. Everything that is a
decision (which rate, which nights, which conversion, who is free) is made here by the pure rules, so that the statement
over the positions only multiplies and rounds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Q

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import MissingRate
from platform_ops.gateways.types import CalculationMode
from platform_ops.models import (
    AccountType,
    DividendEvent,
    GroupSymbolOverride,
    ServerSymbol,
    SwapFreePolicy,
    SwapFreeRevocation,
    Symbol,
    SymbolSpec,
)
from platform_ops.rules.swaps import (
    DEFAULT_MULTIPLIERS,
    MAX_LOOK_AHEAD,
    Freedom,
    RateDraft,
    SymbolFacts,
    Term,
    dividend_day,
    make_term,
    needs_price,
    nights_on,
    opening_bound,
    unit_currency,
)
from platform_ops.services.swaps.holidays import holidays_of
from platform_ops.services.swaps.market import Market
from platform_ops.services.swaps.rates import OF_SPECIFICATION, RateKey, rate_for
from platform_ops.types import Side

Bounds = tuple[Decimal, Decimal]


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """What positions must have in common to share a term. `account_id` is set only for accounts with a rule of their own."""

    server_symbol_id: int
    side: int
    group_id: int | None
    account_type_id: int | None
    currency: str
    account_id: int | None


@dataclass(frozen=True, slots=True)
class KindTerm:
    """A kind, its symbol, its term, and the rows that the term is of."""

    kind: Kind
    symbol_id: int | None
    term: Term
    rate_key: RateKey | None
    policy_id: int | None


@dataclass(slots=True, kw_only=True)
class Night:
    """The night that terms are made for. `nights` overrides what the calendar counts (for an estimate of one night)."""

    day: date
    moment: datetime
    """Just before the cut: what is in force then counts."""
    zone: ServerZone
    at_new_york_close: bool
    market: Market
    rates: Mapping[RateKey, RateDraft]
    rounds_point_value_first: bool = True
    nights: Decimal | None = None
    specs: Mapping[int, SymbolSpec] = field(default_factory=dict)
    overrides: Mapping[tuple[int, int], GroupSymbolOverride] = field(default_factory=dict)
    symbols: Mapping[int, Symbol] = field(default_factory=dict)
    symbol_of: Mapping[int, int | None] = field(default_factory=dict)
    holidays: Mapping[int, frozenset[date]] = field(default_factory=dict)
    dividends: Mapping[int, Sequence[DividendEvent]] = field(default_factory=dict)
    policies: Sequence[SwapFreePolicy] = ()
    revoked: frozenset[int] = frozenset()
    free_types: frozenset[int] = frozenset()


def accounts_with_own_rules(*, day: date, moment: datetime) -> list[int]:
    """Accounts for which a swap-free policy or a revocation of their own is in force."""
    policies = SwapFreePolicy.objects.filter(account__isnull=False, validity__contains=moment)
    return sorted({*policies.values_list("account_id", flat=True), *_revoked(day)})


def fill_night(night: Night, kinds: Iterable[Kind]) -> Night:
    """Reads what the terms of some kinds need: specifications, holidays, dividends, policies. A handful of queries."""
    names = ServerSymbol.objects.in_bulk({kind.server_symbol_id for kind in kinds})
    night.symbol_of = {pk: name.symbol_id for pk, name in names.items()}
    symbol_ids = {symbol_id for symbol_id in night.symbol_of.values() if symbol_id is not None}
    night.symbols = Symbol.objects.in_bulk(symbol_ids)
    night.specs = {
        spec.symbol_id: spec
        for spec in SymbolSpec.objects.filter(symbol_id__in=symbol_ids, validity__contains=night.moment)
    }
    night.overrides = {
        (row.symbol_id, row.group_id): row
        for row in GroupSymbolOverride.objects.filter(symbol_id__in=symbol_ids, validity__contains=night.moment)
    }
    night.holidays = holidays_of(
        symbol_ids=symbol_ids, from_day=night.day, to_day=night.day + timedelta(days=MAX_LOOK_AHEAD)
    )
    night.dividends = _dividends(night.day, symbol_ids, night.holidays)
    night.policies = list(SwapFreePolicy.objects.filter(validity__contains=night.moment).order_by("pk"))
    night.revoked = frozenset(_revoked(night.day))
    night.free_types = frozenset(AccountType.objects.filter(is_swap_free=True).values_list("pk", flat=True))
    return night


def terms_of(night: Night, kinds: Iterable[Kind]) -> list[KindTerm]:
    """The term of every kind. Raises MissingRate naming the symbol for a price or a conversion that nobody has."""
    return [_term_of(night, kind) for kind in sorted(kinds, key=_order)]


def facts_of(symbol: Symbol, spec: SymbolSpec) -> SymbolFacts:
    """What the rules need to know of a symbol."""
    mode = CalculationMode(spec.calculation_mode)
    size = spec.contract_size
    if mode is CalculationMode.EXCHANGE_BONDS:
        # A bond is quoted in percent of its face value.
        size = size * spec.face_value / 100
    return SymbolFacts(
        digits=spec.digits,
        contract_size=size,
        calculation_mode=mode,
        base_currency=symbol.base_asset,
        profit_currency=symbol.profit_currency,
        margin_currency=spec.margin_currency,
        tick_size=spec.tick_size,
        tick_value=spec.tick_value,
    )


_NOTHING_KNOWN = SymbolFacts(
    digits=0,
    contract_size=Decimal(0),
    calculation_mode=CalculationMode.CFD,
    base_currency="",
    profit_currency="",
    margin_currency="",
)


def _order(kind: Kind) -> tuple[int, int, int, int, str, int]:
    return (
        kind.server_symbol_id,
        kind.side,
        kind.group_id or 0,
        kind.account_type_id or 0,
        kind.currency,
        kind.account_id or 0,
    )


def _term_of(night: Night, kind: Kind) -> KindTerm:
    symbol_id = night.symbol_of.get(kind.server_symbol_id)
    spec = night.specs.get(symbol_id) if symbol_id is not None else None
    digits = Currency.of(kind.currency).digits
    side = Side(kind.side)
    if symbol_id is None or spec is None:
        term = make_term(rate=None, facts=_NOTHING_KNOWN, side=side, digits=digits, nights=Decimal(0))
        return KindTerm(kind, symbol_id, term, None, None)
    symbol = night.symbols[symbol_id]
    facts = facts_of(symbol, spec)
    override = night.overrides.get((symbol_id, kind.group_id)) if kind.group_id is not None else None
    rate = rate_for(night.rates, symbol_id, kind.group_id, spec, override)
    nights = _nights(night, symbol_id, rate)
    in_swap, as_price = _dividend_of(night, symbol_id, side)
    policy = _policy_of(night, kind, symbol)
    try:
        freedom = _freedom(night, policy, kind)
        price = night.market.price(symbol_id, side)
        if rate is not None and needs_price(rate.mode, facts) and price is None:
            raise MissingRate(f"{symbol.code} has no closing price on {night.day}.", symbol=symbol.code)
        needed = unit_currency(rate.mode, facts, kind.currency) if rate is not None else kind.currency
        term = make_term(
            rate=rate,
            facts=facts,
            side=side,
            digits=digits,
            nights=nights,
            conversion=night.market.conversion(needed, kind.currency),
            dividend_conversion=night.market.conversion(
                facts.profit_currency if as_price else kind.currency, kind.currency
            ),
            price=price,
            dividend_in_swap=in_swap,
            dividend_price=as_price,
            freedom=freedom,
            rounds_point_value_first=night.rounds_point_value_first,
        )
    except MissingRate as error:
        raise MissingRate(
            f"The swap of {symbol.code} into {kind.currency} on {night.day}: {error.message}",
            **{**error.details, "symbol": symbol.code, "day": night.day.isoformat()},
        ) from error
    key: RateKey | None = None
    if rate is not None and rate.source != OF_SPECIFICATION:
        key = (rate.symbol_id, rate.group_id)
    return KindTerm(kind, symbol_id, term, key, policy.pk if policy else None)


def _nights(night: Night, symbol_id: int, rate: RateDraft | None) -> Decimal:
    if night.nights is not None:
        return night.nights
    if rate is None:
        return nights_on(night.day, multipliers=DEFAULT_MULTIPLIERS)
    return nights_on(
        night.day,
        multipliers=rate.multipliers,
        holidays=night.holidays.get(symbol_id, frozenset()),
        considers_holidays=rate.considers_holidays,
    )


def _dividends(
    day: date, symbol_ids: set[int], holidays: Mapping[int, frozenset[date]]
) -> dict[int, list[DividendEvent]]:
    """The approved dividends that are adjusted at the cut of *day*, by symbol."""
    found: dict[int, list[DividendEvent]] = {}
    events = DividendEvent.objects.filter(
        symbol_id__in=symbol_ids,
        state=DividendEvent.State.APPROVED,
        ex_date__gt=day,
        ex_date__lte=day + timedelta(days=MAX_LOOK_AHEAD),
    )
    for event in events.order_by("pk"):
        if dividend_day(event.ex_date, holidays.get(event.symbol_id, frozenset())) == day:
            found.setdefault(event.symbol_id, []).append(event)
    return found


def _dividend_of(night: Night, symbol_id: int, side: Side) -> tuple[Decimal, Decimal]:
    in_swap = as_price = Decimal(0)
    for event in night.dividends.get(symbol_id, ()):
        amount = event.amount_long if side is Side.BUY else event.amount_short
        if event.unit == DividendEvent.Unit.SWAP:
            in_swap += amount
        else:
            as_price += amount
    return in_swap, as_price


def _policy_of(night: Night, kind: Kind, symbol: Symbol) -> SwapFreePolicy | None:
    """The narrowest policy that speaks of the kind; none for an account that has lost its freedom."""
    if kind.account_id is not None and kind.account_id in night.revoked:
        return None
    candidates = [
        (rank, policy.symbol_group_id is None, policy.pk, policy)
        for policy in night.policies
        for rank, own, wanted in (
            (0, policy.account_id, kind.account_id),
            (1, policy.group_id, kind.group_id),
            (2, policy.account_type_id, kind.account_type_id),
        )
        if own is not None and own == wanted and policy.symbol_group_id in (None, symbol.group_id)
    ]
    return min(candidates)[3] if candidates else None


def _freedom(night: Night, policy: SwapFreePolicy | None, kind: Kind) -> Freedom | None:
    """What the kind is free of: by its policy, else because its account type is offered as swap-free."""
    if policy is None:
        is_free = kind.account_type_id in night.free_types and kind.account_id not in night.revoked
        return Freedom(grace_start=night.moment) if is_free else None
    fee = Decimal(0)
    if policy.after_grace == SwapFreePolicy.AfterGrace.FEE and policy.fee_per_lot:
        fee = policy.fee_per_lot * night.market.conversion(policy.fee_currency, kind.currency).ask
    return Freedom(
        grace_start=opening_bound(
            night.day,
            grace_nights=policy.grace_nights,
            zone=night.zone,
            at_new_york_close=night.at_new_york_close,
        ),
        after=policy.after_grace,
        fee_per_lot=fee,
    )


def _revoked(day: date) -> list[int]:
    rows = SwapFreeRevocation.objects.filter(Q(to_day__isnull=True) | Q(to_day__gte=day), from_day__lte=day)
    return list(rows.values_list("account_id", flat=True))
