"""Worked commission figures of the trade, each a file in `commissions/`, run as `manage.py conformance` runs them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, connections

from backoffice.conformance import databases, running
from backoffice.conformance.management.commands import conformance
from backoffice.conformance.reading import read_file, read_text
from backoffice.conformance.running import run_scenario
from backoffice.kernel.errors import InvalidInput

FOLDER = Path(__file__).parent / "commissions"
FILES = sorted(FOLDER.glob("*.yaml"))

MINIMAL = """
scenario: one
title: A small one
symbols: [{code: EURUSD}]
plans: [{code: plan, versions: [{rules: [RULE]}]}]
partners: [{code: broker, plans: [{plan: plan}]}]
clients: [{code: client, introduced_by: [{partner: broker}]}]
accounts: [{login: "1", client: client}]
trades: [{ticket: 1, account: "1", symbol: EURUSD, lots: 1, closed: 2026-03-02T11:00}]
expect: {lines: [{partner: broker, trade: 1, amount: AMOUNT}]}
"""


def minimal(amount: str = "2") -> str:
    """A scenario with the rule of the first worked figure."""
    rule = next(line for line in (FOLDER / "IB-13.yaml").read_text().splitlines() if "rules:" in line)
    return MINIMAL.replace("[RULE]", rule.partition("rules:")[2].strip()).replace("AMOUNT", amount)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_books_are_as_the_file_expects(file: Path) -> None:
    result = run_scenario(read_file(file))

    assert result.error == ""
    assert [row for row in result.rows if not row.ok] == []
    assert result.rows, "a scenario that expects nothing proves nothing"
    assert result.scenario == file.stem


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("was", "becomes", "error"),
    [
        (
            "client: client}",
            "client: client, dimensions: [{dimension: book, value: LONG}]}",
            "invalid_input: accounts[0]: ",
        ),
        ("plans: [{plan: plan}]}]", "parents: [{partner: broker}]}]", "tree_cycle: partners[0].parents[0]: "),
        (
            "expect:",
            "steps: [{settle: {from: 2026-03-05, to: 2026-03-01}}]\nexpect:",
            "invalid_input: step 1, settle: ",
        ),
    ],
    ids=["what the database cannot hold", "a circle", "a step"],
)
def test_what_the_services_refuse_is_told_with_its_place(was: str, becomes: str, error: str) -> None:
    text = minimal().replace(was, becomes.replace("LONG", "x" * 300))

    assert run_scenario(read_text(text)).error.startswith(error)


@pytest.fixture
def scratch(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command copies the test's own database, which is migrated and empty."""
    name = str(connection.settings_dict["NAME"])
    with connection.cursor() as cursor:
        # A process that an earlier test killed may still hold a session here, and who is connected cannot be copied.
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
    connections.close_all()
    monkeypatch.setattr(conformance, "ensure_template", lambda: name)
    yield
    assert connection.settings_dict["NAME"] == name
    assert _scratch_databases() == []


def _scratch_databases() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{databases.SCRATCH_PREFIX}%"])
        mine = f"_{os.getpid()}_"
        return [name for (name,) in cursor.fetchall() if mine in name]


