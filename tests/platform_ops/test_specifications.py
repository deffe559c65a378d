"""Symbol specifications: set by a change request, previewed on what is open, restored by its reversal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.models import AuditRecord, ChangeRequest, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.models import Position, SymbolSpec
from platform_ops.rules.specifications import specification_terms
from platform_ops.services import specifications
from platform_ops.services.catalogue import Specification
from platform_ops.services.specifications import SPECIFICATION_KIND, read_specification, specification_at
from platform_ops.types import Side
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import MONDAY, SYSTEM, noon

pytestmark = pytest.mark.django_db

LATER = datetime(2026, 4, 1, tzinfo=UTC)


class Market:
    """A symbol with a position each way, and two people who see the whole broker."""

    def __init__(self) -> None:
        self.server = platform.make_server()
        self.symbol = platform.make_symbol(f"E{platform.number()}USD", base_asset="EUR", profit_currency="USD")
        platform.make_spec(self.symbol, swap_long=Decimal("-6.5"), swap_short=Decimal("2.1"), leverage_maximum=100)
        named = platform.make_server_symbol(self.server, self.symbol.code, self.symbol)
        for side, lots, leverage in ((Side.BUY, "2", 500), (Side.SELL, "1", 50)):
            account = platform.make_account(self.server, leverage=leverage)
            Position.objects.create(
                account=account,
                position_ticket=platform.number(),
                server_symbol=named,
                side=side,
                volume_lots=Decimal(lots),
                open_price=Decimal("1.1"),
                opened_at=noon(MONDAY),
                batch=platform.make_batch(self.server),
            )
        everywhere = list(LegalEntity.objects.all())
        self.maker = make_person(Role.PLATFORM_OPERATIONS, entities=everywhere)
        self.checker = make_person(Role.DEALING, entities=everywhere)

    def now(self) -> Specification:
        standing = specification_at(symbol_id=self.symbol.pk, moment=LATER)
        return read_specification(specification_terms(standing))

    def ask(self, **changed: object) -> ChangeRequest:
        return specifications.request_specification(
            symbol_id=self.symbol.pk,
            specification=replace(self.now(), **changed),
            valid_from=LATER,
            actor=self.maker,
            reason="swap day",
        )

    def policy(self, **bounds: str) -> None:
        administrators = [make_person(Role.ADMINISTRATOR, entities=LegalEntity.objects.all()) for _ in range(2)]
        change = changes.request_policy(
            kind=SPECIFICATION_KIND, bounds=bounds, actor=administrators[0], reason="weekly swaps"
        )
        changes.submit_change(change_id=change.pk, actor=administrators[0])
        changes.approve_change(change_id=change.pk, actor=administrators[1], reason="fine")
        changes.apply_change(change_id=change.pk, actor=administrators[1])


@pytest.fixture
def market() -> Market:
    return Market()


def test_a_specification_is_previewed_set_and_restored(market):
    was = specifications.specifications_of(market.symbol.pk)
    change = market.ask(contract_size=Decimal(50_000), leverage_maximum=25)
    assert change.before["Contract size"] == "100000"
    assert change.after["Contract size"] == "50000"
    assert change.before["Digits"] == change.after["Digits"]
    [row] = change.impact_rows
    # 3 lots of 100,000; margin 200,000/100 + 100,000/50, then 100,000/25 + 50,000/25.
    assert row == {
        "Server": market.server.code,
        "Open positions": 2,
        "Lots": "3.00",
        "Notional, EUR": "300,000.00",
        "Then": "150,000.00",
        "Margin, EUR": "4,000.00",
        "Margin then": "6,000.00",
        "Swap a night, USD": "-10.90",
        "Swap then": "-5.45",
    }
    assert change.impact_figures["Margin changes by, EUR"] == "2,000.00"
    assert specifications.specifications_of(market.symbol.pk) == was

    changes.approve_change(change_id=change.pk, actor=market.checker, reason="right")
    done = changes.apply_change(change_id=change.pk, actor=market.maker)

    assert (done.state, done.entity_id) == ("verified", None)
    assert market.now().contract_size == Decimal(50_000)
    assert specification_at(symbol_id=market.symbol.pk, moment=noon(MONDAY)).contract_size == Decimal(100_000)
    assert AuditRecord.objects.filter(action="platform.set_specification").count() == 1

    changes.revert_change(change_id=change.pk, actor=market.checker, reason="the feed was wrong")
    assert specifications.specifications_of(market.symbol.pk) == was


def test_what_was_planned_for_later_is_shown_removed_and_restored(market):
    SymbolSpec.objects.filter(symbol=market.symbol).update(
        validity=DateTimeTZRange(datetime(2000, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC))
    )
    platform.make_spec(market.symbol, digits=3, validity=DateTimeTZRange(datetime(2026, 6, 1, tzinfo=UTC), None))
    was = specifications.specifications_of(market.symbol.pk)
    change = market.ask(digits=4)
    assert change.before["Planned for later"] == "from 2026-06-01 00:00"
    changes.approve_change(change_id=change.pk, actor=market.checker, reason="right")
    changes.apply_change(change_id=change.pk, actor=market.maker)
    assert len(specifications.specifications_of(market.symbol.pk)) == 2
    changes.revert_change(change_id=change.pk, actor=market.checker, reason="no")
    assert specifications.specifications_of(market.symbol.pk) == was


def test_a_specification_that_was_followed_by_another_is_not_reverted(market):
    change = market.ask(digits=4)
    changes.approve_change(change_id=change.pk, actor=market.checker, reason="right")
    changes.apply_change(change_id=change.pk, actor=market.maker)
    specifications.set_specification(
        symbol_id=market.symbol.pk,
        specification=replace(market.now(), digits=3),
        valid_from=datetime(2026, 5, 1, tzinfo=UTC),
        actor=SYSTEM,
    )
    was = specifications.specifications_of(market.symbol.pk)
    with pytest.raises(Conflict) as refused:
        changes.revert_change(change_id=change.pk, actor=market.checker, reason="no")
    assert refused.value.code == "moved_on"
    assert specifications.specifications_of(market.symbol.pk) == was


def test_a_policy_approves_small_moves_of_swaps_and_nothing_else(market):
    assert market.ask(swap_long=Decimal("-6.6")).state == "submitted"
    market.policy(swap_points="1.5")
    for changed, state in (
        ({"swap_long": Decimal("-8.0")}, "verified"),
        ({"swap_long": Decimal("-9.6")}, "submitted"),
        ({"spread_points": Decimal("0.1")}, "submitted"),
        ({"swap_long": Decimal("-7.9"), "contract_size": Decimal(1)}, "submitted"),
    ):
        change = market.ask(**changed)
        assert change.state == state, changed
        assert (change.policy_id is not None) == (state == "verified")
    assert market.now().swap_long == Decimal("-8.0")


def test_another_bound_of_the_policy_gives_another_result(market):
    market.policy(swap_points="0.5", spread_points="0.2")
    assert market.ask(swap_long=Decimal("-8.0")).state == "submitted"
    assert market.ask(spread_points=Decimal("0.1")).state == "verified"


@pytest.mark.parametrize("bounds", [{"leverage": "5"}, {"swap_points": "-1"}, {"swap_points": "many"}, {}])
def test_bounds_that_cannot_be_read_make_no_policy(market, bounds):
    with pytest.raises(InvalidInput):
        market.policy(**bounds)


@pytest.mark.parametrize(
    "changed",
    [
        {"digits": 9},
        {"contract_size": Decimal(0)},
        {"lots_maximum": Decimal("0.001")},
        {"leverage_maximum": 0},
        {"swap_multipliers": [Decimal(1)] * 6},
        {"margin_currency": "???"},
        {"spread_points": Decimal(-1)},
        {"calculation_mode": 7},
        {"swap_long": Decimal("NaN")},
    ],
)
def test_a_specification_that_nothing_can_be_traded_by_is_not_drafted(market, changed):
    with pytest.raises(InvalidInput):
        market.ask(**changed)
    assert not ChangeRequest.objects.exists()


def test_nobody_specifies_past_a_change_request_or_without_seeing_the_whole_broker(market):
    was = specifications.specifications_of(market.symbol.pk)
    with pytest.raises(Denied) as refused:
        specifications.set_specification(
            symbol_id=market.symbol.pk, specification=market.now(), valid_from=LATER, actor=market.maker
        )
    assert refused.value.code == "approval_needed"
    one_entity = make_person(Role.PLATFORM_OPERATIONS, entities=[market.server.entity])
    platform.make_entity()
    market.maker = one_entity
    with pytest.raises(Denied):
        market.ask(digits=4)
    assert specifications.specifications_of(market.symbol.pk) == was
