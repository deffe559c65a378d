"""A peer that lies, stalls or breaks off can neither hang nor crash the client: it ends in one of the gateway's errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import (
    GatewayError,
    GatewayGarbled,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUncertain,
)
from platform_ops.gateways.mt5web.client import Mt5WebGateway
from platform_ops.gateways.mt5web.connection import Limits
from platform_ops.gateways.mt5web.connection import Peer as Address
from platform_ops.types import DealKind
from tests.peers import MANAGER_PASSWORD, Peer, Script, Talk

LONGEST_SECONDS = 2.0
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DEAL = (
    '{"Deal":"17","Login":"1006","Action":"0","Entry":"0","Time":"1795176000","TimeMsc":"1795176000123","Order":"23",'
    '"PositionID":"17","Symbol":"EURUSD","Price":"1.34","Volume":"10000","VolumeExt":"100000000","Profit":"0.00"}'
)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    running = Peer(lambda talk: None)
    yield running
    running.close()


def gateway_to(peer: Peer, *, seconds: float = 0.4, answer_bytes: int = 1 << 20, batches: bool = True) -> Mt5WebGateway:
    limits = Limits(connect_seconds=1.0, answer_seconds=seconds, answer_bytes=answer_bytes)
    address = Address("LIVE-1", "127.0.0.1", peer.port, "1000", MANAGER_PASSWORD, limits)
    return Mt5WebGateway(peer=address, zone=ServerZone.parse("UTC"), asks_batches=batches)


def after_login(answer: Callable[[Talk], None]) -> Script:
    def script(talk: Talk) -> None:
        talk.authenticate()
        while talk.hear():
            answer(talk)

    return script


def ask_time(gateway: Mt5WebGateway) -> object:
    return gateway.clock()


def bounded(action: Callable[[], object]) -> GatewayError:
    started = time.monotonic()
    with pytest.raises(GatewayError) as caught:
        action()
    assert time.monotonic() - started < LONGEST_SECONDS
    assert "LIVE-1" in caught.value.message
    assert caught.value.details["server"] == "LIVE-1"
    return caught.value


LIES: dict[str, tuple[Callable[[Talk], None], type[GatewayError]]] = {
    "a length that is never filled": (lambda talk: talk.raw(b"ffff%04x0" % talk.number + b"A\x00"), GatewayUnavailable),
    "no hexadecimal digits": (lambda talk: talk.raw(b"zzzz00010" + b"A\x00" * 40), GatewayGarbled),
    "another packet's number": (lambda talk: talk.raw(b"0002%04x0A\x00" % (talk.number + 1)), GatewayGarbled),
    "numbers out of order": (
        lambda talk: talk.raw(b"0002%04x1A\x00" % talk.number + b"0002%04x0B\x00" % (talk.number + 5)),
        GatewayGarbled,
    ),
    "a continuation that never ends": (
        lambda talk: talk.raw((b"fffe%04x1" % talk.number + b"A\x00" * 0x7FFF) * 40),
        GatewayGarbled,
    ),
    "empty packets for ever": (lambda talk: talk.raw(b"000000000" * 5_000), GatewayGarbled),
    "tiny packets for ever": (lambda talk: talk.raw(b"0002%04x1A\x00" % talk.number * 30_000), GatewayGarbled),
    "one byte now and then": (lambda talk: talk.drip(b"00ff%04x0" % talk.number, seconds=0.1), GatewayUnavailable),
    "silence": (lambda talk: time.sleep(0.8), GatewayUnavailable),
    "half a letter": (lambda talk: talk.raw(b"0003%04x0abc" % talk.number), GatewayGarbled),
    "half of a pair": (lambda talk: talk.raw(b"0004%04x0\x00\xd8A\x00" % talk.number), GatewayGarbled),
    "a line that does not end": (lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|TIME=1"), GatewayGarbled),
    "an escape at the end": (lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|TIME=1\\"), GatewayGarbled),
    "another command": (lambda talk: talk.say("TIME_GET|RETCODE=0 Done|TIME=1|\r\n"), GatewayGarbled),
    "no return code": (lambda talk: talk.say("TIME_SERVER|TIME=1|\r\n"), GatewayGarbled),
    "a return code in words": (lambda talk: talk.say("TIME_SERVER|RETCODE=Done|TIME=1|\r\n"), GatewayGarbled),
    "a parameter twice": (lambda talk: talk.say("TIME_SERVER|RETCODE=0|RETCODE=1|TIME=1|\r\n"), GatewayGarbled),
    "a time in words": (lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|TIME=noon|\r\n"), GatewayGarbled),
    "a time of no number": (lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|TIME=NaN|\r\n"), GatewayGarbled),
    "a time in the year 5138": (
        lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|TIME=99999999999|\r\n"),
        GatewayGarbled,
    ),
    "no time": (lambda talk: talk.say("TIME_SERVER|RETCODE=0 Done|\r\n"), GatewayGarbled),
    "thousands of parameters": (
        lambda talk: talk.say("TIME_SERVER|" + "".join(f"P{n}=1|" for n in range(3_000)) + "\r\n"),
        GatewayGarbled,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_peer_that_breaks_the_protocol_is_given_up_within_the_bound(peer: Peer, lie: str) -> None:
    answer, expected = LIES[lie]
    peer.play(after_login(answer))
    gateway = gateway_to(peer)

    error = bounded(gateway.clock)

    assert isinstance(error, expected), error
    gateway.close()


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("[{}]", "Deal"),
        ("[" * 20_000, "JSON"),
        ('{"a":' * 20_000, "JSON"),
        ("[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]", "nested"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "Infinity"),
        ("[1e9999999999]", "no object"),
        ("[" + "9" * 6_000 + "]", "JSON"),
        ("not json", "JSON"),
        ("[1, 2]", "no object"),
        ('"text"', "no list"),
        (f"[{DEAL}", "JSON"),
        (f"[{DEAL.replace('1.34', 'NaN')}]", "Price"),
        (f"[{DEAL.replace('1.34', '1e400')}]", "Price"),
        (f"[{DEAL.replace('1.34', '9' * 19)}]", "Price"),
        (f"[{DEAL.replace('1006', '-5')}]", "Login"),
        (f"[{DEAL.replace('1006', '0x10')}]", "Login"),
        (f"[{DEAL.replace('EURUSD', 'EUR' + chr(92) + 'u0000USD')}]", "Symbol"),
        (f"[{DEAL.replace('EURUSD', 'EUR' + chr(92) + 'ud800')}]", "Symbol"),
        (f"[{DEAL.replace('EURUSD', 'E' * 33)}]", "Symbol"),
        ("[" + DEAL.replace('"Action":"0"', '"Action":"99"') + "]", "Action"),
        ("[" + DEAL.replace('"Entry":"0"', '"Entry":"7"') + "]", "Entry"),
        ("[" + DEAL.replace('"Profit":"0.00"', '"Profit":[1]') + "]", "Profit"),
        ("[" + DEAL.replace('"Profit":"0.00"', '"Profit":true') + "]", "Profit"),
        ("[" + DEAL.replace('"Deal":"17"', '"Deal":"9223372036854775808"') + "]", "Deal"),
        ("[" + DEAL.replace('"Deal":"17"', '"Deal":"0"') + "]", "Deal"),
        ("[" + DEAL.replace("1795176000123", "0").replace("1795176000", "0") + "]", "Time"),
    ],
)
def test_values_that_cannot_be_are_refused_with_their_field(peer: Peer, body: str, part: str) -> None:
    peer.play(after_login(lambda talk: talk.say(f"DEAL_GET_BATCH|RETCODE=0 Done|\r\n{body}")))
    gateway = gateway_to(peer)

    error = bounded(lambda: list(gateway.deals(from_time=NOW - timedelta(hours=2), to_time=NOW)))

    assert isinstance(error, GatewayGarbled)
    assert part in error.message
    gateway.close()


def test_a_bad_field_is_named_with_server_command_and_record(peer: Peer) -> None:
    broken = DEAL.replace('"Volume":"10000"', '"Volume":"ten"').replace('"VolumeExt":"100000000",', "")
    peer.play(after_login(lambda talk: talk.say(f"DEAL_GET_BATCH|RETCODE=0 Done|\r\n[{broken}]")))

    error = bounded(lambda: list(gateway_to(peer).deals(from_time=NOW - timedelta(hours=2), to_time=NOW)))

    assert error.message == "LIVE-1 answered DEAL_GET_BATCH with a Volume of deal 17 that is no number: 'ten'."
    assert error.details == {
        "server": "LIVE-1", "command": "DEAL_GET_BATCH", "subject": "deal 17", "field": "Volume", "value": "ten",
    }  # fmt: skip


def test_a_peer_that_does_not_know_the_password_is_not_believed(peer: Peer) -> None:
    def impostor(talk: Talk) -> None:
        talk.authenticate(password="something else")

    peer.play(impostor)

    error = bounded(gateway_to(peer).clock)

    assert isinstance(error, GatewayGarbled)
    assert "may not be the server" in error.message


@pytest.mark.parametrize("challenge", ["", "zz" * 16, "00" * 15, "00" * 4_000])
def test_a_challenge_that_cannot_be_is_refused(peer: Peer, challenge: str) -> None:
    def script(talk: Talk) -> None:
        talk.hear()
        talk.say(f"AUTH_START|RETCODE=0 Done|SRV_RAND={challenge}|\r\n")

    peer.play(script)

    assert isinstance(bounded(gateway_to(peer).clock), GatewayGarbled)


def test_a_wrong_password_is_a_refusal_that_says_so(peer: Peer) -> None:
    def script(talk: Talk) -> None:
        talk.hear()
        talk.say(f"AUTH_START|RETCODE=0 Done|SRV_RAND={'00' * 16}|\r\n")
        talk.hear()
        talk.say("AUTH_ANSWER|RETCODE=1001 Invalid account|\r\n")

    peer.play(script)

    error = bounded(gateway_to(peer).clock)

    assert isinstance(error, GatewayRefused)
    assert error.details["retcode"] == 1001
    assert MANAGER_PASSWORD not in repr(error)


def test_nobody_listening_is_unavailable(peer: Peer) -> None:
    closed = Peer(lambda talk: None)
    closed.close()

    assert isinstance(bounded(gateway_to(closed).clock), GatewayUnavailable)


def test_signs_of_life_before_and_within_an_answer_mean_nothing(peer: Peer) -> None:
    def answer(talk: Talk) -> None:
        line = "TIME_SERVER|RETCODE=0 Done|TIME=1315489916 2011.09.08 13:51:56|\r\n".encode("utf-16-le")
        alive, number = b"000000000", talk.number
        talk.raw(alive * 3 + b"%04x%04x1" % (20, number) + line[:20] + alive)
        talk.raw(b"%04x%04x0" % (len(line) - 20, number) + line[20:])

    peer.play(after_login(answer))

    assert gateway_to(peer).clock().utc == datetime(2011, 9, 8, 13, 51, 56, tzinfo=UTC)


def test_a_question_is_asked_once_more_when_an_idle_connection_was_dropped(peer: Peer) -> None:
    def once(talk: Talk) -> None:
        talk.authenticate()
        talk.hear()
        talk.say("TIME_SERVER|RETCODE=0 Done|TIME=1315489916|\r\n")

    peer.scripts = [once, once]
    gateway = gateway_to(peer)

    assert gateway.clock() == gateway.clock()


@pytest.mark.parametrize(
    "lie", ["silence", "half a letter", "another command", "no return code", "no hexadecimal digits"]
)
def test_an_order_whose_answer_is_lost_is_uncertain_and_sent_once(peer: Peer, lie: str) -> None:
    peer.play(after_login(LIES[lie][0]))
    gateway = gateway_to(peer)
    talks = len(peer.talks)

    error = bounded(
        lambda: gateway.balance_operation(login="7", kind=DealKind.BALANCE, amount=Decimal("5.00"), comment="DEP-1")
    )

    assert isinstance(error, GatewayUncertain)
    assert error.details["command"] == "TRADE_BALANCE"
    sent = [command for talk in peer.talks[talks:] for command in talk.commands if command.startswith("TRADE_BALANCE")]
    assert sent == ["TRADE_BALANCE|LOGIN=7|TYPE=2|BALANCE=5.00|COMMENT=DEP-1|CHECK_MARGIN=1|\r\n"]


@pytest.mark.parametrize("ticket", ["", "0", "-4", "abc", "9223372036854775808"])
def test_an_operation_that_is_done_without_a_ticket_is_uncertain(peer: Peer, ticket: str) -> None:
    peer.play(after_login(lambda talk: talk.say(f"TRADE_BALANCE|RETCODE=0 Done|TICKET={ticket}|\r\n")))

    error = bounded(
        lambda: gateway_to(peer).balance_operation(
            login="7", kind=DealKind.BALANCE, amount=Decimal("5.00"), comment="DEP-1"
        )
    )

    assert isinstance(error, GatewayUncertain)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(7, GatewayUncertain), (9, GatewayUncertain), (10, GatewayUncertain), (10012, GatewayUncertain),
     (12, GatewayUnavailable), (3, GatewayRefused), (8, GatewayRefused), (10019, GatewayRefused),
     (4242, GatewayRefused)],
)  # fmt: skip
def test_what_a_return_code_of_an_order_means(peer: Peer, code: int, expected: type[GatewayError]) -> None:
    peer.play(after_login(lambda talk: talk.say(f"TRADE_BALANCE|RETCODE={code} Words|\r\n")))

    error = bounded(
        lambda: gateway_to(peer).balance_operation(
            login="7", kind=DealKind.BALANCE, amount=Decimal("5.00"), comment="DEP-1"
        )
    )

    assert type(error) is expected
    assert error.details["retcode"] == code


@pytest.mark.parametrize(
    "given",
    [
        {"login": "7|TYPE=3"},
        {"login": ""},
        {"amount": Decimal(0)},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("Infinity")},
        {"amount": Decimal("0.000000001")},
        {"comment": "x" * 33},
        {"comment": "two\nlines"},
        {"kind": DealKind.BUY},
    ],
)
def test_an_operation_that_cannot_be_is_never_sent(peer: Peer, given: dict[str, object]) -> None:
    peer.play(after_login(lambda talk: None))
    talks = len(peer.talks)
    operation = {"login": "7", "kind": DealKind.BALANCE, "amount": Decimal(5), "comment": "DEP-1", **given}

    with pytest.raises(InvalidInput):
        gateway_to(peer).balance_operation(**operation)  # type: ignore[arg-type]

    assert len(peer.talks) == talks


def test_an_answer_that_is_too_large_is_asked_for_in_halves(peer: Peer) -> None:
    asked: list[tuple[int, int]] = []

    def answer(talk: Talk) -> None:
        command = talk.commands[-1]
        start, end = (int(command.partition(f"{name}=")[2].partition("|")[0]) for name in ("FROM", "TO"))
        asked.append((start, end))
        deals = [
            DEAL.replace('"17"', f'"{number}"')
            .replace("1795176000123", f"{number * 1000}")
            .replace("1795176000", str(number))
            for number in range(1795168800, 1795176000, 600)
            if start <= number <= end
        ]
        talk.say(f"DEAL_GET_BATCH|RETCODE=0 Done|\r\n[{','.join(deals)}]")

    peer.play(after_login(answer))
    gateway = gateway_to(peer, answer_bytes=2_500)
    start = datetime.fromtimestamp(1795168800, UTC)

    found = [deal.ticket for deal in gateway.deals(from_time=start, to_time=start + timedelta(hours=2))]

    assert found == list(range(1795168800, 1795176000, 600))
    assert len(asked) > 4


def test_without_batches_every_login_is_asked_page_by_page(peer: Peer) -> None:
    def answer(talk: Talk) -> None:
        command = talk.commands[-1]
        name = command.partition("|")[0]
        values = dict(part.split("=", 1) for part in command.strip().strip("|").split("|")[1:])
        if name.endswith("_BATCH"):
            talk.say(f"{name}|RETCODE=3 Invalid parameters|\r\n")
            return
        offset = int(values["OFFSET"])
        tickets = range(1 + offset, 1 + min(offset + int(values["TOTAL"]), 250))
        # A page that repeats what the page before told: new deals pushed the old ones on.
        shifted = [max(1, ticket - (5 if offset else 0)) for ticket in tickets]
        deals = [DEAL.replace('"17"', f'"{ticket}"') for ticket in shifted]
        talk.say(f"{name}|RETCODE=0 Done|\r\n[{','.join(deals)}]")

    peer.play(after_login(answer))
    gateway = gateway_to(peer)
    start = datetime.fromtimestamp(1795176000, UTC) - timedelta(hours=1)

    tickets = [
        deal.ticket
        for deal in gateway.deals(from_time=start, to_time=start + timedelta(hours=2), logins=["1006", "1006"])
    ]

    assert tickets == sorted(set(tickets))
    assert len(tickets) == 245
    commands = peer.talks[-1].commands
    assert [command.partition("|")[0] for command in commands[2:]] == ["DEAL_GET_BATCH"] + ["DEAL_GET_PAGE"] * 3


def test_a_reference_is_looked_up_as_a_whole_word(peer: Peer) -> None:
    def answer(talk: Talk) -> None:
        command = talk.commands[-1]
        if command.startswith("TIME_SERVER"):
            talk.say("TIME_SERVER|RETCODE=0 Done|TIME=1795176000|\r\n")
            return
        deals = [
            DEAL.replace('"17"', f'"{ticket}"').replace('"Action":"0"', f'"Action":"{action}"')[:-1]
            + f',"Comment":"{text}"}}'
            for ticket, action, text in ((1, 2, "Dep REF-12"), (2, 0, "REF-1"), (3, 2, "X-REF-1"), (4, 2, "Dep REF-1."))
        ]
        talk.say(f"DEAL_GET_PAGE|RETCODE=0 Done|\r\n[{','.join(deals)}]")

    peer.play(after_login(answer))

    found = gateway_to(peer).find_operation(login="1006", reference="REF-1", since=NOW)

    assert found is not None
    assert found.ticket == 4


def test_the_hour_that_comes_twice_loses_no_deal(peer: Peer) -> None:
    asked: list[str] = []

    def answer(talk: Talk) -> None:
        asked.append(talk.commands[-1])
        talk.say("DEAL_GET_BATCH|RETCODE=0 Done|\r\n[]")

    peer.play(after_login(answer))
    limits = Limits(connect_seconds=1.0, answer_seconds=1.0)
    address = Address("LIVE-1", "127.0.0.1", peer.port, "1000", MANAGER_PASSWORD, limits)
    gateway = Mt5WebGateway(peer=address, zone=ServerZone.parse("EET_US"))
    back = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)  # New York puts its clocks back

    list(gateway.deals(from_time=back - timedelta(minutes=30), to_time=back + timedelta(minutes=30)))

    values = dict(part.split("=") for part in asked[0].strip().strip("|").split("|")[1:])
    first, last = (datetime.fromtimestamp(int(values[name]), UTC).replace(tzinfo=None) for name in ("FROM", "TO"))
    # 08:30 in summer to 08:30 in winter: an hour wider on both sides.
    assert first <= datetime(2026, 11, 1, 8, 0)
    assert last >= datetime(2026, 11, 1, 9, 0)