def _status(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("conformance", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_command_tells_differences_by_line_and_leaves_nothing_behind(scratch: None, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.yaml", tmp_path / "b.yaml"
    good.write_text(minimal())
    bad.write_text(minimal("3"))

    assert _status(str(good))[0] == 0
    status, out = _status(str(bad), str(good))
    assert status == 1
    assert "expected 3, got 2" in out and "0 of 2" in out, "stops at the first that fails"
    status, out = _status(str(good), str(bad), str(good), "--keep-going", "--json")
    reports = json.loads(out)
    assert (status, [report["ok"] for report in reports]) == (1, [True, False, True])
    row = reports[1]["rows"][0]
    assert (row["section"], row["key"], row["expected"], row["got"]) == ("lines", "broker 1 main USD", "3", "2")


def test_an_interrupt_and_a_fault_drop_the_scratch_database(
    scratch: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(minimal())
    for raised, expected in ((KeyboardInterrupt(), 130), (RuntimeError("broken"), None)):

        def fail(*_: object, error: BaseException = raised, **__: object) -> None:
            assert connection.settings_dict["NAME"].startswith(databases.SCRATCH_PREFIX)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(running, "_run", fail)
            if expected is None:
                with pytest.raises(RuntimeError, match="broken"):
                    _status(str(file))
            else:
                assert _status(str(file))[0] == expected


def test_a_file_that_is_no_scenario_ends_with_two_and_names_the_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(minimal().replace("level:", "levl:"))

    status, out = _status(str(file))

    assert status == 2
    assert f"{file}: plans[0].versions[0].rules[0].levl" in out
    assert "FAIL one: not a scenario" in out


@pytest.mark.parametrize(
    ("given", "instead", "place"),
    [
        ("lots: 1", "lots: -1", "trades[0].lots"),
        ("lots: 1", "lots: 0.000000001", "trades[0].lots"),
        ("lots: 1", "lots: 1, opened: 2026-03-03T11:00", "trades[0].opened"),
        ("lots: 1", "lots: 1, close_price: 0", "trades[0].close_price"),
        ("expect:", "rates: {2026-03-02: {USD: 0}}\nexpect:", "rates.2026-03-02.USD"),
        ("amount: 2}", "amount: 1}, {partner: broker, trade: 1, amount: 2}", "expect.lines[1]"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(given: str, instead: str, place: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"{place}: ")):
        read_text(minimal().replace(given, instead))


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("lots: 1", "lots: one", "trades[0].lots"),
        ("lots: 1", "lots: [1]", "trades[0].lots"),
        ("lots: 1", "lots: 1e999999999999", "trades[0].lots"),
        ("ticket: 1,", "ticket: 1.5,", "trades[0].ticket"),
        ("closed: 2026-03-02T11:00", "closed: yesterday", "trades[0].closed"),
        ("account: \"1\"", "account: \"2\"", "trades[0].account"),
        ("{partner: broker}", "{partner: nobody}", "clients[0].introduced_by[0].partner"),
        ("plans: [{plan: plan}]", "plans: [{plan: other}]", "partners[0].plans[0].plan"),
        ("partner: broker, trade: 1", "partner: broker, trade: 9", "expect.lines[0].trade"),
        ("level: 1", "level: 1, symbol_group: exotics", "plans[0].versions[0].rules[0].symbol_group"),
        ("level: 1", "level: true", "plans[0].versions[0].rules[0].level"),
        ("scenario: one", "scenario: one\nsurprise: 1", "surprise"),
        ("title: A small one\n", "", "title"),
        ("currency: USD", "currency: DOLLARS", "plans[0].versions[0].rules[0].currency"),
        ("code: broker,", "code: broker, currency: XXZ,", "partners[0].currency"),
        ("symbols: [{code: EURUSD}]", "symbols: [{code: EURUSD}, {code: EURUSD}]", "symbols[1].code"),
        ("expect:", "steps: [{settle: {}, cancel: 1}]\nexpect:", "steps[0]"),
        ("expect:", "steps: [{cancel: 7}]\nexpect:", "steps[0].cancel"),
    ],
)  # fmt: skip
def test_what_the_format_does_not_know_is_refused_by_its_place(old: str, new: str, place: str) -> None:
    text = minimal()
    assert old in text
    with pytest.raises(InvalidInput) as refused:
        read_text(text.replace(old, new, 1))
    assert refused.value.details["field"] == place
    assert place in refused.value.message and "value" in refused.value.details


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a",
        "a: [",
        "a: &x 1\nb: *x",
        "scenario: a\nscenario: b",
        "? [a]\n: b",
        "[" * 3_000,
        "!!python/object:os.x {}",
    ],
)
def test_what_is_no_plain_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_text(text)


def test_numbers_are_read_exactly_and_words_stay_words() -> None:
    read = read_text(minimal().replace("code: client,", "code: client, country: NO,").replace("lots: 1", "lots: 0.1"))
    assert str(read.trades[0].lots) == "0.1"
    assert read.clients[0].country == "NO"


@pytest.mark.django_db(transaction=True)
def test_templates_of_other_states_of_the_code_stay_while_they_are_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a template that another checkout used just now, one of long ago, and half of one by a killed run
    monkeypatch.setattr(databases, "TEMPLATE_PREFIX", f"conformance_test_{os.getpid()}_")
    names = {mark: f"{databases.TEMPLATE_PREFIX}{mark}" for mark in ("new", "old", "half", "own")}
    marks = {"new": time.time(), "old": time.time() - databases.LEFT_BEHIND_SECONDS - 60}
    with connection.cursor() as cursor:
        for mark, name in names.items():
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0 IS_TEMPLATE {mark != 'half'}")
            if mark in marks:
                cursor.execute(f"COMMENT ON DATABASE {name} IS '{int(marks[mark])}'")
    monkeypatch.setattr(databases, "template_name", lambda: names["own"])

    # when
    try:
        assert databases.ensure_template() == names["own"]

        # then
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [list(names.values())])
            assert {name for (name,) in cursor.fetchall()} == {names["new"], names["own"]}
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname = ANY(%s)", [list(names.values())])
            for (name,) in cursor.fetchall():
                cursor.execute(f"ALTER DATABASE {name} WITH is_template false")
                cursor.execute(f"DROP DATABASE {name}")
