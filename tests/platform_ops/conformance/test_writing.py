"""What a connector changes, it changes alone; what it was told to find, it finds."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.errors import GatewayRefused
from platform_ops.gateways.types import Ability, GatewayAccount, NewAccount, SymbolTerms
from platform_ops.types import DealKind
from tests.platform_ops.conformance.worlds import UNKNOWN_LOGIN, World


def needs(world: World, ability: Ability) -> None:
    if ability not in world.gateway.abilities:
        pytest.skip(f"it does not offer {ability}")


def account_of(world: World, login: str) -> GatewayAccount:
    return next(iter(world.gateway.accounts(logins=[login])))


def terms_of(world: World, name: str) -> SymbolTerms:
    return next(symbol.terms for symbol in world.gateway.symbols() if symbol.name == name)


@pytest.mark.parametrize(
    ("kind", "amount"), [(DealKind.BALANCE, "25.10"), (DealKind.BALANCE, "-5"), (DealKind.CREDIT, "50")]
)
def test_a_balance_operation_moves_the_money_and_is_found_by_its_reference(
    world: World, kind: DealKind, amount: str
) -> None:
    needs(world, Ability.BALANCE_OPERATIONS)
    login, before = min(world.logins), account_of(world, min(world.logins))
    reference, since = (
        f"REF-{kind.value}{amount.replace('-', 'M').replace('.', 'D')}",
        datetime.now(UTC) - timedelta(minutes=5),
    )
    assert world.trading.find_operation(login=login, reference=reference, since=since) is None

    ticket = world.trading.balance_operation(
        login=login, kind=kind, amount=Decimal(amount), comment=f"Test {reference}", checks_margin=False
    )

    found = world.trading.find_operation(login=login, reference=reference, since=since)
    assert found is not None
    assert (found.ticket, found.kind, found.money) == (ticket, kind, Decimal(amount))
    assert world.trading.find_operation(login=login, reference=reference[:-1], since=since) is None
    after = account_of(world, login)
    is_credit = kind is DealKind.CREDIT
    assert after.balance - before.balance == (0 if is_credit else Decimal(amount))
    assert after.credit - before.credit == (Decimal(amount) if is_credit else 0)


def test_money_of_an_unknown_login_is_refused(world: World) -> None:
    needs(world, Ability.BALANCE_OPERATIONS)

    with pytest.raises(GatewayRefused) as caught:
        world.trading.balance_operation(login=UNKNOWN_LOGIN, kind=DealKind.BALANCE, amount=Decimal(1), comment="x")

    assert caught.value.details["retcode"]


def test_an_account_is_opened_changed_and_shut_and_nothing_else_is(world: World) -> None:
    needs(world, Ability.ACCOUNT_CHANGES)
    others = [account for account in world.gateway.accounts() if account.login in world.logins]
    group = others[0].group
    new = NewAccount(
        group=group, name="Zoë | = \\ Ünlü", leverage=200, main_password="Aa1!zzzz", investor_password="Bb2!zzzz",
        email="zoe@example.com", country="Greece", comment="from the desk",
    )  # fmt: skip

    login = world.trading.open_account(account=new)

    opened = account_of(world, login)
    assert (opened.name, opened.leverage, opened.group, opened.email) == (new.name, 200, group, "zoe@example.com")
    assert (opened.is_enabled, opened.is_trading_allowed, opened.balance) == (True, True, 0)
    assert world.trading.check_password(login=login, password="Aa1!zzzz", is_investor=False)
    assert world.trading.check_password(login=login, password="Bb2!zzzz", is_investor=True)
    assert not world.trading.check_password(login=login, password="Bb2!zzzz", is_investor=False)

    world.trading.change_account(login=login, leverage=50, is_trading_allowed=False)
    assert account_of(world, login) == dataclasses.replace(opened, leverage=50, is_trading_allowed=False)
    world.trading.change_account(login=login, is_enabled=False, is_trading_allowed=True, comment="shut")
    assert account_of(world, login) == dataclasses.replace(opened, leverage=50, is_enabled=False, comment="shut")
    world.trading.change_password(login=login, password="Cc3!zzzz", is_investor=False)
    assert world.trading.check_password(login=login, password="Cc3!zzzz", is_investor=False)
    assert not world.trading.check_password(login=login, password="Aa1!zzzz", is_investor=False)
    assert [account for account in world.gateway.accounts() if account.login in world.logins] == others


def test_a_symbol_is_changed_in_the_named_fields_alone(world: World) -> None:
    needs(world, Ability.SYMBOL_CHANGES)
    name = min(world.symbols)
    before, others = terms_of(world, name), {s.name: s for s in world.gateway.symbols() if s.name != name}
    changes = {
        "swap_long": Decimal("-8.75"),
        "swap_multipliers": tuple(map(Decimal, (0, 1, 1, 1, 3, 1, 0))),
        "swap_considers_holidays": True,
        "stops_level_points": 20,
        "lots_maximum": Decimal("55.5"),
        "trade_sessions": ((), ((0, 600), (660, 1440)), (), (), (), ((0, 1439),), ()),
    }

    world.trading.change_symbol(name=name, changes=changes)

    assert terms_of(world, name) == dataclasses.replace(before, **changes)
    assert {s.name: s for s in world.gateway.symbols() if s.name != name} == others
    world.trading.change_symbol(name=name, changes={field: getattr(before, field) for field in changes})
    assert terms_of(world, name) == before


@pytest.mark.parametrize(
    "changes",
    [{"nonsense": 1}, {"swap_long": Decimal("NaN")}, {"swap_multipliers": (1, 1)}, {"swap_mode": 77}, {"lots_step": Decimal("1e-9")}],
)  # fmt: skip
def test_a_change_that_cannot_be_is_not_sent(world: World, changes: dict[str, object]) -> None:
    needs(world, Ability.SYMBOL_CHANGES)
    name = min(world.symbols)
    before = terms_of(world, name)

    with pytest.raises(InvalidInput):
        world.trading.change_symbol(name=name, changes=changes)

    assert terms_of(world, name) == before


def test_an_unknown_symbol_is_refused(world: World) -> None:
    needs(world, Ability.SYMBOL_CHANGES)

    with pytest.raises(GatewayRefused):
        world.trading.change_symbol(name="NOSUCHSYMBOL", changes={"swap_long": Decimal(1)})


def test_closing_twice_is_closing(world: World) -> None:
    world.gateway.close()
    world.gateway.close()
