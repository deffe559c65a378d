"""Pure decisions of the ledger: whether a draft may be booked, what its reversal is, and what its key stands for."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from funding.ledger.types import EntryDraft, PostingLine

MAXIMUM_LINES = 500_000
"""Upper bound of lines in one entry; more is split by the caller into several entries."""


def checked_amount(amount: Decimal, currency: str, *, field: str = "amount") -> Decimal:
    """The amount, if it is a positive Decimal with no more digits than its currency is booked with.

    Raises `InvalidInput`: amounts are rounded once, by whoever decides the rounding, never here.
    """
    if not isinstance(amount, Decimal) or not amount.is_finite() or amount <= 0:
        raise InvalidInput(f"An amount must be a positive decimal, not {amount}.", field=field, value=str(amount))
    digits = Currency.of(currency).digits
    if has_more_digits(amount, digits):
        raise InvalidInput(
            f"{amount} {currency} has more than the {digits} digits of its currency.",
            code="amount_too_fine",
            field=field,
            value=str(amount),
            currency=currency,
        )
    return amount


def has_more_digits(amount: Decimal, digits: int) -> bool:
    """Whether an amount has a non-zero digit beyond the first *digits* decimal places."""
    exponent = amount.normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent > digits


def net_lines(lines: Iterable[PostingLine]) -> list[PostingLine]:
    """The lines with one per account: several on the same account become their net, nothing if they cancel out.

    Sorted by account, so that the same booking always looks the same. Raises `InvalidInput` when one account appears
    in two currencies.
    """
    signed: dict[int, Decimal] = defaultdict(Decimal)
    currencies: dict[int, str] = {}
    for line in lines:
        if currencies.setdefault(line.account_id, line.currency) != line.currency:
            raise InvalidInput(
                "One account cannot be booked in two currencies.", field="lines", account_id=line.account_id
            )
        signed[line.account_id] += line.amount if line.side == "D" else -line.amount
    return [
        PostingLine(
            account_id=account_id,
            side="D" if amount > 0 else "C",
            amount=abs(amount),
            currency=currencies[account_id],
        )
        for account_id, amount in sorted(signed.items())
        if amount
    ]


def checked_lines(draft: EntryDraft) -> list[PostingLine]:
    """The net lines of a draft that may be booked. Raises `InvalidInput` naming what is wrong with it."""
    check_entry(draft, lines=len(draft.lines))
    for line in draft.lines:
        if line.side not in ("D", "C"):
            raise InvalidInput(f"A side is D or C, not {line.side!r}.", field="side", value=str(line.side))
        checked_amount(line.amount, line.currency)
    lines = net_lines(draft.lines)
    if not lines:
        raise InvalidInput(
            "The lines cancel each other out; there is nothing to book.", field="lines", code="empty_entry"
        )
    for currency, difference in differences_by_currency(lines).items():
        raise InvalidInput(
            f"The entry does not balance in {currency}: debits exceed credits by {difference}.",
            code="entry_does_not_balance",
            field="lines",
            currency=currency,
            difference=str(difference),
        )
    return lines


def check_entry(draft: EntryDraft, *, lines: int) -> None:
    """Refuses what may not be said of an entry, whatever its lines are, as `InvalidInput`."""
    if not draft.idempotency_key or len(draft.idempotency_key) > 160:
        raise InvalidInput("An entry needs a key of 1 to 160 characters.", field="idempotency_key")
    if not 1 <= lines <= MAXIMUM_LINES:
        raise InvalidInput(f"An entry has 1 to {MAXIMUM_LINES} lines, not {lines}.", field="lines")
    if draft.refers_to_day is not None and draft.refers_to_day >= draft.business_day:
        raise InvalidInput("An adjustment refers to an earlier day.", field="refers_to_day")


def differences_by_currency(lines: Iterable[PostingLine]) -> dict[str, Decimal]:
    """Debits less credits in every currency in which they are not equal."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        sums[line.currency] += line.amount if line.side == "D" else -line.amount
    return {currency: difference for currency, difference in sorted(sums.items()) if difference}


def reversed_lines(lines: Sequence[PostingLine]) -> tuple[PostingLine, ...]:
    """The same amounts on the other sides."""
    return tuple(
        PostingLine(
            account_id=line.account_id,
            side="C" if line.side == "D" else "D",
            amount=line.amount,
            currency=line.currency,
        )
        for line in lines
    )


def input_hash(draft: EntryDraft, lines: Sequence[PostingLine]) -> bytes:
    """What an idempotency key stands for: SHA-256 over the request.

    Only the concerned day counts, not the day in whose books it ends: a repeat that comes after that day was closed is
    still the same request. The description is for people and may be worded differently.
    """
    return hashlib.sha256(hashed_text(draft, lines).encode()).digest()


def hashed_text(draft: EntryDraft, lines: Sequence[PostingLine]) -> str:
    """The text of which `input_hash` is the digest; the lines come last."""
    return _text(
        [
            draft.entity_id,
            draft.kind,
            draft.concerned_day.isoformat(),
            draft.source_type,
            draft.source_id,
            draft.reason,
            draft.reverses_id,
            [[line.account_id, line.side, _plain(line.amount), line.currency] for line in lines],
        ]
    )


def hold_hash(*, account_id: int, amount: Decimal, reason: str) -> bytes:
    """What the key of a hold stands for."""
    return _digest([account_id, _plain(amount), reason])


def _digest(parts: list[object]) -> bytes:
    return hashlib.sha256(_text(parts).encode()).digest()


def _text(parts: list[object]) -> str:
    return json.dumps(parts, separators=(",", ":"), ensure_ascii=True)


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
