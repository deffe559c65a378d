"""Sending to an address that somebody typed in: what is refused, and that nothing hangs."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from backoffice.core.messages import outgoing
from backoffice.kernel.errors import InvalidInput
from tests.api.receiver import drip, flood, make_certificate, never_answer, receiving


@pytest.fixture(autouse=True)
def _local_is_allowed(settings: Any) -> None:
    settings.WEBHOOKS_ALLOW_LOCAL = True


def _post(url: str, deadline: float = 5.0) -> outgoing.Answer:
    return outgoing.post(url=url, body=b"{}", headers={"Content-Type": "application/json"}, deadline_seconds=deadline)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https:///path",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exam ple.com/",
        "https://example.com/\r\nX-Injected: 1",
        "https://exämple.com/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://172.16.0.1/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[::]/",
        "https://" + "a" * 500,
        "",
        "nonsense",
    ],
)
def test_an_address_that_must_not_be_reached_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        outgoing.checked_url(url)


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://[::1]/", "http://localhost/", "https://[::ffff:127.0.0.1]/"]
)
def test_this_machine_is_refused_unless_the_settings_allow_it(url: str, settings: Any) -> None:
    assert outgoing.checked_url(url) == url
    settings.WEBHOOKS_ALLOW_LOCAL = False
    with receiving() as receiver:
        answer = _post(receiver.url)
    assert (answer.status, receiver.received) == (None, [])
    if not url.startswith("http://localhost"):
        with pytest.raises(InvalidInput):
            outgoing.checked_url(url)


@pytest.mark.parametrize("addresses", [["10.1.2.3"], ["93.184.216.34", "127.0.0.1"], ["169.254.169.254"], ["::1"]])
def test_a_name_that_leads_inside_is_refused_when_it_is_sent_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    # given a name whose answer is not public: all of them, or one among public ones
    settings.WEBHOOKS_ALLOW_LOCAL = False
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(outgoing.socket, "getaddrinfo", lambda *args, **options: found)

    # when
    answer = _post("https://rebinding.example/")

    # then
    assert (answer.status, answer.error) == (None, "The name leads to an address that is not public.")


def test_success_and_the_answer_is_read_up_to_a_bound() -> None:
    with receiving() as receiver:
        receiver.answers = [(200, {}, b"a\x00b" + b"x" * 10_000)]
        answer = _post(f"{receiver.url}?a=1")
    assert answer.is_success
    assert len(answer.excerpt) == outgoing.MAX_ANSWER_BYTES
    assert "\x00" not in answer.excerpt


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    with receiving() as target, receiving() as receiver:
        receiver.answers = [(status, {"Location": target.url}, b"")]
        answer = _post(receiver.url)
        assert (answer.is_success, answer.status, target.received) == (False, status, [])


@pytest.mark.parametrize("manner", [never_answer, drip])
def test_a_receiver_that_hangs_or_drips_is_cut_off_at_the_deadline(manner: Any) -> None:
    with receiving() as receiver:
        receiver.answers = [manner]
        started = time.monotonic()
        answer = _post(receiver.url, deadline=0.4)
        took = time.monotonic() - started
    assert (answer.status, answer.error) == (None, "No answer within 0.4 s.")
    assert took < 2


def test_a_flood_is_not_read() -> None:
    with receiving() as receiver:
        receiver.answers = [flood]
        answer = _post(receiver.url)
    assert (answer.status, len(answer.excerpt)) == (200, outgoing.MAX_ANSWER_BYTES)


def test_nobody_there_is_a_failure() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    answer = _post(f"http://127.0.0.1:{port}/")
    assert answer.status is None
    assert "ConnectionRefusedError" in answer.error


def test_a_certificate_that_nobody_trusts_is_a_failure_and_a_trusted_one_is_not(tmp_path: Path, settings: Any) -> None:
    certificate = make_certificate(tmp_path)
    with receiving(certificate) as receiver:
        refused = _post(receiver.url)
        settings.WEBHOOK_AUTHORITIES = str(certificate[0])
        accepted = _post(receiver.url)
        assert (refused.status, refused.error[:4], accepted.status) == (None, "TLS:", 204)
        assert len(receiver.received) == 1


def test_a_certificate_of_another_name_is_a_failure(tmp_path: Path, settings: Any) -> None:
    certificate = make_certificate(tmp_path, name="192.0.2.1")
    settings.WEBHOOK_AUTHORITIES = str(certificate[0])
    with receiving(certificate) as receiver:
        assert _post(receiver.url).error.startswith("TLS:")
        assert receiver.received == []


def test_plain_http_spoken_by_the_other_side_is_a_failure() -> None:
    with receiving() as receiver:
        assert _post(receiver.url.replace("http:", "https:")).status is None
