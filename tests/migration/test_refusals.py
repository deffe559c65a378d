"""Everything a package can get wrong: each is named by file, row and field with how to mend it, and nothing is kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from backoffice.core.types import Role
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.migration.services.running import migrate_in
from backoffice.migration.types import MAXIMUM_PROBLEMS
from crm.models import Client
from funding.ledger.services.periods import close_day
from platform_ops.models import TradingServer
from tests.factories.platform import make_brand, staff
from tests.migration.packages import SYSTEM, bring_in, codes, edit_manifest, example, house, rewrite, write
from tests.migration.test_takeover import rows

pytestmark = pytest.mark.django_db

# content, row, what is written there, the code, the field that is named
VALUES: list[tuple[str, int, dict[str, str], str, str]] = [
    ("clients", 0, {"full_name": ""}, "missing_value", "full_name"),
    ("clients", 0, {"registered_at": "2025-02-30T10:00:00Z"}, "bad_date", "registered_at"),
    ("clients", 0, {"registered_at": "2025-02-03"}, "bad_date", "registered_at"),
    ("clients", 0, {"registered_at": "2025-02-03T10:00:00"}, "bad_date", "registered_at"),
    ("clients", 0, {"registered_at": "03/02/2025 10:00"}, "bad_date", "registered_at"),
    ("clients", 0, {"registered_at": "0001-01-01T00:00:00+14:00"}, "bad_date", "registered_at"),
    ("clients", 0, {"registered_at": "9999-12-31T23:59:59-14:00"}, "bad_date", "registered_at"),
    ("clients", 0, {"country": "Sweden"}, "bad_code", "country"),
    ("clients", 0, {"email": "=cmd|' /C calc'!A0@x.example"}, "bad_email", "email"),
    ("clients", 0, {"email": "no address"}, "bad_email", "email"),
    ("clients", 0, {"full_name": "x" * 161}, "too_long", "full_name"),
    ("clients", 0, {"stage": "whale"}, "bad_choice", "stage"),
    ("clients", 0, {"external_id": "=1+1"}, "bad_code", "external_id"),
    ("clients", 0, {"phone": "+=1+1"}, "bad_phone", "phone"),
    ("clients", 0, {"brand": "elsewhere"}, "dangling_reference", "brand"),
    ("clients", 0, {"team": "Nobody's"}, "dangling_reference", "team"),
    ("clients", 0, {"owner": "nobody@house.example"}, "dangling_reference", "owner"),
    ("clients", 1, {"external_id": "1001"}, "duplicate_key", "external_id"),
    ("partners", 0, {"currency": "usd"}, "bad_currency", "currency"),
    ("partners", 0, {"currency": "ZZZ"}, "bad_currency", "currency"),
    ("partner_edges", 0, {"parent": "P2"}, "partner_under_itself", "parent"),
    ("partner_edges", 0, {"parent": "P9"}, "dangling_reference", "parent"),
    ("partner_edges", 1, {"valid_to": "2024-01-01T00:00:00Z"}, "period_backwards", "valid_to"),
    ("partner_edges", 1, {"valid_to": "2026-03-02T00:00:00Z"}, "overlapping_validity", "valid_from"),
    ("partner_edges", 1, {"valid_to": ""}, "overlapping_validity", "valid_from"),
    ("client_referrals", 0, {"client": "4711"}, "dangling_reference", "client"),
    ("client_referrals", 0, {"valid_from": "2025-02-03T08:14:59Z"}, "referral_before_registration", "valid_from"),
    ("agreements", 0, {"plan": "unknown"}, "dangling_reference", "plan"),
    ("agreements", 1, {"partner": "P1"}, "duplicate_key", "partner"),
    ("plan_rules", 0, {"level": "0"}, "out_of_bounds", "level"),
    ("plan_rules", 0, {"amount_per_lot": "-1"}, "out_of_bounds", "amount_per_lot"),
    ("plan_rules", 0, {"number": "3"}, "dangling_reference", "number"),
    ("plan_versions", 0, {"valid_to": "2026-02-01T00:00:00Z"}, "overlapping_validity", "valid_from"),
    ("accounts", 0, {"client": "4711"}, "dangling_reference", "client"),
    ("accounts", 0, {"group": "real\\other"}, "dangling_reference", "group"),
    ("accounts", 0, {"server": "NOWHERE"}, "dangling_reference", "server"),
    ("accounts", 0, {"leverage": "0"}, "out_of_bounds", "leverage"),
    ("accounts", 0, {"is_demo": "true"}, "bad_choice", "is_demo"),
    ("servers", 0, {"zone": "Europe/Athens"}, "bad_zone", "zone"),
    ("symbol_specs", 0, {"contract_size": "0"}, "out_of_bounds", "contract_size"),
    ("symbol_specs", 0, {"lots_minimum": "200"}, "out_of_bounds", "lots_minimum"),
    ("symbols", 0, {"group": "nothing"}, "dangling_reference", "group"),
    ("opening_balances", 0, {"amount": "1e400"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "1E3"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "NaN"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "Infinity"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "12,500.50"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "12.300000000000001"}, "bad_number", "amount"),
    ("opening_balances", 0, {"amount": "0.1000000001"}, "amount_too_fine", "amount"),
    ("opening_balances", 0, {"amount": "12.345"}, "amount_too_fine", "amount"),
    ("opening_balances", 2, {"amount": "-1500.5"}, "amount_too_fine", "amount"),
    ("opening_balances", 0, {"amount": "99999999999999"}, "out_of_bounds", "amount"),
    ("opening_balances", 0, {"amount": "0.00"}, "zero_opening", "amount"),
    ("opening_balances", 3, {"amount": "-0.01"}, "negative_not_allowed", "amount"),
    ("opening_balances", 1, {"amount": "-1"}, "negative_not_allowed", "amount"),
    ("opening_balances", 3, {"client": ""}, "missing_value", "client"),
    ("opening_balances", 5, {"client": "1001"}, "not_its_owner", "client"),
    ("opening_balances", 0, {"login": "777"}, "dangling_reference", "login"),
    ("opening_balances", 0, {"currency": "EUR"}, "currency_differs", "currency"),
    ("opening_balances", 4, {"currency": "EUR"}, "currency_differs", "currency"),
    ("opening_balances", 0, {"business_day": "2026-06-06"}, "bad_date", "business_day"),
    ("opening_balances", 0, {"business_day": "2026-06-01T00:00:00Z"}, "bad_date", "business_day"),
    ("opening_balances", 1, {"business_day": "2026-06-02"}, "days_differ", "business_day"),
    ("deals", 0, {"symbol": ""}, "missing_value", "symbol"),
    ("deals", 0, {"price": ""}, "missing_value", "price"),
    ("deals", 0, {"currency": "EUR"}, "invalid_input", "currency"),
    ("deals", 1, {"time": "2026-06-09T00:00:00Z"}, "invalid_input", "at"),
    ("deals", 1, {"ticket": "9001"}, "duplicate_key", "server"),
    ("deals", 1, {"volume_lots": "-0.5"}, "out_of_bounds", "volume_lots"),
]


@pytest.mark.parametrize(("content", "place", "change", "code", "field"), VALUES)
def test_a_bad_value_is_named_and_nothing_is_kept(
    tmp_path: Path, content: str, place: int, change: dict[str, str], code: str, field: str
) -> None:
    # given
    house()
    before = rows()
    contents = example()
    contents[content][place] |= change
    if code != "bad_number":
        write(tmp_path, contents)
    else:  # what is no number has no control total either: it is written over a good one
        good = example()
        write(tmp_path, good)
        path = tmp_path / f"{content}.csv"
        old, new = good[content][place][field], change[field]
        text = path.read_text("utf-8").replace(old, f'"{new}"', 1)
        rewrite(tmp_path, path.name, text.encode())
    # when
    report = bring_in(tmp_path)
    # then
    found = [problem for problem in report.problems if problem.code == code]
    assert found, report.problems
    assert (found[0].file, found[0].field) == (f"{content}.csv", field)
    assert found[0].row is not None
    assert found[0].message
    assert found[0].mend
    assert rows() == before
    assert not bring_in(tmp_path, dry=True).ok


TEXTS: list[tuple[str, Callable[[bytes], bytes], str, int | None]] = [
    ("unknown column", lambda text: text.replace(b"external_id,", b"external_id,colour,", 1), "unknown_column", None),
    ("missing column", lambda text: text.replace(b"full_name", b"name_in_full", 1), "missing_column", None),
    ("column twice", lambda text: text.replace(b"email", b"country", 1), "column_twice", None),
    ("zero byte", lambda text: text.replace(b"zoe@", b"z\x00e@", 1), "control_character", 1),
    ("line break in a name", lambda text: text.replace("Zoë Åkerlund".encode(), b'"Zo\ne"', 1), "control_character", 1),
    ("latin-1", lambda text: text.decode().encode("cp1252", "replace"), "not_utf8", None),
    ("utf-16", lambda text: text.decode().encode("utf-16"), "not_utf8", None),
    ("open quote", lambda text: text.replace("Zoë".encode(), '"Zoë'.encode(), 1), "bad_csv", None),
    ("a value too many", lambda text: text.replace(b"zoe@clients", b"zoe@clients,x", 1), "wrong_width", 1),
    ("formula", lambda text: text.replace("Zoë Åkerlund".encode(), b'"=HYPERLINK(""http://x"")"', 1), "formula", 1),
    ("at sign", lambda text: text.replace("Zoë Åkerlund".encode(), b"@SUM(A1)", 1), "formula", 1),
    ("endless line", lambda text: text.replace("Zoë".encode(), b"Z" * 70_000, 1), "line_too_long", None),
    ("empty file", lambda text: b"", "missing_column", None),
]


@pytest.mark.parametrize(("change", "code", "row"), [item[1:] for item in TEXTS], ids=[item[0] for item in TEXTS])
def test_a_damaged_file_is_named_and_nothing_is_kept(
    tmp_path: Path, change: Callable[[bytes], bytes], code: str, row: int | None
) -> None:
    # given
    house()
    before = rows()
    write(tmp_path, example())
    rewrite(tmp_path, "clients.csv", change((tmp_path / "clients.csv").read_bytes()))
    # when
    report = bring_in(tmp_path)
    # then
    found = [problem for problem in report.problems if problem.code == code]
    assert found, report.problems
    assert found[0].file == "clients.csv"
    assert row is None or found[0].row == row
    assert rows() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\r\n", b"\n"),
        lambda text: text.replace(b",", b";"),
        lambda text: b"\xef\xbb\xbf" + text.replace(b",", b";"),
    ],
    ids=["byte order mark", "line feeds", "semicolons", "mark and semicolons"],
)
def test_every_dialect_says_the_same(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    # given
    house()
    write(tmp_path, example("clients"))
    rewrite(tmp_path, "clients.csv", change((tmp_path / "clients.csv").read_bytes()))
    # when
    report = bring_in(tmp_path)
    # then
    assert report.problems == []
    assert set(Client.objects.values_list("full_name", flat=True)) == {"Zoë Åkerlund", "山田 太郎", "Maria O'Neill"}


def test_text_that_begins_like_a_formula_is_written_with_an_apostrophe(tmp_path: Path) -> None:
    # given
    house()
    contents = example("clients")
    contents["clients"][0]["full_name"] = "=Plus Trading"
    contents["clients"][1]["full_name"] = "'t Hooft"
    # when
    report = bring_in(write(tmp_path, contents))
    # then
    assert report.problems == []
    assert Client.objects.filter(full_name__in=["=Plus Trading", "'t Hooft"]).count() == 2


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"account_kind": "bank", "currency": "USD", "amount": 20.10, "business_day": "2026-06-01"}', "not_text"),
        ('{"account_kind": "bank", "currency": "USD", "amount": 1e400, "business_day": "2026-06-01"}', "not_text"),
        ('{"account_kind": "bank", "currency": "USD", "amount": NaN, "business_day": "2026-06-01"}', "not_text"),
        ('{"account_kind": "bank", "currency": "USD", "amount": ["1"], "business_day": "2026-06-01"}', "not_text"),
        ('{"account_kind": "bank", "colour": "red"}', "unknown_column"),
        ("[1, 2]", "bad_json"),
        ("{", "bad_json"),
        ("[" * 30_000, "bad_json"),
        (
            '{"account_kind": "bank\\u0000", "currency": "USD", "amount": "1", "business_day": "2026-06-01"}',
            "control_character",
        ),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path: Path, line: str, code: str) -> None:
    # given
    house()
    before = rows()
    write(tmp_path, example("opening_balances"), json_lines=True)
    contents = [{"account_kind": "bank", "currency": "USD", "amount": "1", "business_day": "2026-06-01"}]
    write(tmp_path, {"opening_balances": contents}, json_lines=True)
    rewrite(tmp_path, "opening_balances.jsonl", line.encode() + b"\n")
    # when
    report = bring_in(tmp_path)
    # then
    assert codes(report) == {code}
    assert (report.problems[0].file, report.problems[0].row) == ("opening_balances.jsonl", 1)
    assert rows() == before


def test_a_circle_in_the_tree_is_named_by_its_rows(tmp_path: Path) -> None:
    # given: P1 under P3 while P3 stands under P2 and P2 under P1
    house()
    before = rows()
    contents = example("partners", "partner_edges")
    contents["partner_edges"].append({"partner": "P1", "parent": "P3", "valid_from": "2025-06-01T00:00:00Z"})
    # when
    report = bring_in(write(tmp_path, contents))
    # then
    assert codes(report) == {"tree_cycle"}
    assert {problem.row for problem in report.problems} == {1, 2, 3, 4}
    assert rows() == before


def test_a_circle_that_never_stands_at_one_time_is_none(tmp_path: Path) -> None:
    # given: P2 left P1 before P1 came under P2
    house()
    contents = example("partners", "partner_edges")
    contents["partner_edges"] = [
        {"partner": "P2", "parent": "P1", "valid_from": "2025-01-01T00:00:00Z", "valid_to": "2025-06-01T00:00:00Z"},
        {"partner": "P1", "parent": "P2", "valid_from": "2025-06-01T00:00:00Z"},
    ]
    # when, then
    assert bring_in(write(tmp_path, contents)).ok


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    # given
    house()
    contents = example()
    contents["clients"][0]["country"] = "sweden"
    contents["partners"][0]["currency"] = "dollar"
    contents["accounts"][1]["leverage"] = "many"
    contents["client_referrals"][1]["partner"] = "P7"
    # when
    report = bring_in(write(tmp_path, contents), dry=True)
    # then: what refers to a bad row is not called dangling
    assert {(problem.file, problem.row, problem.field) for problem in report.problems} == {
        ("clients.csv", 1, "country"),
        ("partners.csv", 1, "currency"),
        ("accounts.csv", 2, "leverage"),
        ("client_referrals.csv", 2, "partner"),
    }
    assert report.problem_count == 4
    assert {item.content: item.refused for item in report.files if item.refused}["clients"] == 1


def test_problems_are_all_counted_and_the_first_thousand_told(tmp_path: Path) -> None:
    # given
    house()
    many = [{"external_id": f"C{number}", "full_name": "x", "stage": "none"} for number in range(1_200)]
    # when
    report = bring_in(write(tmp_path, {"clients": many}))
    # then
    assert (report.problem_count, len(report.problems)) == (1_200, MAXIMUM_PROBLEMS)
    assert not Client.objects.exists()


@pytest.mark.parametrize(
    ("stated", "code", "field"),
    [
        ({"rows": 5}, "count_differs", "rows"),
        ({"totals": {"USD": "33060.91", "JPY": "-1500", "EUR": "75.25"}}, "total_differs", "totals"),
        ({"totals": {"USD": "33060.90", "JPY": "-1500"}}, "total_differs", "totals"),
        ({"totals": {"USD": "33060.90", "JPY": "-1500", "EUR": "75.25", "GBP": "1"}}, "total_differs", "totals"),
        ({"sha256": "0" * 64}, "digest_differs", "sha256"),
    ],
)
def test_a_manifest_that_states_otherwise_refuses(
    tmp_path: Path, stated: dict[str, object], code: str, field: str
) -> None:
    # given
    house()
    before = rows()
    write(tmp_path, example())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    next(file for file in manifest["files"] if file["content"] == "opening_balances").update(stated)
    edit_manifest(tmp_path, files=manifest["files"])
    # when
    report = bring_in(tmp_path)
    # then
    assert [(problem.file, problem.code, problem.field) for problem in report.problems] == [
        ("opening_balances.csv", code, field)
    ]
    assert rows() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": "other"}, "bad_manifest"),
        ({"version": 2}, "unknown_version"),
        ({"form": "all"}, "bad_manifest"),
        ({"entity": ""}, "bad_manifest"),
        ({"colour": "red"}, "bad_manifest"),
        ({"files": []}, "bad_manifest"),
        ({"files": "clients.csv"}, "bad_manifest"),
        ({"as_of": "yesterday"}, "bad_date"),
        ({"files": [{"name": "../clients.csv", "content": "clients", "rows": 1, "sha256": "0" * 64}]}, "path"),
        ({"files": [{"name": "/etc/passwd.csv", "content": "clients", "rows": 1, "sha256": "0" * 64}]}, "path"),
        ({"files": [{"name": "x.csv", "content": "salaries", "rows": 1, "sha256": "0" * 64}]}, "unknown_content"),
        ({"files": [{"name": "x.csv", "content": "clients", "rows": 1.5, "sha256": "0" * 64}]}, "bad_manifest"),
        ({"files": [{"name": "x.csv", "content": "clients", "rows": True, "sha256": "0" * 64}]}, "bad_manifest"),
        (
            {"files": [{"name": f"{n}.csv", "content": "clients", "rows": 1, "sha256": "0" * 64} for n in (1, 2)]},
            "listed_twice",
        ),
    ],
)
def test_what_is_no_manifest_is_no_package(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    # given
    house()
    write(tmp_path, example("clients"))
    edit_manifest(tmp_path, **changes)
    # when
    with pytest.raises(InvalidInput) as refusal:
        bring_in(tmp_path)
    # then
    assert refusal.value.code == code
    assert not Client.objects.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", '{"format": 1, "format": 2}', "[" * 100_000])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, example("clients"))
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        bring_in(tmp_path)
    assert refusal.value.code == "bad_manifest"


def test_files_that_are_missing_linked_or_not_listed_are_named(tmp_path: Path) -> None:
    # given
    house()
    write(tmp_path, example("clients", "partners", "plans"))
    (tmp_path / "plans.csv").unlink()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "partners.csv").rename(tmp_path.parent / "outside.csv")
    (tmp_path / "partners.csv").symlink_to(tmp_path.parent / "outside.csv")
    # when
    report = bring_in(tmp_path)
    # then
    assert {(problem.file, problem.code) for problem in report.problems} == {
        ("plans.csv", "missing_file"),
        ("partners.csv", "missing_file"),
        ("secret.txt", "not_listed"),
    }
    assert not Client.objects.exists()


def test_an_opening_balance_in_closed_books_is_refused(tmp_path: Path) -> None:
    # given
    entity = house()
    close_day(entity_id=entity.pk, business_day=date(2026, 6, 1), actor=SYSTEM)
    before = rows()
    # when
    report = bring_in(write(tmp_path, example()))
    # then
    assert codes(report) == {"day_closed"}
    assert [problem.row for problem in report.problems] == [1, 2, 3, 4, 5, 6]
    assert rows() == before


def test_a_code_that_another_legal_entity_uses_is_refused(tmp_path: Path) -> None:
    # given
    house()
    other = house("otherhouse")
    TradingServer.objects.create(entity=other, code="OLD-MT5", name="Theirs")
    before = rows()
    # when
    report = bring_in(write(tmp_path, example()))
    # then
    assert "refused_by_the_database" in codes(report)
    assert report.problems[0].file == "servers.csv"
    assert rows() == before


def test_a_row_without_a_brand_needs_an_entity_with_one(tmp_path: Path) -> None:
    # given
    make_brand(house())
    # when
    report = bring_in(write(tmp_path, example("clients")))
    # then
    assert {(problem.field, problem.code) for problem in report.problems} == {("brand", "missing_value")}
    assert not Client.objects.exists()


def test_a_package_for_an_entity_that_is_not_ones_own_is_not_found(tmp_path: Path) -> None:
    # given
    house()
    stranger = staff(Role.ADMINISTRATOR, entities=[house("otherhouse")])
    folder = write(tmp_path, example("clients"))
    # when, then
    with pytest.raises(NotFound):
        migrate_in(source=folder, actor=stranger, is_dry_run=True)
    with pytest.raises(NotFound):
        migrate_in(source=write(tmp_path / "x", example("clients"), entity="nowhere"), actor=SYSTEM, is_dry_run=True)
    assert not Client.objects.exists()
