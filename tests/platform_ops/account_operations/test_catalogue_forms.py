"""The account catalogue at the desk: what becomes of what is shown, confirmed, done once and written down."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord
from backoffice.core.types import Actor, Role
from platform_ops.models import AccountGroup, AccountOffer, AccountType
from platform_ops.services.account_catalogue import TypeTerms, define_account_type, define_offer
from tests.factories.platform import make_server
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


class Catalogue:
    """A type that is offered in one currency, and who keeps the catalogue."""

    def __init__(self, browser: Browser) -> None:
        self.entity = make_entity()
        server = make_server(entity=self.entity)
        self.live, self.other = (
            AccountGroup.objects.create(server=server, name=f"real-{name}", currency="USD") for name in ("a", "b")
        )
        self.type = define_account_type(
            entity_id=self.entity.pk, code="plain", actor=SYSTEM,
            terms=TypeTerms(name="Plain", kind="standard", leverage_choices=[30, 100]),
        )  # fmt: skip
        self.offer = define_offer(
            account_type_id=self.type.pk, currency="USD", actor=SYSTEM, live_group_id=self.live.pk,
            minimum_deposit=Decimal(100),
        )  # fmt: skip
        self.browser = log_in(browser, make_user("ops@house.test", Role.PLATFORM_OPERATIONS, entities=(self.entity,)))

    def change_offer(self, *, confirmed: bool = True, **values: Any) -> Any:
        """Sends the form of the offer."""
        data = {
            "live_group": self.live.pk,
            "minimum_deposit": "100",
            "demo_balance": "0",
            "reason": "because",
            **values,
        }
        address = reverse("admin:platform_ops_accountoffer_edit", args=[self.offer.pk])
        return self.browser.post(address, data | ({"confirmed": "yes"} if confirmed else {}))


@pytest.fixture
def catalogue(client: Browser) -> Catalogue:
    return Catalogue(client)


def test_an_offer_is_changed_after_a_look_at_what_becomes_of_what(catalogue):
    # when the form is sent without the confirmation
    page = catalogue.change_offer(confirmed=False, live_group=catalogue.other.pk, minimum_deposit="250.00")
    # then it shows the change and nothing has happened
    assert "real-a → real-b" in page.content.decode()
    assert "100.00 USD → 250.00 USD" in page.content.decode()
    assert AccountOffer.objects.get(pk=catalogue.offer.pk).minimum_deposit == 100
    # when it is confirmed
    sent = catalogue.change_offer(live_group=catalogue.other.pk, minimum_deposit="250.00")
    # then it stands, with what was before and why in the audit
    assert sent.status_code == 302
    offer = AccountOffer.objects.get(pk=catalogue.offer.pk)
    assert (offer.live_group_id, offer.minimum_deposit) == (catalogue.other.pk, 250)
    record = AuditRecord.objects.filter(action="platform.define_account_offer").latest("id")
    assert (record.reason, record.entity_id) == ("because", catalogue.entity.pk)
    assert record.changes["before"]["groups"]["live_group"] == "real-a"
    assert record.changes["groups"]["live_group"] == "real-b"


def test_what_changes_nothing_or_cannot_be_is_refused(catalogue):
    assert "nothing would change" in catalogue.change_offer(confirmed=False).content.decode()
    assert "Name a live or a demo group" in catalogue.change_offer(live_group="").content.decode()
    assert "An amount of the currency" in catalogue.change_offer(minimum_deposit="0.001").content.decode()
    assert AccountOffer.objects.get(pk=catalogue.offer.pk).minimum_deposit == 100
    assert AuditRecord.objects.filter(action="platform.define_account_offer").count() == 1


def test_a_type_is_changed_in_words_that_people_write(catalogue):
    address = reverse("admin:platform_ops_accounttype_edit", args=[catalogue.type.pk])
    values = {
        "name": "Plain", "kind": "standard", "leverage_choices": "200, 30", "leverage_by_class": "retail 30",
        "is_offered": "on", "reason": "new terms",
    }  # fmt: skip
    for wrong in ({"leverage_choices": "many"}, {"leverage_by_class": "30"}, {"leverage_choices": "99999"}):
        assert catalogue.browser.post(address, values | wrong | {"confirmed": "yes"}).status_code == 400
    page = catalogue.browser.post(address, values).content.decode()
    assert "1:30, 1:100 → 1:30, 1:200" in page
    assert catalogue.browser.post(address, values | {"confirmed": "yes"}).status_code == 302
    found = AccountType.objects.get(pk=catalogue.type.pk)
    assert (found.leverage_choices, found.leverage_by_class, found.is_offered) == ([30, 200], {"retail": 30}, True)


def test_a_new_offer_takes_no_place_of_another(catalogue):
    address = reverse("admin:platform_ops_accountoffer_new")
    values = {
        "account_type": catalogue.type.pk, "currency": "usd", "live_group": catalogue.live.pk, "minimum_deposit": "1",
        "demo_balance": "0", "reason": "more",
    }  # fmt: skip
    assert "offered in the currency already" in catalogue.browser.post(address, values).content.decode()
    assert AccountOffer.objects.get(pk=catalogue.offer.pk).minimum_deposit == 100


def test_who_does_not_keep_the_catalogue_and_other_entities_are_kept_out(catalogue, client):
    address = reverse("admin:platform_ops_accountoffer_edit", args=[catalogue.offer.pk])
    for role, entity, status in (
        (Role.AUDITOR, catalogue.entity, 403),
        (Role.PLATFORM_OPERATIONS, make_entity("elsewhere"), 404),
    ):
        browser = log_in(Browser(), make_user(f"{role}-{status}@house.test", role, entities=(entity,)))
        assert browser.get(address).status_code == status
