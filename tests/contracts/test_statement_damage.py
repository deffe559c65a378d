"""Hostile and damaged files: refused with a sentence, never half read, never an exception of another kind."""

from __future__ import annotations

import io
import random
import zipfile
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import read_statement, reader, workbook, write_deals_csv
from platform_ops.gateways.statements.fields import read_amount, read_level, read_number, read_ticket
from tests.contracts.statement_builders import (
    mt4_cancelled,
    mt4_money,
    mt4_statement,
    mt4_trade,
    mt5_deal,
    mt5_position,
    mt5_report,
)

MT4_PAGE = mt4_statement(
    closed=mt4_money(1, "balance", "1 000.00", "Deposit")
    + mt4_trade(11, "buy", "0.10", "10.00", magic=7, comment="trend[tp]")
    + mt4_cancelled(12),
    opened=mt4_trade(13, "sell", "0.20", "-5.00", closed="&nbsp;"),
    closed_pl="10.00",
    deposit="1 000.00",
    floating="-5.00",
    balance="1 010.00",
    equity="1 005.00",
    gross=("10.00", "0.00", "10.00", 1),
).encode()
MT5_FILE = mt5_report(
    [
        mt5_deal(1, "balance", 100, 100),
        mt5_deal(2, "buy", 0, 100, symbol="EURUSD", entry="in", lots="0.1", price=1.1, order=20),
        mt5_deal(3, "sell", 10, 110, symbol="EURUSD", entry="out", lots="0.1", price=1.101, order=21,
                 at="2024.03.04 12:00:00"),
    ],
    positions=[mt5_position(20, "buy", "0.1", 10)],
    balance=110,
    equity=110,
    gross=(10, 10, 0),
    trades=1,
)  # fmt: skip
CSV_FILE = write_deals_csv(read_statement(MT4_PAGE, filename="statement.htm"))
FILES = {"statement.htm": MT4_PAGE, "report.xlsx": MT5_FILE, "deals.csv": CSV_FILE}


@pytest.mark.parametrize("name", ["statement.htm", "deals.csv"])
def test_text_files_cut_at_every_byte_are_refused_or_whole(name):
    data = FILES[name]
    whole = read_statement(data, filename=name)
    for cut in range(len(data)):
        try:
            assert read_statement(data[:cut], filename=name) == whole
        except InvalidInput:
            assert cut < len(data.rstrip())


@given(cut=st.integers(min_value=0, max_value=len(MT5_FILE) - 1))
@hypothesis_settings(max_examples=100, deadline=None)
def test_spreadsheet_cut_at_any_byte_is_refused(cut):
    with pytest.raises(InvalidInput):
        read_statement(MT5_FILE[:cut], filename="report.xlsx")


@pytest.mark.parametrize("name", sorted(FILES))
def test_changed_bytes_never_raise_anything_but_a_refusal(name):
    # given: a fixed seed, so that a failure can be repeated
    random_bytes = random.Random(20240304)
    for _ in range(300):
        data = bytearray(FILES[name])
        for _ in range(random_bytes.randint(1, 4)):
            data[random_bytes.randrange(len(data))] = random_bytes.randrange(256)
        try:
            read_statement(bytes(data), filename=name)
        except InvalidInput as error:
            assert error.message
            assert error.details["file"] == name


