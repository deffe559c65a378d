"""Who of a chain of partners earns at which rate, and why the others do not: every scheme of sharing from a few primitives.

A chain runs from the partner who introduced the client upwards. Rules of one component compete within a partner's plan;
each component is shared by itself. A client with a rebate (and a partner who trades) is a node at the bottom that counts
as no level. Nothing here knows of a trade's figures: rates come out, and a settlement multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from backoffice.kernel.decimals import EXACT
from ib.rules.amounts import HUNDREDTH, ZERO

ABSOLUTE, DIFFERENCE, ALLOCATION, PASS_UP, OVERRIDE = "absolute", "difference", "allocation", "pass_up", "override"


@dataclass(frozen=True, slots=True)
class RateRule:
    """What of a rule decides who earns at which rate. `requires` are attributes that the account must have."""

    rule_id: int
    component: str
    position: int
    basis: str
    rate: Decimal
    currency: str = ""
    symbol_id: int | None = None
    symbol_group_id: int | None = None
    requires: frozenset[tuple[str, str]] = frozenset()
    level: int | None = None
    rank: str = ""
    distribution: str = ABSOLUTE
    cumulative: bool = False
    override_of: str = ""
    funded_by: str = ""
    same_rank_percent: Decimal | None = None
    needs_period: bool = False


@dataclass(frozen=True, slots=True)
class VersionRules:
    """The rules by the trade of a published version, in the order of precedence, and its ranks from the lowest."""

    version_id: int
    rules: tuple[RateRule, ...] = ()
    ranks: tuple[str, ...] = ()
    depth_limit: int | None = None
    pays_own_trades: bool = False

    parts: dict[str, int] = field(init=False, repr=False, compare=False)
    """The number of each component: the main one first, the others by name."""

    def __post_init__(self) -> None:
        first = {rule.component for rule in self.rules}
        names = sorted(first, key=lambda name: (name != "main", name))
        object.__setattr__(self, "parts", {name: number for number, name in enumerate(names)})


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What was agreed instead of a plan's rate: an amount, or percent of the rate above."""

    component: str
    rate: Decimal | None = None
    percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A partner on the chain as far as rates depend on it; who it is does not matter."""

    version: VersionRules | None = None
    rank: str = ""
    is_trader: bool = False
    is_own: bool = False
    negotiated: tuple[Negotiated, ...] = ()


@dataclass(frozen=True, slots=True)
class TradeClass:
    """Trades that no rule can tell apart: a symbol that some rule names (else 0), its group, what is asked of accounts."""

    symbol_id: int
    symbol_group_id: int
    attributes: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Earning:
    """What a node of the chain earns. `terms` is the rule whose measure and conditions hold; `rule` the own one, if any."""

    index: int
    component: str
    part: int
    level: int
    rate: Decimal
    terms: RateRule
    rule: RateRule | None


@dataclass(frozen=True, slots=True)
class Lost:
    """A rule that does not pay a node, and why."""

    index: int
    rule_id: int
    why: str


@dataclass(slots=True)
class _Share:
    """The state of one component while it is shared."""

    winners: list[RateRule | None]
    full: list[Decimal | None]
    terms: list[RateRule | None]
    source: list[int | None]
    earned: list[Decimal]
    bonus: list[Decimal] = field(default_factory=list)


def levels_of(chain: Sequence[Node]) -> list[int]:
    """The level of each node: those who trade themselves are none."""
    levels, level = [], 0
    for node in chain:
        level += not (node.is_trader or node.is_own)
        levels.append(0 if node.is_trader or node.is_own else level)
    return levels


def chain_rates(chain: Sequence[Node], trade: TradeClass) -> tuple[Earning, ...]:
    """What every node of the chain earns on trades of a class, in the order of the chain; who earns nothing is left out."""
    levels = levels_of(chain)
    found: list[Earning] = []
    for component in _components(chain):
        share = _share(chain, levels, trade, component)
        for index in range(len(chain)):
            rate = EXACT.add(share.earned[index], share.bonus[index])
            terms = share.terms[index]
            if rate > 0 and terms is not None:
                part = _part(chain, share, index, component)
                found.append(Earning(index, component, part, levels[index], rate, terms, share.winners[index]))
    return tuple(sorted(found, key=lambda earning: (earning.index, earning.part, earning.component)))


def lost_rules(chain: Sequence[Node], trade: TradeClass) -> tuple[Lost, ...]:
    """Every rule of the chain's plans that does not pay, and why."""
    levels = levels_of(chain)
    found: list[Lost] = []
    earning = {(item.index, item.component) for item in chain_rates(chain, trade)}
    for index, node in enumerate(chain):
        if node.version is None:
            continue
        barred = _barred(node, levels[index])
        taken: dict[str, int] = {}
        for rule in node.version.rules:
            why = barred or _mismatch(rule, node, levels[index], trade)
            if not why and rule.component in taken:
                why = f"rule {taken[rule.component]} goes before it"
            elif not why:
                taken[rule.component] = rule.position
                if (index, rule.component) not in earning:
                    why = "it pays nothing" if not rule.rate else "nothing is left for it"
            if why:
                found.append(Lost(index, rule.rule_id, why))
    return tuple(found)


