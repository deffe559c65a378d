"""FIX messages: what holds together is read, what does not is refused by tag."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from platform_ops.gateways.errors import GatewayGarbled
from platform_ops.gateways.fix import FixMessage, read_message, split_messages

HEAD = ((49, "LP"), (56, "US"), (34, "7"), (52, "20261102-10:00:00.250"))


def fix(*fields: tuple[int, object], kind: str = "8") -> bytes:
    """A whole message of the provider LP."""
    body = "".join(f"{tag}={value}\x01" for tag, value in ((35, kind), *HEAD, *fields)).encode()
    start = b"8=FIX.4.4\x019=" + str(len(body)).encode() + b"\x01" + body
    return start + f"10={sum(start) % 256:03d}\x01".encode()


def captured() -> bytes:
    path = Path(settings.SAMPLE_DATA_DIR) / "fix44" / "lp_execution_reports.txt"
    if not path.exists():
        pytest.skip("The captured FIX messages are not here.")
    return path.read_bytes()


def test_every_captured_message_is_read() -> None:
    messages = [read_message(raw) for raw in split_messages(captured())]
    assert len(messages) == 15
    assert [message.kind for message in messages].count("8") == 14
    assert {message.get(49) for message in messages} == {"LMXBD", "FXCM"}
    fill = messages[1]
    assert (fill.number(32), fill.number(31), fill.get(48), fill.get(55)) == (
        Decimal(10),
        Decimal("1.3925"),
        "4001",
        "",
    )
    assert fill.moment(60) == datetime(2014, 3, 17, 19, 48, 33, 854000, tzinfo=UTC)
    assert "xxxxxxxx" not in messages[4].shown().replace("56=xxxxxxxx_client1", "").replace("523=xxxxxxxx", "")


@pytest.mark.parametrize("layout", ["{}", "20:04:21.291 <IN> {}\r\n", "<{}>\n", "{}\n\n"])
@pytest.mark.parametrize("separator", ["\x01", "|", "^A", "\u2401"])
def test_logs_are_split_whatever_stands_around_a_message(layout: str, separator: str) -> None:
    one, two = fix((37, "A"), (14, 1)), fix((37, "B"), (58, "x=y"))
    log = "".join(layout.format(raw.decode().replace("\x01", separator)) for raw in (one, two)).encode()
    if separator != "\x01" and "\n" not in layout:
        log = log.replace(b"8=FIX", b"\n8=FIX")
    assert [read_message(raw).get(37) for raw in split_messages(log)] == ["A", "B"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw.replace(b"14=1", b"14=2"), "sum is wrong"),
        (lambda raw: raw[:-9], "not as long as it says"),
        (lambda raw: raw.replace(b"\x0114=1", b"\x0114=11"), "not as long as it says"),
        (lambda raw: b"hello", "not a FIX message"),
        (lambda raw: b"8=FIX.4.4\x019=999999\x0135=8\x01", "not as long as it says"),
    ],
)
def test_a_message_that_does_not_hold_together_is_refused(change: object, told: str) -> None:
    with pytest.raises(GatewayGarbled, match=told):
        read_message(change(fix((37, "A"), (14, 1))))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("tag", "value", "told"),
    [
        (32, "1,5", "tag 32: not a number"),
        (32, "NaN", "tag 32"),
        (32, "1E40", "tag 32"),
        (60, "yesterday", "tag 60: not a time"),
    ],
)
def test_a_field_that_cannot_be_is_refused_by_its_tag(tag: int, value: str, told: str) -> None:
    message = read_message(fix((tag, value)))
    with pytest.raises(GatewayGarbled, match=told):
        message.number(tag) if tag == 32 else message.moment(tag)


def test_a_damaged_message_does_not_hide_the_next_one() -> None:
    good = fix((37, "B"))
    cut = fix((37, "A"), (58, "text"))[:-20]
    assert [raw == good for raw in split_messages(cut + good)] == [False, True]


def test_nested_groups_end_where_their_tags_end() -> None:
    raw = fix(
        (571, "T1"), (487, 0), (17, "X"), (55, "EUR/USD"), (32, 10000), (31, "1.2020"), (75, "20170101"), (64, "20170103"),
        (60, "20170101-10:00:00"), (552, 1), (54, 1), (37, "ORD"), (11, "CL"), (453, 2), (448, "BANK"), (447, "D"),
        (452, 1), (802, 1), (523, "A Person"), (803, 2), (448, "DESK"), (447, "D"), (452, 3), (1, "ACC"), (15, "EUR"),
        (120, "USD"), kind="AE",
    )  # fmt: skip
    message = read_message(raw)
    (side,) = message.groups(552, 54, frozenset({37, 11, 453, 448, 447, 452, 802, 523, 803, 1, 15, 120}))
    assert (side.get(37), side.get(1), side.get(120)) == ("ORD", "ACC", "USD")
    assert [party.get(448) for party in side.groups(453, 448, frozenset({447, 452, 802, 523, 803}))] == ["BANK", "DESK"]
    assert "A Person" not in message.shown()
    assert message.day(64) == date(2017, 1, 3)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 255))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes, place: int, byte: int) -> None:
    whole = bytearray(fix((37, "A"), (14, 1), (453, 1), (448, "P")))
    whole[place % len(whole)] = byte
    for data in (noise, bytes(whole), bytes(whole) + noise):
        for raw in split_messages(data):
            try:
                message = read_message(raw)
            except GatewayGarbled:
                continue
            assert isinstance(message, FixMessage)
            assert message.kind
