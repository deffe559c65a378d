"""The audit trail: written with the act, never changed, sealed in order, and the proof that names what was touched."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from backoffice.core.models import AuditRecord, AuditSeal, Brand, LegalEntity
from backoffice.core.services import audit
from backoffice.core.services.audit import Anchor, seal_audit, verify_audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Misconfigured
from tests.logins import make_entity
from tests.threads import at_once

SYSTEM = Actor.system("test")


def write(action: str = "core.test", **options: object) -> AuditRecord:
    """One committed record about an entity."""
    with transaction.atomic():
        return audit.record(actor=SYSTEM, action=action, target=make_entity(), **options)  # type: ignore[arg-type]


def past_triggers(sql: str, *parameters: object) -> None:
    """What somebody with the database's highest rights could do behind the application's back."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute(sql, parameters)


@pytest.mark.django_db
def test_a_record_tells_who_did_what_to_what_and_why() -> None:
    entity = make_entity()
    brand = Brand.objects.create(entity=entity, code="blue", name="Blue")
    actor = Actor(
        label="anna@example.com", user_id=7, roles=frozenset({"administrator"}), entity_ids=frozenset({entity.pk})
    )

    made = audit.record(
        actor=actor, action="core.rename_brand", target=brand, reason="rebranding", changes={"name": ["Blue", "Sky"]}
    )

    kept = AuditRecord.objects.get(pk=made.pk)
    assert (kept.actor, kept.user_id, kept.action, kept.reason) == (
        "anna@example.com",
        7,
        "core.rename_brand",
        "rebranding",
    )
    assert (kept.object_type, kept.object_id, kept.object_label) == ("core.brand", str(brand.pk), "Blue")
    assert kept.entity_id == entity.pk
    assert kept.changes == {"name": ["Blue", "Sky"]}


@pytest.mark.django_db(transaction=True)
def test_a_record_is_refused_outside_of_the_transaction_of_its_act() -> None:
    entity = make_entity()

    with pytest.raises(Misconfigured):
        audit.record(actor=SYSTEM, action="core.test", target=entity)

    assert not AuditRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_record_disappears_with_the_act_that_failed() -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        audit.record(actor=SYSTEM, action="core.test", target=make_entity())
        raise RuntimeError("the act failed")

    assert not AuditRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE core_auditrecord SET reason = 'forged'",
        "DELETE FROM core_auditrecord",
        "TRUNCATE core_auditrecord",
        "UPDATE core_auditseal SET record_count = 0",
        "DELETE FROM core_auditseal",
        "TRUNCATE core_auditseal",
    ],
)
def test_the_database_refuses_to_change_the_trail(sql: str) -> None:
    write()
    seal_audit()

    with pytest.raises(DatabaseError, match="never change"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)

    assert verify_audit() == []
    assert (AuditRecord.objects.count(), AuditSeal.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_nobody_chooses_the_transaction_of_a_record() -> None:
    make_entity()

    with transaction.atomic():
        forged = AuditRecord.objects.create(xid=1, actor="x", action="x", object_type="x", object_id="1")

    assert AuditRecord.objects.get(pk=forged.pk).xid > 1


@pytest.mark.django_db(transaction=True)
def test_seals_adjoin_and_cover_every_record_once() -> None:
    first = [write(), write()]
    one = seal_audit()
    second = write()
    two = seal_audit()

    assert one is not None
    assert two is not None
    assert (one.number, one.record_count, two.number, two.record_count) == (1, 2, 2, 1)
    assert (one.first_xid, two.first_xid) == (0, one.end_xid)
    assert all(one.first_xid <= AuditRecord.objects.get(pk=row.pk).xid < one.end_xid for row in first)
    assert two.first_xid <= AuditRecord.objects.get(pk=second.pk).xid < two.end_xid
    assert bytes(two.previous_digest) == bytes(one.digest)
    assert verify_audit() == []


@pytest.mark.django_db(transaction=True)
def test_sealing_nothing_makes_no_seal() -> None:
    assert seal_audit() is None
    write()
    assert seal_audit() is not None
    assert seal_audit() is None
    assert AuditSeal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_record_that_commits_late_is_sealed_later_and_never_skipped() -> None:
    """The lower id is written first and committed last, behind the back of a sealer that ran in between."""
    entity = make_entity()
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "INSERT INTO core_auditrecord (at, actor, action, object_type, object_id, object_label, reason, changes,"
                " trace_id) VALUES (now(), 'late', 'core.late', 'core.legalentity', %s, '', '', '{}', '') RETURNING id",
                [str(entity.pk)],
            )
            late_id = cursor.fetchone()[0]
        early = write()
        between = seal_audit()
        other.commit()
    finally:
        other.close()

    after = seal_audit()

    assert late_id < early.pk
    assert between is None
    assert after is not None
    assert after.record_count == 2
    assert verify_audit() == []


