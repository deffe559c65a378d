"""Processes killed while a file comes in or a message goes out: nothing is half there, and a mail is there once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import transaction
from pytest_django import Settings

from backoffice.core.messages.catcher import caught_mails
from backoffice.core.models import Job, Message, StoredFile
from backoffice.core.services import file_sweep, files, message_delivery
from backoffice.core.services.key_rotation import missing_keys
from backoffice.core.services.messages import SEND_JOB_KIND
from tests.faults import ground_work
from tests.faults.ground_work import NEW, OLD, TABLE, change_the_key, keep_a_file, queue_a_message, send_a_message
from tests.faults.harness import free_leases, run_child, work_until_idle

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture(autouse=True)
def _catcher(settings: Settings, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND = "backoffice.core.messages.catcher.CatcherBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")


@pytest.mark.parametrize(
    ("point", "rows"), [("core.files.after_bytes", 0), ("core.files.after_row", 1), ("core.files.before_verdict", 1)]
)
def test_a_file_whose_process_died_is_wholly_there_or_a_stray(point: str, rows: int) -> None:
    ground_work.make_entity()
    strays = len(list(file_sweep.objects_below(files.QUARANTINE)))

    assert run_child(keep_a_file, crash_at=point) == -signal.SIGKILL

    assert StoredFile.objects.filter(state="quarantined").count() == rows
    assert len(list(file_sweep.objects_below(files.QUARANTINE))) == strays + 1
    assert file_sweep.missing_bytes() == []
    keep_a_file()
    work_until_idle()
    assert [row.state for row in StoredFile.objects.all()] == ["clean"] * (rows + 1)
    for row in StoredFile.objects.all():
        assert default_storage.open(files.object_name(row, files.FOLDER)).read() == TABLE
    assert file_sweep.missing_bytes() == []


@pytest.mark.parametrize("point", ["core.jobs.after_claim", "core.messages.before_send", "core.messages.after_send"])
def test_a_message_whose_worker_died_is_there_once_and_comes_to_its_end(point: str) -> None:
    queue_a_message()

    assert run_child(send_a_message, crash_at=point) == -signal.SIGKILL
    assert Message.objects.get().state in ("queued", "sending")
    assert run_child(send_a_message, crash_at=point) in (-signal.SIGKILL, 0)
    free_leases()
    send_a_message()

    message = Message.objects.get()
    assert (message.state, message.variables) == ("sent", "")
    assert [mail.number for mail in caught_mails()] == [str(message.public_id)]
    assert Job.objects.get(kind=SEND_JOB_KIND).state == Job.State.DONE


def test_marketing_that_may_have_gone_out_is_given_up_after_a_death() -> None:
    message = queue_a_message()
    Message.objects.filter(pk=message.pk).update(category="marketing")

    Message.objects.filter(pk=message.pk).update(state="sending", handed_over_at=message.queued_at)
    claimed: Any = message_delivery.claim(message_id=message.pk, owner="next")

    assert claimed is None
    assert Message.objects.get().state == "failed"
    assert caught_mails() == []


def test_a_message_of_a_transaction_that_dies_is_never_sent() -> None:
    def queue_and_die() -> None:
        with transaction.atomic():
            queue_a_message()
            signal.raise_signal(signal.SIGKILL)

    ground_work.make_entity()
    assert run_child(queue_and_die) == -signal.SIGKILL

    work_until_idle()
    assert not Message.objects.exists()
    assert caught_mails() == []


def test_a_rotation_that_was_killed_goes_on(settings: Settings) -> None:
    ground_work.make_entity()

    assert run_child(change_the_key, crash_at="core.rotate_keys.after_batch") == -signal.SIGKILL
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"
    assert Message.objects.get().address == "anna@example.com"
    change_the_key()

    settings.ENCRYPTION_KEYS = NEW
    assert missing_keys() == {}
    assert Message.objects.get().address == "anna@example.com"
