"""What is wrong, doubtful or missing in a version of a plan, found before anybody is paid by it: pure, by the engine's sharing.

A finding is fatal where the version cannot mean what it says: a rule that never pays because an earlier one covers it, a
rank that does not exist, payouts above the version's own guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product as combinations

from backoffice.kernel.decimals import EXACT, divide, round_decimal
from ib.rules.amounts import HUNDREDTH, SHARES, ZERO
from ib.rules.rates import Earning, Node, RateRule, TradeClass, VersionRules, chain_rates, winning_rule
from ib.rules.references import plain
from ib.rules.terms import CLIENT_BASES, RANK_BONUS, TRADE_BASES

DEEPEST_TRIED = 12
"""Levels that the worst case is tried for where a version states no limit."""
UNNAMED_LEVELS = 3
"""Levels that are tried for rules that name none."""
PERCENT_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a version. `rules` are the ids of the rules that it speaks of; `kind` is a stable name."""

    kind: str
    text: str
    is_fatal: bool = False
    rules: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TypicalLot:
    """What one lot of a symbol group was worth to the house on average, in one currency: the assumption of the guard.

    `known` and `lots` say of how many lots the spread was known, of all that were looked at.
    """

    currency: str
    lots: Decimal = ZERO
    spread: Decimal | None = None
    markup: Decimal | None = None
    commission: Decimal | None = None
    notional: Decimal | None = None
    point_value: Decimal | None = None

    @property
    def revenue(self) -> Decimal | None:
        """Spread and commission of a lot; None where neither is known."""
        if self.spread is None and self.commission is None:
            return None
        return EXACT.add(self.spread or ZERO, self.commission or ZERO)


