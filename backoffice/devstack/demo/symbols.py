"""The demo's symbols as a platform team meets them: holidays, what two servers state, drift, naming rules, a group's terms."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.types import Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from platform_ops.gateways.types import GatewaySymbol, SymbolTerms
from platform_ops.models import AccountGroup, ServerSymbol, Symbol
from platform_ops.rules.symbol_names import NameRule
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import sessions, symbol_drift, symbol_names, symbol_overrides
from platform_ops.services.sessions import HolidayDraft

# (month, day, name, opening and closing minute of a short day)
_EVERYWHERE: tuple[tuple[int, int, str, tuple[int, int] | None], ...] = (
    (1, 1, "New Year's Day", None),
    (12, 25, "Christmas Day", None),
)
_OF_NEW_YORK: tuple[tuple[int, int, str, tuple[int, int] | None], ...] = (
    (7, 4, "Independence Day", None),
    (11, 26, "Thanksgiving", None),
    (11, 27, "Day after Thanksgiving", (570, 780)),
    (12, 24, "Christmas Eve", (570, 780)),
)


def write_symbols(seeding: Seeding) -> None:
    """Comes after the second entity, whose servers trade the same symbols."""
    seeding.say("symbols: holidays, what servers state, drift, naming rules, terms of a group")
    _holidays(seeding)
    symbol_names.add_rule(
        server_id=seeding.servers["mt4"], position=10, rule=NameRule("suffix", ".m"), actor=seeding.actor
    )
    symbol_names.add_rule(
        server_id=None, position=10, rule=NameRule("alias", "GOLD", "", "XAUUSD"), actor=seeding.actor
    )
    for platform, server_id in seeding.servers.items():
        symbol_drift.take_server_symbols(server_id=server_id, symbols=_stated(server_id, platform), at=clock.now())
    _a_group_has_terms(seeding)


def _holidays(seeding: Seeding) -> None:
    year = seeding.world.last_day.year
    for code, name, zone, groups, days in (
        ("currencies", "Currencies", "America/New_York", _groups_of("forex"), _EVERYWHERE),
        (
            "new-york",
            "New York",
            "America/New_York",
            _groups_of("index", "metal", "energy"),
            _EVERYWHERE + _OF_NEW_YORK,
        ),
    ):
        calendar = sessions.keep_calendar(
            code=code, name=name, zone=zone, group_codes=groups, symbol_codes=[], actor=seeding.actor
        )
        drafts = [
            HolidayDraft(date(each, month, day), title, *(hours or (None, None)))
            for each in (year, year + 1)
            for month, day, title, hours in days
        ]
        sessions.set_holidays(calendar_id=calendar.pk, holidays=drafts, actor=seeding.actor)


def _groups_of(*classes: str) -> list[str]:
    found = Symbol.objects.filter(asset_class__in=classes).values_list("group__code", flat=True)
    return sorted(set(found))


def _stated(server_id: int, platform: str) -> list[GatewaySymbol]:
    """What a server states: as approved, but for a few that somebody changed on one of them, and one nobody can trade."""
    symbols = []
    for row in ServerSymbol.objects.select_related("symbol").filter(server_id=server_id, symbol__isnull=False):
        assert row.symbol is not None
        terms = terms_in_force(symbol_id=row.symbol.pk, at=clock.now())
        if platform == "mt4":
            terms = _changed_by_hand(row.symbol.code, terms)
        symbols.append(
            GatewaySymbol(
                name=row.name, terms=terms, description=row.symbol.name, path=f"{row.symbol.asset_class}\\{row.name}"
            )
        )
    return symbols


def _changed_by_hand(code: str, terms: SymbolTerms) -> SymbolTerms:
    if code == "EURUSD":
        return replace(terms, swap_long=terms.swap_long * 10, spread_points=terms.spread_points + 5)
    if code == "XAUUSD":
        return replace(terms, margin_hedged=Decimal(0))
    if code == "GBPJPY":
        return replace(terms, contract_size=Decimal(0))
    return terms


def _a_group_has_terms(seeding: Seeding) -> None:
    operations = User.objects.filter(roles__contains=[Role.PLATFORM_OPERATIONS.value], entities=seeding.entity)
    group = AccountGroup.objects.filter(server_id=seeding.servers["mt5"]).order_by("name").first()
    person = operations.order_by("pk").first()
    if group is None or person is None:
        return
    now = clock.now()
    symbol = Symbol.objects.get(code="EURUSD")
    symbol_overrides.set_override(
        group_id=group.pk, symbol_id=symbol.pk, terms={"spread_points": "2", "lots_maximum": "50"}, valid_from=now,
        actor=seeding.actor,
    )  # fmt: skip
    symbol_overrides.request_override(
        group_id=group.pk, symbol_id=Symbol.objects.get(code="XAUUSD").pk, terms={"leverage_maximum": 50}, valid_from=now,
        actor=actor_of_user(person), reason="Gold moves too much for this group",
    )  # fmt: skip
