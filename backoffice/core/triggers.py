"""Database triggers that several tables share."""

from __future__ import annotations

import pgtrigger

IMMUTABLE_SQLSTATE = "BO001"
"""The SQLSTATE with which the database refuses to change what must never change."""


def never_changes(name: str = "never_changes") -> pgtrigger.Trigger:
    """Refuses UPDATE, DELETE and TRUNCATE of the whole table, whoever asks; only inserting is left."""
    return pgtrigger.Trigger(
        name=name,
        level=pgtrigger.Statement,
        when=pgtrigger.Before,
        operation=pgtrigger.Update | pgtrigger.Delete | pgtrigger.Truncate,
        func=f"RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME "
        f"USING ERRCODE = '{IMMUTABLE_SQLSTATE}';",
    )
