"""A damaged statement given by the desk's screen goes into quarantine with row and field."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from backoffice.core.types import Role
from platform_ops.models import Deal, StatementImport, TradingAccount
from tests.contracts.statement_builders import mt4_money, mt4_statement, mt4_trade
from tests.e2e.browser import Visitor
from tests.e2e.conftest import Arrive
from tests.e2e.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

# A deposit of 1,000.00 and two trades: +100.00 and −40.00 with a swap of −0.50.
STATEMENT = mt4_statement(
    mt4_money(5001, "balance", "1000.00", "Deposit")
    + mt4_trade(5002, "buy", "1.00", "100.00")
    + mt4_trade(5003, "sell", "0.40", "-40.00", swap="-0.50"),
    closed_pl="59.50",
    deposit="1000.00",
    balance="1059.50",
    equity="1059.50",
)


def _give(visitor: Visitor, name: str, text: str) -> None:
    """Uploads a file for the server of the world."""
    page = visitor.page
    visitor.open("/desk/")
    visitor.choose("Platform operations", "Statement imports")
    page.get_by_role("link", name="Import statements").click()
    page.get_by_label("Trading server").select_option(label="MT5-LIVE")
    page.get_by_label("Statements").set_input_files({"name": name, "mimeType": "text/html", "buffer": text.encode()})
    page.get_by_role("button", name="Continue").click()


def test_a_damaged_statement_is_quarantined_with_its_row_and_field(arrive: Arrive, world: World) -> None:
    # given a file in which the size of the second trade is no number
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.PLATFORM_OPERATIONS))
    deals = Deal.objects.count()
    # when it is given
    _give(visitor, "damaged.htm", STATEMENT.replace("<td>0.40</td>", "<td>O.40</td>"))
    # then it is refused at once, and nothing can be confirmed
    expect(visitor.page.get_by_role("row", name="damaged.htm")).to_contain_text("Refused")
    expect(visitor.page.get_by_role("button", name="Import")).to_have_count(0)
    # and its page in quarantine names the place
    refused = StatementImport.objects.get()
    visitor.open(f"/desk/platform_ops/statementimport/{refused.pk}/change/")
    panel = visitor.page.locator("#panel-refusal")
    expect(panel).to_contain_text(str(refused.error["row"]))
    expect(panel).to_contain_text("size", ignore_case=True)
    assert (refused.state, Deal.objects.count()) == ("refused", deals)
    assert not TradingAccount.objects.filter(login="1001").exists()
