"""The simulated server against byte sequences made by hand from the protocol's description, and an independent client."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import pytest
from pymt5pure import MT5Api, MT5Client
from pymt5pure.exceptions import ResponseError

from backoffice.devstack.trading_server.terminal import TerminalError
from tests.trading_server import HEDGING_LOGIN, MANAGER_LOGIN, MANAGER_PASSWORD, RunningServer, running_server


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


@pytest.fixture
def peer(server: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), 5) as connection:
        connection.settimeout(5)
        yield connection


def _packet(text: str, number: int, flag: int = 0) -> bytes:
    body = text.encode("utf-16-le")
    return b"%04x%04x%d" % (len(body), number, flag) + body


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ConnectionError(f"closed after {len(data)} of {size} bytes")
        data += part
    return data


def _answer(connection: socket.socket) -> tuple[int, int, str]:
    header = _exactly(connection, 9)
    body = _exactly(connection, int(header[:4], 16))
    return int(header[4:8], 16), int(header[8:]), body.decode("utf-16-le")


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(64) == b""
    except ConnectionError:
        return True


def _log_in(connection: socket.socket, password: str = MANAGER_PASSWORD) -> str:
    start = f"AUTH_START|VERSION=3211|AGENT=Hand|LOGIN={MANAGER_LOGIN}|TYPE=MANAGER|CRYPT_METHOD=NONE|\r\n"
    connection.sendall(b"MT5WEBAPI" + _packet(start, 1))
    number, flag, text = _answer(connection)
    assert (number, flag) == (1, 0)
    assert text.startswith("AUTH_START|RETCODE=0 Done|SRV_RAND=")
    challenge = bytes.fromhex(text.split("SRV_RAND=")[1][:32])
    inner = hashlib.md5(hashlib.md5(password.encode("utf-16-le")).digest() + b"WebAPI").digest()
    own = bytes(range(16))
    connection.sendall(
        _packet(
            f"AUTH_ANSWER|SRV_RAND_ANSWER={hashlib.md5(inner + challenge).hexdigest()}|CLI_RAND={own.hex()}|\r\n", 2
        )
    )
    answered = _answer(connection)[2]
    if "RETCODE=0 " in answered:
        assert f"CLI_RAND_ANSWER={hashlib.md5(inner + own).hexdigest()}" in answered
    return answered


def test_both_sides_prove_that_they_know_the_password(peer: socket.socket) -> None:
    assert _log_in(peer).startswith("AUTH_ANSWER|RETCODE=0 Done|")

    peer.sendall(_packet("SYMBOL_TOTAL|\r\n", 3))

    assert _answer(peer) == (3, 0, "SYMBOL_TOTAL|RETCODE=0 Done|TOTAL=3|\r\n")


def test_a_wrong_password_and_an_unknown_login_are_told_alike(peer: socket.socket, server: RunningServer) -> None:
    assert _log_in(peer, "Other-Pass-1") == "AUTH_ANSWER|RETCODE=1001 Invalid account|\r\n"
    assert _is_closed(peer)

    with socket.create_connection((server.host, server.port), 5) as other:
        other.sendall(
            b"MT5WEBAPI" + _packet("AUTH_START|VERSION=1|AGENT=a|LOGIN=77|TYPE=MANAGER|CRYPT_METHOD=NONE|\r\n", 1)
        )
        assert "RETCODE=0 Done|SRV_RAND=" in _answer(other)[2]
        other.sendall(_packet(f"AUTH_ANSWER|SRV_RAND_ANSWER={'0' * 32}|CLI_RAND={'0' * 32}|\r\n", 2))
        assert _answer(other)[2] == "AUTH_ANSWER|RETCODE=1001 Invalid account|\r\n"


def test_nothing_is_answered_before_the_password_is_proved(peer: socket.socket) -> None:
    peer.sendall(b"MT5WEBAPI" + _packet("USER_GET|LOGIN=5001|\r\n", 1))

    assert _answer(peer)[2] == "USER_GET|RETCODE=3 Invalid parameters|\r\n"
    assert _is_closed(peer)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"MT5WEBAPIzzzz00010",
        b"MT5WEBAPI000200012ab",
        b"MT5WEBAPI00020001" + b"9ab",
        b"MT5WEBAPI0002ffff0ab",
        b"MT5WEBAPI000300010a\x00\xd8",
    ],
    ids=["no prefix", "not hexadecimal", "bad flag", "bad flag number", "number out of range", "not UTF-16"],
)
def test_a_peer_that_breaks_the_protocol_is_cut_off(peer: socket.socket, sent: bytes) -> None:
    peer.sendall(sent)
    peer.shutdown(socket.SHUT_WR)

    assert _is_closed(peer)


def test_a_request_in_chunks_is_one_request_and_a_keep_alive_is_none(peer: socket.socket) -> None:
    _log_in(peer)

    peer.sendall(b"000000030")
    peer.sendall(_packet("SYMBOL_", 4, 1) + _packet("TOTAL|\r\n", 4))

    assert _exactly(peer, 9) == b"000000030"
    assert _answer(peer) == (4, 0, "SYMBOL_TOTAL|RETCODE=0 Done|TOTAL=3|\r\n")


def test_an_answer_in_small_chunks_carries_one_number_and_ends_with_flag_0() -> None:
    with running_server(chunk_bytes=7) as small, socket.create_connection((small.host, small.port), 5) as connection:
        start = f"AUTH_START|VERSION=1|AGENT=a|LOGIN={MANAGER_LOGIN}|TYPE=MANAGER|CRYPT_METHOD=NONE|\r\n"
        connection.sendall(b"MT5WEBAPI" + _packet(start, 1))
        flags, body = [], b""
        while not flags or flags[-1]:
            header = _exactly(connection, 9)
            assert header[4:8] == b"0001"
            flags.append(int(header[8:]))
            body += _exactly(connection, int(header[:4], 16))

    assert len(flags) > 10
    assert set(flags[:-1]) == {1}
    assert body.decode("utf-16-le").startswith("AUTH_START|RETCODE=0 Done|")


def test_separators_inside_a_value_survive_both_ways(server: RunningServer) -> None:
    comment = "a|b=c\\d"
    with server.terminal() as terminal:
        given, _ = terminal.ask(
            "TRADE_BALANCE", LOGIN=HEDGING_LOGIN, TYPE=2, BALANCE="1.00", COMMENT=comment, CHECK_MARGIN=1
        )
        _, deal = terminal.ask("DEAL_GET", TICKET=given["TICKET"])

    assert deal["Comment"] == comment


def test_an_unknown_command_and_a_missing_record_are_refused_by_code(server: RunningServer) -> None:
    with server.terminal() as terminal:
        for command, parameters, code in (
            ("NO_SUCH_THING", {}, 3),
            ("USER_GET", {"LOGIN": 1}, 13),
            ("DEAL_GET", {"TICKET": 9}, 13),
            ("DEAL_GET_PAGE", {"LOGIN": "x"}, 3),
            ("SYMBOL_GET", {"SYMBOL": "NOPE"}, 13),
            ("SYMBOL_NEXT", {"INDEX": 99}, 13),
            ("SIM_NOTHING", {}, 3),
        ):
            with pytest.raises(TerminalError) as refused:
                terminal.ask(command, **parameters)
            assert refused.value.code == code, command


def test_an_independent_client_reads_symbols_groups_and_accounts(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MT5Client, "ping_interval", 0.02)
    client = MT5Client(host=server.host, port=server.port, is_crypt=False, timeout=5)
    client.connect(username=str(MANAGER_LOGIN), password=MANAGER_PASSWORD)
    try:
        api = MT5Api(client)
        symbol = api.symbol_get("XAUUSD")

        assert (symbol.Symbol, symbol.Digits, symbol.ContractSize, symbol.CalcMode) == ("XAUUSD", 2, 100.0, 4)
        assert [session.Close for session in symbol.SessionsTrades[1]] == ["1440"]
        assert api.symbol_total() == 3
        assert [api.symbol_next(position).Symbol for position in range(3)] == ["EURUSD", "USDJPY", "XAUUSD"]
        assert api.group_total() == 3
        # Without a backslash: this client escapes one as four.
        assert api.user_logins("*hedging-*") == [5001, 5003]
        assert client("USER_GET", LOGIN=5002).json["Name"] == "Ben Netter"
        assert client("TICK_LAST", SYMBOL="EURUSD").json[0]["Bid"] == "1.10000"
        ticket = int(client("TRADE_BALANCE", LOGIN=5002, TYPE=2, BALANCE="12.50", COMMENT="x").params["TICKET"])
        assert client("DEAL_GET", TICKET=ticket).json["Profit"] == "12.50"
        page = client("DEAL_GET_PAGE", LOGIN=5002, FROM=0, TO=4102444800, OFFSET=0, TOTAL=50).json
        assert [row["Profit"] for row in page] == ["10000.00", "12.50"]
        with pytest.raises((ResponseError, ValueError)):
            client("USER_GET", LOGIN=1)
    finally:
        client.disconnect()


def test_an_independent_client_with_a_wrong_password_is_refused(server: RunningServer) -> None:
    client = MT5Client(host=server.host, port=server.port, is_crypt=False, timeout=5)

    with pytest.raises((ResponseError, ValueError)):
        client.connect(username=str(MANAGER_LOGIN), password="Wrong-Pass-1")
    client.disconnect()
