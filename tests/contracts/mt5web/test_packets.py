"""Byte sequences of the Web API as its description has them, written out by hand."""

from __future__ import annotations

import hashlib

import pytest

from platform_ops.gateways.mt5web import auth
from platform_ops.gateways.mt5web.fields import encode_command, escape, parse_answer
from platform_ops.gateways.mt5web.packets import encode_message, next_number, parse_header


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le")


@pytest.mark.parametrize(
    ("name", "parameters", "header"),
    [
        ("TIME_SERVER", {}, b"001c00010"),
        ("TICK_LAST", {"SYMBOL": "*"}, b"002a00010"),
        ("TRADE_BALANCE", {"LOGIN": 1020, "TYPE": 3, "BALANCE": 1000, "COMMENT": "credit"}, b"007c00010"),
    ],
)
def test_commands_are_packed_as_the_description_packs_them(
    name: str, parameters: dict[str, object], header: bytes
) -> None:
    message = encode_message(encode_command(name, parameters), number=1)

    line = f"{name}|" + "".join(f"{key}={value}|" for key, value in parameters.items()) + "\r\n"
    assert message == header + utf16(line)


def test_the_first_packet_of_a_connection_is_prefixed() -> None:
    parameters = {"VERSION": 1755, "AGENT": "WebAPI", "LOGIN": 2222, "TYPE": "MANAGER", "CRYPT_METHOD": "NONE"}

    message = encode_message(encode_command("AUTH_START", parameters), number=1, greets=True)

    assert message.startswith(b"MT5WEBAPI00a200010A\x00U\x00T\x00H\x00_\x00")
    assert message.endswith(utf16("LOGIN=2222|TYPE=MANAGER|CRYPT_METHOD=NONE|\r\n"))


def test_a_message_longer_than_a_packet_goes_on_in_the_next() -> None:
    body = utf16("x" * 40_000)

    message = encode_message(body, number=0x3FFF)

    first, second = message[: 9 + 0xFFFE], message[9 + 0xFFFE :]
    assert first[:9] == b"fffe3fff1"
    assert second[:9] == b"%04x3fff0" % (80_000 - 0xFFFE)
    assert first[9:] + second[9:] == body


def test_packet_numbers_run_to_16383_and_begin_again() -> None:
    assert next_number(0) == 1
    assert next_number(0x3FFE) == 0x3FFF
    assert next_number(0x3FFF) == 1


@pytest.mark.parametrize(
    "raw",
    [b"", b"001c0001", b"001c000100", b"+01c00010", b" 01c00010", b"0x1c00010", b"00_c00010", b"001c00012", b"001c40000",
     "００1c0001".encode()[:9], b"\x00" * 9],
)  # fmt: skip
def test_what_is_no_header_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="packet"):
        parse_header(raw)


def test_reserved_letters_are_escaped_and_read_back() -> None:
    assert escape("a|b=c\\d\ne") == "a\\|b\\=c\\\\d\\\ne"

    answer = parse_answer(encode_command("USER_GET", {"NAME": "a|b=c\\d\ne", "RETCODE": "0 Done"}, body='{"x": 1}'))

    assert (answer.command, answer.parameters["NAME"], answer.body) == ("USER_GET", "a|b=c\\d\ne", '{"x": 1}')


def test_answers_are_read_as_the_description_writes_them() -> None:
    answer = parse_answer(utf16("TIME_SERVER|RETCODE=0 Done|TIME=1315489916 2011.09.08 13:51:56|\r\n"))

    assert answer.command == "TIME_SERVER"
    assert answer.parameters == {"RETCODE": "0 Done", "TIME": "1315489916 2011.09.08 13:51:56"}
    assert answer.body == ""


def test_a_challenge_is_answered_by_three_nested_digests_of_raw_bytes() -> None:
    # Worked out with a command-line digest tool from the password "Password1" and the challenge below.
    challenge = bytes.fromhex("73007dc7184747ce0f7c98516ef1c851")
    inner = hashlib.md5("Password1".encode("utf-16-le"), usedforsecurity=False).digest()
    assert inner.hex() == "ec2e92ff70bf4691ae0c68e02fdc6c22"

    assert auth.answer_challenge(password="Password1", challenge=challenge) == "77fe51827f7fa69dd80fbec9aa33f1bb"
    assert auth.is_answer("77fe51827f7fa69dd80fbec9aa33f1bb".upper(), password="Password1", challenge=challenge)


@pytest.mark.parametrize("text", ["", "zz" * 16, "00" * 15, "00" * 17, " " + "00" * 16, "٠" * 32])
def test_what_is_no_answer_to_a_challenge_is_none(text: str) -> None:
    assert not auth.is_answer(text, password="Password1", challenge=b"\x00" * 16)
