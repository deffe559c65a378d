"""What a client or partner reads above every page while money is stopped; never why, never by whom."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import Switch
from backoffice.core.services.switches import resume, stop
from backoffice.core.types import Actor, Role
from backoffice.portal.notices import PAYOUTS_PAUSED, WITHDRAWALS_PAUSED
from tests.factories.platform import make_brand, make_client, make_entity
from tests.logins import log_in, make_actor, make_user

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")


def test_a_trader_is_told_on_every_page_that_withdrawals_of_their_entity_are_paused(client: Browser) -> None:
    brand = make_brand()
    trader = make_client(brand, user=make_user("t@world.test", Role.TRADER))
    log_in(client, trader.user, second_factor=False)
    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="Somebody stole a key.", entity_id=make_entity().pk)
    stop(switch=Switch.PAYOUTS, actor=SYSTEM, reason="x")
    home = reverse("portal:home")
    assert WITHDRAWALS_PAUSED not in client.get(home).content.decode()

    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="Somebody stole a key.", entity_id=brand.entity_id)
    for address in (home, reverse("portal:trades")):
        page = client.get(address).content.decode()
        assert WITHDRAWALS_PAUSED in page
        assert PAYOUTS_PAUSED not in page
        assert "stole" not in page
        assert "system:test" not in page
    finance = make_actor(make_user("f@house.test", Role.FINANCE, entities=(brand.entity,)))
    resume(switch=Switch.WITHDRAWALS, actor=finance, reason="x", entity_id=brand.entity_id)
    assert WITHDRAWALS_PAUSED not in client.get(home).content.decode()
