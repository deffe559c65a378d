"""Secrets at rest, and the checks that keep development keys out of production."""

from __future__ import annotations

import base64

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from backoffice.core.sealing.secrets import parse_keys, seal, unseal
from backoffice.kernel.errors import Misconfigured


def key(letter: str) -> str:
    """A key of one letter, as it stands in the environment."""
    return base64.b64encode(letter.encode() * 32).decode()


def test_a_sealed_text_opens_again_and_never_looks_the_same() -> None:
    first, second = seal("JBSWY3DP", purpose="a"), seal("JBSWY3DP", purpose="a")

    assert first != second
    assert "JBSWY3DP" not in first
    assert unseal(first, purpose="a") == unseal(second, purpose="a") == "JBSWY3DP"


def test_a_text_opens_only_for_its_purpose() -> None:
    with pytest.raises(Misconfigured):
        unseal(seal("x", purpose="iban"), purpose="name")


def test_a_tampered_text_does_not_open() -> None:
    version, key_id, body = seal("secret", purpose="a").split(":")
    raw = bytearray(base64.b64decode(body))
    raw[-1] ^= 1

    with pytest.raises(Misconfigured):
        unseal(f"{version}:{key_id}:{base64.b64encode(bytes(raw)).decode()}", purpose="a")


def test_keys_are_changed_without_losing_what_is_sealed(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = f"k1:{key('a')}"
    old = seal("secret", purpose="a")
    settings.ENCRYPTION_KEYS = f"k2:{key('b')},k1:{key('a')}"

    assert unseal(old, purpose="a") == "secret"
    assert seal("secret", purpose="a").split(":")[1] == "k2"

    settings.ENCRYPTION_KEYS = f"k2:{key('b')}"
    with pytest.raises(Misconfigured, match="not configured"):
        unseal(old, purpose="a")


@pytest.mark.parametrize(
    "text", ["", "nokey", "k1:notbase64!", "k1:YQ==", f"k1:{key('a')},k1:{key('b')}", f":{key('a')}"]
)
def test_malformed_keys_are_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        parse_keys(text)


def test_a_deployment_with_development_keys_is_refused(settings: Settings) -> None:
    found = {message.id for message in run_checks(include_deployment_checks=True)}
    assert {"backoffice.E001", "backoffice.E002"} <= found

    settings.SECRET_KEY = "x" * 20 + "0123456789abcdefghijABCDEFGHIJ"
    settings.ENCRYPTION_KEYS = f"k1:{key('a')}"
    found = {message.id for message in run_checks(include_deployment_checks=True)}
    assert found & {"backoffice.E001", "backoffice.E002", "backoffice.E003"} == set()


def test_malformed_keys_are_found_before_they_are_needed(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = "k1:short"

    assert "backoffice.E003" in {message.id for message in run_checks()}
