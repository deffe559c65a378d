"""Pure rules of payouts: how long a new way to be paid cools, and what the files for a bank look like."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree as Xml

from backoffice.kernel.currency import Currency

COOLS_FOR = timedelta(hours=48)
"""From the request of a new way to be paid until the first payment that may go there."""
MOST_PAYMENTS_IN_FILE = 1_000
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
# What every bank of the SEPA area takes; other letters are written with the nearest of these.
_NOT_TAKEN = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_LONGEST_NAME = 70
_LONGEST_TEXT = 140
CSV_HEADER = ("payment", "name", "account", "bic", "amount", "currency", "text")


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a file."""

    reference: str
    name: str
    account_number: str
    is_iban: bool
    bic: str
    amount: Decimal
    text: str


@dataclass(frozen=True, slots=True)
class Order:
    """A file for a bank: who pays, from which account, and on which day."""

    reference: str
    made_at: datetime
    execution_day: date
    payer: str
    account_number: str
    is_iban: bool
    bic: str
    currency: str
    payments: Sequence[Payment]

    @property
    def total(self) -> Decimal:
        """Everything that is paid."""
        return sum((payment.amount for payment in self.payments), Decimal(0))


def bank_text(text: str, *, longest: int = _LONGEST_TEXT) -> str:
    """The text in letters that banks take."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _NOT_TAKEN.sub(" ", plain).strip()[:longest].strip()


def pain_001(order: Order) -> bytes:
    """The order as a customer credit transfer initiation, pain.001.001.09."""
    Xml.register_namespace("", NAMESPACE)
    root = Xml.Element(f"{{{NAMESPACE}}}Document")
    message = _add(root, "CstmrCdtTrfInitn")
    head = _add(message, "GrpHdr")
    count, total = str(len(order.payments)), bank_amount(order.total, order.currency)
    _add(head, "MsgId", order.reference[:35])
    _add(head, "CreDtTm", order.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(head, "NbOfTxs", count)
    _add(head, "CtrlSum", total)
    _add(_add(head, "InitgPty"), "Nm", bank_text(order.payer, longest=_LONGEST_NAME))
    group = _add(message, "PmtInf")
    _add(group, "PmtInfId", order.reference[:35])
    _add(group, "PmtMtd", "TRF")
    _add(group, "NbOfTxs", count)
    _add(group, "CtrlSum", total)
    _add(_add(group, "ReqdExctnDt"), "Dt", order.execution_day.isoformat())
    _add(_add(group, "Dbtr"), "Nm", bank_text(order.payer, longest=_LONGEST_NAME))
    _account(group, "DbtrAcct", order.account_number, is_iban=order.is_iban)
    _bank(group, "DbtrAgt", order.bic, is_required=True)
    for payment in order.payments:
        _transfer(group, payment, order.currency)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="utf-8")


def payments_csv(order: Order) -> bytes:
    """The same payments as a table, for banks that take no pain.001."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow(CSV_HEADER)
    for payment in order.payments:
        rows.writerow(
            [
                payment.reference,
                bank_text(payment.name, longest=_LONGEST_NAME).lstrip("=+-@"),
                payment.account_number,
                payment.bic,
                bank_amount(payment.amount, order.currency),
                order.currency,
                bank_text(payment.text).lstrip("=+-@"),
            ]
        )
    return out.getvalue().encode()


def bank_amount(amount: Decimal, currency: str) -> str:
    """With the currency's decimals, such as 70.50 or 100.00; finer ones, which never leave the house, are not rounded off."""
    text = f"{amount:f}"
    needed = len(text.rstrip("0").partition(".")[2]) if "." in text else 0
    return f"{amount:.{max(Currency.of(currency).digits, needed)}f}"


def _transfer(group: Xml.Element, payment: Payment, currency: str) -> None:
    transfer = _add(group, "CdtTrfTxInf")
    _add(_add(transfer, "PmtId"), "EndToEndId", payment.reference[:35])
    amount = _add(_add(transfer, "Amt"), "InstdAmt", bank_amount(payment.amount, currency))
    amount.set("Ccy", currency)
    _bank(transfer, "CdtrAgt", payment.bic, is_required=False)
    _add(_add(transfer, "Cdtr"), "Nm", bank_text(payment.name, longest=_LONGEST_NAME))
    _account(transfer, "CdtrAcct", payment.account_number, is_iban=payment.is_iban)
    _add(_add(transfer, "RmtInf"), "Ustrd", bank_text(payment.text))


def _account(parent: Xml.Element, name: str, number: str, *, is_iban: bool) -> None:
    identity = _add(_add(parent, name), "Id")
    if is_iban:
        _add(identity, "IBAN", number)
    else:
        _add(_add(identity, "Othr"), "Id", number)


def _bank(parent: Xml.Element, name: str, bic: str, *, is_required: bool) -> None:
    if not bic and not is_required:
        return
    institution = _add(_add(parent, name), "FinInstnId")
    if bic:
        _add(institution, "BICFI", bic)
    else:
        _add(_add(institution, "Othr"), "Id", "NOTPROVIDED")


def _add(parent: Xml.Element, name: str, text: str = "") -> Xml.Element:
    child = Xml.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    if text:
        child.text = text
    return child
