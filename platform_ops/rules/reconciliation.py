"""Where a server and the books disagree. Pure: records of both sides in, differences out, nothing guessed.

One cause makes one difference: a balance that is off by exactly the money of a missing deal is told by that deal alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from platform_ops.gateways.types import GatewayAccount, GatewayDeal, GatewayPosition
from platform_ops.types import DealEntry, DealKind, Side

ZERO = Decimal(0)
SAME_MOMENT = timedelta(seconds=1)
"""Some sources tell seconds, others milliseconds."""
_CANCELED = frozenset({DealKind.BUY_CANCELED, DealKind.SELL_CANCELED})


class BreakKind(StrEnum):
    """What differs."""

    BALANCE = "balance"
    CREDIT = "credit"
    ACCOUNT_GONE = "account_gone"
    ACCOUNT_UNKNOWN = "account_unknown"
    POSITION_MISSING = "position_missing"
    POSITION_EXTRA = "position_extra"
    POSITION_DIFFERS = "position_differs"
    DEAL_MISSING = "deal_missing"
    DEAL_EXTRA = "deal_extra"
    DEAL_DIFFERS = "deal_differs"
    DEAL_TOUCHED = "deal_touched"


ACCOUNT_KINDS = frozenset({BreakKind.BALANCE, BreakKind.CREDIT, BreakKind.ACCOUNT_GONE, BreakKind.ACCOUNT_UNKNOWN})
POSITION_KINDS = frozenset({BreakKind.POSITION_MISSING, BreakKind.POSITION_EXTRA, BreakKind.POSITION_DIFFERS})
DEAL_KINDS = frozenset({BreakKind.DEAL_MISSING, BreakKind.DEAL_EXTRA, BreakKind.DEAL_DIFFERS, BreakKind.DEAL_TOUCHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class OurAccount:
    """An account as the books have it: what its deals and openings add up to."""

    login: str
    balance: Decimal
    credit: Decimal
    currency: str
    open_positions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OurDeal:
    """A deal as it stands in the books."""

    ticket: int
    leg: int
    login: str
    kind: int
    entry: int | None
    symbol: str
    volume_lots: Decimal
    price: Decimal | None
    at: datetime
    profit: Decimal
    swap: Decimal
    commission: Decimal
    fee: Decimal
    currency: str

    @property
    def money(self) -> Decimal:
        """All that it moved."""
        return self.profit + self.swap + self.commission + self.fee


@dataclass(frozen=True, slots=True, kw_only=True)
class OurPosition:
    """An open position as it follows from the deals."""

    ticket: int
    login: str
    symbol: str
    side: int
    volume_lots: Decimal
    open_price: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One disagreement. `ours` and `theirs` hold what each side says, as text; `amount` is theirs less ours, if money."""

    kind: BreakKind
    login: str
    ticket: int = 0
    leg: int = 0
    fields: tuple[str, ...] = ()
    ours: dict[str, str] = field(default_factory=dict)
    theirs: dict[str, str] = field(default_factory=dict)
    amount: Decimal | None = None
    currency: str = ""
    cause: str = ""

    @property
    def key(self) -> tuple[str, str, int, int]:
        """What names it while it stands."""
        return self.kind.value, self.login, self.ticket, self.leg


def compare_deals(ours: Mapping[tuple[int, int], OurDeal], theirs: Iterable[GatewayDeal]) -> list[Difference]:
    """Deals of the same stretch of time on both sides."""
    found: list[Difference] = []
    seen: set[tuple[int, int]] = set()
    for deal in theirs:
        key = (deal.ticket, deal.leg)
        seen.add(key)
        known = ours.get(key)
        if known is None:
            found.append(_missing_deal(deal))
            continue
        differing = differing_fields(known, deal)
        if differing:
            found.append(_differing_deal(known, deal, differing))
        if deal.modify_flags:
            found.append(_touched_deal(known, deal))
    found += [_extra_deal(deal) for key, deal in ours.items() if key not in seen]
    return found


def differing_fields(ours: OurDeal, theirs: GatewayDeal) -> tuple[str, ...]:
    """The fields in which two tellings of a deal differ. What the server leaves out it does not deny."""
    moves_symbol = theirs.kind.is_trade or theirs.kind in _CANCELED
    pairs: list[tuple[str, bool]] = [
        ("login", ours.login == theirs.login),
        ("kind", ours.kind == theirs.kind),
        ("entry", not moves_symbol or theirs.entry is None or ours.entry == theirs.entry),
        ("symbol", not moves_symbol or ours.symbol == theirs.symbol),
        ("volume_lots", not moves_symbol or ours.volume_lots == theirs.volume_lots),
        ("price", not moves_symbol or theirs.price is None or ours.price == theirs.price),
        ("at", abs(ours.at - theirs.at) < SAME_MOMENT),
        ("profit", ours.profit == theirs.profit),
        ("swap", ours.swap == theirs.swap),
        ("commission", ours.commission == theirs.commission),
        ("fee", ours.fee == theirs.fee),
    ]
    return tuple(name for name, is_same in pairs if not is_same)


