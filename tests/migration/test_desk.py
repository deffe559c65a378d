"""Packages on the desk: given, checked by a job, let through by a second person, applied by a job; and who may what."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord, LegalEntity, User
from backoffice.core.services import changes, jobs
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, DomainError, InvalidInput, NotFound
from backoffice.migration.models import MigrationPackage
from backoffice.migration.services import packages
from backoffice.migration.services.broker_export import export_broker
from backoffice.migration.types import MIGRATION_JOB_KIND
from crm.models import Client
from platform_ops.models import TradingServer
from tests.logins import log_in, make_actor, make_user
from tests.migration.packages import SYSTEM, Contents, example, house, write

pytestmark = pytest.mark.django_db


def zipped(folder: Path) -> bytes:
    """The files of a folder as a zip."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return data.getvalue()


def given(tmp_path: Path, giver: User, contents: Contents | None = None) -> MigrationPackage:
    """A package that was given and checked."""
    data = zipped(write(tmp_path / "p", contents or example()))
    package = packages.give_package(data=data, file_name="old house.zip", actor=make_actor(giver))
    assert package.state == "given"
    work()
    package.refresh_from_db()
    return package


def work() -> int:
    """A worker works off what is due."""
    return jobs.run_ready(kind=MIGRATION_JOB_KIND, owner="test")


@pytest.fixture
def people() -> tuple[LegalEntity, User, User]:
    """An entity, and two people who may bring packages in."""
    entity = house()
    giver = make_user("giver@house.test", Role.FINANCE, entities=(entity,))
    return entity, giver, make_user("checker@house.test", Role.ADMINISTRATOR, entities=(entity,))


def test_a_package_goes_from_hand_to_hand_and_is_applied_once(
    tmp_path: Path, people: tuple[LegalEntity, User, User]
) -> None:
    # given: it was checked, and nothing was kept
    entity, giver, checker = people
    package = given(tmp_path, giver)
    assert (package.state, package.problems, package.report["ok"]) == ("checked", 0, True)
    assert not Client.objects.exists()
    # when: it is asked for, and let through by another person
    change = packages.request_application(package_id=package.pk, reason="the move", actor=make_actor(giver))
    with pytest.raises(DomainError):
        changes.approve_change(change_id=change.pk, actor=make_actor(giver), reason="I am sure")
    changes.approve_change(change_id=change.pk, actor=make_actor(checker), reason="totals agree")
    changes.apply_change(change_id=change.pk, actor=make_actor(checker))
    package.refresh_from_db()
    assert package.state == "queued"
    assert not Client.objects.exists()
    work()
    # then
    package.refresh_from_db()
    assert (package.state, package.given_by, package.confirmed_by) == ("applied", giver, checker)
    assert Client.objects.filter(entity=entity).count() == 3
    applied = AuditRecord.objects.get(action="migration.apply_package")
    assert "giver@house.test" in applied.actor
    assert "checker@house.test" in applied.actor
    # and working on
    work()
    assert Client.objects.count() == 3
    with pytest.raises(Conflict):
        packages.request_application(package_id=package.pk, reason="again", actor=make_actor(giver))


def test_nothing_is_applied_without_an_approved_request(tmp_path: Path, people: tuple[LegalEntity, User, User]) -> None:
    _, giver, checker = people
    package = given(tmp_path, giver)
    change = packages.request_application(package_id=package.pk, reason="the move", actor=make_actor(giver))
    with pytest.raises(Denied):
        packages.queue_application(package_id=package.pk, actor=make_actor(checker), request=None)
    with pytest.raises(Denied):
        packages.queue_application(package_id=package.pk, actor=make_actor(checker), request=change)
    work()
    assert not Client.objects.exists()