@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_another_database_holds_no_seal_up() -> None:
    neighbour = connection.copy()
    neighbour.settings_dict = {**connection.settings_dict, "NAME": "postgres"}
    try:
        neighbour.set_autocommit(False)
        with neighbour.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id()")
        write()

        seal = seal_audit()
    finally:
        neighbour.rollback()
        neighbour.close()

    assert seal is not None
    assert seal.record_count == 1


@pytest.mark.django_db(transaction=True)
def test_a_seal_holds_a_bounded_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_RECORDS_PER_SEAL", 2)
    for _ in range(5):
        write()

    counts = []
    while (seal := seal_audit()) is not None:
        counts.append(seal.record_count)

    assert counts == [2, 2, 1]
    assert verify_audit() == []


@pytest.mark.django_db(transaction=True)
def test_a_transaction_is_never_split_between_two_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_RECORDS_PER_SEAL", 2)
    entity = make_entity()
    with transaction.atomic():
        for _ in range(3):
            audit.record(actor=SYSTEM, action="core.test", target=entity)
    write()

    counts = []
    while (seal := seal_audit()) is not None:
        counts.append(seal.record_count)

    assert counts == [3, 1]
    assert verify_audit() == []


@pytest.mark.django_db(transaction=True)
def test_an_altered_record_is_named() -> None:
    write()
    altered = write(reason="true")
    seal_audit()
    write()
    seal_audit()

    past_triggers("UPDATE core_auditrecord SET reason = 'false' WHERE id = %s", altered.pk)

    assert verify_audit() == [{"seal": 1, "problem": "record_altered", "record": altered.pk}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "column", ["actor", "action", "object_type", "object_id", "object_label", "reason", "trace_id"]
)
def test_every_text_of_a_record_is_under_seal(column: str) -> None:
    row = write()
    seal_audit()

    past_triggers(f"UPDATE core_auditrecord SET {column} = {column} || '1' WHERE id = %s", row.pk)

    assert verify_audit() == [{"seal": 1, "problem": "record_altered", "record": row.pk}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change", ["at = at + interval '1 microsecond'", "user_id = 5", "entity_id = NULL", "changes = '{\"a\": 1}'"]
)
def test_every_other_column_of_a_record_is_under_seal(change: str) -> None:
    row = write()
    seal_audit()

    past_triggers(f"UPDATE core_auditrecord SET {change} WHERE id = %s", row.pk)

    assert verify_audit() == [{"seal": 1, "problem": "record_altered", "record": row.pk}]


@pytest.mark.django_db(transaction=True)
def test_a_removed_record_is_named() -> None:
    removed, _ = write(), write()
    seal_audit()

    past_triggers("DELETE FROM core_auditrecord WHERE id = %s", removed.pk)

    assert verify_audit() == [{"seal": 1, "problem": "record_missing", "record": removed.pk}]


@pytest.mark.django_db(transaction=True)
def test_a_record_slipped_into_a_sealed_range_is_named() -> None:
    row = write()
    seal_audit()

    past_triggers(
        "INSERT INTO core_auditrecord (xid, at, actor, action, object_type, object_id, object_label, reason, changes,"
        " trace_id) SELECT xid, at, 'forger', action, object_type, object_id, '', '', '{}', '' FROM core_auditrecord"
    )

    forged = AuditRecord.objects.get(actor="forger")
    assert forged.pk != row.pk
    assert verify_audit() == [{"seal": 1, "problem": "record_added", "record": forged.pk}]