def join_moved(found: Iterable[Difference]) -> list[Difference]:
    """A deal that is missing in one stretch and too much in another has another time, not two differences."""
    kept: dict[tuple[int, int], Difference] = {}
    others: list[Difference] = []
    for one in found:
        if one.kind not in (BreakKind.DEAL_MISSING, BreakKind.DEAL_EXTRA):
            others.append(one)
            continue
        known = kept.pop((one.ticket, one.leg), None)
        if known is None or known.kind is one.kind:
            kept[one.ticket, one.leg] = one
            continue
        missing, extra = (known, one) if known.kind is BreakKind.DEAL_MISSING else (one, known)
        fields = tuple(
            name for name in extra.ours if name in missing.theirs and extra.ours[name] != missing.theirs[name]
        )
        amount = None
        if missing.amount is not None or extra.amount is not None:
            amount = (missing.amount or ZERO) + (extra.amount or ZERO)
        others.append(
            Difference(
                kind=BreakKind.DEAL_DIFFERS,
                login=missing.login,
                ticket=one.ticket,
                leg=one.leg,
                fields=fields,
                ours=extra.ours,
                theirs=missing.theirs,
                amount=amount,
                currency=extra.currency or missing.currency,
            )
        )
    return [*others, *kept.values()]


def compare_positions(ours: Iterable[OurPosition], theirs: Iterable[GatewayPosition]) -> list[Difference]:
    """What is open on both sides."""
    known = {(position.login, position.ticket): position for position in ours}
    found: list[Difference] = []
    for position in theirs:
        mine = known.pop((position.login, position.ticket), None)
        told = _position_text(position)
        if mine is None:
            found.append(
                Difference(kind=BreakKind.POSITION_MISSING, login=position.login, ticket=position.ticket, theirs=told)
            )
            continue
        pairs = (
            ("symbol", mine.symbol == position.symbol),
            ("side", mine.side == position.side),
            ("volume_lots", mine.volume_lots == position.volume_lots),
            ("open_price", _is_same_average(mine.open_price, position.open_price)),
        )
        differing = tuple(name for name, is_same in pairs if not is_same)
        if differing:
            found.append(
                Difference(
                    kind=BreakKind.POSITION_DIFFERS,
                    login=position.login,
                    ticket=position.ticket,
                    fields=differing,
                    ours=_our_position_text(mine),
                    theirs=told,
                )
            )
    return found + [
        Difference(kind=BreakKind.POSITION_EXTRA, login=mine.login, ticket=mine.ticket, ours=_our_position_text(mine))
        for mine in known.values()
    ]


def compare_accounts(
    ours: Mapping[str, OurAccount], theirs: Mapping[str, GatewayAccount], *, explained: Mapping[str, Decimal]
) -> list[Difference]:
    """Balances and credits, and accounts that only one side has. *explained*: what differing deals of an account move."""
    found: list[Difference] = []
    for login, mine in ours.items():
        told = theirs.get(login)
        if told is None:
            if mine.balance or mine.credit or mine.open_positions:
                found.append(_gone(mine))
            continue
        currency = mine.currency or told.currency
        off = told.balance - mine.balance
        if off and off != explained.get(login, ZERO):
            found.append(
                Difference(
                    kind=BreakKind.BALANCE,
                    login=login,
                    fields=("balance",),
                    ours={"balance": _text(mine.balance)},
                    theirs={"balance": _text(told.balance)},
                    amount=off,
                    currency=currency,
                )
            )
        if told.credit != mine.credit:
            found.append(
                Difference(
                    kind=BreakKind.CREDIT,
                    login=login,
                    fields=("credit",),
                    ours={"credit": _text(mine.credit)},
                    theirs={"credit": _text(told.credit)},
                    amount=told.credit - mine.credit,
                    currency=currency,
                )
            )
    # An account without money that only the server has is no difference: nothing has happened on it yet.
    found += [
        Difference(
            kind=BreakKind.ACCOUNT_UNKNOWN,
            login=login,
            theirs={"balance": _text(told.balance), "credit": _text(told.credit), "group": told.group},
            amount=told.balance,
            currency=told.currency,
        )
        for login, told in theirs.items()
        if login not in ours and (told.balance or told.credit)
    ]
    return found


def explained_by_deals(found: Iterable[Difference]) -> dict[str, Decimal]:
    """By account, how much of its balance the differences of its deals explain."""
    sums: dict[str, Decimal] = {}
    for one in found:
        if one.kind in DEAL_KINDS and one.kind is not BreakKind.DEAL_TOUCHED and one.amount is not None:
            sums[one.login] = sums.get(one.login, ZERO) + one.amount
    return sums


def without(found: Iterable[Difference], *, logins: Collection[str]) -> list[Difference]:
    """The differences of other accounts."""
    return [one for one in found if one.login not in logins]


def _gone(mine: OurAccount) -> Difference:
    return Difference(
        kind=BreakKind.ACCOUNT_GONE,
        login=mine.login,
        ours={
            "balance": _text(mine.balance),
            "credit": _text(mine.credit),
            "open_positions": str(mine.open_positions),
        },
        amount=-mine.balance,
        currency=mine.currency,
        cause="The server no longer lists it: archived or deleted there. Nothing was removed here.",
    )


