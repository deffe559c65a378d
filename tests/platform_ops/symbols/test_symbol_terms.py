"""Terms in force: what the database refuses, a group's own terms over the symbol's, and the SQL that says the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.models import AuditRecord, ChangeRequest, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.gateways.types import CalculationMode, SwapMode
from platform_ops.models import AccountGroup, GroupSymbolOverride, SymbolSpec
from platform_ops.rules.specifications import GROUP_FIELDS, check_specification
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import symbol_overrides
from platform_ops.services.catalogue import Specification
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import SYSTEM

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


@pytest.fixture
def group():
    server = platform.make_server()
    return AccountGroup.objects.create(server=server, name="real\\vip", currency="USD")


@pytest.fixture
def symbol():
    found = platform.make_symbol(f"E{platform.number()}USD", base_asset="EUR", profit_currency="USD")
    platform.make_spec(found, swap_long=D("-6.5"), margin_hedged=D(50_000), leverage_maximum=100)
    return found


@pytest.mark.parametrize(
    "broken",
    [
        {"contract_size": 0},
        {"contract_size": -1},
        {"digits": 9},
        {"pip_size": 0},
        {"calculation_mode": 7},
        {"trade_mode": 9},
        {"swap_mode": 10},
        {"calculation_mode": CalculationMode.FUTURES, "margin_initial": 100},
        {"calculation_mode": CalculationMode.FUTURES, "tick_size": 1, "tick_value": 1},
        {"calculation_mode": CalculationMode.CFD_INDEX, "tick_size": 1},
        {"calculation_mode": CalculationMode.EXCHANGE_BONDS},
        {"lots_minimum": 0},
        {"lots_step": 0},
        {"lots_maximum": "0.001"},
        {"lots_limit": "0.001"},
        {"margin_initial": -1},
        {"margin_hedged": -1},
        {"margin_rate_buy": 0},
        {"leverage_maximum": 0},
        {"leverage_maximum": 10_001},
        {"swap_year_days": 366},
        {"spread_points": -1},
        {"filter_spread_minimum_points": 20, "filter_spread_maximum_points": 10},
        {"filter_soft_points": 20, "filter_hard_points": 10},
        {"filter_soft_points": 20, "filter_discard_points": 10},
        {"sessions_zone": "Mars"},
        {"swap_multipliers": [1, 1, 1]},
        {"swap_multipliers": [0, 1, 1, -3, 1, 1, 0]},
        {"swap_multipliers": [0, 1, 1, 32, 1, 1, 0]},
        {"trade_sessions": [[]] * 6},
        {"trade_sessions": [[[600, 500]], [], [], [], [], [], []]},
        {"trade_sessions": [[[0, 1441]], [], [], [], [], [], []]},
        {"quote_sessions": [[[0, 600], [500, 700]], [], [], [], [], [], []]},
        {"quote_sessions": [[["0", "600"]], [], [], [], [], [], []]},
        {"quote_sessions": {}},
    ],
)
def test_the_database_refuses_what_cannot_be_traded_by(symbol, broken):
    with pytest.raises(DatabaseError), transaction.atomic():
        SymbolSpec.objects.filter(symbol=symbol).update(**broken)
    assert SymbolSpec.objects.get(symbol=symbol).contract_size == D(100_000)


def test_the_profit_mode_follows_from_the_calculation_mode(symbol):
    for mode, expected in ((0, "forex"), (5, "forex"), (2, "cfd"), (4, "cfd"), (32, "cfd")):
        SymbolSpec.objects.filter(symbol=symbol).update(calculation_mode=mode)
        assert SymbolSpec.objects.get(symbol=symbol).profit_mode == expected


def test_a_refusal_names_server_symbol_and_field():
    broken = Specification(digits=5, contract_size=D(0), pip_size=D("0.0001"), margin_currency="EUR")
    with pytest.raises(InvalidInput) as refused:
        check_specification(broken, server="MT5-LIVE", symbol="EURUSD.m")
    assert refused.value.message == "MT5-LIVE, EURUSD.m: Contract size is above zero."
    assert refused.value.details["field"] == "contract_size"
    assert (refused.value.details["server"], refused.value.details["symbol"]) == ("MT5-LIVE", "EURUSD.m")


def test_a_group_trades_by_its_own_terms_and_the_others_by_the_symbols(symbol, group):
    other = AccountGroup.objects.create(server=group.server, name="real\\std", currency="USD")
    own = {"swap_mode": 4, "swap_long": "-3.25", "lots_maximum": "50", "spread_points": "2"}
    symbol_overrides.set_override(group_id=group.pk, symbol_id=symbol.pk, terms=own, valid_from=NOW, actor=SYSTEM)
    mine = terms_in_force(symbol_id=symbol.pk, group_id=group.pk, at=NOW)
    assert (mine.swap_mode, mine.swap_long, mine.lots_maximum, mine.spread_points) == (
        SwapMode.DEPOSIT_CURRENCY, D("-3.25"), D(50), 2,
    )  # fmt: skip
    assert mine.margin_hedged == D(50_000)
    for theirs in (
        terms_in_force(symbol_id=symbol.pk, group_id=other.pk, at=NOW),
        terms_in_force(symbol_id=symbol.pk, at=NOW),
        terms_in_force(symbol_id=symbol.pk, group_id=group.pk, at=NOW - timedelta(microseconds=1)),
    ):
        assert (theirs.swap_mode, theirs.swap_long, theirs.lots_maximum) == (SwapMode.POINTS, D("-6.5"), D(100))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT group_id, swap_mode, swap_long, lots_maximum, spread_points, contract_size, override_id IS NULL"
            " FROM platform_symbol_terms(%s) WHERE symbol_id = %s ORDER BY group_id",
            [NOW, symbol.pk],
        )
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    assert rows[group.pk] == (4, D("-3.25"), D(50), D(2), D(100_000), False)
    assert rows[other.pk] == (1, D("-6.5"), D(100), D(0), D(100_000), True)


def test_no_specification_no_terms(symbol):
    with pytest.raises(NotFound):
        terms_in_force(symbol_id=symbol.pk, at=datetime(1999, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "broken",
    [
        {"lots_minimum": 0},
        {"lots_maximum": "0.5", "lots_minimum": 1},
        {"swap_mode": 12},
        {"swap_multipliers": [1, 1]},
        {"margin_rate_sell": 0},
        {"leverage_maximum": 0},
        dict.fromkeys(GROUP_FIELDS),
    ],
)
def test_the_database_refuses_a_groups_terms_that_cannot_be(symbol, group, broken):
    row = GroupSymbolOverride.objects.create(
        group=group, symbol=symbol, validity=DateTimeTZRange(NOW, None), spread_points=1
    )
    with pytest.raises(DatabaseError), transaction.atomic():
        GroupSymbolOverride.objects.filter(pk=row.pk).update(**broken)
    with pytest.raises(DatabaseError), transaction.atomic():
        GroupSymbolOverride.objects.create(
            group=group, symbol=symbol, validity=DateTimeTZRange(LATER, None), spread_points=3
        )


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"contract_size": "10"}, "contract_size"),
        ({"lots_minimum": "200"}, "lots_maximum"),
        ({"swap_year_days": 362}, "swap_year_days"),
        ({"swap_multipliers": ["1", "1"]}, "swap_multipliers"),
        ({"spread_points": "many"}, "spread_points"),
    ],
)
def test_terms_that_cannot_stand_over_the_symbols_are_refused(symbol, group, terms, field):
    with pytest.raises(InvalidInput) as refused:
        symbol_overrides.set_override(group_id=group.pk, symbol_id=symbol.pk, terms=terms, valid_from=NOW, actor=SYSTEM)
    assert refused.value.details["field"] == field
    assert not GroupSymbolOverride.objects.exists()


def test_a_groups_terms_are_asked_for_approved_by_another_and_taken_back(symbol, group):
    entities = list(LegalEntity.objects.all())
    maker = make_person(Role.PLATFORM_OPERATIONS, entities=entities)
    checker = make_person(Role.DEALING, entities=entities)
    given = {"group_id": group.pk, "symbol_id": symbol.pk, "valid_from": LATER}
    with pytest.raises(Denied) as refused:
        symbol_overrides.set_override(**given, terms={"spread_points": "3"}, actor=maker)
    assert refused.value.code == "approval_needed"
    change = symbol_overrides.request_override(**given, terms={"spread_points": D(3)}, actor=maker, reason="vip")
    assert change.before["Spread, points"] == "as the symbol: 0"
    assert change.after["Spread, points"] == "3"
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=maker, reason="mine")
    changes.approve_change(change_id=change.pk, actor=checker, reason="right")
    done = changes.apply_change(change_id=change.pk, actor=maker)
    assert (done.state, done.entity_id) == ("verified", group.server.entity_id)
    assert terms_in_force(symbol_id=symbol.pk, group_id=group.pk, at=LATER).spread_points == 3
    assert AuditRecord.objects.filter(action="platform.set_group_terms").count() == 1
    again = symbol_overrides.request_override(**given, terms={}, actor=maker, reason="no vip")
    with pytest.raises(Conflict):
        symbol_overrides.restore_overrides(
            group_id=group.pk, symbol_id=symbol.pk, expected=[], before=[], actor=SYSTEM, reason="no"
        )
    changes.approve_change(change_id=again.pk, actor=checker, reason="right")
    assert changes.apply_change(change_id=again.pk, actor=maker).state == "verified"
    assert not GroupSymbolOverride.objects.exists()
    changes.revert_change(change_id=again.pk, actor=checker, reason="they are")
    assert GroupSymbolOverride.objects.get().spread_points == 3
    assert ChangeRequest.objects.filter(state="verified").count() == 1
