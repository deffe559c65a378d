"""Symbols over HTTP: drift settled, names read, specifications and groups' terms asked for, files, calendars and hours."""

from __future__ import annotations

import pytest

from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Role
from platform_ops.models import Holiday, MarketCalendar, SymbolDrift, SymbolNameRule, SymbolSpec
from tests.api.world import Caller
from tests.logins import make_actor
from tests.platform_ops.api.world import D, World, rows_of, upload

pytestmark = pytest.mark.django_db
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def operator(world: World) -> Caller:
    return world.caller(Role.PLATFORM_OPERATIONS)


def test_drift_is_repaired_adopted_or_accepted(world: World, operator: Caller) -> None:
    drift = world.drift()
    (row,) = operator.get("symbol-drifts/", {"state": "open"}).json()["results"]
    assert (row["field"], row["stated"], row["server"]) == ("swap_long", "-65", world.code)
    stated = operator.get("server-symbol-terms/", {"symbol": "EURUSD"}).json()["results"]
    assert [(one["server"], one["terms"]["swap_long"]) for one in stated] == [(world.code, "-65")]

    why = {"reason": "Told by the provider"}
    repair = operator.post(f"symbol-drifts/{drift.pk}/repair/", why, key="r")
    assert (repair.status_code, repair.json()["kind"], repair.json()["state"]) == (
        201,
        "platform.symbol_repair",
        "submitted",
    )
    adopt = operator.post(f"symbol-drifts/{drift.pk}/adopt/", why, key="a")
    assert (adopt.status_code, adopt.json()["kind"]) == (201, "platform.symbol_specification")
    again = operator.post(f"symbol-drifts/{drift.pk}/adopt/", why, key="a")
    assert (again.content, ChangeRequest.objects.count()) == (adopt.content, 2)
    accepted = operator.post(f"symbol-drifts/{drift.pk}/accept/", why, key="c").json()
    assert (accepted["state"], accepted["reason"]) == ("accepted", why["reason"])
    assert operator.post(f"symbol-drifts/{drift.pk}/repair/", why, key="s").json()["code"] == "drift_gone"


def test_a_server_is_asked_for_its_symbols_and_what_it_cannot_is_said(world: World, operator: Caller) -> None:
    nowhere = operator.post("symbol-drifts/", {"server": world.code}, key="a")
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    world.connect()
    silent = operator.post("symbol-drifts/", {"server": world.code}, key="a")
    assert silent.status_code == 503 and "Retry-After" in silent.headers
    assert not SymbolDrift.objects.exists()


def test_a_naming_rule_is_tried_before_it_is_kept(world: World, operator: Caller) -> None:
    draft = {"kind": "alias", "pattern": "GOLD", "symbol": "XAUUSD"}
    tried = operator.post("symbol-name-rules/try/", {"names": ["GOLD", "EURUSD.m", "ZZZ"], "draft": draft})
    assert [(one["name"], one["symbol"]) for one in tried.json()["trials"]] == [
        ("GOLD", "XAUUSD"),
        ("EURUSD.m", "EURUSD"),
        ("ZZZ", ""),
    ]
    assert not SymbolNameRule.objects.exists()
    standing = operator.post("symbol-name-rules/try/", {"server": world.code}).json()["trials"]
    assert {(one["name"], one["stands"]) for one in standing} == {("EURUSD", "EURUSD"), ("XAUUSD", "XAUUSD")}
    kept = operator.post("symbol-name-rules/", {**draft, "server": world.code, "position": 3}, key="k")
    assert (kept.status_code, kept.json()["symbol"], kept.json()["server"]) == (201, "XAUUSD", world.code)
    taken = operator.post("symbol-name-rules/", {**draft, "server": world.code, "position": 3}, key="t")
    assert (taken.status_code, taken.json()["code"], taken.json()["field"]) == (409, "position_taken", "position")
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,), email="s@service.test")
    assert stranger.get("symbol-name-rules/").json()["results"] == []
    assert (
        operator.post(f"symbol-name-rules/{kept.json()['id']}/remove/", {"reason": "Wrong"}, key="r").status_code == 204
    )
    assert not SymbolNameRule.objects.exists()


