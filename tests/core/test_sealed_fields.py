"""Sealed columns and blind indexes on a real table, and the change of keys under load, interruption and damage."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import serializers
from django.core.checks import run_checks
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django import Settings

from backoffice.core.identity import one_time_codes
from backoffice.core.models import AuditRecord, Message, Suppression
from backoffice.core.sealing.fields import SealedText, blind_lookup
from backoffice.core.sealing.secrets import key_of
from backoffice.core.services import key_rotation
from backoffice.core.services.key_rotation import missing_keys, refuse_to_start_without_keys, rotate_keys
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Misconfigured
from tests.logins import make_entity, make_user

pytestmark = pytest.mark.django_db
OLD = "k1:" + base64.b64encode(b"a" * 32).decode()
NEW = "k2:" + base64.b64encode(b"b" * 32).decode()
ACTOR = Actor.system("test")


@pytest.fixture(autouse=True)
def _old_key(settings: Settings) -> None:
    settings.ENCRYPTION_KEYS = OLD


def message(address: str = "anna@example.com", variables: str = '{"code": "1"}') -> Message:
    made = Message(template="account.notice", category="service", address=address, variables=variables)
    made.dedupe_key = str(made.public_id)
    made.save()
    return made


def raw(pk: int, column: str = "address") -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM core_message WHERE id = %s", [pk])
        return str(cursor.fetchone()[0])


def test_a_value_is_sealed_in_the_table_and_opens_when_it_is_read() -> None:
    made = message()

    assert raw(made.pk).startswith("v1:k1:")
    assert "anna" not in raw(made.pk)
    assert Message.objects.get(pk=made.pk).address == "anna@example.com"
    assert Message.objects.defer("address").get(pk=made.pk).address == "anna@example.com"


def test_what_is_not_opened_prints_nothing() -> None:
    made = message()
    (value,) = Message.objects.filter(pk=made.pk).values_list("address", flat=True)

    assert isinstance(value, SealedText)
    assert f"{value} {value!r}" == "[sealed] [sealed]"
    assert "anna@" not in serializers.serialize("json", [Message.objects.get(pk=made.pk)])
    assert "anna@" not in serializers.serialize("json", [made])


def test_a_sealed_value_does_not_open_in_another_row_or_column() -> None:
    one, two = message("one@example.com"), message("two@example.com")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_message SET address = %s WHERE id = %s", [raw(one.pk), two.pk])
        cursor.execute("UPDATE core_message SET variables = address WHERE id = %s", [one.pk])

    with pytest.raises(Misconfigured):
        _ = Message.objects.get(pk=two.pk).address
    with pytest.raises(Misconfigured):
        _ = Message.objects.get(pk=one.pk).variables


def test_an_untouched_value_is_not_sealed_again_by_a_save() -> None:
    made = message()
    before = raw(made.pk)

    found = Message.objects.get(pk=made.pk)
    found.outcome = "x"
    found.save()

    assert raw(made.pk) == before


def test_equal_values_are_found_and_nothing_else_is_asked() -> None:
    made, other = message(" Anna@Example.com "), message("berta@example.com")

    assert list(Message.objects.filter(**blind_lookup(Message, "address_index", "anna@EXAMPLE.com"))) == [made]
    assert made.address_index != other.address_index
    assert "anna" not in made.address_index
    for lookup in ("address", "address__contains", "address__in"):
        with pytest.raises(FieldError):
            Message.objects.filter(**{lookup: "x"}).exists()


def test_the_same_value_looks_different_in_another_table() -> None:
    made = message()
    entry = Suppression.objects.create(
        entity=make_entity(), address="anna@example.com", scope="all", source="staff", reason="x", actor="x"
    )

    assert made.address_index.split(":")[1] != entry.address_index.split(":")[1]


def test_a_changed_value_moves_its_index() -> None:
    made = Message.objects.get(pk=message().pk)
    made.address = "new@example.com"
    made.save()

    assert Message.objects.filter(**blind_lookup(Message, "address_index", "new@example.com")).count() == 1
    assert not Message.objects.filter(**blind_lookup(Message, "address_index", "anna@example.com")).exists()


def test_plain_text_cannot_reach_the_column_past_the_row() -> None:
    made = message()

    with pytest.raises(Misconfigured), transaction.atomic():
        Message.objects.filter(pk=made.pk).update(address="plain@example.com")
    made.address = "plain@example.com"
    with pytest.raises(Misconfigured), transaction.atomic():
        Message.objects.bulk_update([made], ["address"])
    assert raw(made.pk).startswith("v1:k1:")


def stock() -> tuple[list[Message], str]:
    """Rows in three places under the old key."""
    rows = [message(f"person{number}@example.com") for number in range(7)]
    Suppression.objects.create(
        entity=make_entity(), address="gone@example.com", scope="all", source="staff", reason="x", actor="x"
    )
    secret = one_time_codes.enrol(make_user("anna@example.com", "finance")).secret
    return rows, secret


def by_name(reports: list[key_rotation.PlaceReport]) -> dict[str, key_rotation.PlaceReport]:
    return {report.name: report for report in reports}


def test_every_text_moves_to_the_new_key_and_the_old_one_may_go(settings: Settings) -> None:
    rows, secret = stock()
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"

    reports = by_name(rotate_keys(actor=ACTOR, batch=3))

    assert {name: (report.moved, report.left) for name, report in reports.items() if report.moved} == {
        "mfa_authenticator.data": (1, 0),
        "core_message.address": (7, 0),
        "core_message.variables": (7, 0),
        "core_suppression.address": (1, 0),
    }
    settings.ENCRYPTION_KEYS = NEW
    assert missing_keys() == {}
    assert [row.address for row in Message.objects.order_by("id")] == [row.address for row in rows]
    assert Message.objects.get(**blind_lookup(Message, "address_index", "person3@example.com")).pk == rows[3].pk
    assert Suppression.objects.get(**blind_lookup(Suppression, "address_index", "gone@example.com")).scope == "all"
    stored = Authenticator.objects.get(type=Authenticator.Type.TOTP)
    assert key_of(stored.data["secret"]) == "k2"
    assert secret not in str(stored.data)
    assert len(one_time_codes.current_code(stored.user)) == 6


def test_a_second_rotation_finds_nothing(settings: Settings) -> None:
    stock()
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"
    rotate_keys(actor=ACTOR)
    before = raw(Message.objects.first().pk)  # type: ignore[union-attr]

    assert [report.moved for report in rotate_keys(actor=ACTOR)] == [0] * len(list(key_rotation.sealed_places()))
    assert raw(Message.objects.first().pk) == before  # type: ignore[union-attr]
    assert AuditRecord.objects.filter(action="core.rotate_keys").count() == 2


def test_a_stopped_rotation_goes_on_where_it_was(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stock()
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"
    passes: list[str] = []

    class Killed(BaseException):
        pass

    def stop(place: str, moved: int) -> None:
        passes.append(place)
        if len(passes) == 3:
            raise Killed

    with pytest.raises(Killed):
        rotate_keys(actor=ACTOR, batch=2, progress=stop)
    moved = sum(raw(row.pk).startswith("v1:k2:") for row in Message.objects.all())
    assert 0 < moved < 7

    reports = by_name(rotate_keys(actor=ACTOR, batch=2))

    assert reports["core_message.address"].moved == 7 - moved
    assert all(raw(row.pk).startswith("v1:k2:") for row in Message.objects.all())


def test_a_row_that_does_not_open_is_named_and_left(settings: Settings) -> None:
    rows, _ = stock()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_message SET address = %s WHERE id = %s", [raw(rows[0].pk), rows[1].pk])
    broken = raw(rows[1].pk)
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"

    report = by_name(rotate_keys(actor=ACTOR))["core_message.address"]

    assert (report.moved, report.left, report.unreadable) == (6, 1, [str(rows[1].pk)])
    assert raw(rows[1].pk) == broken
    with pytest.raises(CommandError, match="still needed"):
        call_command("rotate_keys")


def test_the_command_says_how_far_it_is(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    stock()
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"

    call_command("rotate_keys", batch=4)

    told = capsys.readouterr().out
    assert "core_message.address: 4" in told
    assert "core_message.address: 7 moved, 0 left, 0 do not open" in told
    assert "older keys are no longer needed" in told


def test_a_process_without_a_needed_key_does_not_start(settings: Settings) -> None:
    stock()
    settings.ENCRYPTION_KEYS = NEW

    with pytest.raises(Misconfigured) as error, transaction.atomic():
        key_rotation.connection.close = lambda: None  # type: ignore[method-assign]
        try:
            refuse_to_start_without_keys()
        finally:
            del key_rotation.connection.close
    assert error.value.code == "encryption_key_missing"
    assert "core_message.address needs k1" in error.value.message
    assert "mfa_authenticator.data needs k1" in error.value.message
    found = [each for each in run_checks(databases=["default"]) if each.id == "backoffice.E013"]
    assert len(found) == 4


def test_a_row_read_before_the_rotation_and_saved_after_it_comes_to_the_new_key(settings: Settings) -> None:
    made = message()
    held = Message.objects.get(pk=made.pk)
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"
    rotate_keys(actor=ACTOR)

    held.outcome = "late"
    held.save()

    assert raw(made.pk).startswith("v1:k2:")
    assert Message.objects.get(**blind_lookup(Message, "address_index", "anna@example.com")).outcome == "late"


@pytest.mark.django_db(transaction=True)
def test_writes_go_on_while_keys_are_changed(settings: Settings) -> None:
    rows = [message(f"person{number}@example.com") for number in range(40)]
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"
    errors: list[BaseException] = []

    def write() -> None:
        try:
            for number, row in enumerate(rows):
                found = Message.objects.get(pk=row.pk)
                found.address = f"moved{number}@example.com"
                found.save()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    rotate_keys(actor=ACTOR, batch=5)
    writer.join(30)
    assert errors == []

    assert by_name(rotate_keys(actor=ACTOR))["core_message.address"].left == 0
    settings.ENCRYPTION_KEYS = NEW
    addresses = sorted(row.address for row in Message.objects.all())
    assert addresses == sorted(f"moved{number}@example.com" for number in range(40))


@pytest.mark.django_db(transaction=True)
def test_two_rotations_do_not_run_at_once(settings: Settings) -> None:
    result: list[Any] = []

    def second() -> None:
        try:
            rotate_keys(actor=ACTOR)
        except Conflict as error:
            result.append(error.code)
        finally:
            connection.close()

    message()
    settings.ENCRYPTION_KEYS = f"{NEW},{OLD}"

    def on_batch(place: str, moved: int) -> None:
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(10)

    rotate_keys(actor=ACTOR, progress=on_batch)

    assert set(result) == {"rotation_running"}
