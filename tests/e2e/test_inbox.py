"""The inbox in a browser: by keyboard from the list to the solved item, the figure in the header, the banner, no barriers."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from backoffice.core.actors import actor_of_user
from backoffice.core.models import Switch, WorkItem
from backoffice.core.services import work_items
from backoffice.core.services.switches import stop
from backoffice.core.types import Role
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind
from tests.e2e.conftest import Arrive
from tests.e2e.world import TUESDAY, World
from tests.factories.platform import noon

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

INBOX = "/desk/pages/work/inbox/"


def unknown_deal(world: World, symbol: str, login: str) -> None:
    """A position of an account that nobody knows, in something that nobody mapped."""
    world.tickets += 1
    record = IngestRecord(
        ticket=world.tickets,
        kind=DealKind.BUY,
        entry=DealEntry.IN,
        at=noon(TUESDAY),
        login=login,
        currency="USD",
        position_ticket=world.tickets,
        symbol=symbol,
        volume_lots=1,  # type: ignore[arg-type]
        price=100,  # type: ignore[arg-type]
    )
    ingest_records(server_id=world.server.pk, source="e2e", records=[record], as_of=noon(TUESDAY))


def test_an_item_is_taken_by_keyboard_and_leads_to_where_it_is_solved(arrive: Arrive, world: World) -> None:
    # given a name and an account that wait
    unknown_deal(world, "GER40.cash#", "990001")
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.PLATFORM_OPERATIONS))
    visitor.open(INBOX)
    page = visitor.page
    expect(page.get_by_label("Inbox, 2 waiting")).to_be_visible()
    # when the first is taken with j and t
    page.keyboard.press("j")
    expect(page.locator("tr.bo-inbox-at")).to_have_count(1)
    page.keyboard.press("t")
    expect(page.get_by_text("1 item taken.")).to_be_visible()
    # then it is the viewer's, and Enter opens it with the action that solves it
    page.wait_for_load_state()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Where it is solved")).to_be_visible()
    expect(page.get_by_role("link", name="Map to a symbol")).to_be_visible()
    expect(page.get_by_text("In progress")).to_be_visible()
    assert WorkItem.objects.filter(state="taken").count() == 1


def test_the_figure_follows_what_happens_without_a_reload(arrive: Arrive, world: World) -> None:
    # given an open page with nothing waiting
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.PLATFORM_OPERATIONS))
    visitor.open("/desk/")
    expect(visitor.page.locator(".bo-bell-count")).to_be_hidden()
    # when something begins to wait, and the page is told that something changed
    unknown_deal(world, "GER40.cash#", "990001")
    visitor.page.evaluate("document.dispatchEvent(new CustomEvent('bo:work'))")
    # then
    expect(visitor.page.get_by_label("Inbox, 2 waiting")).to_be_visible()


def test_inbox_item_and_switches_have_no_serious_barriers_by_day_and_night(arrive: Arrive, world: World) -> None:
    # given every state that the pages can show
    for number in range(3):
        unknown_deal(world, f"ODD{number}#", f"99000{number}")
    operator = actor_of_user(world.person(Role.ADMINISTRATOR))
    items = list(WorkItem.objects.order_by("id"))
    work_items.take_item(item_id=items[0].pk, actor=operator)
    work_items.comment_item(item_id=items[0].pk, text="Asked dealing.", actor=operator)
    for switch in (Switch.HEDGES, Switch.WITHDRAWALS):
        stop(switch=switch, actor=operator, reason="The provider is down.", entity_id=world.entity.pk)
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.ADMINISTRATOR))
    # when axe looks at them
    found = {}
    for address in (
        INBOX,
        f"{INBOX}?tab=all",
        f"{INBOX}?tab=mine",
        f"/desk/core/workitem/{items[0].pk}/change/",
        f"/desk/core/workitem/{items[0].pk}/do/mute/",
        "/desk/core/workitemmute/",
        "/desk/pages/work/switches/",
        "/desk/pages/work/stop/",
        "/desk/pages/work/delivery/",
    ):
        visitor.open(address)
        found[address] = visitor.barriers_by_day_and_night()
        expect(visitor.page.get_by_role("region", name="Stopped flows")).to_contain_text("Withdrawals stopped")
    # then it finds nothing serious
    assert {address: barriers for address, barriers in found.items() if barriers} == {}
