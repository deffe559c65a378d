"""Switches: one person stops a flow, the use cases refuse, another person lets money flow again, history stays."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from backoffice.core.models import AuditRecord, Brand, EntityBankAccount, LegalEntity, OutboxEvent, Switch, SwitchStop
from backoffice.core.services.switches import (
    SwitchedOff,
    guarded_use_cases,
    is_stopped,
    may_resume,
    may_stop,
    require_open,
    resume,
    standing_stops,
    stop,
)
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from funding.ledger.models import Hold, JournalEntry
from funding.ledger.services.accounts import get_account
from funding.ledger.services.holds import place_hold
from funding.services.deposits import pay_withdrawal, receive_deposit
from ib.models import CommissionStatement, Partner, PayoutTerms
from ib.services.payment_files import export_payments
from ib.services.payouts import pay_statement
from tests.factories.platform import MONDAY, make_account
from tests.logins import make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")


def person(role: str, *entities: LegalEntity, name: str = "") -> Actor:
    """A member of staff as the access door sees them."""
    return make_actor(make_user(f"{name or role}@house.test", role, entities=entities))


@pytest.mark.parametrize("switch", list(Switch))
def test_one_person_stops_a_flow_and_it_is_refused_until_it_is_let_go_on(switch: Switch) -> None:
    entity = make_entity()
    first, second = (person("administrator", entity, name=name) for name in ("ann", "bob"))

    stopped = stop(switch=switch, actor=first, reason=" The bank is down. ", entity_id=entity.pk)
    again = stop(switch=switch, actor=second, reason="Me too.", entity_id=entity.pk)
    assert (stopped.is_new, stopped.is_drained, again.is_new, again.stop.pk) == (True, True, False, stopped.stop.pk)
    assert is_stopped(switch, entity_id=entity.pk)
    with pytest.raises(SwitchedOff) as refused, transaction.atomic():
        require_open(switch, entity_id=entity.pk)
    assert (refused.value.code, refused.value.details["switch"]) == ("switched_off", switch.value)
    ended = resume(switch=switch, actor=second, reason="It is back.", entity_id=entity.pk)

    require_open(switch, entity_id=entity.pk)
    assert (ended.reason, ended.stopped_by, ended.resumed_by, ended.resume_reason) == (
        "The bank is down.", "ann@house.test", "bob@house.test", "It is back.",
    )  # fmt: skip
    assert list(AuditRecord.objects.order_by("id").values_list("action", "actor", "reason", "entity_id")) == [
        ("core.stop_switch", "ann@house.test", "The bank is down.", entity.pk),
        ("core.resume_switch", "bob@house.test", "It is back.", entity.pk),
    ]
    assert list(OutboxEvent.objects.order_by("id").values_list("topic", flat=True)) == [
        "core.switch_stopped",
        "core.switch_resumed",
    ]
    with pytest.raises(Conflict):
        resume(switch=switch, actor=second, reason="Again.", entity_id=entity.pk)


def test_a_stop_of_one_entity_leaves_the_other_open_and_one_of_the_broker_covers_all() -> None:
    one, two = make_entity("one"), make_entity("two")
    stop(switch=Switch.SENDS, actor=SYSTEM, reason="x", entity_id=one.pk)
    assert (is_stopped(Switch.SENDS, entity_id=one.pk), is_stopped(Switch.SENDS, entity_id=two.pk)) == (True, False)
    assert (is_stopped(Switch.SENDS), is_stopped(Switch.HEDGES, entity_id=one.pk)) == (False, False)

    stop(switch=Switch.SENDS, actor=SYSTEM, reason="x")
    assert is_stopped(Switch.SENDS, entity_id=two.pk)
    # Letting the broker go on does not end the entity's own stop
    resume(switch=Switch.SENDS, actor=SYSTEM, reason="x")
    assert (is_stopped(Switch.SENDS, entity_id=one.pk), is_stopped(Switch.SENDS, entity_id=two.pk)) == (True, False)


@pytest.mark.parametrize("switch", [Switch.WITHDRAWALS, Switch.PAYOUTS])
def test_client_money_is_let_go_on_by_another_person(switch: Switch) -> None:
    entity = make_entity()
    ann, bob = (person("finance", entity, name=name) for name in ("ann", "bob"))
    standing = stop(switch=switch, actor=ann, reason="x", entity_id=entity.pk).stop

    for actor in (ann, SYSTEM):
        assert not may_resume(actor, standing)
        with pytest.raises(Denied, match="another person"):
            resume(switch=switch, actor=actor, reason="x", entity_id=entity.pk)
    assert is_stopped(switch, entity_id=entity.pk)
    with pytest.raises(DatabaseError), transaction.atomic():
        SwitchStop.objects.update(
            resumed_at=standing.stopped_at, resumed_by="ann", resumed_by_user=ann.user_id, resume_reason="x"
        )
    with pytest.raises(DatabaseError), transaction.atomic():
        SwitchStop.objects.update(resumed_at=standing.stopped_at, resumed_by="job", resume_reason="x")
    assert may_resume(bob, standing)
    resume(switch=switch, actor=bob, reason="x", entity_id=entity.pk)


def test_what_a_job_stopped_any_one_person_lets_go_on() -> None:
    entity = make_entity()
    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="Balance proof failed.", entity_id=entity.pk)
    resume(switch=Switch.WITHDRAWALS, actor=person("finance", entity), reason="Explained.", entity_id=entity.pk)
    assert standing_stops() == []


@pytest.mark.parametrize("switch", [Switch.HEDGES, Switch.SENDS, Switch.SERVER_PUSHES])
def test_other_flows_are_let_go_on_by_the_same_person(switch: Switch) -> None:
    actor = person("administrator", make_entity())
    stop(switch=switch, actor=actor, reason="x")
    resume(switch=switch, actor=actor, reason="x")
    assert standing_stops() == []


ALLOWED = {
    Switch.WITHDRAWALS: {"finance", "compliance", "administrator"},
    Switch.PAYOUTS: {"finance", "compliance", "administrator", "partner_manager"},
    Switch.HEDGES: {"dealing", "administrator"},
    Switch.SENDS: {"marketing", "compliance", "administrator"},
    Switch.SERVER_PUSHES: {"platform_operations", "dealing", "administrator"},
}


@pytest.mark.parametrize("switch", list(Switch))
def test_only_the_named_roles_stop_a_flow(switch: Switch) -> None:
    from backoffice.core.types import Role

    entity = make_entity()
    for role in Role.values:
        actor = person(role, entity)
        assert (role, may_stop(actor, switch, entity_id=entity.pk)) == (role, role in ALLOWED[switch])
        if role not in ALLOWED[switch]:
            with pytest.raises(Denied):
                stop(switch=switch, actor=actor, reason="x", entity_id=entity.pk)
    assert (SwitchStop.objects.count(), AuditRecord.objects.count()) == (0, 0)


def test_nobody_stops_another_entity_or_a_broker_they_see_in_part() -> None:
    one, two = make_entity("one"), make_entity("two")
    actor = person("finance", one)
    for entity_id, error in ((two.pk, NotFound), (0, NotFound), (None, Denied)):
        with pytest.raises(error):
            stop(switch=Switch.WITHDRAWALS, actor=actor, reason="x", entity_id=entity_id)
        with pytest.raises(error):
            resume(switch=Switch.WITHDRAWALS, actor=actor, reason="x", entity_id=entity_id)
    assert not SwitchStop.objects.exists()

    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x", entity_id=two.pk)
    stop(switch=Switch.PAYOUTS, actor=SYSTEM, reason="x")
    assert [found.switch for found in standing_stops(actor=actor)] == ["payouts"]


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_stop_and_its_end_need_a_reason(reason: str) -> None:
    with pytest.raises(InvalidInput):
        stop(switch=Switch.SENDS, actor=SYSTEM, reason=reason)
    assert not SwitchStop.objects.exists()
    stop(switch=Switch.SENDS, actor=SYSTEM, reason="x")
    with pytest.raises(InvalidInput):
        resume(switch=Switch.SENDS, actor=SYSTEM, reason=reason)
    assert is_stopped(Switch.SENDS)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO core_switchstop (switch, reason, stopped_by, stopped_at, resumed_by, resume_reason) "
        "VALUES ('sends', 'again', 'x', now(), '', '')",
        "UPDATE core_switchstop SET switch = 'coffee'",
        "UPDATE core_switchstop SET reason = ''",
        "UPDATE core_switchstop SET resumed_by = 'somebody'",
        "UPDATE core_switchstop SET resumed_at = now()",
        "UPDATE core_switchstop SET resumed_at = now() - interval '1 year', resumed_by = 'x', resume_reason = 'x'",
    ],
)
def test_the_database_refuses_what_cannot_be(sql: str) -> None:
    stop(switch=Switch.SENDS, actor=SYSTEM, reason="x")
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


# The use cases that ask


def _pay(account: Any) -> Any:
    return pay_withdrawal(
        amount=Decimal(5), currency="USD", method="psp", reference="PSP-1", actor=SYSTEM,
        idempotency_key="pay", account_id=account.pk, business_day=MONDAY,
    )  # fmt: skip


def _hold(kind: str, owner_type: str) -> Any:
    def act(account: Any) -> Any:
        held = get_account(
            entity_id=account.server.entity_id, kind=kind, currency="USD", owner_type=owner_type, owner_id=1
        )
        return place_hold(account_id=held.pk, amount=Decimal(5), reason="r", idempotency_key=f"hold {kind}")

    return act


def _pay_partner(account: Any) -> Any:
    entity, now = account.server.entity, clock.now()
    brand = Brand.objects.create(entity=entity, code="b", name="b")
    partner = Partner.objects.create(reference="IB-1", entity=entity, brand=brand, name="p", currency="USD")
    terms = PayoutTerms.objects.create(
        entity=entity, validity=DateRange(MONDAY, None), period="daily", review_days=0, hold_days=0, minimum_payout=0,
        approved_by="test",
    )  # fmt: skip
    statement = CommissionStatement.objects.create(
        partner=partner, currency="USD", number=1, from_day=MONDAY, to_day=MONDAY, terms=terms, state="approved",
        earned=5, total=5, payable=5, digest="d", review_until=now, approved_by="test", approved_at=now, payable_from=now,
    )  # fmt: skip
    return pay_statement(statement_id=statement.pk, actor=SYSTEM, idempotency_key="pay")


def _export_payments(account: Any) -> Any:
    bank = EntityBankAccount.objects.create(
        entity=account.server.entity, name="Own", purpose="own_money", currency="USD", bank_name="Bank",
        account_number="12345678", number_tail="5678", is_iban=False,
    )  # fmt: skip
    return export_payments(bank_account_id=bank.pk, execution_day=clock.now().date(), actor=SYSTEM)


# Each guarded use case, tried; the switch is asked before whether there is money enough.
ATTEMPTS = {
    ("withdrawals", "funding.services.deposits.pay_withdrawal"): _pay,
    ("withdrawals", "funding.ledger.services.holds.place_hold"): _hold("client_wallet", "client"),
    ("payouts", "funding.ledger.services.holds.place_hold"): _hold("partner_wallet", "partner"),
    ("payouts", "ib.services.payouts.pay_statement"): _pay_partner,
    ("payouts", "ib.services.payment_files.export_payments"): _export_payments,
}
"""Message delivery proves its own in its room's tests: it keeps messages back instead of refusing a caller."""


