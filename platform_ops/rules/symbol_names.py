"""Pure decisions of this desk: which canonical symbol a server's name means."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

MAX_GLUED_LETTERS = 4
"""Longest suffix that is glued to a name without a mark, such as `EURUSDpro`."""

MIN_CORE_LETTERS = 6
"""A glued suffix is only taken off a name that keeps a currency pair's length; `US30m` keeps its own rules."""

_MARKED_SUFFIX = re.compile(r"(?P<core>[A-Z0-9]+)(?P<suffix>[._#!+^-].*)", re.IGNORECASE)
_MARKED_PREFIX = re.compile(r"(?P<prefix>[#_.!-]|[A-Z]{1,3}[._-])(?P<core>[A-Z0-9]+)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[/_\- ]")


@dataclass(frozen=True, slots=True)
class NameRule:
    """A rule of a server, tried before those of the house: what to leave out or replace, or whose other name it is.

    `pattern` is the characters themselves, never an expression; letter case does not matter.
    """

    kind: str
    pattern: str
    replacement: str = ""
    code: str = ""

    def candidate(self, upper: str) -> str | None:
        """What the name reads like by this rule; None where the rule says nothing of it."""
        pattern = self.pattern.upper()
        if self.kind == "alias":
            return self.code.upper() if upper == pattern else None
        if self.kind == "suffix":
            return upper.removesuffix(pattern) if upper.endswith(pattern) and upper != pattern else None
        if self.kind == "prefix":
            return upper.removeprefix(pattern) if upper.startswith(pattern) and upper != pattern else None
        return upper.replace(pattern, self.replacement.upper()) if pattern in upper else None

    def __str__(self) -> str:
        words = {"suffix": "suffix {} left out", "prefix": "prefix {} left out", "alias": "{} is another name"}
        text = words.get(self.kind, "{} replaced by " + (self.replacement or "nothing"))
        return f"rule: {text.format(self.pattern)}"


@dataclass(frozen=True, slots=True)
class SymbolMatch:
    """The canonical code that a server's name means, and the rule that says so."""

    code: str
    rule: str


def match_symbol(name: str, known_codes: Collection[str], rules: Sequence[NameRule] = ()) -> SymbolMatch | None:
    """The canonical symbol of a server's name, or None where the name alone does not decide.

    The server's own *rules* come first, in their order: the first that leads to a symbol decides. Then those of the house,
    the first that finds something decides; letter case never matters:
    1. the same name (`eurusd`);
    2. the same name without separators (`EUR/USD`, `EUR_USD`);
    3. what stands before a mark (`EURUSD.m`, `XAUUSD#`, `usdjpy.`), then what stands after one (`#EURUSD`, `m.EURUSD`);
    4. up to four letters glued to a name of at least six (`eurgbpi`, `EURUSDpro`), if just one length fits.
    A rule that finds two different symbols finds none, and no later rule is asked.
    """
    codes = {code.upper(): code for code in known_codes}
    upper = name.strip().upper()
    for own in rules:
        candidate = own.candidate(upper)
        if candidate is not None and candidate in codes:
            return SymbolMatch(codes[candidate], str(own))
    for rule, candidates in (
        ("the same name", [upper]),
        ("separators left out", [_SEPARATORS.sub("", upper)]),
        *_marked_candidates(upper),
        ("letters at the end left out", _glued_candidates(upper)),
    ):
        found = {codes[candidate] for candidate in candidates if candidate in codes}
        if len(found) == 1:
            return SymbolMatch(found.pop(), rule)
        if found:
            return None
    return None


def _marked_candidates(upper: str) -> list[tuple[str, list[str]]]:
    rules = []
    if suffixed := _MARKED_SUFFIX.fullmatch(upper):
        rules.append((f"suffix {suffixed['suffix']} left out", [suffixed["core"]]))
    if prefixed := _MARKED_PREFIX.fullmatch(upper):
        rules.append((f"prefix {prefixed['prefix']} left out", [prefixed["core"]]))
    return rules


def _glued_candidates(upper: str) -> list[str]:
    return [
        upper[:-length]
        for length in range(1, MAX_GLUED_LETTERS + 1)
        if len(upper) - length >= MIN_CORE_LETTERS and upper[-length:].isalpha()
    ]
