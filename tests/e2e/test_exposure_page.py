"""The exposure page keeps itself fresh in a real browser, and says so when it cannot."""

from __future__ import annotations

import pytest

from backoffice.core.types import Role
from risk.services.exposure import calculate_exposure
from tests.e2e.conftest import Arrive
from tests.e2e.world import SYSTEM, World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def test_new_figures_appear_without_reloading(arrive: Arrive, world: World) -> None:
    # given: the page before the dealer's eyes
    calculate_exposure(entity_id=world.entity.pk, actor=SYSTEM)
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.DEALING))
    visitor.open("/desk/pages/risk/exposure/")
    assert visitor.barriers() == []
    page = visitor.page
    assert page.get_by_role("rowheader", name="XAUUSD").count() == 0

    # when: a client buys 3 lots and the exposure is calculated
    world.open_position("800001", lots="3", symbol="XAUUSD")
    calculate_exposure(entity_id=world.entity.pk, actor=SYSTEM)

    # then: the symbol appears by itself, and the page says how old the figures are
    page.get_by_role("rowheader", name="XAUUSD").wait_for()
    assert page.locator("[data-risk-state]").inner_text().startswith("Delayed up to 5 s, calculated")
    assert visitor.barriers() == []

    # when: the server answers no more
    page.route("**/exposure/data/**", lambda route: route.fulfill(status=503, body=""))

    # then: it is said, and the last figures stay
    page.get_by_text("Not refreshed: the server does not answer").wait_for()
    assert page.get_by_role("rowheader", name="XAUUSD").is_visible()
    visitor.complaints.clear()  # the browser reports the refused answers, which this test asked for
