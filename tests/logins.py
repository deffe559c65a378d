"""Logged-in browsers for tests, with or without a second factor shown."""

from __future__ import annotations

import time

from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from django.test import Client as Browser

from backoffice.core.models import LegalEntity, User
from backoffice.core.types import Actor

PASSWORD = "correct horse battery"


def make_entity(code: str = "nova", currency: str = "EUR") -> LegalEntity:
    """A legal entity, made once per code."""
    entity, _ = LegalEntity.objects.get_or_create(
        code=code, defaults={"name": f"{code.title()} Markets Ltd", "country": "CY", "base_currency": currency}
    )
    return entity


def make_user(email: str, *roles: str, entities: tuple[LegalEntity, ...] = (), password: str = PASSWORD) -> User:
    """A login with roles and entities, without authorisation and audit."""
    user = User.objects.create_user(
        email=email, password=password, full_name=email.split("@")[0].title(), roles=list(roles)
    )
    user.entities.set(entities)
    return user


def make_actor(user: User) -> Actor:
    """The actor that the login is."""
    from backoffice.core.actors import actor_of_user

    return actor_of_user(user)


def log_in(browser: Browser, user: User, *, second_factor: bool = True) -> Browser:
    """A session of the user's; *second_factor* tells whether a one-time code was given in it."""
    browser.force_login(user)
    session = browser.session
    records = [{"method": "password", "at": time.time(), "email": user.email}]
    if second_factor:
        records.append({"method": "mfa", "at": time.time(), "id": 1, "type": "totp"})
    session[AUTHENTICATION_METHODS_SESSION_KEY] = records
    session[f"{AUTHENTICATION_METHODS_SESSION_KEY}_user"] = str(user.pk)
    session.save()
    return browser
