"""Statements that a connection plans once: for those that run all day for a handful of rows and are long to plan.

The plan is made for no rows in particular, so a caller hands in only what is bound to be small. It stays with the
connection; the server makes it again when a table of it changes, or when its statistics do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection

MAXIMUM_STATEMENTS = 24
"""Plans that one connection keeps: a few kinds of statements, each for a few rate cards."""

_PLACE = re.compile(r"%(?:\((\w+)\)s|s|%)(::\w+(?:\[\])?)?")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A statement as this connection knows it. `order` names its parameters; `casts` are what they are turned into."""

    name: str
    order: tuple[str, ...]
    casts: tuple[str, ...]


_kept: WeakKeyDictionary[Any, dict[str, _Kept]] = WeakKeyDictionary()


def fetch_prepared(statement: str, parameters: Mapping[str, Any] | Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement with named or with ordered parameters, planned once on this connection.

    To be called within a transaction.
    """
    with connection.cursor() as cursor:
        kept = _prepared(cursor, statement)
        values = [parameters[key] for key in kept.order] if isinstance(parameters, Mapping) else list(parameters)
        values = [_short(value) for value in values]
        places = f"({', '.join(f'%s{cast}' for cast in kept.casts)})" if values else ""
        # Otherwise the server plans anew, five times at least, to see whether that pays.
        cursor.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; EXECUTE {kept.name}{places}", values)
        rows = list(cursor.fetchall())
        cursor.execute("SET LOCAL plan_cache_mode = auto")
    return rows


def _short(value: Any) -> Any:
    """Numbers as one text, which is read in a tenth of the time of an array that is written out one by one."""
    if isinstance(value, list) and value and all(type(item) in (int, Decimal) for item in value):
        return f"{{{','.join(map(str, value))}}}"
    return value


def _prepared(cursor: Any, statement: str) -> _Kept:
    known = _kept.setdefault(cursor.connection, {})
    if statement not in known:
        if len(known) >= MAXIMUM_STATEMENTS:
            cursor.execute(f"DEALLOCATE {known.pop(next(iter(known))).name}")
        taken = {kept.name for kept in known.values()}
        name = next(name for number in range(MAXIMUM_STATEMENTS) if (name := f"kept_{number}") not in taken)
        text, order, casts = _numbered(statement)
        cursor.execute(f"PREPARE {name} AS {text}")
        known[statement] = _Kept(name, order, casts)
    return known[statement]


def _numbered(statement: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The statement with `$1` for `%s` or `%(name)s`, the names by number, and to what each is cast where it first stands."""
    order: list[str] = []
    casts: list[str] = []

    def number(found: re.Match[str]) -> str:
        cast = found[2] or ""
        if found[0].startswith("%%"):
            return f"%{cast}"
        name = found[1] or f"place {len(order)}"
        if name not in order:
            order.append(name)
            casts.append(cast)
        return f"${order.index(name) + 1}{cast}"

    return _PLACE.sub(number, statement), tuple(order), tuple(casts)
