"""Dated rows that say "from this moment on, until further notice": the one way in which the desk changes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from django.db import models
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.kernel.errors import InvalidInput

ModelT = TypeVar("ModelT", bound=models.Model)


def from_on(moment: datetime) -> DateTimeTZRange:
    """The range that begins at the moment and has no end."""
    return DateTimeTZRange(moment, None)


def check_moment(moment: datetime, *, field: str = "valid_from") -> None:
    """Raises InvalidInput for a time without a zone."""
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field=field, value=moment.isoformat())


def cut_off(rows: models.QuerySet[Any], moment: datetime) -> list[dict[str, Any]]:
    """Ends every row at the moment and removes those that would only begin then; what was changed, for the audit.

    Whatever had been planned for later no longer holds: the new statement is valid until further notice.
    """
    changed = []
    for row in rows.filter(validity__endswith__gt=moment) | rows.filter(validity__endswith__isnull=True):
        changed.append({"id": row.pk, "row": str(row), "was": text_of(row.validity)})
        if row.validity.lower is None or row.validity.lower < moment:
            row.validity = DateTimeTZRange(row.validity.lower, moment)
            row.save(update_fields=["validity"])
        else:
            row.delete()
    return changed


def text_of(validity: Any) -> str:
    """A range as text, for the audit."""
    if validity.isempty:
        return "never"
    start = validity.lower.isoformat() if validity.lower else "always"
    return f"{start} to {validity.upper.isoformat() if validity.upper else 'further notice'}"
