"""Statement files through the desk: preview, confirmation, the job, its progress, quarantine, originals."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.core.models import AuditRecord, Job, LegalEntity
from backoffice.core.services import jobs
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, NotFound
from platform_ops.models import Deal, StatementImport, TradingServer
from platform_ops.services.imports import import_statement
from platform_ops.services.uploads import confirm_uploads, discard_upload, preview_upload, take_original
from tests.logins import log_in, make_actor, make_entity, make_user
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = pytest.mark.django_db

UPLOAD = "admin:platform_ops_statementimport_upload"
SYSTEM = Actor.system("test")


@pytest.fixture
def entity() -> LegalEntity:
    return make_entity()


@pytest.fixture
def operator(entity: LegalEntity) -> Actor:
    return make_actor(make_user("ops@house.test", Role.PLATFORM_OPERATIONS, entities=(entity,)))


@pytest.fixture
def desk(client: Browser, operator: Actor) -> Browser:
    from backoffice.core.models import User

    return log_in(client, User.objects.get(pk=operator.user_id))


def file(data: bytes, name: str = "s.htm") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, content_type="text/html")


def upload(desk: Browser, *files: SimpleUploadedFile, **fields: str) -> HttpResponse:
    return desk.post(reverse(UPLOAD), {"new_server": "live", "statements": list(files), **fields})


def run_jobs() -> int:
    return jobs.run_ready(kind="platform.import_statement", owner="test")


def test_upload_preview_confirm_import_and_see_the_result(desk: Browser) -> None:
    # given: an uploaded statement
    answer = upload(desk, file(statement_of(Ticket(2), open_ticket(3))))
    assert answer.status_code == 302
    confirm = answer["Location"]

    # then: the preview shows what is in it, and nothing is booked
    page = desk.get(confirm).content.decode()
    assert "1,005.00" in page
    assert "Agrees" in page
    assert re.search(r"1 file to import on live, 4 new rows", page)
    assert not Deal.objects.exists()

    # when: it is confirmed and the job runs
    answer = desk.post(confirm, {"idempotency_key": "k"})
    progress = answer["Location"]
    state = desk.get(progress + "state/").json()["imports"][0]
    assert (state["state"], state["is_done"], state["percent"]) == ("queued", False, 5)
    assert run_jobs() == 1

    # then: the progress says so, and the import's page shows the figures
    state = desk.get(progress + "state/").json()["imports"][0]
    assert (state["state"], state["percent"], state["new_deals"], state["matches_statement"]) == (
        "stored",
        100,
        4,
        True,
    )
    page = desk.get(state["url"]).content.decode()
    assert "Closed P/L" in page
    assert "eurusd" in page
    assert [
        record.action
        for record in AuditRecord.objects.filter(object_type="platform_ops.statementimport").order_by("id")
    ] == [
        "platform.queue_statement",
        "platform.import_statement",
    ]
    assert AuditRecord.objects.get(action="platform.import_statement").actor == "ops@house.test"


def test_several_files_at_once_and_a_damaged_one_among_them(desk: Browser) -> None:
    answer = upload(
        desk,
        file(statement_of(Ticket(2)), "good.htm"),
        file(statement_of(Ticket(3, lots="abc")), "bad.htm"),
        file(statement_of(Ticket(2)), "same.htm"),
    )
    page = desk.get(answer["Location"]).content.decode()
    assert "2 files to import" in page
    assert "Refused" in page

    desk.post(answer["Location"], {"idempotency_key": "k"})
    assert run_jobs() == 2

    good, bad, same = StatementImport.objects.order_by("id")
    assert (good.state, good.new_deals) == ("stored", 3)
    assert (bad.state, bad.error["field"]) == ("refused", "Size")
    assert (same.state, same.new_deals, same.repeats) == ("stored", 0, good)
    assert same.figures == good.figures
    page = desk.get(reverse("admin:platform_ops_statementimport_change", args=[bad.pk])).content.decode()
    assert f"<dd>{bad.error['row']}</dd>" in page


def test_confirming_twice_imports_once(operator: Actor) -> None:
    preview = preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=operator)

    for _ in range(2):
        confirm_uploads(import_ids=[preview.pk], actor=operator)

    assert Job.objects.filter(kind="platform.import_statement").count() == 1
    assert run_jobs() == 1
    assert Deal.objects.count() == 3


def test_a_file_that_only_fails_while_it_is_booked_ends_in_quarantine(operator: Actor) -> None:
    import_statement(server_code="live", data=statement_of(Ticket(2)), file_name="one.htm", actor=SYSTEM)
    preview = preview_upload(
        server_code="live", data=statement_of(Ticket(2), account="2002"), file_name="two.htm", actor=operator
    )
    confirm_uploads(import_ids=[preview.pk], actor=operator)

    assert run_jobs() == 1

    preview.refresh_from_db()
    assert (preview.state, preview.error["code"]) == ("refused", "ticket_of_other_account")
    assert preview.stored_path.startswith("quarantine/")
    assert preview.account is None


def test_a_job_that_runs_again_changes_nothing(operator: Actor) -> None:
    preview = preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=operator)
    confirm_uploads(import_ids=[preview.pk], actor=operator)
    run_jobs()
    Job.objects.update(state=Job.State.READY)

    assert run_jobs() == 1
    assert StatementImport.objects.get().new_deals == 3
    assert AuditRecord.objects.filter(action="platform.import_statement").count() == 1


def test_a_preview_is_discarded_only_before_it_is_confirmed(operator: Actor) -> None:
    first = preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=operator)
    discard_upload(import_id=first.pk, actor=operator)
    assert not StatementImport.objects.exists()

    second = preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=operator)
    confirm_uploads(import_ids=[second.pk], actor=operator)
    with pytest.raises(Conflict):
        discard_upload(import_id=second.pk, actor=operator)


def test_the_original_is_handed_out_as_an_attachment_and_written_down(desk: Browser) -> None:
    data = statement_of(Ticket(3, lots="abc"))
    upload(desk, file(data, "bad.htm"))
    refused = StatementImport.objects.get()

    answer = desk.get(reverse("admin:platform_ops_original", args=[refused.pk]))

    assert b"".join(answer.streaming_content) == data  # type: ignore[attr-defined]
    assert answer["Content-Disposition"] == 'attachment; filename="bad.htm"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert AuditRecord.objects.get(action="platform.download_statement").object_id == str(refused.pk)


def test_the_form_wants_one_server_and_a_file(desk: Browser) -> None:
    import_statement(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=SYSTEM)
    server = TradingServer.objects.get()

    both = upload(desk, file(b"x"), server=str(server.pk))
    assert (both.status_code, "Choose a server, or name a new one." in both.content.decode()) == (400, True)
    assert desk.post(reverse(UPLOAD), {"new_server": "live"}).status_code == 400


def test_another_entitys_server_and_imports_are_out_of_reach(desk: Browser, operator: Actor) -> None:
    other = make_entity("other")
    TradingServer.objects.create(entity=other, code="theirs", name="Theirs")
    theirs = import_statement(server_code="theirs", data=statement_of(Ticket(2)), file_name="s.htm", actor=SYSTEM)

    assert upload(desk, file(statement_of(Ticket(9))), new_server="theirs").status_code == 404
    with pytest.raises(NotFound):
        confirm_uploads(import_ids=[theirs.pk], actor=operator)
    assert desk.get(reverse("admin:platform_ops_original", args=[theirs.pk])).status_code == 404
    assert desk.get(reverse("admin:platform_ops_import-state", args=[theirs.pk])).status_code == 404
    assert not AuditRecord.objects.filter(action="platform.download_statement").exists()


@pytest.mark.parametrize("role", [Role.DEALING, Role.FINANCE, Role.COMPLIANCE, Role.SALES, Role.AUDITOR])
def test_only_operators_import(role: Role, entity: LegalEntity) -> None:
    actor = make_actor(make_user("x@house.test", role, entities=(entity,)))

    with pytest.raises(Denied):
        preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=actor)
    assert not StatementImport.objects.exists()
    assert not TradingServer.objects.exists()


def test_auditors_read_originals_and_sales_do_not(entity: LegalEntity, operator: Actor) -> None:
    preview = preview_upload(server_code="live", data=statement_of(Ticket(2)), file_name="s.htm", actor=operator)
    auditor = make_actor(make_user("a@house.test", Role.AUDITOR, entities=(entity,)))
    sales = make_actor(make_user("s@house.test", Role.SALES, entities=(entity,)))

    assert take_original(import_id=preview.pk, actor=auditor)[0] == "s.htm"
    with pytest.raises(Denied):
        take_original(import_id=preview.pk, actor=sales)


def test_the_list_costs_the_same_for_one_import_and_for_many(desk: Browser, operator: Actor) -> None:
    url = reverse("admin:platform_ops_statementimport_changelist")

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert desk.get(url).status_code == 200
        return len(seen)

    for number in range(2):
        import_statement(
            server_code="live", data=statement_of(Ticket(10 + number)), file_name=f"{number}.htm", actor=SYSTEM
        )
    queries()
    few = queries()
    for number in range(5):
        import_statement(
            server_code="live", data=statement_of(Ticket(20 + number)), file_name=f"m{number}.htm", actor=SYSTEM
        )
    assert queries() == few
