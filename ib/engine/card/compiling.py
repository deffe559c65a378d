"""Compiles a snapshot of the set-up into the entries of a rate card: pure, and the same whenever the set-up is the same.

For every partner who may introduce clients: the chains above it, cut where anything on them changes, shared by
`rules.rates`, and put together again where nothing changed for the beneficiary. What chains of the same plans earn is
worked out once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT
from ib.engine.card.snapshot import (
    ACCOUNT_GROUP,
    MAXIMUM,
    MINIMUM,
    Attributes,
    Money,
    PartnerFacts,
    Snapshot,
    needs_period,
)
from ib.rules.amounts import ONE, SHARES
from ib.rules.rates import Earning, Negotiated, Node, TradeClass, VersionRules, chain_rates

LONGEST_CHAIN = 100
"""Partners above a client that are followed; a circle that tampering made is cut by the path."""

Chain = tuple[tuple[int, ...], datetime, datetime]
Entry = tuple[Any, ...]


@dataclass(slots=True)
class _Compiler:
    snapshot: Snapshot
    nodes: dict[Node, int] = field(default_factory=dict)
    by_number: list[Node] = field(default_factory=list)
    timelines: dict[tuple[int, bool], list[tuple[datetime, datetime, int]]] = field(default_factory=dict)
    chains: dict[int, list[Chain]] = field(default_factory=dict)
    earned: dict[tuple[tuple[int, ...], TradeClass], tuple[Earning, ...]] = field(default_factory=dict)
    classes: list[tuple[int, int, int, Attributes]] = field(default_factory=list)
    named: dict[int, tuple[frozenset[int], frozenset[int], Attributes]] = field(default_factory=dict)


def compile_entries(snapshot: Snapshot) -> Iterator[Entry]:
    """The entries of the card, in the columns of `tables.COLUMNS` and from when to when."""
    compiler = _Compiler(snapshot)
    kinds = [(0, frozenset[tuple[str, str]]()), *snapshot.classes]
    for class_id, attributes in kinds:
        compiler.classes += [(0, group, class_id, attributes) for group in snapshot.symbol_groups]
        compiler.classes += [(symbol, group, class_id, attributes) for symbol, group in snapshot.symbols]
    for partner_id in sorted(snapshot.partners):
        yield from _entries_of(compiler, partner_id, is_own=False)
        partner = snapshot.partners[partner_id]
        if partner.is_client and not partner.is_trader:
            yield from _entries_of(compiler, partner_id, is_own=True)


def _entries_of(compiler: _Compiler, partner_id: int, *, is_own: bool) -> Iterator[Entry]:
    spans: dict[Entry, list[tuple[datetime, datetime]]] = defaultdict(list)
    direct = -partner_id if is_own else partner_id
    for path, since, until in _chains_above(compiler, partner_id, frozenset()):
        for start, end, numbers in _cut(compiler, path, since, until, is_own=is_own):
            for symbol, group, class_id, attributes in compiler.classes:
                for earning in _earnings(compiler, numbers, symbol, group, attributes):
                    money = _money_of(compiler, path, numbers, earning, group, attributes)
                    spans[direct, group, symbol, class_id, *_said(path, earning), *money].append((start, end))
    for said, times in spans.items():
        for start, end in _joined(times):
            yield (*said, None if start == MINIMUM else start, None if end == MAXIMUM else end)


def _said(path: tuple[int, ...], earning: Earning) -> Entry:
    return (
        path[earning.index],
        earning.level,
        path[: earning.index + 1],
        earning.rule.rule_id if earning.rule is not None else None,
        earning.terms.rule_id,
        earning.component,
        earning.part,
        earning.terms.basis,
        earning.rate,
        earning.terms.currency,
    )


def _money_of(
    compiler: _Compiler,
    path: tuple[int, ...],
    numbers: tuple[int, ...],
    earning: Earning,
    group: int,
    attributes: Attributes,
) -> Entry:
    """Weight, currency of the reward, decimals, mode, stage, and whether the period decides: by the own plan if there is one."""
    snapshot = compiler.snapshot
    version = compiler.by_number[numbers[earning.index]].version
    version_id = version.version_id if version is not None else snapshot.rules[earning.terms.rule_id].version_id
    money = snapshot.money[version_id]
    currency = money.reward_currency or snapshot.partners[path[earning.index]].currency
    # The books take no finer amounts than the currency has.
    digits = Currency.of(currency).digits
    decimals = digits if money.decimals is None else min(money.decimals, digits)
    weight = _weight(money, group, attributes)
    return (weight, currency, decimals, money.mode, money.stage, earning.terms.needs_period)


def _weight(money: Money, group: int, attributes: Attributes) -> Decimal:
    weight = money.group_weights.get(group, ONE)
    if money.account_weights:
        account_group = next((value for name, value in attributes if name == ACCOUNT_GROUP), "")
        weight = EXACT.multiply(weight, money.account_weights.get(account_group, ONE))
    return weight


def _earnings(
    compiler: _Compiler, numbers: tuple[int, ...], symbol: int, group: int, attributes: Attributes
) -> tuple[Earning, ...]:
    """What the chain earns on a class; classes that none of its plans tells apart are one."""
    symbols, groups, pairs = frozenset[int](), frozenset[int](), frozenset[tuple[str, str]]()
    for number in numbers:
        named = compiler.named[number]
        symbols, groups, pairs = symbols | named[0], groups | named[1], pairs | named[2]
    trade = TradeClass(
        symbol if symbol in symbols else 0,
        group if group in groups else 0,
        attributes & pairs if attributes else attributes,
    )
    key = numbers, trade
    if key not in compiler.earned:
        compiler.earned[key] = chain_rates([compiler.by_number[number] for number in numbers], trade)
    return compiler.earned[key]


def _chains_above(compiler: _Compiler, partner_id: int, below: frozenset[int]) -> list[Chain]:
    """The chains from a partner upwards and when each holds."""
    known = compiler.chains.get(partner_id)
    if known is not None:
        return known
    found: list[Chain] = []
    at = MINIMUM
    for edge in compiler.snapshot.parents.get(partner_id, ()):
        if edge.value == partner_id or edge.value in below or len(below) >= LONGEST_CHAIN:
            continue
        if at < edge.since:
            found.append(((partner_id,), at, edge.since))
        for path, since, until in _chains_above(compiler, edge.value, below | {partner_id}):
            start, end = max(since, edge.since), min(until, edge.until)
            if start < end:
                found.append(((partner_id, *path), start, end))
        at = max(at, edge.until)
    if at < MAXIMUM:
        found.append(((partner_id,), at, MAXIMUM))
    compiler.chains[partner_id] = found
    return found


def _cut(
    compiler: _Compiler, path: tuple[int, ...], since: datetime, until: datetime, *, is_own: bool
) -> Iterator[tuple[datetime, datetime, tuple[int, ...]]]:
    """The chain's time, cut where a plan, a rank or an agreed rate on it changes."""
    pieces = [(since, until, tuple[int, ...]())]
    for index, partner_id in enumerate(path):
        timeline = _timeline(compiler, partner_id, is_own=is_own and index == 0)
        if len(timeline) == 1:
            pieces = [(start, end, (*numbers, timeline[0][2])) for start, end, numbers in pieces]
            continue
        pieces = [
            (max(start, begun), min(end, ended), (*numbers, number))
            for start, end, numbers in pieces
            for begun, ended, number in timeline
            if max(start, begun) < min(end, ended)
        ]
    yield from pieces