@dataclass(frozen=True, slots=True)
class Checked:
    """What is checked: the version with the rules by the trade, all its rules, and what things are called."""

    version: VersionRules
    rules: tuple[RateRule, ...]
    sentences: Mapping[int, str]
    group_names: Mapping[int, str]
    group_of_symbol: Mapping[int, int] = field(default_factory=dict)
    maximum_share: Decimal | None = None
    highest_tiers: Mapping[int, Decimal] = field(default_factory=dict)
    by_hand_only: tuple[str, ...] = ()
    earned_ranks: tuple[str, ...] = ()
    lifetime_caps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most that a lot of a symbol group can pay to all partners together, against what it brings in."""

    group: str
    payout: Decimal
    revenue: Decimal | None
    currency: str
    percent: Decimal | None
    chain: str
    unbounded: tuple[str, ...] = ()


def check_version(checked: Checked, *, typical: Mapping[int, TypicalLot] | None = None) -> list[Finding]:
    """Everything that can be said about a version, the fatal first. *typical* is by symbol group; rates are in its money."""
    found = [
        *_never_reached(checked),
        *_overlaps(checked),
        *_unknown_ranks(checked),
        *_bonuses_never_earned(checked),
        *_gaps(checked),
        *_ranks_by_hand(checked),
        *_guard(checked, typical or {}),
    ]
    return sorted(found, key=lambda item: not item.is_fatal)


def compete(first: RateRule, other: RateRule) -> bool:
    """Whether one can keep the other from paying: rules of a component that are settled alike."""
    return first.component == other.component and _settled_by(first) == _settled_by(other)


def _settled_by(rule: RateRule) -> str:
    return "trade" if rule.basis in TRADE_BASES else "month" if rule.basis in CLIENT_BASES else "rank"


def covers(first: RateRule, other: RateRule, group_of_symbol: Mapping[int, int]) -> bool:
    """Whether everything that *other* selects is selected by *first* too."""
    if first.symbol_id is not None and first.symbol_id != other.symbol_id:
        return False
    if first.symbol_group_id is not None and first.symbol_group_id != _group(other, group_of_symbol):
        return False
    if first.level is not None and first.level != other.level:
        return False
    if first.rank and first.rank != other.rank:
        return False
    return first.requires <= other.requires


def meet(first: RateRule, other: RateRule, group_of_symbol: Mapping[int, int]) -> bool:
    """Whether some trade and partner is selected by both."""
    if first.symbol_id is not None and other.symbol_id is not None and first.symbol_id != other.symbol_id:
        return False
    groups = {_group(first, group_of_symbol), _group(other, group_of_symbol)} - {None}
    if len(groups) > 1:
        return False
    if first.level is not None and other.level is not None and first.level != other.level:
        return False
    if first.rank and other.rank and first.rank != other.rank:
        return False
    asked = dict(first.requires)
    return all(asked.get(name, value) == value for name, value in other.requires)


def worst_cases(checked: Checked, typical: Mapping[int, TypicalLot]) -> list[WorstCase]:
    """For each symbol group the chain of partners on this version that is paid most for a lot."""
    return [_worst_case(checked, group, typical.get(group)) for group in sorted(checked.group_names)]


def lot_worth(earning: Earning, lot: TypicalLot | None, highest: Mapping[int, Decimal]) -> Decimal | None:
    """What a node earns on a typical lot; None where that cannot be bounded."""
    terms = earning.terms
    rate = earning.rate
    if terms.rule_id in highest:
        rate = EXACT.add(rate, max(EXACT.subtract(highest[terms.rule_id], terms.rate), ZERO))
    if terms.basis == "per_lot":
        return rate
    quantity = {
        "points": lot.point_value if lot else None,
        "spread_share": lot.spread if lot else None,
        "markup_share": lot.markup if lot else None,
        "platform_commission_share": lot.commission if lot else None,
        "notional_per_million": EXACT.multiply(lot.notional, Decimal("0.000001")) if lot and lot.notional else None,
    }.get(terms.basis)
    if quantity is None:
        return None
    worth = EXACT.multiply(max(quantity, ZERO), rate)
    return EXACT.multiply(worth, HUNDREDTH) if terms.basis in SHARES else worth


# ------------------------------------------------------------------------------------------------------------- findings


def _never_reached(checked: Checked) -> Iterator[Finding]:
    for place, rule in enumerate(checked.rules):
        limit = checked.version.depth_limit
        if limit is not None and rule.level is not None and rule.level > limit:
            text = f"“{checked.sentences[rule.rule_id]}” never pays: only {limit} levels are paid."
            yield Finding("never_paid", text, True, (rule.rule_id,))
            continue
        earlier = next(
            (
                other
                for other in checked.rules[:place]
                if compete(other, rule) and covers(other, rule, checked.group_of_symbol)
            ),
            None,
        )
        if earlier is not None:
            text = (
                f"“{checked.sentences[rule.rule_id]}” never pays: “{checked.sentences[earlier.rule_id]}” goes before it"
                " and covers everything it selects."
            )
            yield Finding("never_paid", text, True, (rule.rule_id, earlier.rule_id))


def _overlaps(checked: Checked) -> Iterator[Finding]:
    """Rules that meet although neither is the closer one: their order alone decides."""
    for place, rule in enumerate(checked.rules):
        for other in checked.rules[:place]:
            if not compete(other, rule) or not meet(other, rule, checked.group_of_symbol):
                continue
            if covers(other, rule, checked.group_of_symbol) or covers(rule, other, checked.group_of_symbol):
                continue
            text = (
                f"“{checked.sentences[other.rule_id]}” and “{checked.sentences[rule.rule_id]}” both select some trades;"
                " the first one pays them."
            )
            yield Finding("overlap", text, False, (other.rule_id, rule.rule_id))


def _unknown_ranks(checked: Checked) -> Iterator[Finding]:
    for rule in checked.rules:
        if rule.rank and rule.rank not in checked.version.ranks:
            text = f"“{checked.sentences[rule.rule_id]}” is for the rank {rule.rank}, which the version does not have."
            yield Finding("unknown_rank", text, True, (rule.rule_id,))


def _bonuses_never_earned(checked: Checked) -> Iterator[Finding]:
    """Bonuses for ranks that no month earns: without conditions only the lowest one is, where others have some."""
    for rule in checked.rules:
        if rule.basis == RANK_BONUS and rule.rank in checked.version.ranks and rule.rank not in checked.earned_ranks:
            text = (
                f"“{checked.sentences[rule.rule_id]}” never pays: no month earns the rank {rule.rank}, for nothing says what"
                " earns it."
            )
            yield Finding("never_paid", text, True, (rule.rule_id,))


def _gaps(checked: Checked) -> Iterator[Finding]:
    """Symbol groups, levels and ranks that no rule pays."""
    if not checked.version.rules:
        return
    levels = _levels(checked)
    named = [rule.rank for rule in checked.version.rules if rule.rank]
    ranks = (list(checked.version.ranks) if named else []) or [""]
    unpaid_groups = 0
    for group, name in sorted(checked.group_names.items(), key=lambda item: item[1]):
        unpaid = [
            (level, rank)
            for level, rank in combinations(levels, ranks)
            if not _is_paid(checked, TradeClass(0, group), level, rank)
        ]
        if len(unpaid) == len(levels) * len(ranks):
            yield Finding("gap", f"Nothing is paid on {name}.")
            unpaid_groups += 1
            continue
        for level in [level for level in levels if {(level, rank) for rank in ranks} <= set(unpaid)]:
            yield Finding("gap", f"Level {level} is paid nothing on {name}.")
        for rank in ranks:
            if rank and {(level, rank) for level in levels} <= set(unpaid):
                yield Finding("gap", f"The rank {rank} is paid nothing on {name}.")
    if (
        named
        and unpaid_groups < len(checked.group_names)
        and not any(_is_paid(checked, TradeClass(0, group), 1, "") for group in checked.group_names)
    ):
        yield Finding("gap", "A partner without a rank is paid nothing.")


def _ranks_by_hand(checked: Checked) -> Iterator[Finding]:
    for code in checked.by_hand_only:
        yield Finding("rank_by_hand", f"Nobody reaches the rank {code} by itself: it states no condition.")


def _guard(checked: Checked, typical: Mapping[int, TypicalLot]) -> Iterator[Finding]:
    share = checked.maximum_share
    if share is None:
        return
    for rule_id in checked.lifetime_caps:
        text = (
            f"“{checked.sentences[rule_id]}” counts what a client was ever paid for, and the guard of {plain(share)} % would"
            " change that afterwards, month after month: leave out the guard or the cap for ever."
        )
        yield Finding("guard_and_lifetime_cap", text, True, (rule_id,))
    if not checked.version.rules:
        text = (
            f"The guard of {plain(share)} % bounds what a trade pays, and no rule here pays by the trade: leave it out."
        )
        yield Finding("guard_without_trades", text, True)
        return
    for case in worst_cases(checked, typical):
        words = ", ".join(case.unbounded)
        if case.unbounded:
            yield Finding(
                "guard_unknown", f"On {case.group} the guard cannot be foreseen for {words}: nothing bounds it."
            )
        if case.percent is None:
            if case.payout:
                yield Finding(
                    "guard_unknown",
                    f"What a lot of {case.group} brings in is not known yet; the guard of {plain(share)} % holds when"
                    " trades are settled.",
                )
        elif case.percent > share:
            yield Finding("guard", f"{_case_text(case)}, more than the guard of {plain(share)} %.", True)
        else:
            yield Finding("guard_kept", f"{_case_text(case)}: within the guard of {plain(share)} %.")


def _case_text(case: WorstCase) -> str:
    return (
        f"On {case.group} {case.chain} are paid {case.payout:.2f} {case.currency} for a lot that"
        f" brings in {case.revenue or ZERO:.2f} {case.currency} on average, {plain(case.percent or ZERO)} %"
    )


# ------------------------------------------------------------------------------------------------------------ worst case


def _worst_case(checked: Checked, group: int, lot: TypicalLot | None) -> WorstCase:
    trade = TradeClass(0, group)
    best, best_chain, unbounded = ZERO, "1 level", set[str]()
    for chain, words in _chains(checked):
        total = ZERO
        for earning in chain_rates(chain, trade):
            worth = lot_worth(earning, lot, checked.highest_tiers)
            if worth is None:
                unbounded.add(earning.terms.basis.replace("_", " "))
            else:
                total = EXACT.add(total, worth)
        if total > best:
            best, best_chain = total, words
    revenue = lot.revenue if lot is not None else None
    percent = None
    if revenue is not None and revenue > 0:
        percent = round_decimal(divide(EXACT.multiply(best, Decimal(100)), revenue), PERCENT_DECIMALS)
    currency = lot.currency if lot is not None else ""
    return WorstCase(checked.group_names[group], best, revenue, currency, percent, best_chain, tuple(sorted(unbounded)))


def _chains(checked: Checked) -> Iterator[tuple[list[Node], str]]:
    """Chains of partners on this version that are worth trying: every length, and ranks in the orders that pay most."""
    deepest = max(_levels(checked))
    ranks = checked.version.ranks
    for depth in range(1, deepest + 1):
        words = f"{depth} level{'s' if depth > 1 else ''}"
        if not ranks:
            yield [Node(version=checked.version) for _ in range(depth)], words
            continue
        for held in _rankings(ranks, depth):
            named = " → ".join(code or "no rank" for code in held)
            yield [Node(version=checked.version, rank=code) for code in held], f"{words} ({named})"


def _rankings(ranks: Sequence[str], depth: int) -> Iterable[tuple[str, ...]]:
    """Ascending, all alike, and one high among low ones."""
    padded = [ranks[min(place, len(ranks) - 1)] for place in range(depth)]
    found = {tuple(padded), tuple(ranks[max(len(ranks) - depth, 0) :][:depth])}
    found |= {(code,) * depth for code in ranks}
    found |= {(ranks[-1], *[ranks[0]] * (depth - 1))}
    return sorted(item for item in found if len(item) == depth)


def _levels(checked: Checked) -> list[int]:
    named = [rule.level for rule in checked.version.rules if rule.level]
    open_ended = any(rule.level is None for rule in checked.version.rules)
    deepest = max([*named, UNNAMED_LEVELS if open_ended else 1])
    if checked.version.depth_limit is not None:
        deepest = min(deepest, checked.version.depth_limit) if not open_ended else checked.version.depth_limit
    return list(range(1, min(deepest, DEEPEST_TRIED) + 1))


def _is_paid(checked: Checked, trade: TradeClass, level: int, rank: str) -> bool:
    """Whether some rule pays, whatever the account; rules for certain accounts are counted as if all were such."""
    attributes = frozenset(pair for rule in checked.version.rules for pair in rule.requires)
    node = Node(version=checked.version, rank=rank)
    for component in checked.version.parts:
        for wanted in (trade.attributes, attributes):
            rule = winning_rule(node, level, TradeClass(trade.symbol_id, trade.symbol_group_id, wanted), component)
            if rule is not None and (rule.rate > 0 or rule.needs_period):
                return True
    return False


def _group(rule: RateRule, group_of_symbol: Mapping[int, int]) -> int | None:
    if rule.symbol_id is not None:
        return group_of_symbol.get(rule.symbol_id)
    return rule.symbol_group_id
