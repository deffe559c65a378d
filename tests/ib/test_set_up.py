"""Partners, tree, referrals, plans and agreements: what the use cases refuse, and what the database refuses by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import AuditRecord, Job
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from funding.ledger.models import LedgerAccount
from ib.models import (
    Agreement,
    ClientReferral,
    CommissionLine,
    ConfigChange,
    Partner,
    PartnerEdge,
    PlanRule,
    PlanVersion,
)
from ib.services import partners, plans, referrals, tree
from ib.services.settlement import settle_range
from ib.services.shards import RESETTLE_DAY
from ib.types import RuleTerms
from tests.factories import ib as factory
from tests.factories.ib import Broker, after
from tests.factories.platform import MONDAY, SYSTEM, make_trade, staff

pytestmark = pytest.mark.django_db

TUESDAY = MONDAY + timedelta(days=1)


def refused_by_the_database(sql: str, *parameters: object) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_a_partner_gets_a_number_and_three_accounts_in_its_currency():
    broker = Broker()
    partner = factory.make_partner(broker.brand, currency="jpy")
    assert partner.reference.startswith("IB-")
    accounts = LedgerAccount.objects.filter(owner_type="partner", owner_id=partner.pk)
    assert {(account.kind, account.currency) for account in accounts} == {
        ("partner_accrued", "JPY"),
        ("partner_payable", "JPY"),
        ("partner_wallet", "JPY"),
    }
    assert AuditRecord.objects.filter(action="ib.register_partner", object_id=str(partner.pk)).exists()


@pytest.mark.parametrize("role", [Role.SALES, Role.DEALING, Role.AUDITOR, Role.FINANCE, Role.IB])
def test_only_partner_managers_and_administrators_change_partners(role):
    broker = Broker()
    partner = broker.partner()
    actor = staff(role, entities=[broker.entity])
    before = Partner.objects.count()
    with pytest.raises(Denied):
        partners.register_partner(
            entity_id=broker.entity.pk, brand_id=broker.brand.pk, name="X", currency="USD", actor=actor
        )
    with pytest.raises(Denied):
        tree.place_partner(partner_id=partner.pk, parent_id=None, valid_from=after(MONDAY), actor=actor)
    with pytest.raises(Denied):
        plans.create_plan(entity_id=broker.entity.pk, code="x", name="X", actor=actor)
    assert Partner.objects.count() == before


def test_a_partner_of_another_entity_is_not_there():
    broker, other = Broker(), Broker()
    partner = broker.partner()
    manager = staff(Role.PARTNER_MANAGER, entities=[other.entity])
    with pytest.raises(NotFound):
        partners.set_partner_status(partner_id=partner.pk, status="closed", reason="no", actor=manager)
    partner.refresh_from_db()
    assert partner.status == "active"


def test_a_closed_partner_stays_closed_takes_nobody_and_introduces_nobody():
    broker = Broker()
    closed, other = broker.partner(), broker.partner()
    account = broker.client_of(None)
    partners.set_partner_status(partner_id=closed.pk, status="closed", reason="left", actor=SYSTEM)
    with pytest.raises(IllegalTransition):
        partners.set_partner_status(partner_id=closed.pk, status="active", reason="back", actor=SYSTEM)
    with pytest.raises(InvalidInput):
        tree.place_partner(partner_id=other.pk, parent_id=closed.pk, valid_from=after(MONDAY), actor=SYSTEM)
    with pytest.raises(InvalidInput):
        factory.refer(account.client, closed)
    assert not PartnerEdge.objects.exists()
    assert not ClientReferral.objects.exists()


def test_a_circle_is_refused_even_if_it_would_close_only_later():
    broker = Broker()
    one, two, three = broker.partner(), broker.partner(), broker.partner()
    tree.place_partner(partner_id=two.pk, parent_id=one.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    tree.place_partner(partner_id=three.pk, parent_id=two.pk, valid_from=after(MONDAY), actor=SYSTEM)
    with pytest.raises(Conflict) as refused:
        tree.place_partner(partner_id=one.pk, parent_id=three.pk, valid_from=after(MONDAY), actor=SYSTEM)
    assert refused.value.code == "tree_cycle"
    assert not PartnerEdge.objects.filter(child=one).exists()


def test_partners_of_two_entities_do_not_stand_in_one_tree():
    broker, other = Broker(), Broker()
    with pytest.raises(InvalidInput):
        tree.place_partner(
            partner_id=broker.partner().pk, parent_id=other.partner().pk, valid_from=after(MONDAY), actor=SYSTEM
        )


def test_a_statement_from_a_moment_on_cuts_the_earlier_one_and_removes_the_later_ones():
    broker = Broker()
    one, two, three, child = (broker.partner() for _ in range(4))
    for parent, day in ((one, MONDAY), (two, TUESDAY + timedelta(days=5))):
        tree.place_partner(partner_id=child.pk, parent_id=parent.pk, valid_from=after(day), actor=SYSTEM)
    tree.place_partner(partner_id=child.pk, parent_id=three.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    edges = [
        (edge.parent, edge.validity.lower, edge.validity.upper) for edge in PartnerEdge.objects.filter(child=child)
    ]
    assert edges == [(one, after(MONDAY), after(TUESDAY)), (three, after(TUESDAY), None)]


def test_a_referral_in_the_past_enqueues_the_days_on_which_the_client_traded_since():
    broker = Broker()
    account = broker.client_of(broker.partner())
    for day in (MONDAY, TUESDAY, TUESDAY + timedelta(days=1)):
        make_trade(account, day=day, server_symbol=broker.eurusd)
    factory.refer(account.client, broker.partner(), since=after(TUESDAY))
    days = {job.payload["day"] for job in Job.objects.filter(kind=RESETTLE_DAY)}
    assert days == {TUESDAY.isoformat(), (TUESDAY + timedelta(days=1)).isoformat()}


def test_an_ended_referral_earns_nobody_from_then_on():
    broker = Broker()
    direct = broker.partner()
    account = broker.client_of(direct)
    make_trade(account, day=MONDAY, server_symbol=broker.eurusd)
    make_trade(account, day=TUESDAY, server_symbol=broker.eurusd)
    referrals.end_referral(client_id=account.client_id, valid_from=after(TUESDAY), actor=SYSTEM, reason="left")
    settle_range(from_day=MONDAY, to_day=TUESDAY, actor=SYSTEM)
    assert factory.booked(direct) == Decimal("7.00")


def test_a_published_version_is_changed_neither_by_a_use_case_nor_by_sql():
    broker = Broker()
    version = PlanVersion.objects.get(plan=broker.plan)
    rule = version.rules.first()
    with pytest.raises(IllegalTransition):
        plans.remove_rule(rule_id=rule.pk, actor=SYSTEM)
    with pytest.raises(IllegalTransition):
        plans.publish_version(version_id=version.pk, valid_from=after(MONDAY), actor=SYSTEM)
    refused_by_the_database("UPDATE ib_planrule SET rate = 99 WHERE id = %s", rule.pk)
    refused_by_the_database("DELETE FROM ib_planrule WHERE id = %s", rule.pk)
    refused_by_the_database("UPDATE ib_planversion SET number = 9 WHERE id = %s", version.pk)
    refused_by_the_database("UPDATE ib_planversion SET validity = tstzrange(NULL, NULL) WHERE id = %s", version.pk)
    refused_by_the_database("DELETE FROM ib_planversion WHERE id = %s", version.pk)
    rule.refresh_from_db()
    assert rule in PlanRule.objects.filter(version=version)


def test_a_new_draft_starts_with_the_rules_of_the_latest_version_and_there_is_one_at_a_time():
    broker = Broker()
    first = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    again = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    assert first == again
    assert [str(rule) for rule in first.rules.all()] == [
        str(rule) for rule in PlanVersion.objects.get(plan=broker.plan, number=1).rules.all()
    ]


def test_a_rule_out_of_bounds_or_twice_is_refused():
    broker = Broker()
    draft = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    before = draft.rules.count()
    for level, amount in ((1, "-1"), (101, "1"), (9, "0.000000001")):
        with pytest.raises(InvalidInput):
            plans.add_rule(
                version_id=draft.pk,
                terms=RuleTerms(
                    symbol_group_id=None, level=level, rate=Decimal(amount), currency="USD", pays_close_by=True
                ),
                actor=SYSTEM,
            )
    with pytest.raises(Conflict):
        plans.add_rule(
            version_id=draft.pk,
            terms=RuleTerms(symbol_group_id=None, level=1, rate=Decimal(1), currency="USD", pays_close_by=True),
            actor=SYSTEM,
        )
    assert draft.rules.count() == before


def test_an_empty_draft_is_not_published():
    broker = Broker()
    plan = plans.create_plan(entity_id=broker.entity.pk, code="empty", name="Empty", actor=SYSTEM)
    with pytest.raises(InvalidInput):
        plans.publish_version(version_id=plan.versions.get().pk, valid_from=after(MONDAY), actor=SYSTEM)
    assert plan.versions.get().state == "draft"


def test_an_agreement_replaces_the_earlier_one_from_its_moment_on():
    broker = Broker()
    partner = broker.partner()
    other = factory.make_plan(broker.entity, (None, 1, "1", "USD"))
    factory.sign(partner, other, since=after(TUESDAY))
    found = [(item.plan, item.validity.upper) for item in Agreement.objects.filter(partner=partner)]
    assert found == [(broker.plan, after(TUESDAY)), (other, None)]


def test_lines_and_currencies_are_refused_by_the_database_when_somebody_changes_them():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    refused_by_the_database("UPDATE ib_commissionline SET amount = 0")
    refused_by_the_database("DELETE FROM ib_commissionline")
    refused_by_the_database(f"UPDATE ib_line_d{MONDAY:%Y%m%d} SET amount = 0")
    refused_by_the_database("UPDATE ib_ratecardentry SET rate = 0")
    refused_by_the_database("UPDATE ib_settlementbatch SET lines = 0")
    refused_by_the_database("UPDATE ib_partner SET currency = 'EUR'")
    assert CommissionLine.objects.get().amount == Decimal("7.00")


def test_every_change_of_the_set_up_marks_the_card_whoever_makes_it():
    broker = Broker()
    broker.partner(parent=broker.partner())
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    assert not ConfigChange.objects.exists()
    PartnerEdge.objects.all().delete()
    assert [change.source for change in ConfigChange.objects.all()] == ["ib_partneredge"]


def test_the_move_of_a_partner_names_a_moment_with_a_zone():
    broker = Broker()
    with pytest.raises(InvalidInput):
        tree.place_partner(
            partner_id=broker.partner().pk,
            parent_id=None,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None),
            actor=SYSTEM,
        )
