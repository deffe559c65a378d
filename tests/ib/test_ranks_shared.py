"""What a partner gives to those below: within the own rate, seen before it is set, kept by the database, over HTTP too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from backoffice.core.models import AuditRecord, User
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from ib.models import NegotiatedRate, PlanVersion
from ib.services import agreed_rates, negotiated_rates, plans, rank_requests
from ib.services.settlement import settle_range
from ib.services.validity import from_on
from tests.factories import ib as factory
from tests.factories.changes import make_person
from tests.factories.ib import LONG_AGO, Broker, booked
from tests.factories.platform import MONDAY, SYSTEM, make_trade
from tests.ib.test_plan_editor import lots
from tests.logins import log_in

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 2, 10, tzinfo=UTC)


@pytest.fixture
def world() -> Iterator[Broker]:
    """The top partner has 10 a lot on every level; whoever stands below has no plan and lives of what is given."""
    with time_machine.travel(NOW, tick=False):
        broker = Broker()
        plan = factory.make_plan_of(broker.entity, lots("10"), lots("12", symbol_group_id=broker.metals.pk))
        broker.top = broker.partner(plan=plan)
        broker.child = factory.make_partner(broker.brand, parent=broker.top)
        broker.grandchild = factory.make_partner(broker.brand, parent=broker.child)
        for name in ("top", "child"):
            user = User.objects.get(pk=make_person(Role.IB, entities=[broker.entity]).user_id)
            partner = getattr(broker, name)
            partner.user = user
            partner.save(update_fields=["user"])
            actor = Actor(label=user.email, user_id=user.pk, roles=frozenset({Role.IB.value}))
            setattr(broker, f"{name}_login", actor)
        yield broker


def give(broker: Broker, *, by: str = "top", to: str = "child", **fields) -> NegotiatedRate:
    return negotiated_rates.set_sub_partner_rate(
        partner_id=getattr(broker, to).pk, actor=getattr(broker, f"{by}_login"), **fields
    )


def test_a_rate_is_shared_as_it_was_shown_from_now_on(world):
    shown = negotiated_rates.shared_rates(own=world.top, child=world.child, at=NOW, rate=Decimal(7))
    majors = next(row for row in shown if row.symbol_group == "Majors")
    assert majors.sentence == "Of 10 USD per lot: 7 to them, 3 to you"
    account = world.client_of(world.child)
    make_trade(account, at=NOW - timedelta(hours=1), server_symbol=world.eurusd)
    give(world, rate=Decimal(7))
    make_trade(account, at=NOW + timedelta(hours=1), server_symbol=world.eurusd)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    assert (booked(world.child), booked(world.top)) == (Decimal(7), Decimal(13))
    # A part of the rate, again from now on; both stand in the history, and in the audit
    with time_machine.travel(NOW + timedelta(hours=2), tick=False):
        give(world, allocation_percent=Decimal(50))
    rows = NegotiatedRate.objects.filter(partner=world.child).order_by("validity")
    assert [(row.rate, row.allocation_percent, row.set_by_id) for row in rows] == [
        (Decimal(7), None, world.top.pk),
        (None, Decimal(50), world.top.pk),
    ]
    assert AuditRecord.objects.filter(action="ib.agree_rate").count() == 2


@pytest.mark.parametrize(
    ("fields", "refusal", "field"),
    [
        ({"rate": Decimal("12.01")}, InvalidInput, "rate"),
        ({"rate": Decimal(-1)}, InvalidInput, "rate"),
        ({"allocation_percent": Decimal(101)}, InvalidInput, "allocation_percent"),
        ({}, InvalidInput, "rate"),
        ({"rate": Decimal(5), "allocation_percent": Decimal(5)}, InvalidInput, "rate"),
        ({"rate": Decimal(5), "component": "extra"}, InvalidInput, "component"),
        ({"rate": Decimal(5), "to": "grandchild"}, NotFound, None),
        ({"rate": Decimal(5), "by": "child", "to": "top"}, NotFound, None),
        ({"rate": Decimal(5), "by": "child", "to": "child"}, NotFound, None),
    ],
)
def test_more_than_the_own_rate_and_others_below_are_refused(world, fields, refusal, field):
    with pytest.raises(refusal) as refused:
        give(world, **fields)
    assert field is None or refused.value.details["field"] == field
    assert not NegotiatedRate.objects.exists()


def test_a_given_rate_is_the_ceiling_of_the_next_one_below_in_the_database_too(world):
    give(world, rate=Decimal(6))
    with pytest.raises(InvalidInput):
        give(world, by="child", to="grandchild", rate=Decimal("6.5"))
    give(world, by="child", to="grandchild", rate=Decimal(4))
    with pytest.raises(DatabaseError, match="above the own one"), transaction.atomic():
        NegotiatedRate.objects.filter(partner=world.grandchild).update(rate=Decimal(7))
    with pytest.raises(DatabaseError, match="above the own one"), transaction.atomic():
        NegotiatedRate.objects.create(
            partner=world.child, component="main", rate=Decimal(13), set_by=world.top, validity=from_on(LONG_AGO)
        )


def test_what_the_desk_agreed_on_goes_first_and_takes_two_people(world):
    maker = make_person(Role.PARTNER_MANAGER, entities=[world.entity])
    checker = make_person(Role.FINANCE, entities=[world.entity])
    with pytest.raises(Denied):
        agreed_rates.agree_rate(partner_id=world.child.pk, rate=Decimal(8), valid_from=NOW, actor=maker)
    change = rank_requests.request_rate(
        partner_id=world.child.pk, rate=Decimal(8), valid_from=NOW, actor=maker, reason="a key partner"
    )
    assert not NegotiatedRate.objects.exists()
    changes.approve_change(change_id=change.pk, actor=checker, reason="agreed", seen_diff=change.diff_hash)
    assert changes.apply_change(change_id=change.pk, actor=checker).state == "verified"
    assert NegotiatedRate.objects.get().rate == Decimal(8)
    with pytest.raises(Conflict) as refused:
        give(world, rate=Decimal(5))
    assert refused.value.code == "agreed_with_the_desk"
    changes.revert_change(change_id=change.pk, actor=checker, reason="mistaken")
    assert not NegotiatedRate.objects.exists()


def test_the_portal_shows_the_example_then_sets_the_rate(world):
    page = log_in(Client(), User.objects.get(pk=world.top_login.user_id))
    url = reverse("portal:ib_sub_rate", args=[world.child.reference])
    tried = page.post(url, {"rate": "7", "component": "main", "act": "try"})
    assert "What it would come to" in tried.content.decode() and not NegotiatedRate.objects.exists()
    refused = page.post(url, {"rate": "13", "component": "main", "act": "set"})
    assert refused.status_code == 400 and "Your own rate is 12" in refused.content.decode()
    assert page.post(url, {"rate": "7", "component": "main", "act": "set"}).status_code == 302
    assert NegotiatedRate.objects.get().rate == Decimal(7)
    for name in ("ib_rank", "ib_sub_rates"):
        assert page.get(reverse(f"portal:{name}")).status_code == 200
    # Somebody else's sub-partner does not exist for the child's login
    other = log_in(Client(), User.objects.get(pk=world.child_login.user_id))
    assert other.get(url).status_code == 404


def test_the_editor_is_on_the_api_and_its_pages_open(world):
    maker = make_person(Role.PARTNER_MANAGER, entities=[world.entity])
    desk: Client = log_in(Client(), User.objects.get(pk=maker.user_id))
    draft: PlanVersion = plans.draft_version(plan_id=world.plan.pk, actor=SYSTEM)
    rule = draft.rules.order_by("position").first()
    for name, key in (
        ("admin:ib_plan_diff", draft.pk),
        ("admin:ib_plan_example", draft.pk),
        ("admin:ib_planversion_change", draft.pk),
        ("admin:ib_planversion_rank", draft.pk),
        ("admin:ib_planrule_edit", rule.pk),
        ("admin:ib_planrule_move", rule.pk),
        ("admin:ib_partner_give-rank", world.child.pk),
        ("admin:ib_partner_agree-rate", world.child.pk),
    ):
        assert desk.get(reverse(name, args=[key])).status_code == 200, name
    for name in ("partnerrank", "rankevaluation", "negotiatedrate", "planrule"):
        assert desk.get(reverse(f"admin:ib_{name}_changelist")).status_code == 200, name
    # Tiers are filled in as a grid, and come back in it
    filled = {
        "rate": "5", "currency": "USD", "level": "1", "basis": "per_lot", "distribution": "absolute", "component": "main",
        "tier_measure": "lots", "tier_mode": "marginal", "tier_window": "this", "tier_scope": "own",
        "tiers_0_from": "50", "tiers_0_rate": "6", "tiers_3_from": "100", "tiers_3_rate": "7",
    }  # fmt: skip
    plain = draft.rules.get(level=1, symbol_group=None)
    assert desk.post(reverse("admin:ib_planrule_edit", args=[plain.pk]), filled).status_code == 302
    assert list(plain.tiers.values_list("from_value", "rate")) == [(50, 6), (100, 7)]
    assert 'value="100"' in desk.get(reverse("admin:ib_planrule_edit", args=[plain.pk])).content.decode()
    wrong = desk.post(reverse("admin:ib_planrule_edit", args=[plain.pk]), {**filled, "tier_scope": ""})
    assert wrong.status_code == 400 and "Tiers need a measure" in wrong.content.decode()


def test_a_rate_ends_where_the_partner_leaves_whoever_gave_it_and_a_reverted_move_gives_it_back(world):
    # Given 7 by the partner above and, on gold, 6 by the desk
    from ib.services.requests import request_move

    give(world, rate=Decimal(7))
    agreed_rates.agree_rate(
        partner_id=world.child.pk, rate=Decimal(6), component="extra", valid_from=NOW, actor=SYSTEM, reason="x"
    )
    before = list(NegotiatedRate.objects.order_by("component").values_list("component", "rate", "set_by", "validity"))
    other = world.partner(plan=world.top.agreements.get().plan)
    maker = make_person(Role.PARTNER_MANAGER, entities=[world.entity])
    checker = make_person(Role.FINANCE, entities=[world.entity])
    leaves = NOW + timedelta(days=2)
    # When the partner is moved, whoever approves reads that the rate ends
    change = request_move(
        partner_id=world.child.pk, parent_id=other.pk, valid_from=leaves, actor=maker, reason="asked for"
    )
    assert change.before["Rates given by those above"] == f"main: 7 given by {world.top.reference}"
    assert change.after["Rates given by those above"] == f"end on {leaves:%Y-%m-%d}"
    changes.approve_change(change_id=change.pk, actor=checker, reason="checked", seen_diff=change.diff_hash)
    changes.apply_change(change_id=change.pk, actor=checker)
    # Then it ends that day, what the desk agreed on stays, and the audit has it
    given, agreed = NegotiatedRate.objects.filter(set_by=world.top).get(), NegotiatedRate.objects.get(component="extra")
    assert (given.validity.upper, agreed.validity.upper) == (leaves, None)
    assert AuditRecord.objects.filter(action="ib.place_partner", changes__rates_ended__0__rate="7").count() == 1
    changes.revert_change(change_id=change.pk, actor=checker, reason="stays after all")
    after = list(NegotiatedRate.objects.order_by("component").values_list("component", "rate", "set_by", "validity"))
    assert after == before
