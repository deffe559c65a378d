"""Writes down what happens at the front door: sign-ins, new and removed second factors, changed passwords.

allauth offers these moments as signals only; this is the one module that listens to them. Each becomes a sign-in event
(who, from where, with which device) and, where something was changed, an audit record; sessions begin and end with them.
"""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account import signals as account_signals
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.mfa import signals as mfa_signals
from allauth.mfa.models import Authenticator
from django.contrib import messages
from django.contrib.auth import signals as auth_signals
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from backoffice.core.actors import actor_of_user
from backoffice.core.identity.browsers import origin_of
from backoffice.core.identity.second_factor import SECOND_FACTOR_METHOD
from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.models import LoginEvent, User, UserSession
from backoffice.core.services import audit, sessions
from backoffice.core.services.login_events import is_new_device, record_login_event
from backoffice.core.services.messages import queue_message
from backoffice.kernel import clock

Kind = LoginEvent.Kind
FEW_RECOVERY_CODES = 3
NEW_DEVICE = MessageTemplateDefinition(
    code="core.new_device",
    label="Sign-in from a new device",
    category="security",
    variables={
        "full_name": "Anna Berger",
        "at": "2026-03-02 09:14 UTC",
        "browser": "Chrome 126 on Windows",
        "place": "CY, 203.0.113.7",
        "sessions_url": "https://example.com/account/sessions/",
    },
    must_show=("at", "sessions_url"),
    subject="New sign-in to your {{ brand_name }} account",
    mjml=(
        "<mj-section><mj-column><mj-text>Dear {{ full_name }},</mj-text>"
        "<mj-text>your account was opened with a device that has not been used before: {{ browser }}, {{ place }}, "
        "on {{ at }}.</mj-text>"
        "<mj-text>Was it you? Then there is nothing to do. If not, end that session and change your password at "
        "once.</mj-text>"
        '<mj-button href="{{ sessions_url }}">See your sessions</mj-button></mj-column></mj-section>'
    ),
)


def connect() -> None:
    """Starts listening; called once, when the process starts."""
    register_template(NEW_DEVICE)
    account_signals.user_logged_in.connect(_signed_in, dispatch_uid="core.signed_in")
    account_signals.password_changed.connect(_password_changed, dispatch_uid="core.password_changed")
    account_signals.password_reset.connect(_password_reset, dispatch_uid="core.password_reset")
    mfa_signals.authenticator_added.connect(_authenticator_added, dispatch_uid="core.authenticator_added")
    mfa_signals.authenticator_removed.connect(_authenticator_removed, dispatch_uid="core.authenticator_removed")
    mfa_signals.authenticator_reset.connect(_authenticator_reset, dispatch_uid="core.authenticator_reset")
    mfa_signals.authenticator_used.connect(_authenticator_used, dispatch_uid="core.authenticator_used")
    mfa_signals.authentication_failed.connect(_code_failed, dispatch_uid="core.code_failed")
    auth_signals.user_logged_in.connect(_session_began, dispatch_uid="core.session_began")
    auth_signals.user_logged_out.connect(_signed_out, dispatch_uid="core.signed_out")
    auth_signals.user_login_failed.connect(_sign_in_failed, dispatch_uid="core.sign_in_failed")


def note_locked(*, request: HttpRequest, email: str) -> None:
    """Writes down that somebody tried too often and has to wait."""
    _event(Kind.LOCKED, user=_user_of(email), request=request, email=email)


def note_second_factor_failed(*, user: User | None, method: str) -> None:
    """Writes down a passkey that was refused; *user* is None when nobody has said yet who they are."""
    if context.request is not None:
        _event(Kind.SECOND_FACTOR_FAILED, user=user, request=context.request, method=str(method))


def _event(kind: str, *, user: User | None, request: HttpRequest, email: str = "", method: str = "") -> None:
    record_login_event(
        user_id=None if user is None else user.pk,
        email=email or ("" if user is None else user.email),
        kind=kind,
        request=request,
        method=method,
    )


def _record(user: User, action: str, changes: dict[str, Any] | None = None) -> None:
    with transaction.atomic():
        audit.record(actor=actor_of_user(user), action=action, target=user, changes=changes)


