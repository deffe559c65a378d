"""Writes down what happens at the front door: sign-ins, new and removed second factors, changed passwords.

allauth offers these moments as signals only; this is the one module that listens to them.
"""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account import signals as account_signals
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_login_failed
from django.db import transaction
from django.http import HttpRequest

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.second_factor import SECOND_FACTOR_METHOD
from backoffice.core.services import audit


def connect() -> None:
    """Starts listening; called once, when the process starts."""
    account_signals.user_logged_in.connect(_signed_in, dispatch_uid="core.signed_in")
    account_signals.password_changed.connect(_password_changed, dispatch_uid="core.password_changed")
    account_signals.password_reset.connect(_password_reset, dispatch_uid="core.password_reset")
    mfa_signals.authenticator_added.connect(_authenticator_added, dispatch_uid="core.authenticator_added")
    mfa_signals.authenticator_removed.connect(_authenticator_removed, dispatch_uid="core.authenticator_removed")
    mfa_signals.authenticator_reset.connect(_authenticator_reset, dispatch_uid="core.authenticator_reset")
    user_login_failed.connect(_sign_in_failed, dispatch_uid="core.sign_in_failed")


def _record(user: User, action: str, changes: dict[str, Any] | None = None) -> None:
    with transaction.atomic():
        audit.record(actor=actor_of_user(user), action=action, target=user, changes=changes)


def _signed_in(*, user: User, **_: Any) -> None:
    _record(user, "core.sign_in")


def _password_changed(*, user: User, **_: Any) -> None:
    _record(user, "core.change_password")


def _password_reset(*, user: User, **_: Any) -> None:
    _record(user, "core.reset_password")


def _authenticator_added(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.TOTP:
        # Setting one-time codes up took a valid code, so this session has shown its second factor.
        record_authentication(request, user, method=SECOND_FACTOR_METHOD, type=authenticator.type, id=authenticator.pk)
    _record(user, "core.add_second_factor", {"type": str(authenticator.type)})


def _authenticator_removed(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "core.remove_second_factor", {"type": str(authenticator.type)})


def _authenticator_reset(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "core.renew_second_factor", {"type": str(authenticator.type)})


def _sign_in_failed(**_: Any) -> None:
    # Neither the address nor what was typed is logged: people type passwords into the wrong field.
    structlog.get_logger(__name__).warning("sign_in_failed")
