"""The audit's commands, as an operator or a monitor calls them."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.core.test_audit import past_triggers, write

pytestmark = pytest.mark.django_db(transaction=True)


def run(command: str, *arguments: str) -> tuple[int, str]:
    """Exit status and standard output of a command."""
    out, status = StringIO(), 0
    try:
        call_command(command, *arguments, stdout=out)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, out.getvalue()


def test_an_intact_trail_ends_well() -> None:
    write()
    _, sealed = run("seal_audit")
    anchor = sealed.split()[0]
    write()

    status, text = run("verify_audit", "--json", "--anchor", anchor)

    assert status == 0
    assert json.loads(text) == {
        "ok": True,
        "seals": 1,
        "digest": anchor.split(":")[1],
        "unsealed_records": 1,
        "findings": [],
    }


def test_a_damaged_trail_ends_with_status_one_and_names_the_record() -> None:
    row = write()
    run("seal_audit")
    past_triggers("UPDATE core_auditrecord SET reason = 'forged'")

    status, text = run("verify_audit")
    assert status == 1
    assert f"seal 1: record altered, record {row.pk}" in text

    status, text = run("verify_audit", "--json")
    assert status == 1
    assert json.loads(text)["findings"] == [{"seal": 1, "problem": "record_altered", "record": row.pk}]


def test_an_anchor_is_a_number_and_a_digest() -> None:
    with pytest.raises(CommandError):
        run("verify_audit", "--anchor", "yesterday")
