"""One-time codes of the demo's users, as their authenticator apps would show them. Runs inside Django, on a live database."""

from __future__ import annotations

import time
from dataclasses import dataclass

from backoffice.devstack.errors import DevstackError
from backoffice.devstack.logins import DEMO_LOGINS, DEMO_PASSWORD


@dataclass(frozen=True)
class OneTimeCode:
    """A code and for how many more seconds the login form's clock calls it current."""

    code: str
    seconds_left: int


@dataclass(frozen=True)
class LoginRow:
    """One line of the box: who, with what. *code* is empty when the user has no second factor."""

    title: str
    email: str
    password: str
    code: str


def prepare_django() -> None:
    """Loads the site's apps when this process has not done so."""
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()


def current_code(email: str) -> OneTimeCode:
    """The code that *email*'s authenticator shows now. Raises DevstackError when there is no such user or no authenticator."""
    prepare_django()
    from django.contrib.auth import get_user_model

    user = get_user_model()._default_manager.filter(email__iexact=email).first()
    if user is None:
        raise DevstackError(f"no user has the address {email}; `manage.py devstack logins` lists the demo's")
    code = _code_of(user.pk)
    if code is None:
        raise DevstackError(f"{email} has no authenticator: the password alone lets them in")
    return code


def login_rows() -> list[LoginRow]:
    """The demo's logins that exist in this database, with their codes of this moment, in the order of the list."""
    prepare_django()
    from django.contrib.auth import get_user_model

    keys = dict(
        get_user_model()
        ._default_manager.filter(email__in=[login.email for login in DEMO_LOGINS])
        .values_list("email", "pk")
    )
    rows = []
    for login in DEMO_LOGINS:
        if login.email in keys:
            code = _code_of(keys[login.email])
            rows.append(LoginRow(login.title, login.email, DEMO_PASSWORD, code.code if code else ""))
    return rows


def _code_of(user_id: int) -> OneTimeCode | None:
    from allauth.mfa import app_settings
    from allauth.mfa.models import Authenticator
    from allauth.mfa.totp.internal import auth as totp
    from allauth.mfa.utils import decrypt

    authenticator = Authenticator.objects.filter(user_id=user_id, type=Authenticator.Type.TOTP).first()
    if authenticator is None:
        return None
    seconds = int(time.time())  # the server's own clock: allauth compares against the same
    value = totp.hotp_value(decrypt(authenticator.data["secret"]), seconds // app_settings.TOTP_PERIOD)
    return OneTimeCode(totp.format_hotp_value(value), app_settings.TOTP_PERIOD - seconds % app_settings.TOTP_PERIOD)
