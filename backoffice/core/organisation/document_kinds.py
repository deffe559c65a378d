"""Kinds of numbered documents. Desks register theirs; each legal entity numbers each kind by itself.

register_document_kind(DocumentKind("funding.manual_journal", "Manual journals", "{entity}-JV-{year}-{number:05}"))
"""

from __future__ import annotations

import string
from dataclasses import dataclass

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.registry import Registry

MAXIMUM_LENGTH = 60
"""Longest reference that a pattern may make."""

_PARTS = frozenset({"entity", "year", "number"})
_WIDEST = {"entity": "X" * 32, "year": 9999, "number": 10**9}


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """A kind of document and the pattern with which an entity numbers it until it chooses its own.

    A pattern holds `{number}` (perhaps with a width, `{number:05}`), and may hold `{entity}` (the entity's code in
    capitals) and `{year}`. A yearly kind begins at one every year and must show the year.
    """

    kind: str
    label: str
    pattern: str
    is_yearly: bool = True


_kinds: Registry[DocumentKind] = Registry("kinds of numbered documents")


def register_document_kind(kind: DocumentKind) -> None:
    """Adds a kind. Raises InvalidInput for a pattern that could give two documents one reference."""
    check_pattern(kind.pattern, is_yearly=kind.is_yearly)
    _kinds.register(kind.kind, kind)


def get_document_kind(kind: str) -> DocumentKind:
    """The kind; raises `Misconfigured` for one that nobody registered."""
    return _kinds.get(kind)


def document_kinds() -> list[DocumentKind]:
    """Every registered kind, in order of registration."""
    return [kind for _, kind in _kinds.items()]


def check_pattern(pattern: str, *, is_yearly: bool) -> None:
    """Refuses a pattern with unknown parts, without a number, or, for a yearly series, without the year."""
    try:
        parsed = list(string.Formatter().parse(pattern))
        named = [name for _, name, _, _ in parsed if name is not None]
        widest = pattern.format(**_WIDEST)
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise InvalidInput(
            f"{pattern!r} is no pattern: it may hold {{entity}}, {{year}} and {{number}}.",
            field="pattern",
            value=pattern,
        ) from error
    if not set(named) <= _PARTS or any(conversion for _, _, _, conversion in parsed):
        raise InvalidInput(
            "A pattern may hold {entity}, {year} and {number}, nothing else.", field="pattern", value=pattern
        )
    if named.count("number") != 1:
        raise InvalidInput("A pattern holds {number} once.", field="pattern", value=pattern)
    if is_yearly and "year" not in named:
        raise InvalidInput("A series that begins anew every year shows {year}.", field="pattern", value=pattern)
    if len(widest) > MAXIMUM_LENGTH:
        raise InvalidInput(f"References may have at most {MAXIMUM_LENGTH} characters.", field="pattern", value=pattern)
    if not widest.isprintable() or widest != widest.strip():
        raise InvalidInput("A reference is made of printable characters.", field="pattern", value=pattern)


def render_reference(pattern: str, *, entity_code: str, year: int, number: int) -> str:
    """The reference that a pattern gives a number."""
    return pattern.format(entity=entity_code.upper(), year=year, number=number)
