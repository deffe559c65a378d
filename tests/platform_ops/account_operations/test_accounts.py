"""Accounts opened and changed on a server: as the catalogue says, once, with passwords that nobody keeps."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from backoffice.core.models import AuditRecord, Message
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from crm.models import ClientFact
from platform_ops.gateways.types import NewAccount
from platform_ops.models import AccountGroup, AccountOffer, AccountType, Position, ServerOperation, TradingAccount
from platform_ops.services.account_operations import (
    carry_out,
    request_access_change,
    request_account_opening,
    request_group_change,
    request_leverage_change,
    request_new_password,
)
from platform_ops.services.account_operations.bulk import read_lines, run_bulk
from platform_ops.services.connections import open_gateway
from platform_ops.types import DealKind
from tests.factories.platform import MONDAY, make_batch, make_operation, make_server, make_server_symbol, noon
from tests.platform_ops.account_operations.ground import Ground, key, states
from tests.trading_server import EURO_GROUP, NETTING_GROUP

pytestmark = pytest.mark.django_db


def open_one(ground: Ground, **more: Any) -> ServerOperation:
    values = {
        "client_id": ground.client.pk, "offer_id": ground.offer.pk, "is_demo": False, "leverage": 100,
        "actor": ground.operator(), "reason": "Asked by phone", "idempotency_key": key(),
    }  # fmt: skip
    return request_account_opening(**(values | more))


def account_on_server(ground: Ground, login: str) -> Any:
    with open_gateway(server_id=ground.server.pk) as gateway:
        return next(iter(gateway.accounts(logins=[login])), None)


def demo_offer(ground: Ground) -> AccountOffer:
    group = AccountGroup.objects.get(server=ground.server, name=NETTING_GROUP)
    group.is_demo, group.position_mode = True, "netting"
    group.save()
    ground.offer.demo_group = group
    ground.offer.save()
    return ground.offer


def test_an_account_is_opened_for_the_client_with_passwords_shown_once(ground: Ground) -> None:
    outcome = carry_out(operation_id=open_one(ground).pk, actor=ground.operator())
    operation = outcome.operation
    assert operation.state == "done"
    account = operation.account
    assert (account.client_id, account.currency, account.leverage, account.is_demo) == (
        ground.client.pk,
        "USD",
        100,
        False,
    )
    assert (account.group_id, account.account_type.code) == (ground.group.pk, "standard")
    there = account_on_server(ground, account.login)
    assert (there.group, there.leverage, there.comment) == (ground.group.name, 100, operation.reference)
    given = outcome.credentials
    assert given is not None and given.login == account.login
    with open_gateway(server_id=ground.server.pk) as gateway:
        assert gateway.check_password(login=account.login, password=given.main_password, is_investor=False)
        assert gateway.check_password(login=account.login, password=given.investor_password, is_investor=True)
    # Nobody keeps them: not the rows, not the audit, not the text of the objects
    assert given.main_password not in repr(outcome)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM platform_ops_serveroperation row WHERE row::text LIKE %(it)s)"
            " + (SELECT count(*) FROM platform_ops_serveroperationevent row WHERE row::text LIKE %(it)s)"
            " + (SELECT count(*) FROM core_auditrecord row WHERE row::text LIKE %(it)s)",
            {"it": f"%{given.main_password}%"},
        )
        assert cursor.fetchone()[0] == 0
    assert carry_out(operation_id=operation.pk).credentials is None
    assert not Message.objects.exists()


@pytest.mark.parametrize("fault", ["drop_after", "cut_answer"])
def test_an_opening_whose_answer_is_lost_opens_one_account(ground: Ground, fault: str) -> None:
    ground.live.fault(fault, commands="USER_ADD", times=1)
    operation = carry_out(operation_id=open_one(ground).pk).operation
    assert operation.state == "found"
    assert TradingAccount.objects.filter(client=ground.client).count() == 3
    assert account_on_server(ground, operation.login).comment == operation.reference


def test_a_login_that_somebody_took_is_passed_over(ground: Ground) -> None:
    operation = open_one(ground)
    with open_gateway(server_id=ground.server.pk, writing=True) as gateway:
        for number in (0, 1):
            gateway.open_account(
                account=NewAccount(
                    group=ground.group.name, name="Somebody", leverage=100, main_password="Main-Pass-1",
                    investor_password="Investor-Pass-1", login=str(int(operation.login) + number), comment="not ours",
                )
            )  # fmt: skip
    outcome = carry_out(operation_id=operation.pk)
    assert outcome.operation.state == "done"
    assert int(outcome.operation.login) == int(operation.login) + 2


def test_two_openings_never_aim_at_one_login(ground: Ground) -> None:
    first, second = open_one(ground), open_one(ground)
    assert first.login != second.login
    with pytest.raises(IntegrityError), transaction.atomic():
        ServerOperation.objects.filter(pk=second.pk).update(login=first.login)


def test_the_catalogue_says_who_may_open_what(ground: Ground) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_one(ground, leverage=500)  # a retail client's limit is 100
    assert refused.value.code == "leverage_not_offered"
    ClientFact.objects.create(client=ground.client, fact="class", value="professional")
    assert open_one(ground, leverage=500).state == "requested"
    AccountType.objects.update(client_classes=["retail"])
    with pytest.raises(InvalidInput) as refused:
        open_one(ground)
    assert refused.value.code == "class_not_offered"
    AccountType.objects.update(is_offered=False, client_classes=[])
    with pytest.raises(InvalidInput):
        open_one(ground)


def test_a_live_account_needs_a_verified_client_and_a_demo_does_not(ground: Ground) -> None:
    demo_offer(ground)
    ground.client.stage = "registered"
    ground.client.save()
    with pytest.raises(Conflict) as refused:
        open_one(ground)
    assert refused.value.code == "client_not_verified"
    account = carry_out(operation_id=open_one(ground, is_demo=True).pk).operation.account
    assert (account.is_demo, account.position_mode) == (True, "netting")
    ground.client.stage = "closed"
    ground.client.save()
    with pytest.raises(Conflict):
        open_one(ground, is_demo=True)


def test_a_client_opens_demo_accounts_alone_and_no_more_than_five(ground: Ground) -> None:
    demo_offer(ground)
    with pytest.raises(Denied):
        open_one(ground, actor=ground.trader())
    for _ in range(5):
        open_one(ground, actor=ground.trader(), is_demo=True)
    with pytest.raises(Conflict) as refused:
        open_one(ground, actor=ground.trader(), is_demo=True)
    assert refused.value.code == "too_many_accounts"
    with pytest.raises(Denied):
        open_one(ground, actor=ground.dealer())


def test_a_group_is_changed_and_what_the_server_would_refuse_is_not_sent(ground: Ground) -> None:
    account, netting = ground.account, AccountGroup.objects.get(server=ground.server, name=NETTING_GROUP)

    def ask(group: AccountGroup) -> ServerOperation:
        return request_group_change(
            account_id=account.pk,
            group_id=group.pk,
            actor=ground.operator(),
            reason="Client's wish",
            idempotency_key=key(),
        )

    euro = AccountGroup.objects.get(server=ground.server, name=EURO_GROUP)
    elsewhere = AccountGroup.objects.create(server=make_server(ground.entity), name="other", currency="USD")
    for group, code in ((euro, "other_currency"), (elsewhere, "other_server")):
        with pytest.raises(Conflict) as refused:
            ask(group)
        assert refused.value.code == code
    symbol = make_server_symbol(ground.server)
    position = Position.objects.create(
        account=account, position_ticket=1, server_symbol=symbol, side=1, volume_lots=1, open_price=1, opened_at=noon(MONDAY),
        batch=make_batch(ground.server),
    )  # fmt: skip
    with pytest.raises(Conflict) as refused:
        ask(netting)
    assert refused.value.code == "has_open_trades"
    position.delete()
    # The server knows of a position that has not come in yet: its own refusal is told in words
    there = ground.live.order(int(account.login), "EURUSD", "BUY", "0.10")
    operation = carry_out(operation_id=ask(netting).pk).operation
    assert (operation.state, operation.server_code) == ("refused", "3008")
    assert "open trades" in operation.problem
    account.refresh_from_db()
    assert account.group_id == ground.group.pk
    assert there.deal is not None
    ground.live.close(int(account.login), there.deal.position)


def test_leverage_access_and_their_lost_answers(ground: Ground) -> None:
    account = ground.account
    ground.live.fault("drop_after", commands="USER_UPDATE", times=1)
    asked = request_leverage_change(
        account_id=account.pk, leverage=30, actor=ground.trader(), reason="Less risk", idempotency_key=key()
    )
    operation = carry_out(operation_id=asked.pk, actor=ground.trader()).operation
    assert operation.state == "found"
    account.refresh_from_db()
    assert account.leverage == 30
    assert account_on_server(ground, account.login).leverage == 30
    for access, enabled, trading in (("read_only", True, False), ("closed", False, False), ("active", True, True)):
        asked = request_access_change(
            account_id=account.pk, access=access, actor=ground.operator(), reason="Test", idempotency_key=key()
        )
        assert carry_out(operation_id=asked.pk).operation.state == "done"
        there = account_on_server(ground, account.login)
        assert (there.is_enabled, there.is_trading_allowed) == (enabled, trading)
        account.refresh_from_db()
        assert account.status == access
    request_leverage_change(
        account_id=account.pk, leverage=100, actor=ground.operator(), reason="x", idempotency_key="first"
    )
    with pytest.raises(Conflict) as refused:
        request_leverage_change(
            account_id=account.pk, leverage=100, actor=ground.operator(), reason="x", idempotency_key=key()
        )
    assert refused.value.code == "operation_under_way"


def test_a_client_changes_their_own_account_within_bounds_and_nobody_elses(ground: Ground) -> None:
    stranger = TradingAccount.objects.create(server=ground.server, login="777", currency="USD")
    with pytest.raises(NotFound):
        request_leverage_change(
            account_id=stranger.pk, leverage=30, actor=ground.trader(), reason="x", idempotency_key=key()
        )
    with pytest.raises(InvalidInput):
        request_leverage_change(
            account_id=ground.account.pk, leverage=500, actor=ground.trader(), reason="x", idempotency_key=key()
        )
    with pytest.raises(Denied):
        request_access_change(
            account_id=ground.account.pk, access="closed", actor=ground.trader(), reason="x", idempotency_key=key()
        )
    assert not ServerOperation.objects.exists()


def test_a_new_password_is_set_and_one_of_a_lost_attempt_is_made_anew(ground: Ground) -> None:
    asked = request_new_password(
        account_id=ground.account.pk,
        is_investor=False,
        actor=ground.trader(),
        reason="Forgotten",
        idempotency_key=key(),
    )
    outcome = carry_out(operation_id=asked.pk, actor=ground.trader())
    assert outcome.credentials is not None
    with open_gateway(server_id=ground.server.pk) as gateway:
        assert gateway.check_password(
            login=ground.account.login, password=outcome.credentials.main_password, is_investor=False
        )
    ground.live.fault("drop_after", commands="USER_PASS_CHANGE", times=1)
    lost = request_new_password(
        account_id=ground.account.pk, is_investor=True, actor=ground.operator(), reason="Again", idempotency_key=key()
    )
    outcome = carry_out(operation_id=lost.pk)
    assert (outcome.operation.state, outcome.credentials) == ("uncertain", None)


def test_a_bulk_is_read_whole_and_each_line_stands_by_itself(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    other = TradingAccount.objects.create(server=ground.server, login="5002", currency="USD", client=ground.client)
    code = ground.server.code
    for text, row in (("5001", 1), ("5001,1\n5001,2", 2), ("5001,1\n9999,1", 2), ("5001,x", 1), ("5001,NaN", 1)):
        with pytest.raises(InvalidInput) as refused:
            read_lines(server_code=code, text=text, actor=ground.operator())
        assert refused.value.details["row"] == row
    lines = read_lines(server_code=code, text=" 5001 , 10.00\n\n5002;5000", actor=ground.operator())
    moves = [(line.account, DealKind.CREDIT, line.amount) for line in lines]
    for _ in range(2):
        summary = run_bulk(moves=moves, actor=ground.operator(), reason="Campaign", idempotency_key="bulk:1")
        assert (summary.done, summary.proposed, summary.refused) == (1, 1, 0)
    (operation,) = ServerOperation.objects.all()
    assert operation.is_bulk and len(ground.money_deals(operation.reference)) == 1
    assert Decimal(str(ground.live.standing(5002).balance)) == Decimal(10_000)
    assert other.pk and states(operation)[-1] == "done"
    assert AuditRecord.objects.filter(action="platform.request_move_money").count() == 1