def _timeline(compiler: _Compiler, partner_id: int, *, is_own: bool) -> list[tuple[datetime, datetime, int]]:
    """What a partner is to the card, from the beginning of time to its end."""
    key = partner_id, is_own
    if key in compiler.timelines:
        return compiler.timelines[key]
    snapshot = compiler.snapshot
    layers = [mapping.get(partner_id, ()) for mapping in (snapshot.promises, snapshot.ranks, snapshot.negotiated)]
    moments = {MINIMUM, MAXIMUM} | {moment for spans in layers for span in spans for moment in (span.since, span.until)}
    ordered = sorted(moments)
    found: list[tuple[datetime, datetime, int]] = []
    for start, end in pairwise(ordered):
        held = [[span.value for span in spans if span.since <= start < span.until] for spans in layers]
        number = _number(compiler, snapshot.partners[partner_id], *held, is_own=is_own)
        if found and found[-1][2] == number:
            found[-1] = (found[-1][0], end, number)
        else:
            found.append((start, end, number))
    compiler.timelines[key] = found
    return found


def _number(
    compiler: _Compiler,
    partner: PartnerFacts,
    versions: list[int],
    ranks: list[str],
    negotiated: list[Negotiated],
    *,
    is_own: bool,
) -> int:
    """Nodes that are alike have one number, so that what their chains earn is worked out once."""
    version = compiler.snapshot.versions.get(versions[0]) if versions else None
    node = Node(
        version=version,
        rank=ranks[0] if ranks else "",
        is_trader=partner.is_trader,
        is_own=is_own,
        negotiated=tuple(sorted(negotiated, key=lambda item: item.component)),
    )
    if node not in compiler.nodes:
        compiler.nodes[node] = len(compiler.by_number)
        compiler.named[len(compiler.by_number)] = _named(version)
        compiler.by_number.append(node)
    return compiler.nodes[node]


