"""A swap change in the browser: a ×10 typo is blocked with its cost; the corrected one goes draft → approval by another
person → applied on the server → verified → reverted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from backoffice.core.models import ChangeRequest
from backoffice.core.services import jobs
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from platform_ops.models import FxReferenceRate, Quote, ServerConnection, ServerSymbol, SwapPush, SwapSheet, Symbol
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.connections import ConnectionTerms, open_gateway, save_connection
from platform_ops.services.swap_desk.pushes import PUSH_JOB_KIND
from platform_ops.services.swaps.rates import set_swap_rates
from tests.e2e.world import START, World
from tests.trading_server import RunningServer, running_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]
D = Decimal
SHEET = "Symbol\tSwap long\tSwap short\nEURUSD\t-7.40\t3.10\nXAUUSD\t-62\t31"


@pytest.fixture(scope="module")
def trading() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def on_server(world: World) -> tuple[Decimal, Decimal]:
    with open_gateway(server_id=world.server.pk) as gateway:
        terms = next(symbol.terms for symbol in gateway.symbols() if symbol.name == "EURUSD")
    return terms.swap_long, terms.swap_short


def prepare(world: World, trading: RunningServer) -> None:
    """The server of the world listens; today's rates are those that it has."""
    system = Actor.system("e2e")
    terms = ConnectionTerms(
        kind="mt5_web", host=trading.host, port=trading.port, login=str(trading.login), password=trading.password
    )
    save_connection(server_id=world.server.pk, terms=terms, actor=system)
    assert ServerConnection.objects.get().is_enabled
    now = clock.now()
    for days in range(5):
        day = now.date() - timedelta(days=days)
        FxReferenceRate.objects.create(source="ECB", date=day, currency="USD", per_euro=D("1.1"))
    for code, long, short, price in (("EURUSD", "-7.2", "3.1", "1.1"), ("XAUUSD", "-62", "31", "2000")):
        symbol = Symbol.objects.get(code=code)
        draft = RateDraft(symbol_id=symbol.pk, long=D(long), short=D(short))
        set_swap_rates(rates=[draft], valid_from=START, approval=None, actor=system)
        Quote.objects.update_or_create(
            symbol=symbol, defaults={"bid": D(price), "ask": D(price), "at": now, "source": "e2e"}
        )
    ServerSymbol.objects.get_or_create(
        server=world.server, name="XAUUSD", defaults={"symbol": Symbol.objects.get(code="XAUUSD")}
    )


def test_a_typo_is_blocked_and_the_corrected_change_reaches_the_server_and_comes_back(
    arrive, world: World, trading: RunningServer
) -> None:
    # given: an operator pastes the provider's sheet
    prepare(world, trading)
    maker = arrive()
    maker.sign_in_as(world.person(Role.PLATFORM_OPERATIONS))
    maker.open("/desk/pages/platform_ops/swap_desk/")
    assert maker.barriers() == []
    maker.page.get_by_role("link", name="New swap sheet").click()
    maker.page.get_by_label("Liquidity provider").fill("Prime LP")
    maker.page.get_by_label("Paste the sheet").fill(SHEET)
    assert maker.barriers() == []
    maker.page.get_by_role("button", name="Read the sheet").click()

    # when: the point slips by hand; Enter moves on, the server judges
    long = maker.page.get_by_label("EURUSD, new long")
    long.fill("-74")
    long.press("Enter")

    # then: it is blocked with its cost, and cannot be proposed
    maker.page.get_by_text("EURUSD is blocked: a night").wait_for()
    maker.page.get_by_text("looks like ×10, a slipped decimal point").wait_for()
    assert maker.barriers() == []
    assert "instead of" in maker.page.locator("[data-said]").inner_text()
    maker.page.get_by_role("link", name="Propose").click()
    maker.page.get_by_label("Reason").fill("weekly swaps")
    maker.page.get_by_role("button", name="Continue").click()
    maker.page.get_by_role("button", name="Propose").click()
    maker.page.get_by_text("A night would be").wait_for()
    assert not ChangeRequest.objects.exists()
    maker.complaints[:] = [line for line in maker.complaints if "409" not in line]

    # when: a pasted block puts it right, and it is proposed
    maker.open(f"/desk/pages/platform_ops/swap-grid/{_sheet()}/")
    long = maker.page.get_by_label("EURUSD, new long")
    long.fill("-99")
    long.press("Escape")
    assert long.input_value() == "-74"
    long.evaluate(
        "(input) => { const data = new DataTransfer(); data.setData('text', '-7.40\\t3.20\\n-62\\t31');"
        " input.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true })); }"
    )
    maker.page.get_by_text("saved.").wait_for()
    assert maker.page.locator("[data-state='blocked']").count() == 0
    maker.page.get_by_role("link", name="Impact").click()
    maker.page.get_by_role("heading", name="By client").wait_for()
    maker.page.get_by_role("rowheader", name="Alpha Partners › Beta Partners").wait_for()
    assert maker.barriers() == []
    maker.open(f"/desk/pages/platform_ops/swap-grid/{_sheet()}/")
    maker.page.get_by_role("link", name="Propose").click()
    maker.page.get_by_label("Reason").fill("weekly swaps")
    maker.page.get_by_role("button", name="Continue").click()
    maker.page.get_by_role("button", name="Propose").click()
    maker.page.get_by_text("another person approves it now").wait_for()

    # when: a dealer approves and carries it out, and the job tells the server
    change = ChangeRequest.objects.get()
    checker = arrive()
    checker.sign_in_as(world.person(Role.DEALING))
    checker.open(f"/desk/core/changerequest/{change.pk}/change/")
    assert checker.barriers() == []
    _act(checker, "Approve", "as the provider says")
    change.refresh_from_db()
    if change.state == "approved":
        checker.open(f"/desk/core/changerequest/{change.pk}/change/")
        _act(checker, "Apply now", "")
    assert jobs.run_ready(kind=PUSH_JOB_KIND, owner="e2e") == 1

    # then: it is on the server, verified by reading back
    assert on_server(world) == (D("-7.4"), D("3.2"))
    change.refresh_from_db()
    assert (change.state, change.problems) == ("verified", [])
    checker.open(f"/desk/core/changerequest/{change.pk}/change/")
    checker.page.get_by_text("On the server", exact=True).first.wait_for()
    assert checker.barriers() == []

    # when: it is reverted
    _act(checker, "Revert", "the provider was wrong")
    assert jobs.run_ready(kind=PUSH_JOB_KIND, owner="e2e") == 1
    assert on_server(world) == (D("-7.2"), D("3.1"))
    assert set(SwapPush.objects.filter(direction="revert").values_list("state", flat=True)) == {"verified"}
    checker.open("/desk/pages/platform_ops/swap_pushes/")
    assert checker.barriers() == []
    checker.open(f"/desk/pages/platform_ops/swap-history/{_symbol()}/")
    assert checker.barriers() == []
    assert maker.complaints == [] and checker.complaints == []


def _sheet() -> int:
    return SwapSheet.objects.get().pk


def _symbol() -> int:
    return Symbol.objects.get(code="EURUSD").pk


def _act(visitor, name: str, reason: str) -> None:
    """Presses a button of the request's page and confirms."""
    page = visitor.page
    if page.get_by_role("link", name=name, exact=True).count() == 0:
        page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name=name, exact=True).first.click()
    if reason:
        page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Continue").click()
    page.locator("button[name=confirmed]").click()
    page.wait_for_load_state()