@pytest.mark.django_db(transaction=True)
def test_a_forged_seal_is_named_first() -> None:
    write()
    seal_audit()
    write()
    seal_audit()

    past_triggers("UPDATE core_auditseal SET record_count = 9 WHERE number = 1")

    assert verify_audit()[0] == {"seal": 1, "problem": "seal_altered"}


@pytest.mark.django_db(transaction=True)
def test_a_seal_with_a_new_digest_breaks_the_chain_after_it() -> None:
    write()
    seal_audit()
    write()
    seal_audit()

    past_triggers("UPDATE core_auditseal SET digest = sha256('x') WHERE number = 1")

    assert verify_audit() == [{"seal": 1, "problem": "seal_altered"}, {"seal": 2, "problem": "chain_broken"}]


@pytest.mark.django_db(transaction=True)
def test_a_removed_seal_is_named() -> None:
    for _ in range(3):
        write()
        seal_audit()

    past_triggers("DELETE FROM core_auditseal WHERE number = 2")

    assert verify_audit() == [{"seal": 2, "problem": "seal_missing"}]


@pytest.mark.django_db(transaction=True)
def test_a_digest_kept_outside_tells_a_rewritten_chain() -> None:
    write()
    seal = seal_audit()
    assert seal is not None
    anchor = Anchor(number=1, digest=seal.digest.hex())

    assert verify_audit(anchor=anchor) == []
    past_triggers("DELETE FROM core_auditseal")
    assert verify_audit() == []
    assert verify_audit(anchor=anchor) == [{"seal": 1, "problem": "anchor_mismatch"}]


@pytest.mark.django_db(transaction=True)
def test_findings_are_bounded() -> None:
    with transaction.atomic():
        for _ in range(audit.MAX_FINDINGS + 10):
            audit.record(actor=SYSTEM, action="core.test", target=make_entity())
    seal_audit()

    past_triggers("UPDATE core_auditrecord SET reason = 'x'")

    assert len(verify_audit()) == audit.MAX_FINDINGS


@pytest.mark.django_db(transaction=True)
def test_a_server_whose_transactions_start_anew_is_not_sealed_over() -> None:
    write()
    seal_audit()
    past_triggers("UPDATE core_auditseal SET end_xid = '9000000000000'")

    with pytest.raises(Misconfigured) as refused:
        seal_audit()

    assert refused.value.code == "audit_chain_ahead"
    assert AuditSeal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_sealers_make_one_chain() -> None:
    for _ in range(4):
        write()

    at_once(seal_audit, seal_audit, seal_audit)

    assert sum(AuditSeal.objects.values_list("record_count", flat=True)) == 4
    assert verify_audit() == []


@pytest.mark.django_db(transaction=True)
def test_the_sealer_takes_the_chain_lock_first() -> None:
    with CaptureQueriesContext(connection) as queries:
        seal_audit()

    statements = [query["sql"] for query in queries if not query["sql"].startswith(("BEGIN", "COMMIT"))]
    assert "pg_advisory_xact_lock" in statements[0]


@pytest.mark.django_db(transaction=True)
def test_the_history_of_a_row_tells_what_changed_and_why() -> None:
    with transaction.atomic():
        entity = LegalEntity.objects.create(code="nova", name="Nova", country="CY", base_currency="EUR")
        audit.record(actor=SYSTEM, action="core.open_entity", target=entity)
    with transaction.atomic():
        entity.name = "Nova Two"
        entity.save()
        audit.record(actor=SYSTEM, action="core.rename_entity", target=entity, reason="court order")

    history = audit.history_of(entity)

    assert [(row["version"].pgh_label, row["version"].name) for row in history] == [
        ("insert", "Nova"),
        ("update", "Nova Two"),
    ]
    assert [[record.action for record in row["records"]] for row in history] == [
        ["core.open_entity"],
        ["core.rename_entity"],
    ]
