"""Rules by which a server's names of symbols are read, kept as data and tried on real names before they are saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F, Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import ServerSymbol, Symbol, SymbolNameRule, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.symbol_names import NameRule, match_symbol

MAX_RULES = 200
MAX_NAMES = 2_000


@dataclass(frozen=True, slots=True)
class NameTrial:
    """What the rules make of a name: the symbol and the rule that found it, or nothing."""

    name: str
    code: str
    rule: str
    stands: str
    """The symbol that the name is mapped to now, if it is known."""


def rules_of(server_id: int | None) -> list[NameRule]:
    """The rules that count for a server, its own first, then those of every server."""
    rows = SymbolNameRule.objects.select_related("symbol").filter(Q(server_id=server_id) | Q(server__isnull=True))
    ordered = rows.order_by(F("server_id").asc(nulls_last=True), "position")
    return [rule_of(row) for row in ordered[:MAX_RULES]]


def rule_of(row: SymbolNameRule) -> NameRule:
    """A stored rule as the matching knows it."""
    return NameRule(row.kind, row.pattern, row.replacement, row.symbol.code if row.symbol else "")


@transaction.atomic
def add_rule(*, server_id: int | None, position: int, rule: NameRule, actor: Actor) -> SymbolNameRule:
    """A rule of a server, or (None) of every server. It reads names that come from now on and those that wait.

    Raises InvalidInput for a rule that says nothing, Conflict where the position is taken.
    """
    authorise(actor, MANAGE_CATALOGUE)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id) if server_id is not None else None
    _check(rule)
    if SymbolNameRule.objects.filter(server=server).count() >= MAX_RULES:
        raise Conflict(f"A server has at most {MAX_RULES} rules.", code="too_many_rules")
    if SymbolNameRule.objects.filter(server=server, position=position).exists():
        raise Conflict(f"Position {position} is taken.", code="position_taken", field="position")
    symbol = Symbol.objects.filter(code=rule.code).first() if rule.kind == "alias" else None
    if rule.kind == "alias" and symbol is None:
        raise InvalidInput("Say whose other name it is.", field="symbol", value=rule.code)
    row = SymbolNameRule.objects.create(
        server=server, position=position, kind=rule.kind, pattern=rule.pattern.strip(),
        replacement=rule.replacement.strip(), symbol=symbol,
    )  # fmt: skip
    audit.record(
        actor=actor,
        action="platform.add_name_rule",
        target=row,
        changes={"server": server.code if server else "all", "position": position, "rule": str(rule)},
        entity_id=server.entity_id if server else None,
    )
    return row


@transaction.atomic
def remove_rule(*, rule_id: int, actor: Actor, reason: str) -> None:
    """Takes a rule away. Names that it mapped stay mapped: each says which rule found its symbol."""
    authorise(actor, MANAGE_CATALOGUE)
    visible = get_visible(SymbolNameRule.objects.all(), actor, pk=rule_id)
    row = SymbolNameRule.objects.select_for_update(of=("self",)).select_related("server").filter(pk=visible.pk).first()
    if row is None:
        raise NotFound("No such rule.", rule_id=rule_id)
    audit.record(
        actor=actor, action="platform.remove_name_rule", target=row, reason=reason,
        changes={"rule": str(rule_of(row))}, entity_id=row.server.entity_id if row.server else None,
    )  # fmt: skip
    row.delete()


def try_names(
    *, server_id: int | None, names: Sequence[str], draft: NameRule | None = None, actor: Actor
) -> list[NameTrial]:
    """What the rules, with a *draft* before them, make of names; without names, of all that the server uses."""
    authorise(actor, VIEW_PLATFORM)
    if draft is not None:
        _check(draft)
    standing: dict[str, str] = {}
    if server_id is not None:
        server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
        known = ServerSymbol.objects.filter(server=server).order_by("name")
        standing = dict(known.values_list("name", "symbol__code")[:MAX_NAMES])
    if len(names) > MAX_NAMES:
        raise InvalidInput(f"At most {MAX_NAMES} names at a time.", field="names")
    rules = [*([draft] if draft else []), *rules_of(server_id)]
    codes = list(Symbol.objects.values_list("code", flat=True))
    trials = []
    for name in names or standing:
        found = match_symbol(name, codes, rules)
        trials.append(
            NameTrial(name, found.code if found else "", found.rule if found else "", standing.get(name) or "")
        )
    return trials


def _check(rule: NameRule) -> None:
    if rule.kind not in SymbolNameRule.Kind.values:
        raise InvalidInput("There is no such kind of rule.", field="kind", value=rule.kind)
    if not rule.pattern.strip() or len(rule.pattern) > 40:
        raise InvalidInput("A rule has between 1 and 40 characters.", field="pattern")
    if rule.kind == "replace" and rule.pattern.upper() == rule.replacement.upper():
        raise InvalidInput("It is replaced by itself.", field="replacement")
    if rule.kind != "replace" and rule.replacement:
        raise InvalidInput("Only a rule that replaces has a replacement.", field="replacement")