def winning_rule(node: Node, level: int, trade: TradeClass, component: str) -> RateRule | None:
    """The first rule of the component that holds for the node."""
    if node.version is None or _barred(node, level):
        return None
    for rule in node.version.rules:
        # Most rules are for another level or group; that is seen without asking for words.
        if rule.level not in (None, level) or rule.symbol_group_id not in (None, trade.symbol_group_id):
            continue
        if rule.component == component and not _mismatch(rule, node, level, trade):
            return rule
    return None


def _components(chain: Sequence[Node]) -> list[str]:
    names = {rule.component for node in chain if node.version for rule in node.version.rules}
    return sorted(names | {item.component for node in chain for item in node.negotiated})


def _barred(node: Node, level: int) -> str:
    version = node.version
    if version is not None and version.depth_limit is not None and level > version.depth_limit:
        return f"only {version.depth_limit} levels are paid"
    if node.is_own and not (version is not None and version.pays_own_trades):
        return "the plan does not pay own trades"
    return ""


def _mismatch(rule: RateRule, node: Node, level: int, trade: TradeClass) -> str:
    if rule.symbol_id is not None and rule.symbol_id != trade.symbol_id:
        return "it is for another symbol"
    if rule.symbol_group_id is not None and rule.symbol_group_id != trade.symbol_group_id:
        return "it is for another symbol group"
    if rule.level is not None and rule.level != level:
        return f"it is for level {rule.level}"
    if rule.rank and rule.rank != node.rank:
        return f"it is for rank {rule.rank}"
    missing = sorted(rule.requires - trade.attributes)
    return f"it is for {missing[0][0]} {missing[0][1]}" if missing else ""


def _share(chain: Sequence[Node], levels: Sequence[int], trade: TradeClass, component: str) -> _Share:
    size = len(chain)
    winners = [winning_rule(node, levels[index], trade, component) for index, node in enumerate(chain)]
    share = _Share(winners, [None] * size, [None] * size, [None] * size, [ZERO] * size, [ZERO] * size)
    for index in reversed(range(size)):
        if not _barred(chain[index], levels[index]):
            _state_full_rate(chain, share, index, trade, component)
    for index in range(size):
        _earn(chain, share, index)
    return share


def _state_full_rate(chain: Sequence[Node], share: _Share, index: int, trade: TradeClass, component: str) -> None:
    """What a node has before it shares with those below: from the top down, for a part of a rate needs the rate above."""
    node, rule = chain[index], share.winners[index]
    agreed = next((item for item in node.negotiated if item.component == component), None)
    above = next((at for at in range(index + 1, len(chain)) if share.full[at] is not None), None)
    if rule is not None and rule.distribution in {OVERRIDE, PASS_UP}:
        return
    if rule is None or rule.distribution == ALLOCATION:
        if above is None or (rule is None and agreed is None):
            return
        rate_above = share.full[above] or ZERO
        if agreed is not None and agreed.rate is not None:
            rate = min(agreed.rate, rate_above)
        else:
            percent = agreed.percent if agreed is not None else rule.rate if rule is not None else None
            rate = _percent(rate_above, percent or ZERO)
        share.full[index], share.terms[index], share.source[index] = rate, share.terms[above], above
        return
    rate = _stated_rate(node, rule, trade) if rule.cumulative else rule.rate
    if agreed is not None:
        is_like = above is not None and _is_like(share.terms[above], rule)
        ceiling = share.full[above] or ZERO if above is not None and is_like else rate
        rate = min(agreed.rate, ceiling) if agreed.rate is not None else _percent(ceiling, agreed.percent or ZERO)
    share.full[index], share.terms[index] = rate, rule


