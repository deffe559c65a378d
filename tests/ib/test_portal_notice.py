"""A partner is told that payouts are paused, a trader's notice is not theirs."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import Switch
from backoffice.core.services.switches import stop
from backoffice.core.types import Actor, Role
from backoffice.portal.notices import PAYOUTS_PAUSED, WITHDRAWALS_PAUSED
from ib.services.partners import link_partner_login
from tests.factories.ib import make_partner
from tests.factories.platform import make_brand
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db


def test_a_partner_is_told_that_payouts_are_paused(client: Browser) -> None:
    user = make_user("ib@world.test", Role.IB)
    partner = make_partner(make_brand())
    link_partner_login(partner_id=partner.pk, user_id=user.pk, actor=Actor.system("test"))
    log_in(client, user, second_factor=False)
    stop(switch=Switch.WITHDRAWALS, actor=Actor.system("test"), reason="x")
    assert PAYOUTS_PAUSED not in client.get(reverse("portal:home")).content.decode()
    stop(switch=Switch.PAYOUTS, actor=Actor.system("test"), reason="x", entity_id=partner.entity_id)
    page = client.get(reverse("portal:home")).content.decode()
    assert PAYOUTS_PAUSED in page
    assert WITHDRAWALS_PAUSED not in page
