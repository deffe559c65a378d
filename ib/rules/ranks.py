"""Which rank a month earns, and what follows from it: pure, the same for the same figures.

Whoever meets all conditions of a rank has earned it; the highest one counts. A partner rises at once and falls only after
the held rank was missed for longer than its version forgives. What somebody gave by hand stays until its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from backoffice.kernel.errors import InvalidInput
from ib.rules.references import plain

Figure = tuple[str, str, str]
"""(measure, scope, window): what is measured, of whom, and over which time."""

MEASURE_WORDS = {"lots": "lots", "active_clients": "active traders", "deposits": "of deposits"}
SCOPE_WORDS = {"own": "of own clients", "team": "of own clients and everybody below"}
WINDOW_WORDS = {"month": "in a month", "quarter": "in three months"}
WINDOW_MONTHS = {"month": 1, "quarter": 3}
MAXIMUM_KEEP_MONTHS = 120
HIGHEST_THRESHOLD = Decimal(10) ** 15


@dataclass(frozen=True, slots=True)
class Condition:
    """At least `threshold` of a figure; deposits are in `currency`."""

    measure: str
    scope: str
    window: str
    threshold: Decimal
    currency: str = ""

    @property
    def figure(self) -> Figure:
        """What it looks at, without how much of it."""
        return self.measure, self.scope, self.window


@dataclass(frozen=True, slots=True)
class RankTerms:
    """A rank of a version: what earns it, and for how many months it outlives that."""

    code: str
    name: str
    conditions: tuple[Condition, ...] = ()
    keep_months: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a month leads to: the rank earned, the one of the next month, months missed in a row, and how it is called."""

    earned: str
    follows: str
    misses: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A condition of the next rank and how far it is: `left` is zero where it is met."""

    text: str
    needed: Decimal
    reached: Decimal
    left: Decimal
    currency: str
    percent: int


def condition_text(condition: Any) -> str:
    """A condition in words: "at least 50 lots of own clients in a month"."""
    amount = f"{plain(condition.threshold)} {condition.currency}".strip()
    return (
        f"at least {amount} {MEASURE_WORDS[condition.measure]} {SCOPE_WORDS[condition.scope]}"
        f" {WINDOW_WORDS[condition.window]}"
    )


def is_automatic(ranks: Sequence[RankTerms]) -> bool:
    """Whether a version decides on ranks by itself: some rank says what earns it."""
    return any(rank.conditions for rank in ranks)


def earned_rank(ranks: Sequence[RankTerms], figures: Mapping[Figure, Decimal]) -> str:
    """The highest rank whose conditions all hold; *ranks* from the lowest. The lowest one without conditions is everybody's."""
    for place in reversed(range(len(ranks))):
        conditions = ranks[place].conditions
        if not conditions and place:
            continue
        if all(figures.get(item.figure, Decimal(0)) >= item.threshold for item in conditions):
            return ranks[place].code
    return ""


def decide(
    ranks: Sequence[RankTerms],
    figures: Mapping[Figure, Decimal],
    *,
    held: str,
    misses_before: int = 0,
    is_by_hand: bool = False,
) -> Decision:
    """What follows for the next month. *held* is the rank of this one, *is_by_hand* that the next month's is given already.

    A held rank that the version does not know counts as none.
    """
    codes = [rank.code for rank in ranks]
    earned = earned_rank(ranks, figures)
    place, own = _place(codes, earned), _place(codes, held)
    misses = misses_before + 1 if place < own else 0
    if is_by_hand:
        return Decision(earned, held, misses, "by_hand")
    if place > own:
        return Decision(earned, earned, 0, "raised")
    if place == own:
        return Decision(earned, earned, 0, "unchanged")
    if misses <= ranks[own].keep_months:
        return Decision(earned, held, misses, "spared")
    return Decision(earned, earned, 0, "lowered")


def missing_to_next(
    ranks: Sequence[RankTerms], figures: Mapping[Figure, Decimal], *, held: str
) -> tuple[RankTerms | None, tuple[Missing, ...]]:
    """The next rank above the held one that can be earned, and how far each of its conditions is."""
    codes = [rank.code for rank in ranks]
    for place in range(_place(codes, held) + 1, len(ranks)):
        if ranks[place].conditions:
            return ranks[place], tuple(_missing(item, figures) for item in ranks[place].conditions)
    return None, ()


def check_conditions(conditions: Sequence[Condition], *, keep_months: int = 0) -> None:
    """Raises InvalidInput, naming the field, for conditions that say nothing or the same figure twice."""
    seen: set[Figure] = set()
    for item in conditions:
        if item.measure not in MEASURE_WORDS:
            raise InvalidInput("Lots, active traders or deposits are measured.", field="measure", value=item.measure)
        if item.scope not in SCOPE_WORDS or item.window not in WINDOW_WORDS:
            raise InvalidInput("Say whose clients count, and over which time.", field="scope", value=item.scope)
        if not 0 < item.threshold <= HIGHEST_THRESHOLD:
            raise InvalidInput("A condition asks for more than nothing.", field="threshold", value=str(item.threshold))
        if bool(item.currency) != (item.measure == "deposits"):
            raise InvalidInput("Deposits need a currency; what is counted has none.", field="currency")
        if item.figure in seen:
            raise InvalidInput("The same figure is asked for twice.", field="measure", value=item.measure)
        seen.add(item.figure)
    if not 0 <= keep_months <= MAXIMUM_KEEP_MONTHS:
        raise InvalidInput(f"Between 0 and {MAXIMUM_KEEP_MONTHS} months.", field="keep_months", value=keep_months)


def first_of_window(window: str, period: date) -> date:
    """The first month of a window that ends with the period."""
    months = period.year * 12 + period.month - WINDOW_MONTHS[window]
    return date(months // 12, months % 12 + 1, 1)


def _place(codes: Sequence[str], code: str) -> int:
    return codes.index(code) if code in codes else -1


def _missing(item: Condition, figures: Mapping[Figure, Decimal]) -> Missing:
    reached = figures.get(item.figure, Decimal(0))
    left = max(item.threshold - reached, Decimal(0))
    percent = 100 if not left else max(min(int(reached * 100 / item.threshold), 99), 0)
    return Missing(condition_text(item), item.threshold, reached, left, item.currency, percent)