def test_damaged_content_of_a_sound_archive_is_refused():
    # The archive's own checks pass here; what it holds does not.
    random_bytes = random.Random(7)
    with zipfile.ZipFile(io.BytesIO(MT5_FILE)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(150):
        name = random_bytes.choice(sorted(parts))
        content = bytearray(parts[name])
        content[random_bytes.randrange(len(content))] = random_bytes.randrange(256)
        try:
            read_statement(archived({**parts, name: bytes(content)}), filename="report.xlsx")
        except InvalidInput as error:
            assert error.message


def archived(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@given(data=st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace"))))
@hypothesis_settings(max_examples=200, deadline=None)
def test_any_other_bytes_are_refused(data):
    with pytest.raises(InvalidInput):
        read_statement(data, filename="anything")


def test_what_is_no_statement_is_named_so():
    for data in (b"", b"%PDF-1.7", b"<html><body>Hello</body></html>", b"a,b\n1,2\n"):
        with pytest.raises(InvalidInput, match="not a trading statement"):
            read_statement(data, filename="letter.pdf")


def test_content_decides_and_not_the_name():
    assert read_statement(MT5_FILE, filename="renamed.htm").account == "2002"
    assert read_statement(MT4_PAGE, filename="renamed.xlsx").account == "1001"


def test_archives_made_to_burst_are_refused_unopened(monkeypatch):
    zeros = archived({"xl/worksheets/sheet1.xml": b"0" * (workbook.RATIO_CHECKED_FROM_BYTES + 1)})
    with pytest.raises(InvalidInput, match="far more than a report"):
        read_statement(zeros, filename="bomb.xlsx")
    many = archived({f"file{number}": b"" for number in range(workbook.MAX_ARCHIVE_FILES + 1)})
    with pytest.raises(InvalidInput, match="more than 200 files"):
        read_statement(many, filename="bomb.xlsx")
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        read_statement(MT5_FILE, filename="report.xlsx")


def test_sheet_that_claims_endless_rows_is_refused(monkeypatch):
    monkeypatch.setattr(workbook, "MAX_ROWS", 10_000)
    with zipfile.ZipFile(io.BytesIO(MT5_FILE)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    parts[name] = parts[name].replace(b'<row r="9"', b'<row r="999999999"')
    with pytest.raises(InvalidInput, match="more than 10000 rows"):
        read_statement(archived(parts), filename="bomb.xlsx")


def test_entity_expansion_is_refused():
    with zipfile.ZipFile(io.BytesIO(MT5_FILE)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    parts[name] = bomb + parts[name].removeprefix(b"<?xml version='1.0' encoding='UTF-8'?>")
    with pytest.raises(InvalidInput, match="damaged"):
        read_statement(archived(parts), filename="bomb.xlsx")


def test_large_files_are_refused_by_size(monkeypatch):
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 100)
    with pytest.raises(InvalidInput, match="larger than 100 bytes"):
        read_statement(MT4_PAGE, filename="statement.htm")


@pytest.mark.parametrize(
    ("printed", "number"),
    [
        ("-1 186 728", "-1186728"),
        ("255 000.00", "255000.00"),
        ("1\u00a0234.50", "1234.50"),
        ("1\u202f234", "1234"),
        ("1,234.56", "1234.56"),
        ("1,234,567", "1234567"),
        ("1.234,56", "1234.56"),
        ("12,5", "12.5"),
        ("\u221212.50", "-12.50"),
        ("- 40", "-40"),
        ("+7", "7"),
        ("0.00", "0"),
        ("-0.00", "0"),
    ],
)
def test_numbers_as_terminals_print_them(printed, number):
    assert read_number(printed, row=1, field="x") == Decimal(number)
    assert not read_number("-0.00", row=1, field="x").is_signed()


@pytest.mark.parametrize(
    "printed", ["", "-", "1 23", "1 2345", "1.2.3", "12a", "1e5", "0x1F", "Infinity", "１２", "1,23,456", None]
)
def test_what_is_no_number_is_refused(printed):
    with pytest.raises(InvalidInput) as refused:
        read_number(printed, row=3, field="Profit")
    assert (refused.value.details["row"], refused.value.details["field"]) == (3, "Profit")


def test_a_lone_comma_group_is_thousands_in_money_and_refused_in_prices():
    assert read_amount("10,352", row=1, field="Profit") == Decimal(10352)
    with pytest.raises(InvalidInput, match="thousands or decimals"):
        read_number("154,541", row=1, field="Price")


def test_levels_and_tickets():
    assert read_level("0.00000", row=1, field="S / L") is None
    assert read_level(None, row=1, field="S / L") is None
    assert read_ticket(Decimal("2056124181"), row=1, field="Deal") == 2056124181
    for bad in ("9" * 19, "9" * 30, "-1", Decimal("1.5"), "12 x"):
        with pytest.raises(InvalidInput):
            read_ticket(bad, row=1, field="Deal")
