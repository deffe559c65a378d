"""What a deployment must set: `manage.py check --deploy` refuses the development keys."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.db import Error as DatabaseFailure

from backoffice.core.sealing.backup_cipher import backup_key
from backoffice.core.sealing.secrets import parse_keys
from backoffice.core.services.key_rotation import missing_keys
from backoffice.kernel.errors import Misconfigured


@register(Tags.security, deploy=True)
def keys_are_not_the_development_ones(**_: Any) -> list[Error]:
    """Errors for keys that everybody can read in the source."""
    errors = []
    if settings.SECRET_KEY == settings.DEVELOPMENT_SECRET_KEY:
        errors.append(
            Error("The secret key is the development key.", hint="Set BACKOFFICE_SECRET_KEY.", id="backoffice.E001")
        )
    if settings.ENCRYPTION_KEYS == settings.DEVELOPMENT_ENCRYPTION_KEYS:
        hint = "Set BACKOFFICE_ENCRYPTION_KEYS to id:base64 of 32 random bytes."
        errors.append(Error("The encryption key is the development key.", hint=hint, id="backoffice.E002"))
    return errors


@register(Tags.security)
def encryption_keys_can_be_read(**_: Any) -> list[Error]:
    """An error when the keys are malformed, before the first secret is needed."""
    try:
        parse_keys(settings.ENCRYPTION_KEYS)
    except Misconfigured as error:
        return [Error(error.message, hint="See BACKOFFICE_ENCRYPTION_KEYS.", id="backoffice.E003")]
    return []


@register(Tags.database)
def stored_texts_can_be_opened(databases: Any = None, **_: Any) -> list[Error]:
    """An error when rows still need an encryption key that is not configured; asked by migrate and check --database."""
    if not databases:
        return []
    try:
        missing = missing_keys()
    except (DatabaseFailure, Misconfigured):  # not migrated yet; malformed keys are told by a check of their own
        return []
    return [
        Error(
            f"{place} holds texts under the encryption keys {', '.join(ids)}, which are not configured.",
            hint="Put the old key behind the new one in BACKOFFICE_ENCRYPTION_KEYS, then run rotate_keys.",
            id="backoffice.E013",
        )
        for place, ids in sorted(missing.items())
    ]


SHORTEST_TOKEN = 32


@register(Tags.security, deploy=True)
def metrics_token_is_no_word(**_: Any) -> list[Error]:
    """An error for a token that could be guessed."""
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < SHORTEST_TOKEN:
        hint = f"Set BACKOFFICE_METRICS_TOKEN to {SHORTEST_TOKEN} random characters or more."
        return [Error("The token of /metrics is too short.", hint=hint, id="backoffice.E010")]
    return []


@register(Tags.security, deploy=True)
def backup_key_can_be_used(**_: Any) -> list[Error]:
    """An error for a key of backups that would only be found out in the night."""
    if not settings.BACKUP_KEY:
        return []
    try:
        backup_key(settings.BACKUP_KEY)
    except Misconfigured as error:
        return [Error(error.message, hint="See BACKOFFICE_BACKUP_KEY.", id="backoffice.E011")]
    return []
