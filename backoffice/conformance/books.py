"""What stands in the books after a step, as (key, amount) by section, in the names of the scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db.models import Sum

from backoffice.conformance import scenario as form
from backoffice.conformance.types import Row
from backoffice.conformance.world import ACTOR, World
from funding.ledger.selectors import balance_of
from funding.ledger.services.accounts import get_account
from ib.selectors.coverage import excluded_parts, uncovered_trades
from ib.services.settlement import days_to_settle

Key = tuple[str, ...]
Found = dict[Key, str]
ZERO = Decimal(0)


def compare(world: World, expected: form.Expectation, *, step: str) -> list[Row]:
    """One row for everything that is expected or stands there, by section; a section that is not given is not looked at."""
    rows: list[Row] = []
    for item in fields(expected):
        wanted = getattr(expected, item.name)
        if wanted is None:
            continue
        section = _SECTIONS[item.name]
        rows += _rows(step, item.name, dict(section.wanted(one) for one in wanted), section.found(world, wanted))
    return rows


def _rows(step: str, section: str, wanted: Found, found: Found) -> list[Row]:
    """Amounts compare as numbers; what is not there counts as zero, and zero as not there."""
    rows = []
    for key in sorted(wanted.keys() | found.keys()):
        one, other = wanted.get(key, ""), found.get(key, "")
        if not _is_nothing(one) or not _is_nothing(other) or key in wanted:
            rows.append(Row(step, section, " ".join(key), one or "nothing", other or "nothing", _same(one, other)))
    return rows


def _same(one: str, other: str) -> bool:
    if one == other or (_is_nothing(one) and _is_nothing(other)):
        return True
    try:
        return Decimal(one or "0") == Decimal(other or "0")
    except ArithmeticError:
        return False


def _is_nothing(text: str) -> bool:
    try:
        return not text or Decimal(text) == 0
    except ArithmeticError:
        return False


def _plain(amount: Decimal) -> str:
    text = format(amount.normalize(), "f")
    return "0" if text in ("-0", "") else text


class _Section:
    """How a section of an expectation is read from the file and from the books."""

    def __init__(
        self, wanted: Callable[[Any], tuple[Key, str]], found: Callable[[World, Iterable[Any]], Found]
    ) -> None:
        self.wanted = wanted
        self.found = found


def _rows_of(model: str) -> Any:
    return apps.get_model(model)._default_manager.all()


def _codes(known: dict[str, int]) -> dict[int, str]:
    return {pk: code for code, pk in known.items()}


def _lines(world: World, _: Iterable[Any]) -> Found:
    partners, tickets = _codes(world.partners), dict(_rows_of("platform_ops.Trade").values_list("pk", "ticket"))
    line = apps.get_model("ib.CommissionLine")
    by_rule = dict(_rows_of("ib.PlanRule").values_list("pk", "component")) if _has_components() else {}
    part_of = "part" if any(item.name == "part" for item in line._meta.fields) else None
    found: dict[Key, Decimal] = {}
    component_of: dict[tuple[int, int, int], str] = {}
    names = ["partner_id", "trade_id", part_of or "partner_id", "rule_id", "currency", "amount"]
    rows = list(line._default_manager.order_by("seq").values_list(*names))
    for partner, trade, part, rule, _currency, _amount in rows:
        if rule is not None:
            component_of[partner, trade, part if part_of else 0] = by_rule.get(rule, "main")
    for partner, trade, part, rule, currency, amount in rows:
        component = by_rule.get(rule) if rule is not None else None
        component = component or component_of.get((partner, trade, part if part_of else 0), "main")
        key = (partners[partner], str(tickets[trade]), component, currency)
        found[key] = found.get(key, ZERO) + amount
    return {key: _plain(amount) for key, amount in found.items()}


def _has_components() -> bool:
    return any(item.name == "component" for item in apps.get_model("ib.PlanRule")._meta.fields)


def _excluded(world: World, wanted: Iterable[form.Excluded]) -> Found:
    """Trades that earn somebody nothing, with the reason; the partner is named where others, or by another component they
    themselves, are paid for the trade, and where the file names one."""
    partners = _codes(world.partners)
    days = list(_rows_of("platform_ops.Trade").values_list("business_day", flat=True).distinct())
    found: Found = {}
    named = {one.trade for one in wanted if one.partner}
    if not days:
        return found
    for day in days_to_settle(from_day=min(days), to_day=max(days)):
        parts: dict[int, Found] = {}
        for part in excluded_parts(actor=ACTOR, day=day):
            of_trade = parts.setdefault(part.ticket, {})
            of_trade.setdefault((str(part.ticket), partners[part.partner_id]), part.reason.value)
        for trade in uncovered_trades(actor=ACTOR, day=day):
            if trade.ticket in parts and trade.ticket in named:
                continue
            parts[trade.ticket] = {}
            reason = trade.reason.value if trade.reason is not None else trade.status.value
            found[str(trade.ticket), ""] = reason
        for of_trade in parts.values():
            found |= of_trade
    return found


def _period_lines(world: World, _: Iterable[Any]) -> Found:
    partners = _codes(world.partners)
    found: dict[Key, Decimal] = {}
    for line in _rows_of("ib.PeriodLine"):
        key = (partners[line.partner_id], line.kind, f"{line.period:%Y-%m-%d}", _subject(world, line), line.currency)
        found[key] = found.get(key, ZERO) + line.amount
    return {key: _plain(amount) for key, amount in found.items()}


def _subject(world: World, line: Any) -> str:
    if line.subject_type == "client":
        return _codes(world.clients).get(line.subject_id, "")
    if line.subject_type == "event":
        reference: str = _rows_of("ib.ClientEvent").values_list("reference", flat=True).get(pk=line.subject_id)
        return reference
    if line.subject_type == "plan":
        return _codes(world.plans).get(line.subject_id, "")
    return _codes(world.partners).get(line.subject_id, "")


def _claims(world: World, _: Iterable[Any]) -> Found:
    clients, partners = _codes(world.clients), _codes(world.partners)
    return {
        (clients[client], partners[partner]): state
        for client, partner, state in _rows_of("ib.CpaClaim").values_list("client_id", "partner_id", "state")
    }


def _carried(world: World, wanted: Iterable[form.Carried]) -> Found:
    """The balances of the periods that are named: a loss that is carried on stands in every later one, up to today."""
    partners = _codes(world.partners)
    named = {(one.partner, one.period) for one in wanted}
    return {
        (partners[row.partner_id], f"{row.period:%Y-%m-%d}"): f"{_plain(row.opening)} to {_plain(row.closing)}"
        for row in _rows_of("ib.CarryBalance")
        if (partners[row.partner_id], row.period) in named
    }


def _ranks(world: World, wanted: Iterable[form.DecidedRank]) -> Found:
    """The newest look at the months that are named."""
    partners = _codes(world.partners)
    named = {(one.partner, one.period) for one in wanted}
    return {
        (partners[row.partner_id], f"{row.period:%Y-%m-%d}"): f"{row.outcome} {row.follows}".strip()
        for row in _rows_of("ib.RankEvaluation").order_by("seq")
        if (partners[row.partner_id], row.period) in named
    }


def _balances(world: World, wanted: Iterable[form.Balance]) -> Found:
    found: Found = {}
    for balance in wanted:
        account = get_account(
            entity_id=world.entity.pk,
            kind=f"partner_{balance.ledger}",
            currency=balance.currency,
            owner_type="partner",
            owner_id=world.partners[balance.partner],
        )
        found[balance.partner, balance.ledger, balance.currency] = _plain(balance_of(account))
    return found


def _totals(world: World, _: Iterable[Any]) -> Found:
    partners = _codes(world.partners)
    found: dict[Key, Decimal] = {}
    for model in ("ib.CommissionLine", "ib.PeriodLine"):
        sums = _rows_of(model).order_by().values_list("partner_id", "currency").annotate(total=Sum("amount"))
        for partner, currency, total in sums:
            key = (partners[partner], currency)
            found[key] = found.get(key, ZERO) + total
    return {key: _plain(amount) for key, amount in found.items()}


def _statements(world: World, _: Iterable[Any]) -> Found:
    partners = _codes(world.partners)
    return {
        (partners[row.partner_id], f"{row.from_day:%Y-%m-%d}", row.currency): f"{_plain(row.earned)} {row.state}"
        for row in _rows_of("ib.CommissionStatement")
    }


_SECTIONS = {
    "lines": _Section(
        lambda one: ((one.partner, str(one.trade), one.component, one.currency), _plain(one.amount)), _lines
    ),
    "excluded": _Section(lambda one: ((str(one.trade), one.partner), one.reason), _excluded),
    "period_lines": _Section(
        lambda one: (
            (one.partner, one.kind, f"{one.period:%Y-%m-%d}", one.subject, one.currency),
            _plain(one.amount),
        ),
        _period_lines,
    ),
    "claims": _Section(lambda one: ((one.client, one.partner), one.state), _claims),
    "carried": _Section(
        lambda one: ((one.partner, f"{one.period:%Y-%m-%d}"), f"{_plain(one.opening)} to {_plain(one.closing)}"),
        _carried,
    ),
    "ranks": _Section(
        lambda one: ((one.partner, f"{one.period:%Y-%m-%d}"), f"{one.outcome} {one.follows}".strip()), _ranks
    ),
    "balances": _Section(lambda one: ((one.partner, one.ledger, one.currency), _plain(one.amount)), _balances),
    "totals": _Section(lambda one: ((one.partner, one.currency), _plain(one.amount)), _totals),
    "statements": _Section(
        lambda one: ((one.partner, f"{one.starts:%Y-%m-%d}", one.currency), f"{_plain(one.earned)} {one.state}"),
        _statements,
    ),
}
