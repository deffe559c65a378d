"""A trader's own pages: their accounts to the cent, nobody else's."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.core.models import User
from backoffice.core.types import Role
from platform_ops.models import TradingAccount
from platform_ops.selectors.own_accounts import account_states
from platform_ops.types import DealKind
from tests.factories.platform import correct_trade, make_account, make_client, make_operation, make_server, make_trade
from tests.logins import log_in, make_actor, make_user

pytestmark = pytest.mark.django_db


def make_trader(email: str) -> tuple[User, TradingAccount]:
    user = make_user(email, Role.TRADER)
    account = make_account(client=make_client(user=user), server=make_server(name="Live 1"), currency="USD")
    return user, account


def test_a_balance_is_what_deals_and_operations_add_up_to() -> None:
    # given: a deposit, a credit, a trade that is corrected, one that is cancelled
    user, account = make_trader("t@world.test")
    make_operation(account, amount="1000")
    make_operation(account, amount="50", kind=DealKind.CREDIT)
    corrected = make_trade(account, profit="10", swap="-1.25", commission="-3.50")
    correct_trade(corrected, profit="12")
    correct_trade(make_trade(account, profit="500"), is_cancelled=True)

    # when
    states = account_states(actor=make_actor(user))

    # then
    assert [(state.login, state.balance, state.credit) for state in states] == [
        (account.login, Decimal("1007.25"), Decimal("50"))
    ]


def test_a_trader_sees_own_accounts_and_trades_and_nobody_elses(client: Browser) -> None:
    # given
    user, own = make_trader("t@world.test")
    _, others = make_trader("o@world.test")
    for account, amount in ((own, "1234.5"), (others, "9876.5")):
        make_operation(account, amount=amount)
        make_trade(account, profit="7.77" if account is own else "8.88")

    # when
    log_in(client, user)
    pages = [client.get(reverse(f"portal:{name}")).content.decode() for name in ("home", "trades", "positions")]

    # then
    assert "1,242.27" in pages[0]
    assert own.login in pages[1]
    assert "7.77" in pages[1]
    assert "Nothing is open." in pages[2]
    for page in pages:
        assert others.login not in page
        assert "8.88" not in page


def test_a_partner_has_no_trades_page(client: Browser) -> None:
    log_in(client, make_user("ib@world.test", Role.IB))
    assert client.get(reverse("portal:trades")).status_code == 403


def test_many_accounts_cost_no_more_statements_than_one() -> None:
    # given
    user, account = make_trader("t@world.test")
    actor = make_actor(user)
    with CaptureQueriesContext(connection) as one:
        account_states(actor=actor)

    # when
    for _ in range(5):
        make_account(client=account.client, server=account.server)
    with CaptureQueriesContext(connection) as many:
        states = account_states(actor=actor)

    # then
    assert len(states) == 6
    assert len(many) == len(one) == 5
