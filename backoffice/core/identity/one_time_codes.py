"""One-time codes from outside a browser: for setting up a login by command, for the demo and for tests."""

from __future__ import annotations

from dataclasses import dataclass

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp

from backoffice.core.models import User
from backoffice.kernel.errors import NotFound


@dataclass(frozen=True, slots=True)
class TotpSetup:
    """What an authenticator app needs: the secret in base32, and the same as an `otpauth://` address."""

    secret: str
    url: str


def enrol(user: User, *, secret: str | None = None) -> TotpSetup:
    """Gives the login one-time codes (of a new secret, if none is given)."""
    secret = secret or totp.generate_totp_secret()
    totp.TOTP.activate(user, secret)
    return TotpSetup(secret=secret, url=get_adapter().build_totp_url(user, secret))


def current_code(user: User) -> str:
    """The code that the person's app shows now. Raises NotFound when the login has no one-time codes."""
    authenticator = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if authenticator is None:
        raise NotFound("This login has no one-time codes.", user_id=user.pk)
    secret = get_adapter().decrypt(authenticator.data["secret"])
    counters = list(totp.yield_hotp_counters_from_time())
    return totp.format_hotp_value(totp.hotp_value(secret, counters[len(counters) // 2]))