def test_a_specification_and_a_groups_terms_are_asked_for_and_approved_by_a_person(
    world: World, operator: Caller
) -> None:
    # given
    specification = {
        "digits": 5, "contract_size": "100000", "pip_size": "0.0001", "margin_currency": "USD", "leverage_maximum": 30,
    }  # fmt: skip
    body = {"symbol": "EURUSD", "specification": specification, "valid_from": LATER, "reason": "Regulator"}
    terms = {
        "group": world.group.pk,
        "symbol": "EURUSD",
        "terms": {"spread_points": "25"},
        "valid_from": LATER,
        "reason": "VIP",
    }

    # when
    draft = operator.post("symbol-specifications/", body | {"submit": False}, key="d")
    asked = operator.post("group-symbol-terms/", terms, key="g")

    # then nothing stands yet; a person approves, and it does
    assert (draft.status_code, draft.json()["state"]) == (201, "draft"), draft.content
    assert (asked.status_code, asked.json()["state"]) == (201, "submitted"), asked.content
    assert SymbolSpec.objects.filter(symbol=world.eurusd).count() == 1
    assert operator.get("group-symbol-terms/").json()["results"] == []
    handed_in = operator.post(f"changes/{draft.json()['id']}/submit/", {}, key="h")
    assert handed_in.json()["state"] == "submitted"
    for answer in (draft, asked):
        change = ChangeRequest.objects.get(public_id=answer.json()["id"])
        with pytest.raises(Exception, match=r"another|own|person|maker"):
            changes.approve_change(change_id=change.pk, actor=make_actor(change.maker), reason="Mine")
        changes.approve_change(change_id=change.pk, actor=world.checker, reason="Seen")
        changes.apply_change(change_id=change.pk, actor=world.checker)
    counts = operator.get("symbol-specifications/", {"symbol": "EURUSD"}).json()["results"]
    assert [row["leverage_maximum"] for row in counts] == [30, None]
    (own,) = operator.get("group-symbol-terms/", {"server": world.code}).json()["results"]
    assert (own["group"], D(own["spread_points"]), own["swap_long"]) == (
        world.group.name,
        D(25),
        None,
    )


def test_a_file_of_specifications_is_read_and_what_it_says_otherwise_proposed(world: World, operator: Caller) -> None:
    read = upload(
        operator, "specification-imports/", {"server": world.code}, rows_of(), field="file", name="lp.json", key="f"
    )
    assert read.status_code == 201, read.content
    (row,) = read.json()["rows"]
    assert (row["symbol"], row["changes"]["swap_long"][1], row["problem"]) == ("EURUSD", "-6.6", "")
    assert [one["symbols"] for one in operator.get("specification-imports/").json()["results"]] == [1]
    path = f"specification-imports/{read.json()['id']}/propose/"
    made = operator.post(path, {"rows": [row["row"], 99], "reason": "New sheet"}, key="p")
    assert (made.status_code, [one["state"] for one in made.json()["drafted"]]) == (201, ["draft"])
    assert made.json()["refused"] == [{"name": "99", "reason": "There is no such row."}]
    bad = upload(operator, "specification-imports/", {}, b"{}", field="file", name="x.json")
    assert (bad.status_code, bad.json()["field"]) == (400, "file")


def test_calendars_are_kept_and_say_when_a_symbol_is_open(world: World, operator: Caller) -> None:
    group = world.eurusd.group.code
    kept = operator.post(
        "market-calendars/", {"code": "target", "name": "TARGET", "zone": "Europe/Berlin", "groups": [group]}, key="c"
    )
    assert (kept.status_code, kept.json()["groups"]) == (201, [group]), kept.content
    days = [
        {"day": "2026-12-25", "name": "Christmas"},
        {"day": "2026-12-24", "name": "Eve", "opens_minute": 540, "closes_minute": 780},
    ]
    assert operator.post("market-calendars/target/set-holidays/", {"holidays": days}, key="d").json() == {"changed": 2}
    crossed = [{"day": "2026-12-31", "name": "Silvester", "opens_minute": 800, "closes_minute": 700}]
    refused = operator.post("market-calendars/target/set-holidays/", {"holidays": crossed}, key="e").json()
    assert (refused["field"], refused["row"], Holiday.objects.count()) == ("closes", 1, 2)
    hours = {"symbol": "EURUSD", "at": "2026-12-25T12:00:00Z", "until": "2026-12-26T12:00:00Z"}
    shut = operator.get("symbol-hours/", hours).json()
    assert (shut["is_open"], shut["next_close"], shut["open_times"]) == (False, "2026-12-25T12:00:00Z", [])
    reader = world.caller(Role.AUDITOR)
    opened = reader.get("symbol-hours/", {"symbol": "EURUSD", "at": "2026-12-23T12:00:00Z"}).json()
    assert opened["is_open"] is True and opened["next_open"] == "2026-12-23T12:00:00Z"
    for query, field in (
        ({"symbol": "NOPE"}, "symbol"), (hours | {"until": "2027-12-26T12:00:00Z"}, "until"), (hours | {"at": "noon"}, "at"),
    ):  # fmt: skip
        wrong = reader.get("symbol-hours/", query)
        assert (wrong.status_code, wrong.json()["field"]) == (400, field)
    assert reader.get("symbol-hours/", {"symbol": "EURUSD", "at": "1990-01-01T00:00:00Z"}).status_code == 404
    assert world.caller(Role.TRADER, email="t@service.test").get("symbol-hours/", hours).status_code == 403
    (row,) = operator.get("holidays/", {"calendar": "target", "day_from": "2026-12-25"}).json()["results"]
    assert operator.post(f"holidays/{row['id']}/remove/", {"reason": "Open this year"}, key="r").status_code == 204
    assert (Holiday.objects.count(), MarketCalendar.objects.count()) == (1, 1)
