"""Campaigns and attribution: dated, within the entity, repeatable, written down."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from marketing.models import Campaign
from marketing.selectors import with_accounts
from marketing.services.campaigns import attribute_account, create_campaign
from platform_ops.models import AccountDimension
from tests.factories import platform
from tests.factories.platform import SYSTEM
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(NOW, tick=False)
    return time_machine


@pytest.fixture
def brand():
    return platform.make_brand()


def create(brand, code="spring-2026", actor=SYSTEM, **more) -> Campaign:
    return create_campaign(
        **{
            "brand_id": brand.pk,
            "code": code,
            "name": "Spring",
            "starts_on": date(2026, 3, 1),
            "ends_on": date(2026, 3, 31),
            "actor": actor,
            **more,
        }
    )


def test_a_campaign_is_created_once_per_code(brand):
    # when
    campaign = create(brand, " Spring-2026 ")
    # then
    assert (campaign.code, campaign.entity_id) == ("spring-2026", brand.entity_id)
    with pytest.raises(Conflict):
        create(brand)
    assert Campaign.objects.count() == 1
    assert AuditRecord.objects.filter(action="marketing.create_campaign").count() == 1


@pytest.mark.parametrize(
    "more", [{"code": "Spring 2026"}, {"code": ""}, {"code": "a" * 41}, {"name": " "}, {"ends_on": date(2026, 2, 1)}]
)
def test_what_cannot_be_a_campaign_is_refused(brand, more):
    with pytest.raises(InvalidInput):
        create(brand, **more)
    assert not Campaign.objects.exists()


def test_an_account_belongs_to_one_campaign_at_a_time(brand):
    # given
    account = platform.make_account(platform.make_server(brand.entity))
    first, second = create(brand), create(brand, "search")
    # when
    attribute_account(campaign_id=first.pk, account_id=account.pk, valid_from=NOW, actor=SYSTEM)
    attribute_account(campaign_id=first.pk, account_id=account.pk, valid_from=NOW, actor=SYSTEM)
    later = NOW + timedelta(days=1)
    attribute_account(campaign_id=second.pk, account_id=account.pk, valid_from=later, actor=SYSTEM)
    # then
    rows = [
        (row.value, row.validity.lower, row.validity.upper) for row in AccountDimension.objects.order_by("validity")
    ]
    assert rows == [("spring-2026", NOW, later), ("search", later, None)]
    for moment, counts in ((NOW, {"spring-2026": 1, "search": 0}), (later, {"spring-2026": 0, "search": 1})):
        found = with_accounts(Campaign.objects.all(), at=moment)
        assert dict(found.values_list("code", "accounts")) == counts
    assert AuditRecord.objects.filter(action="platform.set_dimension").count() == 2


def test_attribution_stays_within_entity_and_dates(brand):
    # given
    campaign = create(brand)
    ours = platform.make_account(platform.make_server(brand.entity))
    theirs = platform.make_account()
    # then
    with pytest.raises(NotFound):
        attribute_account(campaign_id=campaign.pk, account_id=theirs.pk, valid_from=NOW, actor=SYSTEM)
    for moment in (NOW - timedelta(days=10), NOW + timedelta(days=60)):
        with pytest.raises(InvalidInput, match="does not run"):
            attribute_account(campaign_id=campaign.pk, account_id=ours.pk, valid_from=moment, actor=SYSTEM)
    assert not AccountDimension.objects.exists()


def test_only_marketing_and_administrators_of_the_entity(brand):
    # given
    campaign = create(brand)
    account = platform.make_account(platform.make_server(brand.entity))
    for actor, refusal in (
        (platform.staff(Role.SALES, entities=[brand.entity]), Denied),
        (platform.staff(Role.AUDITOR, entities=[brand.entity]), Denied),
        (platform.staff(Role.MARKETING, entities=[platform.make_entity()]), NotFound),
    ):
        with pytest.raises(refusal):
            create(brand, "other", actor)
        with pytest.raises(refusal):
            attribute_account(campaign_id=campaign.pk, account_id=account.pk, valid_from=NOW, actor=actor)
    assert not AccountDimension.objects.exists()
    assert Campaign.objects.count() == 1


def test_the_desk_creates_and_attributes(brand, client: Browser):
    # given
    account = platform.make_account(platform.make_server(brand.entity))
    log_in(client, make_user("ads@house.test", Role.MARKETING, entities=(brand.entity,)))
    form = {"name": "Spring", "code": "spring", "brand": brand.pk, "starts_on": "2026-03-01"}
    # when
    answer = client.post(reverse("admin:marketing_campaign_create"), form)
    # then
    campaign = Campaign.objects.get()
    assert answer.status_code == 302
    # when
    address = reverse("admin:marketing_campaign_attribute", args=[campaign.pk])
    wrong = client.post(address, {"server": account.server_id, "login": "no-such", "reason": "Landing page"})
    client.post(
        address, {"server": account.server_id, "login": account.login, "reason": "Landing page", "confirmed": "yes"}
    )
    # then
    assert "There is no such account on this server." in wrong.content.decode()
    assert AccountDimension.objects.get().value == "spring"
    listing = client.get(reverse("admin:marketing_campaign_changelist")).content.decode()
    assert "Running" in listing