def test_a_package_that_no_longer_fits_fails_whole(tmp_path: Path, people: tuple[LegalEntity, User, User]) -> None:
    # given: it was approved, and then somebody took one of its codes
    _, giver, checker = people
    package = given(tmp_path, giver)
    change = packages.request_application(package_id=package.pk, reason="the move", actor=make_actor(giver))
    changes.approve_change(change_id=change.pk, actor=make_actor(checker), reason="yes")
    changes.apply_change(change_id=change.pk, actor=make_actor(checker))
    TradingServer.objects.create(entity=house("other"), code="OLD-MT5", name="Theirs")
    # when
    work()
    # then
    package.refresh_from_db()
    assert package.state == "failed"
    assert package.problems > 0
    assert not Client.objects.exists()
    # and it can be checked again
    packages.check_again(package_id=package.pk, actor=make_actor(giver))
    work()
    package.refresh_from_db()
    assert package.state == "refused"


def test_what_is_no_package_of_ones_own_entity_is_not_kept(
    tmp_path: Path, people: tuple[LegalEntity, User, User]
) -> None:
    entity, giver, _ = people
    other = house("other")
    with pytest.raises(InvalidInput):
        packages.give_package(data=b"no zip", file_name="x.zip", actor=make_actor(giver))
    foreign = zipped(write(tmp_path / "foreign", example("clients"), entity=other.code))
    with pytest.raises(NotFound):
        packages.give_package(data=foreign, file_name="x.zip", actor=make_actor(giver))
    seller = make_user("seller@house.test", Role.SALES, entities=(entity,))
    with pytest.raises(Denied):
        packages.give_package(data=foreign, file_name="x.zip", actor=make_actor(seller))
    assert not MigrationPackage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_whole_broker_does_not_come_in_through_the_desk(tmp_path: Path) -> None:
    entity = house()
    giver = make_user("giver@house.test", Role.ADMINISTRATOR, entities=(entity,))
    export_broker(folder=tmp_path / "out", actor=SYSTEM)
    with pytest.raises(InvalidInput):
        packages.give_package(data=zipped(tmp_path / "out"), file_name="x.zip", actor=make_actor(giver))


def test_the_pages_show_the_report_and_hand_it_out(
    tmp_path: Path, people: tuple[LegalEntity, User, User], client: Browser
) -> None:
    # given: a package with a formula in a value, uploaded through the page
    _, giver, _ = people
    contents = example()
    contents["clients"][0]["email"] = "=1+1"
    log_in(client, giver)
    upload = SimpleUploadedFile("old <b>house</b>.zip", zipped(write(tmp_path / "p", contents)))
    # when
    answer = client.post(reverse("admin:migration_migrationpackage_give"), {"package": upload, "idempotency_key": "k1"})
    assert answer.status_code == 302, answer.content
    package = MigrationPackage.objects.get()
    waiting = client.get(answer.url).content.decode()
    work()
    shown = client.get(answer.url).content.decode()
    # then
    assert "The check runs." in waiting
    assert "This is not an e-mail address." in shown
    assert "Ledger balances that change" not in shown
    assert "<b>house" not in shown
    report = client.get(reverse("admin:migration_report", args=[package.pk, "json"]))
    assert json.loads(report.content)["problem_count"] == 1
    table = client.get(reverse("admin:migration_report", args=[package.pk, "csv"])).content.decode("utf-8-sig")
    assert table.splitlines()[1].startswith("clients.csv,1,email,'=1+1,")
    assert package.state == "given"
    # and nobody of another entity finds it
    stranger = make_user("stranger@other.test", Role.ADMINISTRATOR, entities=(house("other"),))
    log_in(client, stranger)
    assert client.get(reverse("admin:migration_report", args=[package.pk, "json"])).status_code == 404
    assert package.file_name not in client.get(reverse("admin:migration_migrationpackage_changelist")).content.decode()


def test_an_upload_that_is_no_package_is_an_error_of_the_form(
    people: tuple[LegalEntity, User, User], client: Browser
) -> None:
    log_in(client, people[1])
    upload = SimpleUploadedFile("x.zip", b"PK\x03\x04 not really")
    answer = client.post(reverse("admin:migration_migrationpackage_give"), {"package": upload, "idempotency_key": "k1"})
    assert answer.status_code == 400
    assert "not a zip file" in answer.content.decode()
    assert not MigrationPackage.objects.exists()
