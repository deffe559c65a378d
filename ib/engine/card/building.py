"""Compiles the set-up as it stands in this transaction into the table `ib_card_build`, and says what it asks of a settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput
from ib.engine.card.classes import names_accounts, refresh_classes
from ib.engine.card.compiling import ORDERED_TRAIT, SINGLE_TRAIT, SeenByStage, compile_entries, traits_by_stage
from ib.engine.card.snapshot import read_snapshot
from ib.engine.card.tables import CURRENCY_PAIRS, DIGEST, write_build

# A share is paid out of the money of accounts and symbols: which currencies occur is asked when it is settled, because an
# account in another currency changes nothing of the card. Who settles a few trades asks those and not every account.
_ACCOUNT_MONEY = "SELECT DISTINCT currency FROM platform_ops_tradingaccount"
_TRADE_MONEY = "SELECT DISTINCT t.currency FROM platform_ops_trade AS t WHERE "
_SYMBOL_MONEY = "SELECT DISTINCT profit_currency FROM platform_ops_symbol"
_OF_ACCOUNTS = frozenset({"commission", "profit", "notional", "guard"})
_OF_SYMBOLS = frozenset({"points_basis", "spread", "markup", "guard"})


OF_THE_WHOLE_CARD = frozenset({"own", "symbols", "classes", "periods", "prior", "lifetime", "team"})
"""Traits that decide which entry is for a trade; they hold for both stages."""


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a statement over a card must know: conversions, the symbols that rules name, and what its entries ask for."""

    pairs: tuple[tuple[str, str], ...] = ()
    symbols: tuple[int, ...] = ()
    traits: frozenset[str] = frozenset()

    def has(self, *traits: str) -> bool:
        """Whether any of the traits occurs."""
        return not self.traits.isdisjoint(traits)

    def of_stage(self, *, ordered: bool) -> CardFacts:
        """What the entries of one stage ask for: those valued in the trades' order, or all the others."""
        stage, other = (ORDERED_TRAIT, SINGLE_TRAIT) if ordered else (SINGLE_TRAIT, ORDERED_TRAIT)
        named = {trait.removeprefix(stage) for trait in self.traits if trait.startswith(stage)}
        if not named and not any(trait.startswith(other) for trait in self.traits):
            return self
        return CardFacts(self.pairs, self.symbols, frozenset(named | (self.traits & OF_THE_WHOLE_CARD)))


@dataclass(frozen=True, slots=True)
class Built:
    """A compiled card, before it becomes the active one."""

    entries: int
    digest: str
    groups: list[int]
    symbols: list[int]
    pairs: list[list[str]]
    traits: list[str]
    changed_accounts: list[int] = field(default_factory=list)

    @property
    def facts(self) -> CardFacts:
        """For a statement."""
        return facts_of(pairs=self.pairs, symbols=self.symbols, traits=self.traits)


def facts_of(
    *,
    pairs: Sequence[Sequence[str]],
    symbols: Sequence[int],
    traits: Sequence[str],
    trades: tuple[str, Mapping[str, Any]] | None = None,
) -> CardFacts:
    """The facts with every conversion that the money of trades may need: of any trade, or of those that a condition on
    `platform_ops_trade AS t` with its parameters names."""
    wanted = {(pair[0], pair[1]) for pair in pairs if pair[0]}
    # A guard sets every payout against the money that the trade brought in.
    rewards = {pair[1] for pair in pairs if not pair[0] or "guard" in traits}
    if rewards:
        condition, parameters = trades or ("", {})
        of_accounts = _TRADE_MONEY + condition if condition else _ACCOUNT_MONEY
        asked = [
            sql for sql, of in ((of_accounts, _OF_ACCOUNTS), (_SYMBOL_MONEY, _OF_SYMBOLS)) if of.intersection(traits)
        ]
        with connection.cursor() as cursor:
            cursor.execute(" UNION ".join(asked), parameters)
            money = [row[0] for row in cursor.fetchall() if is_known(row[0])]
        wanted |= {(given, reward) for given in money for reward in rewards}
    return CardFacts(tuple(sorted(wanted)), tuple(symbols), frozenset(traits))


def is_known(code: str) -> bool:
    """Whether it is a currency that anything is converted from."""
    try:
        Currency.of(code)
    except InvalidInput:
        return False
    return True


def build_card() -> Built:
    """Compiles into `ib_card_build`. Account classes are brought up to date first."""
    classes, changed = refresh_classes()
    snapshot = read_snapshot(classes)
    seen = SeenByStage()
    write_build(seen.watch(compile_entries(snapshot)))
    with connection.cursor() as cursor:
        cursor.execute(DIGEST)
        entries, digest = cursor.fetchone()
        cursor.execute(CURRENCY_PAIRS)
        pairs = [list(row) for row in cursor.fetchall()]
    return Built(
        entries=entries,
        digest=digest,
        groups=list(snapshot.symbol_groups),
        symbols=[symbol for symbol, _ in snapshot.symbols],
        pairs=pairs,
        traits=sorted({*traits_by_stage(snapshot, seen), *(["classes"] if names_accounts() else [])}),
        changed_accounts=changed,
    )
