"""Numbers of documents: no gap, no double, whoever asks at once and whatever is rolled back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
from django.db import DatabaseError, connection, transaction

from backoffice.core.models import AuditRecord, DocumentCounter, DocumentNumber
from backoffice.core.organisation import checks as organisation_checks
from backoffice.core.organisation.document_kinds import check_pattern
from backoffice.core.services.numbering import issue_number, set_number_pattern
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from tests.factories.platform import SYSTEM, make_entity, staff

KIND = "reports.issued_report"


def issue(entity_id: int, *, year: int = 2026, kind: str = KIND) -> str:
    with transaction.atomic():
        return issue_number(
            entity_id=entity_id, kind=kind, on=date(year, 3, 2), subject="a test", actor=SYSTEM
        ).reference


@pytest.mark.django_db
def test_each_entity_and_year_counts_by_itself() -> None:
    ours, theirs = make_entity(code="ours"), make_entity(code="theirs")

    found = [issue(ours.pk), issue(theirs.pk), issue(ours.pk), issue(ours.pk, year=2027), issue(ours.pk)]

    assert [text.rsplit("-", 2)[1:] for text in found] == [
        ["2026", "00001"],
        ["2026", "00001"],
        ["2026", "00002"],
        ["2027", "00001"],
        ["2026", "00003"],
    ]
    assert found[0].startswith("OURS-")
    assert found[1].startswith("THEIRS-")
    assert organisation_checks.document_numbers_have_no_gap().ok


@pytest.mark.django_db(transaction=True)
def test_a_document_that_is_rolled_back_gives_its_number_back() -> None:
    entity = make_entity()
    first = issue(entity.pk)

    with pytest.raises(RuntimeError), transaction.atomic():
        issue_number(entity_id=entity.pk, kind=KIND, on=date(2026, 3, 2), subject="lost", actor=SYSTEM)
        raise RuntimeError
    second = issue(entity.pk)

    assert (first[-5:], second[-5:]) == ("00001", "00002")
    assert DocumentNumber.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_threads_at_once_leave_no_gap_and_no_double() -> None:
    # given: eight threads, five documents each, every third one rolled back
    entity = make_entity()
    barrier = threading.Barrier(8)

    def work(worker: int) -> list[int]:
        made = []
        barrier.wait(timeout=20)
        try:
            for turn in range(5):
                try:
                    with transaction.atomic():
                        number = issue_number(
                            entity_id=entity.pk,
                            kind=KIND,
                            on=date(2026, 3, 2),
                            subject=f"{worker}/{turn}",
                            actor=SYSTEM,
                        )
                        if (worker + turn) % 3 == 0:
                            raise RuntimeError
                    made.append(number.number)
                except RuntimeError:
                    continue
        finally:
            connection.close()
        return made

    # when
    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(number for made in pool.map(work, range(8)) for number in made)

    # then
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == sum(1 for worker in range(8) for turn in range(5) if (worker + turn) % 3)
    assert list(DocumentNumber.objects.order_by("number").values_list("number", flat=True)) == numbers
    assert organisation_checks.document_numbers_have_no_gap().ok


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE core_documentcounter SET last_number = last_number + 1",
        "UPDATE core_documentcounter SET last_number = last_number + 2",
        "UPDATE core_documentcounter SET last_number = 0",
        "DELETE FROM core_documentcounter",
        "UPDATE core_documentnumber SET number = 7",
        "DELETE FROM core_documentnumber",
        """INSERT INTO core_documentnumber (entity_id, counter_id, kind, number, reference, subject, issued_at, issued_by)
           SELECT entity_id, counter_id, kind, number + 1, 'other', '', now(), '' FROM core_documentnumber""",
    ],
)
def test_the_database_itself_refuses_a_gap(sql: str) -> None:
    entity = make_entity()
    issue(entity.pk)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)

    assert DocumentCounter.objects.get().last_number == DocumentNumber.objects.get().number == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "REP",
        "{number}{number}",
        "{year}",
        "{number}",
        "{year}-{number.real}",
        "{year}-{number!r}",
        "{0}-{year}",
        "{year}-{number:x<999}",
        "{secret}-{year}-{number}",
        "{year}-{number}\n",
    ],
)
def test_a_pattern_that_could_repeat_a_reference_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        check_pattern(pattern, is_yearly=True)


@pytest.mark.django_db
def test_a_changed_pattern_counts_from_the_next_number_on() -> None:
    entity = make_entity(code="ours")
    boss = staff(Role.ADMINISTRATOR, entities=[entity])
    issue(entity.pk)

    set_number_pattern(entity_id=entity.pk, kind=KIND, pattern="R{year}/{number:03}", actor=boss, reason="law")

    assert issue(entity.pk) == "R2026/002"
    assert AuditRecord.objects.filter(action="core.set_number_pattern", reason="law").count() == 1
    with pytest.raises(Denied):
        set_number_pattern(
            entity_id=entity.pk,
            kind=KIND,
            pattern="X{year}{number}",
            actor=staff(Role.FINANCE, entities=[entity]),
            reason="x",
        )
    with pytest.raises(NotFound):
        set_number_pattern(
            entity_id=entity.pk,
            kind=KIND,
            pattern="X{year}{number}",
            actor=staff(Role.ADMINISTRATOR, entities=[make_entity()]),
            reason="x",
        )


@pytest.mark.django_db
def test_a_pattern_that_would_repeat_an_old_reference_is_refused_when_it_would() -> None:
    # given: number 1 of 2026 as "R202601", and a pattern that calls number 1 of 2026 the same in another series year
    entity = make_entity(code="ours")
    boss = staff(Role.ADMINISTRATOR, entities=[entity])
    set_number_pattern(entity_id=entity.pk, kind=KIND, pattern="R{year}1{number}", actor=boss, reason="x")
    for _ in range(1):
        assert issue(entity.pk) == "R202611"
    set_number_pattern(entity_id=entity.pk, kind=KIND, pattern="R{year}{number}", actor=boss, reason="x")
    for _ in range(9):
        issue(entity.pk)

    with pytest.raises(Conflict) as refusal:
        issue(entity.pk)

    assert refusal.value.code == "reference_taken"
    assert DocumentCounter.objects.get().last_number == 10
