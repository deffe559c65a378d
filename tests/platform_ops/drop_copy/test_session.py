"""The session by itself: two of them wired together in memory, and single ones given what no peer should send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.fix import read_message
from platform_ops.gateways.fix.connector import ProviderName, check_message, check_options, provider_names
from platform_ops.gateways.fix.framing import Framer, encode, original_of, stamp
from platform_ops.gateways.fix.messages import MAX_MESSAGE_BYTES
from platform_ops.gateways.fix.session import MAX_ASKED, Ending, Phase, Role, Session, Terms

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OURS = Terms(sender="HOUSE", target="LP", username="user", password="secret", heartbeat=30)
THEIRS = Terms(sender="LP", target="HOUSE", username="user", password="secret", role=Role.ACCEPTOR)


def ours(**more: Any) -> Session:
    terms = {name: more.pop(name) for name in list(more) if name in Terms.__dataclass_fields__}
    return Session(replace(OURS, **terms), wall=lambda: NOW, check=check_message, **more)


def theirs(**more: Any) -> Session:
    return Session(THEIRS, wall=lambda: NOW, **more)


def talk(one: Session, other: Session, now: float = 0.0) -> None:
    """Carries bytes both ways until nobody has anything to say."""
    for _ in range(50):
        first, second = one.outgoing(), other.outgoing()
        if not first and not second:
            return
        other.receive(first, now)
        one.receive(second, now)
    raise AssertionError("they never end")


def logged_on(**more: Any) -> tuple[Session, Session]:
    house, lp = ours(**more), theirs()
    lp.start(0.0)
    house.start(0.0)
    talk(house, lp)
    assert house.phase is lp.phase is Phase.LIVE
    return house, lp


def said(kind: str, number: int, *fields: tuple[int, str | int], **header: Any) -> bytes:
    """A message of the provider."""
    more = [(43, "Y"), (122, stamp(NOW))] if header.get("again") else []
    return encode(
        [
            (35, kind), (49, header.get("sender", "LP")), (56, header.get("target", "HOUSE")), (34, number), *more,
            (52, stamp(header.get("at", NOW))), *fields,
        ],
        begin=header.get("begin", "FIX.4.4"),
    )  # fmt: skip


def kinds(session: Session) -> list[str]:
    """The kinds of what is about to go, which is then gone."""
    return [message.kind for message in Framer().feed(session.outgoing())]


def last_text(session: Session) -> str:
    return Framer().feed(session.outgoing())[-1].get(58)


def fill(number: int, **more: Any) -> bytes:
    order = ((37, "O1"), (17, f"E{number}"), (150, "F"), (39, "1"), (54, 1), (55, "EUR/USD"), (32, 1), (31, "1.1"))
    return said("8", number, *order, (14, number), (151, 0), (60, stamp(NOW)), **more)


def numbers(session: Session) -> list[int]:
    return [message.sequence for message in session.received]


def test_they_log_on_and_out() -> None:
    house, lp = logged_on()
    assert (house.next_in, house.next_out, lp.next_in, lp.next_out) == (2, 2, 2, 2)

    house.stop(1.0)
    talk(house, lp)

    assert house.ending is Ending.WANTED
    assert lp.ending is Ending.PEER_LEFT
    assert (house.next_in, house.next_out) == (lp.next_out, lp.next_in) == (3, 3)


def test_a_wrong_password_is_told_and_needs_a_person() -> None:
    house, lp = ours(password="guess"), theirs()
    lp.start(0.0)
    house.start(0.0)
    talk(house, lp)

    assert (house.ending, lp.ending) == (Ending.REFUSED, Ending.REFUSED)
    assert "unknown user or wrong password" in house.problem


def test_a_live_session_keeps_itself_alive_and_notices_silence() -> None:
    house, lp = logged_on()
    house.tick(30.0)
    assert kinds(house) == ["0"]
    house.tick(36.5)
    assert kinds(house) == ["1"]
    house.tick(37.0)
    assert kinds(house) == []
    lp.send(38.0, "8", (58, "x"))
    house.receive(lp.outgoing(), 38.0)
    assert house.phase is Phase.LIVE
    house.tick(38.0 + 75.0)
    assert house.ending is Ending.SILENT


def test_a_test_request_is_answered_with_its_own_words() -> None:
    house, _ = logged_on()
    house.receive(said("1", 2, (112, "are you there")), 1.0)
    answer = Framer().feed(house.outgoing())[0]
    assert (answer.kind, answer.get(112)) == ("0", "are you there")


def test_what_is_missing_comes_again_in_order_and_once() -> None:
    house, lp = logged_on()
    for number in range(3):
        lp.send(1.0, "8", (58, str(number)))
    lp.tick(31.0)  # a heartbeat among them is filled, not repeated
    lp.send(31.0, "8", (58, "3"))
    lp.outgoing()  # all of it is lost
    lp.send(32.0, "8", (58, "4"))

    talk(house, lp, 32.0)

    assert [message.get(58) for message in house.received] == ["0", "1", "2", "3", "4"]
    assert (house.gap_to, house.next_in) == (0, lp.next_out)
    assert [message.get(43) for message in house.received] == ["Y"] * 5


def test_a_logon_that_is_ahead_tells_what_was_missed() -> None:
    first, lp = logged_on()
    for number in range(4):
        lp.send(1.0, "8", (58, str(number)))
    lp.outgoing()
    again = theirs(next_in=lp.next_in, next_out=lp.next_out)
    again._sent = lp._sent
    house = ours(next_in=first.next_in, next_out=first.next_out)
    again.start(2.0)
    house.start(2.0)
    talk(house, again, 2.0)

    assert [message.get(58) for message in house.received] == ["0", "1", "2", "3"]
    assert house.phase is Phase.LIVE
    assert house.gap_to == 0


def test_a_provider_that_fills_only_a_part_is_asked_again_and_in_the_end_given_up() -> None:
    house, _ = logged_on(resend_seconds=10.0)
    house.receive(fill(9), 1.0)
    assert kinds(house) == ["2"]
    house.receive(fill(2, again=True) + fill(3, again=True), 2.0)
    house.tick(13.0)
    request = Framer().feed(house.outgoing())[-1]
    assert (request.kind, request.get(7), request.get(16)) == ("2", "4", "0")
    for turn in range(2, MAX_ASKED + 2):
        house.tick(13.0 + 11.0 * turn)
        house._last_in = 13.0 + 11.0 * turn

    assert house.ending is Ending.REFUSED
    assert "Message 4 was asked for" in house.problem
    assert numbers(house) == [2, 3]


def test_too_low_is_refused_unless_it_is_a_repetition() -> None:
    house, _ = logged_on()
    house.receive(fill(2) + fill(2, again=True), 1.0)
    assert (house.phase, numbers(house), house.repeated) == (Phase.LIVE, [2], 1)

    house.receive(fill(1), 2.0)

    assert house.ending is Ending.REFUSED
    assert "MsgSeqNum too low, expecting 3 but received 1" in house.problem
    assert "too low" in last_text(house)


def test_a_gap_fill_moves_on_and_never_back() -> None:
    house, _ = logged_on()
    house.receive(said("4", 2, (123, "Y"), (36, 10), again=True), 1.0)
    assert house.next_in == 10

    house.receive(said("4", 10, (123, "Y"), (36, 4), again=True), 1.0)

    assert house.next_in == 10
    assert kinds(house) == ["3", "2"]


def test_a_reset_moves_the_numbers_on_whatever_its_own_is_and_never_back() -> None:
    house, _ = logged_on()
    house.receive(said("4", 99, (36, 50)), 1.0)
    assert (house.next_in, house.resets, house.phase) == (50, 1, Phase.LIVE)

    house.receive(said("4", 50, (36, 5)), 1.0)

    assert (house.next_in, kinds(house)) == (50, ["3"])


def test_a_logon_in_the_middle_may_begin_new_numbers_for_both() -> None:
    house, _ = logged_on()
    house.receive(said("A", 1, (98, 0), (108, 30), (141, "Y")), 1.0)
    assert (house.next_in, house.next_out, kinds(house)) == (2, 2, ["A"])
    house.receive(said("A", 2, (98, 0), (108, 30)), 1.0)
    assert house.ending is Ending.REFUSED


def test_our_own_messages_are_filled_on_request_and_requests_beyond_them_rejected() -> None:
    house, _ = logged_on()
    house.tick(30.0)
    house.outgoing()
    house.receive(said("2", 2, (7, 1), (16, 0)), 31.0)
    gap = Framer().feed(house.outgoing())[0]
    assert (gap.kind, gap.get(123), gap.get(34), gap.get(36), gap.get(43)) == ("4", "Y", "1", "3", "Y")
    for begin, end in ((9, 0), (0, 0), (2, 1)):
        house.receive(said("2", house.next_in, (7, begin), (16, end)), 31.0)
        assert kinds(house) == ["3"]


def test_both_miss_something_and_both_get_it() -> None:
    house, _ = logged_on()
    house.receive(said("2", 5, (7, 1), (16, 0)), 1.0)
    assert kinds(house) == ["4", "2"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (said("0", 2, begin="FIX.4.2"), "speaks FIX.4.2"),
        (said("0", 2, sender="EVIL"), "sends as 'EVIL'"),
        (said("0", 2, target="OTHER"), "'OTHER'"),
        (said("0", 2, at=NOW - timedelta(minutes=10)), "clock is 600 s behind"),
        (encode([(35, "0"), (49, "LP"), (56, "HOUSE"), (52, stamp(NOW))]), "no sequence number"),
        (encode([(35, "0"), (49, "LP"), (56, "HOUSE"), (34, 2)]), "does not say when it was sent"),
        (encode([(35, "0"), (49, "LP"), (56, "HOUSE"), (34, 0), (52, stamp(NOW))]), "no sequence number"),
    ],
)  # fmt: skip
def test_what_cannot_be_agreed_on_ends_the_session_with_its_reason(data: bytes, words: str) -> None:
    house, _ = logged_on()
    house.receive(data, 1.0)

    assert house.ending is Ending.REFUSED
    assert words in house.problem
    assert last_text(house) == house.problem[:200]
    assert house.received == []


def test_the_first_message_is_a_logon() -> None:
    house = ours()
    house.start(0.0)
    house.receive(fill(1), 0.0)
    assert house.ending is Ending.REFUSED
    assert "no logon" in house.problem
    late = ours()
    late.start(0.0)
    late.tick(11.0)
    assert late.ending is Ending.SILENT


def test_a_message_that_cannot_be_read_counts_and_is_rejected() -> None:
    house, _ = logged_on()
    house.receive(said("8", 2, (37, "O"), (150, "F"), (32, "many"), (60, stamp(NOW))) + fill(3), 1.0)

    assert numbers(house) == [3]
    assert len(house.refused) == 1
    reject = Framer().feed(house.outgoing())[0]
    assert (reject.kind, reject.get(45), reject.get(371), reject.get(373)) == ("3", "2", "32", "6")


def test_garbled_bytes_between_messages_are_passed_over() -> None:
    framer = Framer()
    whole = fill(2)
    wrong_sum, too_short, too_long = whole[:-4] + b"000\x01", whole.replace(b"\x019=", b"\x019=9"), whole[:20]
    data = b"noise" + wrong_sum + whole + too_long + whole + too_short + whole + b"8=FI" + whole

    found = [message for at in range(0, len(data), 7) for message in framer.feed(data[at : at + 7])]

    assert len(found) == 4
    assert framer.garbled >= 4


def test_no_message_is_longer_than_the_bound() -> None:
    framer = Framer()
    framer.feed(b"8=FIX.4.4\x019=999999\x01" + b"x" * 1000)
    assert framer.waiting_bytes < 100
    framer.feed(b"8=FIX.4.4\x019=65000\x01")
    for _ in range(70):
        framer.feed(b"y" * 1000)
    assert framer.waiting_bytes <= MAX_MESSAGE_BYTES
    assert len(framer.feed(fill(1))) == 1


def test_a_repetition_reads_as_it_was_told_first() -> None:
    first = fill(5)
    again = read_message(fill(5, again=True, at=NOW + timedelta(hours=1)))
    assert original_of(again).shown() == read_message(first).shown()
    assert original_of(read_message(first)).shown() == read_message(first).shown()


TAGS = st.sampled_from([34, 36, 7, 16, 123, 43, 112, 122, 141, 108, 52, 35, 32, 31, 14, 58, 554, 49])
VALUES = st.one_of(
    st.sampled_from(["Y", "N", "0", "1", "2", "3", "7", "-1", "999999999999999999", ""]), st.text(max_size=9)
)
PARTS = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda kind, number, pairs: said(kind, number, *((tag, v.replace("\x01", "")) for tag, v in pairs)),
        st.sampled_from(["A", "0", "1", "2", "3", "4", "5", "8", "AE", "j"]),
        st.integers(0, 6),
        st.lists(st.tuples(TAGS, VALUES), max_size=4),
    ),
    st.builds(lambda number: fill(number, again=number % 2 == 0), st.integers(1, 9)),
)


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(PARTS, max_size=12), cut=st.integers(1, 50), step=st.sampled_from([0.1, 5.0, 40.0]))
def test_no_peer_can_break_or_hang_it(parts: Sequence[bytes], cut: int, step: float) -> None:
    house = ours()
    house.start(0.0)
    house.receive(said("A", 1, (98, 0), (108, 30)), 0.0)
    data, now = b"".join(parts), 0.0
    before = house.next_in
    for at in range(0, len(data), cut):
        now += step
        out_before = house.next_out
        house.receive(data[at : at + cut], now)
        house.tick(now)
        assert house.next_out >= out_before or house.resets
        assert house.next_in >= before or house.resets
        before = house.next_in
        assert house._framer.waiting_bytes <= MAX_MESSAGE_BYTES
    assert len(numbers(house)) == len(set(numbers(house))) or house.resets
    sent = Framer().feed(house.outgoing())
    assert len(sent) <= 40 + 3 * len(parts)
    for turn in range(200):
        house.tick(now + 40.0 * turn)
    assert house.phase is Phase.ENDED or house.terms.heartbeat == 0


OPTIONS: dict[str, Any] = {"provider": "prime", "sender_comp_id": "HOUSE", "target_comp_id": "LP"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider": ""}, {"sender_comp_id": ""}, {"target_comp_id": "HOUSE"}, {"sender_comp_id": "A B"},
        {"sender_comp_id": "A|B"}, {"heartbeat_seconds": 0}, {"heartbeat_seconds": True}, {"side": "buy"},
        {"symbols": []}, {"symbols": {"EUR/USD": 5}}, {"symbols": {"": "EURUSD"}}, {"tls_ca": "no certificate"},
        {"nothing": 1},
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_options({**OPTIONS, **wrong})
    assert next(iter(wrong)) in f"{caught.value.message} {caught.value.details}"


def test_names_are_texts_or_numbers_of_a_source() -> None:
    whole = check_options({**OPTIONS, "symbols": {"4001/8": "EURUSD", "EUR/USD": "EURUSD"}})
    assert whole["heartbeat_seconds"] == 30
    assert provider_names(whole["symbols"]) == {
        ProviderName("8", "4001"): "EURUSD",
        ProviderName("", "EUR/USD"): "EURUSD",
    }