def _session_began(*, request: HttpRequest, user: User, **_: Any) -> None:
    sessions.begin_session(user=user, request=request)


def _signed_in(*, request: HttpRequest, user: User, **_: Any) -> None:
    shown = list(get_authentication_records(request, user))
    method = str(shown[-1].get("type") or shown[-1].get("method") or "") if shown else ""
    with transaction.atomic():
        is_new = is_new_device(user_id=user.pk, device=origin_of(request).device)
        _event(Kind.LOGIN, user=user, request=request, method=method)
        _record(user, "core.sign_in")
        if is_new:
            _tell_of_new_device(request, user)


def _tell_of_new_device(request: HttpRequest, user: User) -> None:
    origin = origin_of(request)
    place = ", ".join(part for part in (origin.country, origin.address) if part)
    queue_message(
        template=NEW_DEVICE.code,
        to=user.email,
        variables={
            "full_name": user.full_name or user.email,
            "at": f"{clock.now():%Y-%m-%d %H:%M} UTC",
            "browser": origin.user_agent or "an unknown browser",
            "place": place or "from an unknown place",
            "sessions_url": request.build_absolute_uri(reverse("own_sessions")),
        },
        entity_id=user.entities.order_by("pk").values_list("pk", flat=True).first(),
        language=user.language,
        recipient_type="core.user",
        recipient_id=user.pk,
    )


def _signed_out(*, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if request is None or user is None or not hasattr(request, "session"):
        return
    sessions.note_logout(session_key=request.session.session_key)
    _event(Kind.LOGOUT, user=user, request=request)


def _password_changed(*, request: HttpRequest, user: User, **_: Any) -> None:
    _event(Kind.PASSWORD_CHANGED, user=user, request=request)
    _record(user, "core.change_password")
    # The present session goes on; whoever else holds one has shown a password that no longer holds.
    sessions.end_because(user_id=user.pk, reason=UserSession.EndReason.PASSWORD, but_key=_kept_session(request, user))


def _password_reset(*, request: HttpRequest, user: User, **_: Any) -> None:
    _event(Kind.PASSWORD_RESET, user=user, request=request)
    _record(user, "core.reset_password")
    sessions.end_because(user_id=user.pk, reason=UserSession.EndReason.PASSWORD)


def _kept_session(request: HttpRequest, user: User) -> str | None:
    """The key of the session in which the password was changed; its record follows when the key was cycled."""
    if not request.user.is_authenticated or request.user.pk != user.pk:
        return None
    sessions.note_seen(request)
    return request.session.session_key


def _authenticator_added(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type in {Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN}:
        # Setting one up took a valid code or the passkey itself, so this session has shown its second factor.
        record_authentication(request, user, method=SECOND_FACTOR_METHOD, type=authenticator.type, id=authenticator.pk)
        _event(Kind.SECOND_FACTOR_PASSED, user=user, request=request, method=str(authenticator.type))
    _record(user, "core.add_second_factor", {"type": str(authenticator.type)})


def _authenticator_removed(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "core.remove_second_factor", {"type": str(authenticator.type)})


def _authenticator_reset(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    _record(user, "core.renew_second_factor", {"type": str(authenticator.type)})


def _authenticator_used(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _event(Kind.SECOND_FACTOR_PASSED, user=user, request=request, method=str(authenticator.type))
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        return
    left = len(authenticator.wrap().get_unused_codes())
    if left <= FEW_RECOVERY_CODES:
        plural = "" if left == 1 else "s"
        messages.warning(request, f"You have {left} recovery code{plural} left. Make new ones under Security.")


def _code_failed(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    _event(Kind.SECOND_FACTOR_FAILED, user=user, request=request, method=str(authenticator.type))


def _sign_in_failed(*, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    # What was typed is not logged: people type passwords into the wrong field.
    structlog.get_logger(__name__).warning("sign_in_failed")
    if request is None:
        return
    email = str(credentials.get("email") or credentials.get("username") or "")
    _event(Kind.FAILED, user=_user_of(email), request=request, email=email)


def _user_of(email: str) -> User | None:
    """Whose login the typed address is; unknown ones are kept too, for they tell of attempts."""
    return User.objects.filter(email__iexact=email.strip()[:254]).first() if email else None
