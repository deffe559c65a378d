"""Rules of manual journals: which kinds of account people may book on, what lines are, and how a file of them is read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError, InvalidInput
from funding.ledger.chart import AccountKind
from funding.ledger.rules import checked_amount, differences_by_currency, net_lines
from funding.ledger.types import PostingLine

MAXIMUM_LINES = 500
MAXIMUM_DESCRIPTION = 200
MAXIMUM_FILE_BYTES = 500_000
MAXIMUM_FAULTS = 100
CSV_COLUMNS = ("account", "debit", "credit", "currency")

_NOT_BY_HAND: dict[AccountKind, str] = {
    AccountKind.CLIENT_LIABILITY: "it follows the trading server; correct the balance there.",
    AccountKind.CLIENT_CREDIT: "it follows the trading server; correct the credit there.",
    AccountKind.PARTNER_ACCRUED: "it follows the settlement of commissions; correct the agreement or the trade.",
    AccountKind.PARTNER_PAYABLE: "it follows approved statements of partners.",
    AccountKind.PARTNER_WALLET: "it follows the partner's payouts.",
    AccountKind.FX_REVALUATION: "it follows balances and rates; revalue the day.",
    AccountKind.UNREALISED_FX: "it follows balances and rates; revalue the day.",
}
_CLIENT_MONEY = frozenset({AccountKind.CLIENT_WALLET, AccountKind.CLIENT_RECEIVABLE})


def refusal_of_kind(kind: AccountKind) -> str:
    """Why nobody books on a kind of account by hand; empty where people may."""
    return _NOT_BY_HAND.get(kind, "")


def is_client_money(kind: AccountKind) -> bool:
    """Whether a kind takes the capability for client money."""
    return kind in _CLIENT_MONEY


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line of a journal: an account, a side (D or C), an amount above zero, and the account's currency."""

    account_id: int
    side: str
    amount: Decimal
    currency: str

    def as_json(self) -> dict[str, Any]:
        """As a change request keeps it."""
        return {
            "account_id": self.account_id,
            "side": self.side,
            "amount": f"{self.amount.normalize():f}",
            "currency": self.currency,
        }

    @classmethod
    def of_json(cls, line: Mapping[str, Any]) -> JournalLine:
        """As a change request kept it."""
        try:
            return cls(int(line["account_id"]), str(line["side"]), Decimal(str(line["amount"])), str(line["currency"]))
        except (KeyError, ValueError, InvalidOperation, TypeError) as error:
            raise InvalidInput("A line has an account, a side, an amount and a currency.", field="lines") from error


def check_lines(lines: Sequence[JournalLine]) -> None:
    """Refuses lines that make no journal: fewer than two, a side or amount that cannot be, a currency out of balance."""
    if not 2 <= len(lines) <= MAXIMUM_LINES:
        raise InvalidInput(f"A journal has 2 to {MAXIMUM_LINES} lines.", field="lines", code="wrong_number_of_lines")
    for number, line in enumerate(lines, start=1):
        if line.side not in ("D", "C"):
            raise InvalidInput("A line is a debit or a credit.", row=number, field="side", value=line.side)
        try:
            checked_amount(line.amount, line.currency)
        except DomainError as error:
            raise InvalidInput(error.message, code=error.code, row=number, field="amount") from error
    postings = [_posting(line) for line in lines]
    differences = differences_by_currency(postings)
    if differences:
        text = ", ".join(f"{difference:f} {currency}" for currency, difference in differences.items())
        raise InvalidInput(
            f"Debits exceed credits by {text}.", code="entry_does_not_balance", field="lines", differences=text
        )
    if not net_lines(postings):
        raise InvalidInput("The lines cancel each other out.", code="empty_entry", field="lines")


def postings_of(lines: Sequence[JournalLine]) -> list[PostingLine]:
    """The lines as the ledger takes them."""
    return [_posting(line) for line in lines]


def read_file(data: bytes) -> list[tuple[int, dict[str, str]]]:
    """The rows of a journal's CSV file (`account,debit,credit,currency`) with their line numbers."""
    if len(data) > MAXIMUM_FILE_BYTES:
        raise InvalidInput(f"At most {MAXIMUM_FILE_BYTES} bytes.", field="file", code="file_too_large")
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        names = [name.strip() for name in reader.fieldnames or []]
        if sorted(names) != sorted(CSV_COLUMNS):
            raise InvalidInput(
                f"The first line names the columns {', '.join(CSV_COLUMNS)}.", field="file", code="unreadable_file"
            )
        reader.fieldnames = names
        rows: list[Any] = []
        for row in reader:
            if len(rows) == MAXIMUM_LINES:
                raise InvalidInput(f"At most {MAXIMUM_LINES} lines.", field="file", code="file_too_large")
            if None in row or any(value is None for value in row.values()):
                raise InvalidInput(
                    "The row has another number of columns than the first line.", row=reader.line_num, field="file"
                )
            rows.append((reader.line_num, {name: str(value).strip() for name, value in row.items()}))
    except UnicodeDecodeError as error:
        raise InvalidInput("The file is not UTF-8 text.", field="file", code="unreadable_file") from error
    except csv.Error as error:
        raise InvalidInput(f"The file is no CSV: {error}.", field="file", code="unreadable_file") from error
    if not rows:
        raise InvalidInput("The file has no rows.", field="file", code="unreadable_file")
    return rows


def side_and_amount(debit: str, credit: str) -> tuple[str, Decimal]:
    """The side and the amount of a row with a debit and a credit column. Raises InvalidInput naming the column."""
    if bool(debit) == bool(credit):
        raise InvalidInput("A line has either a debit or a credit.", field="debit")
    side, text, field = ("D", debit, "debit") if debit else ("C", credit, "credit")
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput("An amount is written as 1234.56.", field=field, value=text) from error
    if not amount.is_finite() or amount <= 0:
        raise InvalidInput("An amount is above zero.", field=field, value=text)
    return side, amount


def checked_currency(text: str) -> str:
    """The code of a currency; raises InvalidInput naming the field."""
    try:
        return Currency.of(text).code
    except InvalidInput as error:
        raise InvalidInput(error.message, field="currency", value=text) from error


def _posting(line: JournalLine) -> PostingLine:
    return PostingLine(line.account_id, "D" if line.side == "D" else "C", line.amount, line.currency)