def _missing_deal(deal: GatewayDeal) -> Difference:
    return Difference(
        kind=BreakKind.DEAL_MISSING,
        login=deal.login,
        ticket=deal.ticket,
        leg=deal.leg,
        theirs=_deal_text(deal),
        amount=None if deal.kind.is_credit else deal.money,
        currency=deal.currency,
    )


def _extra_deal(deal: OurDeal) -> Difference:
    return Difference(
        kind=BreakKind.DEAL_EXTRA,
        login=deal.login,
        ticket=deal.ticket,
        leg=deal.leg,
        ours=_our_deal_text(deal),
        amount=None if DealKind(deal.kind).is_credit else -deal.money,
        currency=deal.currency,
    )


def _differing_deal(ours: OurDeal, theirs: GatewayDeal, differing: tuple[str, ...]) -> Difference:
    return Difference(
        kind=BreakKind.DEAL_DIFFERS,
        login=ours.login,
        ticket=ours.ticket,
        leg=ours.leg,
        fields=differing,
        ours=_our_deal_text(ours),
        theirs=_deal_text(theirs),
        amount=_balance_effect(theirs.kind, theirs.money) - _balance_effect(DealKind(ours.kind), ours.money),
        currency=ours.currency,
    )


def _touched_deal(ours: OurDeal, theirs: GatewayDeal) -> Difference:
    return Difference(
        kind=BreakKind.DEAL_TOUCHED,
        login=ours.login,
        ticket=ours.ticket,
        leg=ours.leg,
        theirs={**_deal_text(theirs), "modify_flags": _flag_words(theirs.modify_flags)},
        currency=ours.currency,
        cause="Somebody changed this deal on the server. Find out who asked for it.",
    )


def _balance_effect(kind: DealKind, money: Decimal) -> Decimal:
    return ZERO if kind.is_credit or kind in _CANCELED else money


_FLAGS = (
    (0x1, "administrator"),
    (0x2, "manager"),
    (0x4, "position"),
    (0x8, "restored"),
    (0x10, "administrator's API"),
    (0x20, "manager's API"),
    (0x40, "server's API"),
    (0x80, "gateway"),
    (0x100, "added by the server's API"),
)


def _flag_words(flags: int) -> str:
    """Who changed the deal, in words; the number beside them."""
    words = [word for bit, word in _FLAGS if flags & bit]
    return f"{', '.join(words) or 'unknown'} ({flags})"


def _is_same_average(ours: Decimal, theirs: Decimal) -> bool:
    """An average price is kept with ten digits here and rounded to the symbol's own on a server."""
    exponent = theirs.as_tuple().exponent
    digits = -exponent if isinstance(exponent, int) else 0
    return abs(ours - theirs) <= Decimal(1).scaleb(-max(digits, 1))


def _deal_text(deal: GatewayDeal) -> dict[str, str]:
    entry = None if deal.entry is None else int(deal.entry)
    return _text_of_deal(
        deal.login, int(deal.kind), entry, deal.symbol, deal.volume_lots, deal.price, deal.at,
        (deal.profit, deal.swap, deal.commission, deal.fee),
    )  # fmt: skip


def _our_deal_text(deal: OurDeal) -> dict[str, str]:
    return _text_of_deal(
        deal.login, deal.kind, deal.entry, deal.symbol, deal.volume_lots, deal.price, deal.at,
        (deal.profit, deal.swap, deal.commission, deal.fee),
    )  # fmt: skip


def _text_of_deal(
    login: str,
    kind: int,
    entry: int | None,
    symbol: str,
    lots: Decimal,
    price: Decimal | None,
    at: datetime,
    money: tuple[Decimal, Decimal, Decimal, Decimal],
) -> dict[str, str]:
    profit, swap, commission, fee = money
    told: dict[str, Any] = {"login": login, "kind": DealKind(kind).name.lower(), "at": at.isoformat()}
    if symbol:
        told |= {"symbol": symbol, "volume_lots": _text(lots), "price": "" if price is None else _text(price)}
        told |= {"entry": "" if entry is None else DealEntry(entry).name.lower()}
    told |= {"profit": _text(profit), "swap": _text(swap), "commission": _text(commission), "fee": _text(fee)}
    return told


def _position_text(position: GatewayPosition) -> dict[str, str]:
    return {
        "symbol": position.symbol,
        "side": position.side.name.lower(),
        "volume_lots": _text(position.volume_lots),
        "open_price": _text(position.open_price),
        "at": position.opened_at.isoformat(),
    }


def _our_position_text(position: OurPosition) -> dict[str, str]:
    return {
        "symbol": position.symbol,
        "side": Side(position.side).name.lower(),
        "volume_lots": _text(position.volume_lots),
        "open_price": _text(position.open_price),
    }


def _text(number: Decimal) -> str:
    """A number with two decimals, or as many more as it really has."""
    whole, _, decimals = f"{number:f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"