def test_every_guarded_use_case_of_money_is_tried_here() -> None:
    guards = {(guard.switch.value, guard.path) for guard in guarded_use_cases()}
    assert {guard for guard in guards if guard[0] not in ("sends", "server_pushes")} == set(ATTEMPTS)
    # Pushes to servers keep what is stopped for later; each proves that in the tests of its own room.
    assert {guard for guard in guards if guard[0] == "sends"} == {
        ("sends", "backoffice.core.services.message_delivery.claim")
    }


@pytest.mark.parametrize("guard", sorted(ATTEMPTS))
@pytest.mark.parametrize("of_broker", [True, False])
def test_a_guarded_use_case_refuses_and_changes_nothing(guard: tuple[str, str], of_broker: bool) -> None:
    account = make_account()
    attempt = ATTEMPTS[guard]
    entity_id = None if of_broker else account.server.entity_id
    stop(switch=Switch(guard[0]), actor=SYSTEM, reason="x", entity_id=entity_id)
    before = (JournalEntry.objects.count(), Hold.objects.count(), AuditRecord.objects.count())

    with pytest.raises(SwitchedOff):
        attempt(account)

    assert (JournalEntry.objects.count(), Hold.objects.count(), AuditRecord.objects.count()) == before


def test_another_entitys_stop_does_not_stop_the_payment_and_deposits_still_arrive() -> None:
    account = make_account()
    other = make_entity("other")
    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x", entity_id=other.pk)
    assert _pay(account).pk is not None
    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x")
    deposit = receive_deposit(
        amount=Decimal(5), currency="USD", method="psp", reference="PSP-2", actor=SYSTEM,
        idempotency_key="in", account_id=account.pk, business_day=MONDAY,
    )  # fmt: skip
    assert deposit.pk is not None


def test_what_was_paid_before_the_stop_is_still_returned_for_its_key() -> None:
    account = make_account()
    paid = _pay(account)
    stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x")
    assert _pay(account).pk == paid.pk
    assert JournalEntry.objects.count() == 1
