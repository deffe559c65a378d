"""Legal entities: permitted currencies, bank accounts whose numbers stay sealed, terms that never change."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import AuditRecord, EntityBankAccount, LegalEntity, TermsVersion
from backoffice.core.organisation import checks as organisation_checks
from backoffice.core.services import entities, terms
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from funding.ledger.models import LedgerAccount
from funding.ledger.services.accounts import get_account, get_accounts_bulk
from funding.ledger.types import AccountSpec
from platform_ops.models import AccountGroup
from platform_ops.services import catalogue
from tests.factories.platform import SYSTEM, make_entity, make_server, staff

pytestmark = pytest.mark.django_db

IBAN = "CY17 0020 0128 0000 0012 0052 7600"


def boss(entity: LegalEntity) -> object:
    return staff(Role.ADMINISTRATOR, entities=[entity])


def bank_account(entity: LegalEntity, **fields: object) -> EntityBankAccount:
    values = {
        "entity_id": entity.pk,
        "name": "Clients EUR",
        "purpose": "client_money",
        "currency": "EUR",
        "bank_name": "Bank of the Island",
        "account_number": IBAN,
        "bic": "BCYPCY2N",
        "actor": boss(entity),
        "reason": "opened by the board",
    }
    return entities.add_bank_account(**{**values, **fields})  # type: ignore[arg-type]


# --- currencies -------------------------------------------------------------------------------------------------------


def test_an_entity_opens_ledger_accounts_only_in_its_currencies() -> None:
    entity, free = make_entity(), make_entity()
    entities.set_currencies(entity_id=entity.pk, currencies=["USD", "EUR"], actor=boss(entity), reason="licence")
    get_account(entity_id=entity.pk, kind="bank", currency="USD")

    with pytest.raises(InvalidInput) as refusal:
        get_accounts_bulk(
            specs=[
                AccountSpec(entity_id=entity.pk, kind="client_wallet", currency=code, owner_type="client", owner_id=1)  # type: ignore[arg-type]
                for code in ("EUR", "JPY")
            ]
        )

    assert (refusal.value.code, refusal.value.details["value"]) == ("currency_not_permitted", "JPY")
    assert list(LedgerAccount.objects.filter(entity=entity).values_list("kind", "currency")) == [("bank", "USD")]
    assert get_account(entity_id=free.pk, kind="bank", currency="JPY").currency == "JPY"


def test_an_account_that_exists_stays_usable_when_its_currency_is_no_longer_permitted() -> None:
    entity = make_entity()
    account = get_account(entity_id=entity.pk, kind="bank", currency="JPY")
    entities.set_currencies(entity_id=entity.pk, currencies=["EUR"], actor=boss(entity), reason="licence")

    assert get_account(entity_id=entity.pk, kind="bank", currency="JPY") == account


def test_groups_of_trading_accounts_open_only_in_permitted_currencies() -> None:
    entity = make_entity(currencies=["EUR", "USD"])
    server = make_server(entity)

    with pytest.raises(InvalidInput) as refusal:
        catalogue.register_account_group(
            server_id=server.pk,
            name="real-jpy",
            currency="JPY",
            account_type_code="std",
            account_type_name="Standard",
            actor=SYSTEM,
        )

    assert refusal.value.code == "currency_not_permitted"
    assert not AccountGroup.objects.exists()


@pytest.mark.parametrize(
    ("currencies", "code"), [(["USD"], "base_currency_missing"), (["EUR", "XXQ"], "invalid_input")]
)
def test_the_base_currency_is_always_permitted_and_codes_are_known(currencies: list[str], code: str) -> None:
    entity = make_entity()

    with pytest.raises(InvalidInput) as refusal:
        entities.set_currencies(entity_id=entity.pk, currencies=currencies, actor=boss(entity), reason="x")

    assert refusal.value.code == code or code == "invalid_input"
    entity.refresh_from_db()
    assert entity.currencies == []
    assert not AuditRecord.objects.exists()
    with pytest.raises(DatabaseError), transaction.atomic():
        LegalEntity.objects.filter(pk=entity.pk).update(currencies=["USD"])


def test_currencies_change_with_reason_by_administrators_of_the_entity() -> None:
    entity, other = make_entity(), make_entity()

    entities.set_currencies(entity_id=entity.pk, currencies=["USD", "EUR", "USD"], actor=boss(entity), reason="why")

    record = AuditRecord.objects.get()
    assert (record.action, record.reason, record.entity_id) == ("core.set_currencies", "why", entity.pk)
    assert record.changes == {"currencies": [[], ["EUR", "USD"]]}
    for actor, error in (
        (staff(Role.FINANCE, entities=[entity]), Denied),
        (boss(other), NotFound),
    ):
        with pytest.raises(error):
            entities.set_currencies(entity_id=entity.pk, currencies=[], actor=actor, reason="x")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        entities.set_currencies(entity_id=entity.pk, currencies=[], actor=boss(entity), reason=" ")


# --- bank accounts ----------------------------------------------------------------------------------------------------


def test_the_number_of_a_bank_account_is_sealed_and_found_however_it_is_written() -> None:
    entity, other = make_entity(), make_entity()

    account = bank_account(entity)

    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(a)::text FROM core_entitybankaccount a")
        stored = cursor.fetchone()[0]
        cursor.execute("SELECT to_jsonb(a)::text FROM core_entitybankaccountversion a")
        history = cursor.fetchone()[0]
    for text in (stored, history, str(list(AuditRecord.objects.values()))):
        assert "00128000" not in text
    assert account.masked_number == "… 7600"
    assert entities.find_bank_account(account_number="cy17 00200128 0000001200527600", actor=boss(entity)) == account
    assert entities.find_bank_account(account_number=IBAN, actor=boss(other)) is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"account_number": "CY17 0020 0128 0000 0012 0052 7601"}, "account_number"),
        ({"account_number": "12"}, "account_number"),
        ({"account_number": "12ab<script>", "is_iban": False}, "account_number"),
        ({"bic": "NOPE"}, "bic"),
        ({"purpose": "fun"}, "purpose"),
        ({"name": " "}, "name"),
        ({"reason": ""}, "reason"),
        ({"currency": "JPY"}, "currency"),
    ],
)
def test_a_bank_account_that_cannot_be_is_refused_by_field(fields: dict[str, object], field: str) -> None:
    entity = make_entity(currencies=["EUR"])

    with pytest.raises(InvalidInput) as refusal:
        bank_account(entity, **fields)

    assert refusal.value.details["field"] == field
    assert str(fields.get("account_number", "none")) not in refusal.value.message
    assert not EntityBankAccount.objects.exists()
    assert not AuditRecord.objects.exists()


def test_one_number_stands_once_per_entity_and_currency() -> None:
    entity = make_entity()
    bank_account(entity)

    with pytest.raises(Conflict) as same_number:
        bank_account(entity, name="Another", account_number=IBAN.replace(" ", "").lower())
    with pytest.raises(Conflict) as same_name:
        bank_account(entity, account_number="DE89370400440532013000", bic="")

    assert (same_number.value.code, same_name.value.code) == ("account_exists", "name_taken")
    assert bank_account(entity, name="Clients USD", currency="USD").currency == "USD"


def test_looking_at_a_number_needs_a_reason_and_is_written_down() -> None:
    entity = make_entity()
    account = bank_account(entity)
    finance = staff(Role.FINANCE, entities=[entity])

    assert (
        entities.reveal_account_number(bank_account_id=account.pk, actor=finance, reason="transfer")
        == "CY17002001280000001200527600"
    )

    assert AuditRecord.objects.filter(action="core.reveal_bank_account", reason="transfer").count() == 1
    with pytest.raises(Denied):
        entities.reveal_account_number(bank_account_id=account.pk, actor=boss(entity), reason="x")  # type: ignore[arg-type]
    with pytest.raises(NotFound):
        entities.reveal_account_number(
            bank_account_id=account.pk, actor=staff(Role.FINANCE, entities=[make_entity()]), reason="x"
        )


def test_a_closed_bank_account_stays_in_the_list_and_closes_once() -> None:
    entity = make_entity()
    account = bank_account(entity)

    first = entities.close_bank_account(bank_account_id=account.pk, actor=boss(entity), reason="moved")  # type: ignore[arg-type]
    again = entities.close_bank_account(bank_account_id=account.pk, actor=boss(entity), reason="moved")  # type: ignore[arg-type]

    assert first.closed_at == again.closed_at is not None
    assert AuditRecord.objects.filter(action="core.close_bank_account").count() == 1


# --- terms ------------------------------------------------------------------------------------------------------------


def draft(entity: LegalEntity, body: str = "Be fair.") -> TermsVersion:
    return terms.draft_terms(
        entity_id=entity.pk,
        kind="risk_disclosure",
        title="Risk",
        body=body,
        actor=boss(entity),  # type: ignore[arg-type]
    )


def publish(version: TermsVersion, day: date) -> TermsVersion:
    return terms.publish_terms(terms_id=version.pk, valid_from=day, actor=SYSTEM, reason="board")


def test_published_terms_follow_each_other_without_gap_or_overlap() -> None:
    entity, today = make_entity(), clock.now().date()
    first, second = publish(draft(entity), today), draft(entity, "Be fairer.")
    assert (first.number, second.number) == (1, 2)

    publish(second, today + timedelta(days=10))

    def in_force(day: date) -> TermsVersion | None:
        return terms.terms_in_force(entity_id=entity.pk, kind="risk_disclosure", on=day)

    assert in_force(today - timedelta(days=1)) is None
    assert in_force(today) == in_force(today + timedelta(days=9)) == first
    assert in_force(today + timedelta(days=10)) == in_force(today + timedelta(days=999)) == second
    assert publish(second, today + timedelta(days=10)) == second
    assert AuditRecord.objects.filter(action="core.publish_terms").count() == 2
    with pytest.raises(Conflict):
        publish(draft(entity), today + timedelta(days=10))


def test_published_terms_never_change_not_even_in_the_database() -> None:
    entity, today = make_entity(), clock.now().date()
    version = publish(draft(entity), today)

    with pytest.raises(IllegalTransition):
        terms.change_draft(terms_id=version.pk, title="x", body="y", actor=boss(entity))  # type: ignore[arg-type]
    for sql in (
        "UPDATE core_termsversion SET body = 'other'",
        "UPDATE core_termsversion SET published_at = NULL, validity = NULL",
        "UPDATE core_termsversion SET validity = daterange('2020-01-01', NULL)",
        "UPDATE core_termsversion SET validity = 'empty'",
        "DELETE FROM core_termsversion",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    version.refresh_from_db()
    assert version.body == "Be fair."
    assert organisation_checks.published_terms_are_unchanged().ok


def test_terms_are_not_published_for_the_past_nor_by_everybody() -> None:
    entity, today = make_entity(), clock.now().date()
    version = draft(entity)

    with pytest.raises(InvalidInput):
        publish(version, today - timedelta(days=1))
    with pytest.raises(Denied):
        terms.publish_terms(
            terms_id=version.pk, valid_from=today, actor=staff(Role.FINANCE, entities=[entity]), reason="x"
        )
    with pytest.raises(NotFound):
        terms.publish_terms(terms_id=version.pk, valid_from=today, actor=boss(make_entity()), reason="x")  # type: ignore[arg-type]

    version.refresh_from_db()
    assert version.published_at is None


def test_altered_terms_are_found_by_the_proof() -> None:
    version = publish(draft(make_entity()), clock.now().date())
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute("UPDATE core_termsversion SET body = 'other'")
        cursor.execute("SET LOCAL session_replication_role = 'origin'")

    outcome = organisation_checks.published_terms_are_unchanged()

    assert [row["terms_id"] for row in outcome.rows] == [version.pk]
