"""The desk, the portal and the API in front of operations: thin, guarded, and safe to press twice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser

from backoffice.core.books import verify_books
from backoffice.core.models import ChangeRequest, User
from backoffice.core.types import Role
from platform_ops.account_checks import operations_booked_once
from platform_ops.models import AccountGroup, ServerOperation, TradingAccount
from platform_ops.types import DealKind
from tests.factories.platform import make_operation
from tests.logins import log_in
from tests.platform_ops.account_operations.ground import Ground
from tests.trading_server import NETTING_GROUP

pytestmark = pytest.mark.django_db


def desk(ground: Ground, role: str = "operator") -> Browser:
    actor = ground.operator() if role == "operator" else ground.finance()
    return log_in(Browser(), User.objects.get(pk=actor.user_id))


def url(ground: Ground, action: str) -> str:
    return f"/desk/platform_ops/tradingaccount/{ground.account.pk}/do/{action}/"


def press(browser: Browser, where: str, data: dict[str, Any], key: str = "one") -> Any:
    return browser.post(where, data | {"idempotency_key": key, "confirmed": "yes"})


def test_the_desk_moves_money_once_however_often_the_button_is_pressed(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    browser, data = desk(ground), {"operation": "balance_in", "amount": "250", "reason": "Deposit"}
    asked = browser.post(url(ground, "money"), data)
    assert "+250.00 USD" in asked.content.decode()
    assert not ServerOperation.objects.exists()
    for _ in range(2):
        assert press(browser, url(ground, "money"), data).status_code == 302
    (operation,) = ServerOperation.objects.all()
    assert (operation.state, len(ground.money_deals(operation.reference))) == ("done", 1)
    page = browser.get(f"/desk/platform_ops/serveroperation/{operation.pk}/change/")
    assert operation.reference in page.content.decode()
    assert browser.get("/desk/platform_ops/serveroperation/").status_code == 200


def test_above_the_limit_the_desk_proposes_and_sends_nothing(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    data = {"operation": "credit_in", "amount": "5000", "reason": "Promised"}
    assert "Another person must agree" in desk(ground).post(url(ground, "money"), data).content.decode()
    for _ in range(2):
        press(desk(ground), url(ground, "money"), data)
    assert (ChangeRequest.objects.count(), ServerOperation.objects.count()) == (1, 0)


def test_a_new_password_is_on_the_answering_page_alone(ground: Ground) -> None:
    browser = desk(ground)
    answer = press(browser, url(ground, "password"), {"which": "main", "reason": "Forgotten"})
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert "Main password" in answer.content.decode()
    again = press(browser, url(ground, "password"), {"which": "main", "reason": "Forgotten"})
    assert again.status_code == 302


def test_the_desk_opens_an_account_and_shows_both_passwords_once(ground: Ground) -> None:
    data = {
        "client_reference": ground.client.reference, "offer": ground.offer.pk, "is_demo": "live", "leverage": "100",
        "reason": "By phone",
    }  # fmt: skip
    answer = press(desk(ground), "/desk/platform_ops/tradingaccount/do/open/", data)
    text = answer.content.decode()
    assert "Main password" in text and "Investor password" in text
    assert TradingAccount.objects.filter(client=ground.client).count() == 3


def test_the_portal_opens_a_demo_account_and_only_for_its_trader(ground: Ground) -> None:
    group = AccountGroup.objects.get(server=ground.server, name=NETTING_GROUP)
    AccountGroup.objects.filter(pk=group.pk).update(is_demo=True)
    ground.offer.demo_group = group
    ground.offer.save()
    browser = log_in(Browser(), ground.client.user, second_factor=False)
    assert "Open a demo account" in browser.get("/portal/accounts/").content.decode()
    data = {"action": "demo", "key": "k1", "demo-offer": ground.offer.pk, "demo-leverage": "100"}
    answer = browser.post("/portal/accounts/", data)
    assert "Main password" in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    assert browser.post("/portal/accounts/", data).status_code == 302
    assert TradingAccount.objects.filter(client=ground.client, is_demo=True).count() == 1
    stranger = TradingAccount.objects.create(server=ground.server, login="31", currency="USD")
    refused = browser.post(
        "/portal/accounts/",
        {"action": "password", "key": "k2", "password-account": stranger.pk, "password-which": "main"},
    )
    assert refused.status_code == 400
    assert ServerOperation.objects.count() == 1


def test_the_books_tell_when_the_server_booked_twice(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    press(desk(ground), url(ground, "money"), {"operation": "balance_in", "amount": "250", "reason": "Deposit"})
    operation = ServerOperation.objects.get()
    ground.sync()
    assert operations_booked_once().count == 0
    make_operation(ground.account, amount="250", comment=f"{operation.reference} again", kind=DealKind.BALANCE)
    (row,) = operations_booked_once().rows
    assert (row["reference"], row["problem"]) == (operation.reference, "booked more than once")
    assert not verify_books()["ok"]
    assert Decimal(str(row["amount"])) == Decimal(250)


def test_who_may_not_does_not_get_in(ground: Ground) -> None:
    dealer = log_in(Browser(), User.objects.get(pk=ground.dealer().user_id))
    for action in ("money", "group", "leverage", "access", "password"):
        assert dealer.get(url(ground, action)).status_code == 403
    assert Role.DEALING.value in User.objects.get(pk=ground.dealer().user_id).roles
