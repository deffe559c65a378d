"""Work that passes the crash points of files, messages and encryption keys; each piece may be done again after a death."""

from __future__ import annotations

import base64

from django.test import override_settings

from backoffice.core.files.kinds import CSV, FilePurpose, file_purposes, register_file_purpose
from backoffice.core.models import ChangeRequest, Message
from backoffice.core.services.changes import apply_change
from backoffice.core.services.files import store_file
from backoffice.core.services.key_rotation import rotate_keys
from backoffice.core.services.messages import queue_message
from backoffice.core.types import Actor
from tests.core.test_changes import Desk
from tests.factories import changes as board
from tests.faults.harness import work_until_idle
from tests.logins import make_entity

OLD = "k1:" + base64.b64encode(b"a" * 32).decode()
NEW = "k2:" + base64.b64encode(b"b" * 32).decode()
PURPOSE = "test.fault"
SYSTEM = Actor.system("test")
TABLE = b"ticket;profit\n1;3.00\n"


def keep_a_file() -> None:
    """A file comes in and is checked."""
    if PURPOSE not in {purpose.purpose for purpose in file_purposes()}:
        register_file_purpose(FilePurpose(PURPOSE, "Table", frozenset({CSV}), "core.view_files"))
    store_file(purpose=PURPOSE, data=TABLE, file_name="a.csv", actor=SYSTEM, entity_id=make_entity().pk)


def queue_a_message() -> Message:
    """A message of a key is queued."""
    return queue_message(
        template="account.password_reset",
        to="anna@example.com",
        variables={"name": "Anna", "reset_url": "https://example.com/x"},
        entity_id=make_entity().pk,
        dedupe_key="the one",
    )


def send_a_message() -> None:
    """A message is queued and sent."""
    queue_a_message()
    work_until_idle()


def change_the_key() -> None:
    """Messages under an old key, and the key is changed."""
    with override_settings(ENCRYPTION_KEYS=f"{NEW},{OLD}"):
        if not Message.objects.exists():  # without a job: nobody is to send it under these keys
            Message(template="account.notice", category="service", address="anna@example.com", dedupe_key="one").save()
        with override_settings(ENCRYPTION_KEYS=f"{OLD},{NEW}"):
            for message in Message.objects.all():
                message.save()
        rotate_keys(actor=SYSTEM, batch=1)


def carry_out_a_change() -> None:
    """A change that two people agreed on is carried out; what was agreed before a death is not agreed anew."""
    change = ChangeRequest.objects.filter(kind=board.KIND).first() or Desk().approved()
    board.register()
    apply_change(change_id=change.pk, actor=SYSTEM)
    assert board.word_on(change.payload["board"]) == "new"