def _stated_rate(node: Node, rule: RateRule, trade: TradeClass) -> Decimal:
    """The rates of the ranks added up, from the lowest to the node's own."""
    version = node.version
    assert version is not None, "a rule has a version"
    total = ZERO
    for rank in version.ranks[: version.ranks.index(rule.rank) + 1] if rule.rank in version.ranks else (rule.rank,):
        stand_in = Node(version=version, rank=rank)
        level = rule.level if rule.level is not None else 1
        step = next(
            (
                item
                for item in version.rules
                if item.component == rule.component
                and item.rank == rank
                and not _mismatch(item, stand_in, level, trade)
            ),
            None,
        )
        total = EXACT.add(total, step.rate if step is not None else ZERO)
    return total


def _earn(chain: Sequence[Node], share: _Share, index: int) -> None:
    rule, full, terms = share.winners[index], share.full[index], share.terms[index]
    if full is not None and terms is not None:
        if rule is not None and rule.distribution == DIFFERENCE:
            paid = [share.earned[at] for at in range(index) if _is_like(share.terms[at], terms)]
            share.earned[index] = max(EXACT.subtract(full, _sum(paid)), ZERO)
            _same_rank(chain, share, index, rule)
        else:
            below = next((at for at in range(index) if share.source[at] == index), None)
            given = share.full[below] or ZERO if below is not None else ZERO
            share.earned[index] = max(EXACT.subtract(full, given), ZERO)
    elif rule is not None and rule.distribution == PASS_UP:
        _pass_up(share, index, rule)
    elif rule is not None and rule.distribution == OVERRIDE:
        _override(share, index, rule)


def _same_rank(chain: Sequence[Node], share: _Share, index: int, rule: RateRule) -> None:
    """Percent of what the nearest one below of the same rank earns, on top."""
    rank = chain[index].rank
    if rule.same_rank_percent is None or not rank or share.earned[index] > 0:
        return
    below = next((at for at in reversed(range(index)) if chain[at].rank == rank), None)
    if below is not None and _is_like(share.terms[below], rule):
        share.bonus[index] = _percent(share.earned[below], rule.same_rank_percent)


def _pass_up(share: _Share, index: int, rule: RateRule) -> None:
    """The node takes the stated rate from the nearest one below who earns, and never more than that one has."""
    below = _nearest_below(share, index)
    if below is None or not _is_like(share.terms[below], rule):
        return
    taken = min(rule.rate, share.earned[below])
    share.earned[below] = EXACT.subtract(share.earned[below], taken)
    share.earned[index], share.terms[index] = taken, share.terms[below]


def _override(share: _Share, index: int, rule: RateRule) -> None:
    """Percent of what the next one below earns, or of what all below earn by the same measure."""
    nearest = _nearest_below(share, index)
    if nearest is None:
        return
    terms = share.terms[nearest]
    bases = [nearest]
    if rule.override_of == "all":
        bases = [at for at in range(index) if share.earned[at] > 0 and _is_like(share.terms[at], terms)]
    amounts = {at: _percent(share.earned[at], rule.rate) for at in bases}
    share.earned[index], share.terms[index] = _sum(list(amounts.values())), terms
    if rule.funded_by == "downline":
        for at, amount in amounts.items():
            share.earned[at] = max(EXACT.subtract(share.earned[at], amount), ZERO)


def _nearest_below(share: _Share, index: int) -> int | None:
    return next((at for at in reversed(range(index)) if share.earned[at] > 0), None)


def _is_like(one: RateRule | None, other: RateRule | None) -> bool:
    """Whether two rates can be set off: the same measure in the same money."""
    return one is not None and other is not None and (one.basis, one.currency) == (other.basis, other.currency)


def _part(chain: Sequence[Node], share: _Share, index: int, component: str) -> int:
    """The number of the component in the own plan, else in that of the partner whose rate is shared."""
    version = chain[index].version
    if version is not None and component in version.parts:
        return version.parts[component]
    above = share.source[index]
    return _part(chain, share, above, component) if above is not None else 0


def _percent(amount: Decimal, percent: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.multiply(amount, percent), HUNDREDTH)


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def ranks_of(positions: Mapping[str, int]) -> tuple[str, ...]:
    """The codes of ranks from the lowest."""
    return tuple(sorted(positions, key=lambda code: positions[code]))
