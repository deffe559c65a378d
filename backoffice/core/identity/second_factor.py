"""Whether the login behind a request has shown its second factor.

A right password alone opens no door to client data: staff must also have given a one-time code (or a recovery
code), or shown a passkey, in this very session. The record of what a session has shown is allauth's; it is read here and nowhere else.
"""

from __future__ import annotations

from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from django.http import HttpRequest
from django.urls import reverse

SECOND_FACTOR_METHOD = "mfa"


def session_passed_second_factor(request: HttpRequest) -> bool:
    """Whether the person of this request gave a one-time or recovery code, or showed a passkey, in this session."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or not hasattr(request, "session"):
        return False
    if getattr(user, "is_service", False):
        # Another system calls with API keys; nobody is meant to sit behind a browser session of its login.
        return False
    return any(record.get("method") == SECOND_FACTOR_METHOD for record in get_authentication_records(request, user))


def second_factors_of(user_id: int) -> set[str]:
    """The kinds of second factor that the person has set up: `totp`, `webauthn`. Recovery codes only stand in for one."""
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return set(Authenticator.objects.filter(user_id=user_id, type__in=kinds).values_list("type", flat=True))


def has_authenticator(user_id: int) -> bool:
    """Whether the person has set up one-time codes or a passkey."""
    return bool(second_factors_of(user_id))


def second_factor_url(request: HttpRequest, *, next_url: str = "") -> str:
    """Where to send a logged-in person who lacks it: to give a code or show a passkey, or first to set codes up."""
    user_id = request.user.pk
    assert user_id is not None, "only a logged-in person has a second factor"
    kinds = second_factors_of(user_id)
    if Authenticator.Type.TOTP in kinds:
        page = reverse("mfa_reauthenticate")
    else:
        page = reverse("mfa_reauthenticate_webauthn" if kinds else "mfa_activate_totp")
    return f"{page}?{urlencode({'next': next_url})}" if next_url else page