def _named(version: VersionRules | None) -> tuple[frozenset[int], frozenset[int], Attributes]:
    rules = version.rules if version is not None else ()
    return (
        frozenset(rule.symbol_id for rule in rules if rule.symbol_id is not None),
        frozenset(rule.symbol_group_id for rule in rules if rule.symbol_group_id is not None),
        frozenset(pair for rule in rules for pair in rule.requires),
    )


def _joined(times: list[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Spans that touch, as one."""
    if len(times) == 1:
        yield times[0]
        return
    start, end = None, None
    for since, until in sorted(times):
        if end is not None and since <= end:
            end = max(end, until)
            continue
        if start is not None and end is not None:
            yield start, end
        start, end = since, until
    if start is not None and end is not None:
        yield start, end


SINGLE_TRAIT, ORDERED_TRAIT = "single:", "ordered:"
"""What stands before a trait that the entries of one stage ask for."""

BASIS_TRAITS = {
    "points": "points_basis",
    "spread_share": "spread",
    "markup_share": "markup",
    "platform_commission_share": "commission",
    "notional_per_million": "notional",
    "client_profit_share": "profit",
}


@dataclass(slots=True)
class Seen:
    """What occurs among the entries of a card, gathered while they pass by."""

    bases: set[str] = field(default_factory=set)
    terms: set[int] = field(default_factory=set)
    classes: bool = False
    symbols: bool = False
    money: bool = False
    weights: bool = False
    modes: bool = False
    steps: bool = False

    def note(self, entry: Entry) -> None:
        """Takes an entry into account."""
        self.symbols |= entry[2] != 0
        self.classes |= entry[3] != 0
        self.terms.add(entry[8])
        self.bases.add(entry[11])
        self.money |= entry[13] == ""
        self.weights |= entry[14] != 1
        self.modes |= entry[17] != "half_up"
        self.steps |= entry[18] == "step"


@dataclass(slots=True)
class SeenByStage:
    """What occurs among the entries that are valued by themselves, and among those that are valued in the trades' order."""

    single: Seen = field(default_factory=Seen)
    ordered: Seen = field(default_factory=Seen)

    def watch(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        """The same entries."""
        for entry in entries:
            (self.ordered if entry[19] else self.single).note(entry)
            yield entry


def traits_by_stage(snapshot: Snapshot, seen: SeenByStage) -> list[str]:
    """What the card's entries ask of a settlement: all together and, where there are two stages, each stage by its name."""
    single, ordered = traits_of(snapshot, seen.single), traits_of(snapshot, seen.ordered)
    if not seen.ordered.terms:
        return single
    return sorted(
        {*single, *ordered, *(SINGLE_TRAIT + trait for trait in single), *(ORDERED_TRAIT + trait for trait in ordered)}
    )


def traits_of(snapshot: Snapshot, seen: Seen) -> list[str]:
    """What the entries ask of a settlement; what nobody asks for costs it nothing."""
    found = {BASIS_TRAITS[basis] for basis in seen.bases if basis in BASIS_TRAITS}
    found |= {"shares"} if seen.bases & SHARES else set()
    found |= {name for name in ("classes", "symbols", "money", "weights", "modes", "steps") if getattr(seen, name)}
    # Own trades must be told apart where they are not paid, too.
    if any(partner.is_client and not partner.is_trader for partner in snapshot.partners.values()):
        found.add("own")
    for rule_id in seen.terms:
        found |= _traits_of_rule(snapshot, rule_id)
    return sorted(found)


def _traits_of_rule(snapshot: Snapshot, rule_id: int) -> set[str]:
    rule = snapshot.rules[rule_id]
    found = set()
    if any(
        value not in (None, "", False)
        for value in (
            rule.spread_sides,
            rule.spread_cap_points,
            rule.average_spread_points,
            rule.minimum_hold_seconds,
            rule.maximum_hold_seconds,
            rule.minimum_points,
            rule.minimum_lots,
            rule.side,
            rule.only_profitable,
            rule.cap_per_order,
        )
    ):
        found.add("terms")
    if not rule.pays_close_by:
        found |= {"terms", "close_by"}
    if rule.minimum_points is not None:
        found.add("points")
    if not rule.pays_negative_balance or rule.uses_credit_coefficient:
        found |= {"terms", "balances"}
    if rule.average_spread_points is not None:
        found.add("news")
    if rule.uses_credit_coefficient:
        found.add("credit")
    if rule.cap_per_order is not None:
        found.add("order_caps")
    if snapshot.money[rule.version_id].guard is not None:
        found.add("guard")
    if needs_period(rule):
        found.add("periods")
        found |= {"prior"} if rule.tier_window == "prior" else set()
        found |= {"team"} if rule.tier_scope == "team" else set()
        found |= {"lifetime"} if rule.cap_client_lifetime is not None else set()
    return found
