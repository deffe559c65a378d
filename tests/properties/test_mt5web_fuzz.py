"""Whatever bytes a peer sends, the client ends in one of the gateway's errors or in an answer that is true to its types."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.errors import GatewayError, GatewayGarbled
from platform_ops.gateways.mt5web.client import Mt5WebGateway
from platform_ops.gateways.mt5web.connection import Limits
from platform_ops.gateways.mt5web.connection import Peer as Address
from platform_ops.gateways.mt5web.fields import Record, encode_command, parse_answer, parse_json
from platform_ops.gateways.mt5web.packets import encode_message, parse_header
from platform_ops.gateways.mt5web.records import (
    account_of,
    changed_symbol,
    deal_of,
    group_of,
    order_of,
    position_of,
    symbol_of,
    tick_of,
)
from tests.peers import MANAGER_PASSWORD, Peer, Talk

ZONE = ServerZone.parse("EET_US")
LONGEST_SECONDS = 5.0
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=24), st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from(["0", "1", "-1", "NaN", "1e5", "1e400", "0.00", "99999999999999999999", " 1", "١", "1_0", "+1"]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_refused(raw: bytes) -> None:
    try:
        answer = parse_answer(raw)
    except ValueError:
        return
    assert all(key == key.upper() for key in answer.parameters)


@given(st.binary(min_size=9, max_size=9))
def test_any_nine_bytes_are_a_header_or_refused(raw: bytes) -> None:
    try:
        header = parse_header(raw)
    except ValueError:
        return
    assert 0 <= header.length <= 0xFFFF
    assert 0 <= header.number <= 0x3FFF


@given(st.text(max_size=300))
def test_any_text_is_json_or_refused(text: str) -> None:
    try:
        value = parse_json(text)
    except (ValueError, ArithmeticError):
        return
    assert not isinstance(value, float)


@given(st.dictionaries(TEXT.filter(lambda key: key.strip() == key and key != "" and key == key.upper()), TEXT), TEXT)
def test_what_is_written_is_read(parameters: dict[str, str], body: str) -> None:
    answer = parse_answer(encode_command("ANY", parameters, body))

    # A carriage return at the end of the line's last value would be the line's own.
    assert answer.body == body
    assert dict(answer.parameters) == parameters


@given(st.binary(max_size=200_000), st.integers(0, 0x3FFF))
@settings(max_examples=15)
def test_packets_put_together_are_the_message(body: bytes, number: int) -> None:
    message, read = encode_message(body, number=number), b""
    while message:
        header = parse_header(message[:9])
        assert header.number == number
        read += message[9 : 9 + header.length]
        message = message[9 + header.length :]
        assert header.continues == bool(message)
    assert read == body


RIGHT: dict[str, dict[str, Any]] = {
    "deal": {
        "Deal": "17", "Login": "1006", "Action": "0", "Entry": "1", "Reason": "3", "Time": "1795176000", "TimeMsc": "1795176000123",
        "Order": "23", "PositionID": "17", "Symbol": "EURUSD", "Price": "1.34000", "PricePosition": "1.33", "Volume": "10000",
        "VolumeExt": "100000000", "Profit": "-12.50", "Storage": "0.00", "Commission": "-1.00", "Fee": "0.00", "Comment": "[sl]",
        "ContractSize": "100000.00", "RateProfit": "1.0", "RateMargin": "1.34", "ModifyFlags": "0",
    },
    "position": {
        "Position": "9", "Login": "5", "Symbol": "XAUUSD", "Action": "1", "TimeCreate": "1795176000", "PriceOpen": "2000.00",
        "PriceCurrent": "2001.00", "Volume": "500", "Profit": "-5.00", "Storage": "0.10",
    },
    "order": {
        "Order": "9", "Login": "5", "Symbol": "XAUUSD", "State": "4", "Type": "1", "TimeSetup": "1795176000",
        "TimeDone": "1795176001", "PriceOrder": "2000.00", "PriceCurrent": "2000.10", "VolumeInitial": "500", "VolumeCurrent": "0",
    },
    "group": {"Group": "real\\a", "Currency": "USD", "MarginMode": "2", "MarginCall": "100.00", "MarginStopOut": "50.00"},
    "user": {"Login": "5", "Group": "real\\a", "Name": "A", "Rights": "355", "Leverage": "100", "Registration": "1795176000"},
    "tick": {"Symbol": "EURUSD", "Bid": "1.1", "Ask": "1.2", "Datetime": "1795176000"},
    "symbol": {
        "Symbol": "EURUSD", "Digits": "5", "ContractSize": "100000.0", "CurrencyBase": "EUR", "CurrencyProfit": "USD",
        "CurrencyMargin": "EUR", "CalcMode": "0", "TradeMode": "4", "SwapMode": "1", "SwapLong": "-7.2", "SwapShort": "1",
        "VolumeMin": "100", "VolumeMax": "1000000", "VolumeStep": "100", "SwapRateWednesday": "3",
        "SessionsTrades": [[], [{"Open": "0", "Close": "1440"}]], "TimeExpiration": "0",
    },
}  # fmt: skip
READERS: dict[str, Any] = {
    "deal": lambda record: deal_of(record, ZONE),
    "position": lambda record: position_of(record, ZONE),
    "order": lambda record: order_of(record, ZONE),
    "group": group_of,
    "user": lambda record: account_of(record, record, "USD", ZONE),
    "tick": lambda record: tick_of(record, ZONE),
    "symbol": symbol_of,
}


@pytest.mark.parametrize("kind", sorted(RIGHT))
def test_what_is_right_is_read(kind: str) -> None:
    assert READERS[kind](Record(RIGHT[kind], "LIVE-1", "ANY")) is not None


@pytest.mark.parametrize("kind", sorted(RIGHT))
@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.differing_executors])
def test_any_value_in_any_field_is_read_or_refused_by_name(kind: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(RIGHT[kind])))
    value = data.draw(SCALARS)
    record = Record({**RIGHT[kind], name: value}, "LIVE-1", "ANY")

    try:
        READERS[kind](record)
    except GatewayGarbled as error:
        assert error.details["server"] == "LIVE-1"
        assert error.details["field"]


@given(
    st.dictionaries(
        st.sampled_from(["swap_long", "lots_step", "digits", "trade_sessions", "expires_on", "swap_mode"]), SCALARS
    )
)
@settings(max_examples=60)
def test_any_change_of_a_symbol_is_written_as_it_reads_or_refused(changes: dict[str, object]) -> None:
    from backoffice.kernel.errors import InvalidInput

    record = Record(RIGHT["symbol"], "LIVE-1", "SYMBOL_GET")
    try:
        written = changed_symbol(record, changes)
    except InvalidInput as error:
        assert error.details["field"] in changes
        return
    json.dumps(written, default=str)
    assert symbol_of(Record(written, "LIVE-1", "SYMBOL_GET"))


@pytest.fixture(scope="module")
def hostile() -> Iterator[Peer]:
    running = Peer(lambda talk: None)
    yield running
    running.close()


GOOD = f"DEAL_GET_BATCH|RETCODE=0 Done|\r\n[{json.dumps(RIGHT['deal'])}]"


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_peer_that_sends_anything_ends_within_the_bound(hostile: Peer, data: st.DataObject) -> None:
    how = data.draw(st.sampled_from(["noise", "flipped", "cut", "repeated"]))
    noise = data.draw(st.binary(max_size=300))
    at = data.draw(st.integers(0, 400))

    def script(talk: Talk) -> None:
        talk.authenticate()
        talk.hear()
        body = GOOD.encode("utf-16-le")
        whole = bytearray(b"%04x%04x0" % (len(body), talk.number) + body)
        if how == "noise":
            whole = bytearray(noise)
        elif how == "flipped":
            whole[at % len(whole)] ^= 1 + (at % 255)
        elif how == "cut":
            del whole[at % len(whole) :]
        else:
            whole = whole * 2
        talk.raw(bytes(whole))

    hostile.play(script)
    limits = Limits(connect_seconds=1.0, answer_seconds=0.25, answer_bytes=1 << 16)
    gateway = Mt5WebGateway(
        peer=Address("LIVE-1", "127.0.0.1", hostile.port, "1000", MANAGER_PASSWORD, limits), zone=ZONE
    )
    now = datetime.fromtimestamp(1795176000, UTC)
    started = time.monotonic()
    try:
        deals = list(gateway.deals(from_time=now - timedelta(hours=6), to_time=now + timedelta(hours=1)))
    except GatewayError as error:
        assert error.details["server"] == "LIVE-1"
    else:
        assert all(isinstance(deal.profit, Decimal) and deal.at.tzinfo is UTC for deal in deals)
    finally:
        gateway.close()
    assert time.monotonic() - started < LONGEST_SECONDS
