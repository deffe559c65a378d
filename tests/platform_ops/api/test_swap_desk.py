"""The swap desk over HTTP: a sheet's typo is blocked with its cost, mended, handed in, approved by a person, read back."""

from __future__ import annotations

from typing import Any

import pytest

from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel import clock
from platform_ops.models import SwapMarkupRule, SwapPush, SwapRate, SwapSheet
from platform_ops.services.swaps.rates import rates_in_force
from tests.api.world import Caller
from tests.logins import make_actor
from tests.platform_ops.api.world import TYPO, D, World, upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def operator(world: World) -> Caller:
    return world.caller(Role.PLATFORM_OPERATIONS)


def grid_row(answer: Any, symbol: str) -> dict[str, Any]:
    return next(row for row in answer.json()["rows"] if row["symbol"] == symbol and row["group"] is None)


def test_a_ten_fold_typo_is_blocked_with_its_cost_and_the_mended_sheet_becomes_rates(
    world: World, operator: Caller
) -> None:
    # given: rows with a typo, sent twice under one key
    body = {"provider": "Prime LP", "rows": TYPO}
    opened, again = (operator.post("swap-sheets/", body, key="sheet-1") for _ in range(2))
    assert (opened.status_code, opened.content) == (201, again.content), opened.content
    assert (opened.json()["state"], opened.json()["rows"], SwapSheet.objects.count()) == ("open", 2, 1)
    sheet = f"swap-sheets/{opened.json()['id']}"

    # when it is looked at and proposed
    row = grid_row(operator.get(f"{sheet}/grid/"), "EURUSD")
    refused = operator.post(f"{sheet}/propose/", {"reason": "New sheet"}, key="p1")

    # then the row is blocked, and what a night of it would cost is told
    assert (row["state"], row["today_long"], row["long"], row["change_long"]) == (
        "blocked", "-6.50000000", "-65.00000000", "900.00",
    )  # fmt: skip
    assert {finding["code"] for finding in row["findings"] if finding["weight"] == "block"} != set()
    assert (D(row["night"]["now"]), D(row["night"]["then"])) == (D("-13"), D("-130"))
    assert (refused.status_code, refused.json()["code"]) == (409, "sheet_blocked")
    assert D(refused.json()["details"]["night_then"]) == D("-130")
    assert not ChangeRequest.objects.exists()

    # when the typo is mended, and the sheet handed in
    edited = operator.post(
        f"{sheet}/edit/", {"edits": [{"row": row["id"], "field": "long", "value": "-6.60"}]}, key="e"
    )
    assert (edited.status_code, grid_row(edited, "EURUSD")["state"]) == (200, "flagged"), edited.content
    impact = operator.get(f"{sheet}/impact/").json()
    by_symbol = {row["name"]: D(row["then"]) for row in impact["rows"] if row["by"] == "Symbol"}
    assert by_symbol["EURUSD"] == D("-13.2") and D(impact["total"]["positions"]) == 2
    proposed = operator.post(f"{sheet}/propose/", {"reason": "New sheet"}, key="p2")
    assert (proposed.status_code, proposed.json()["state"]) == (201, "submitted"), proposed.content
    change = ChangeRequest.objects.get(public_id=proposed.json()["id"])
    assert "2 open positions" in proposed.json()["impact_summary"]

    # then a key approves nothing; a person does, and the rates are in force and to be set on the server
    assert (
        operator.post(
            f"changes/{proposed.json()['id']}/approve/", {"reason": "ok", "seen_diff": change.diff_hash}
        ).status_code
        == 403
    )
    changes.approve_change(change_id=change.pk, actor=world.checker, reason="Seen")
    changes.apply_change(change_id=change.pk, actor=world.checker)
    assert rates_in_force(at=clock.now())[world.eurusd.pk, None].long == D("-6.6")
    history = operator.get("swap-rates/", {"symbol": "EURUSD"}).json()["results"]
    assert [(row["long"], row["mode"], row["change"] is not None) for row in history] == [
        ("-6.60000000", "points", True), ("-6.50000000", "points", False),
    ]  # fmt: skip
    now = operator.get("swap-rates/", {"symbol": "EURUSD", "at": clock.now().isoformat()}).json()["results"]
    assert [row["long"] for row in now] == ["-6.60000000"]


def test_pushes_are_read_tried_again_and_confirmed_by_who_may(world: World, operator: Caller) -> None:
    sheet = world.sheet()
    path = f"swap-sheets/{sheet.public_id}/propose/"
    draft = operator.post(path, {"reason": "By hand", "submit": False}, key="p").json()
    assert draft["state"] == "draft"
    change = ChangeRequest.objects.get(public_id=draft["id"])
    changes.submit_change(change_id=change.pk, actor=make_actor(change.maker))
    changes.approve_change(change_id=change.pk, actor=world.checker, reason="Seen")
    changes.apply_change(change_id=change.pk, actor=world.checker)
    rows = operator.get("swap-pushes/", {"change": draft["id"], "state": "by_hand"}).json()["results"]
    assert [(row["server"], row["symbol"], row["mode"]) for row in rows] == [
        (world.code, "XAUUSD", "points"), (world.code, "EURUSD", "points"),
    ]  # fmt: skip
    by_hand = {"change": draft["id"], "server": world.code, "reason": "Seen in the terminal"}
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,), email="s@service.test")
    assert stranger.post("swap-pushes/set-by-hand/", by_hand, key="h").status_code == 400
    assert set(SwapPush.objects.values_list("state", flat=True)) == {"by_hand"}
    assert operator.post("swap-pushes/retry/", {"change": draft["id"]}, key="r").json() == {"pushes": 0}
    assert operator.post("swap-pushes/set-by-hand/", by_hand, key="h").json() == {"pushes": 2}
    assert set(SwapPush.objects.values_list("state", flat=True)) == {"done_by_hand"}


def test_a_sheet_that_cannot_be_read_is_kept_with_every_mistake_by_row_and_field(
    world: World, operator: Caller
) -> None:
    rows = [
        {"symbol": "EURUSD", "long": "-6.6", "short": "2.2"},
        {"symbol": "NOPE", "long": "1", "short": "1"},
        {"symbol": "EURUSD", "long": "-7", "short": "2.2", "mode": "points"},
        {"symbol": "XAUUSD", "long": "200000", "short": "1"},
    ]
    refused = operator.post("swap-sheets/", {"provider": "Prime LP", "rows": rows}, key="a").json()
    assert refused["state"] == "refused"
    assert {(found["row"], found["field"]) for found in refused["problems"]} >= {(2, "symbol"), (4, "long")}
    pasted = operator.post(
        "swap-sheets/paste/", {"provider": "P", "text": "EURUSD;6,60;-2,20\nXAUUSD;31;-12,5\nFOO;1;1", "sign_of": "cost", "decimal_mark": "comma"}, key="b"
    ).json()  # fmt: skip
    assert (pasted["state"], [found["code"] for found in pasted["problems"]]) == ("refused", ["unknown_symbol"])
    way = {"sign_of": "cost", "decimal_mark": "comma", "leaves_out_unknown": True}
    read = operator.post(f"swap-sheets/{pasted['id']}/read-again/", way, key="c")
    assert (read.status_code, read.json()["state"], read.json()["left_out"]) == (201, "open", ["FOO"]), read.content
    assert grid_row(operator.get(f"swap-sheets/{read.json()['id']}/grid/"), "EURUSD")["long"] == "-6.60000000"
    assert {row["state"] for row in operator.get("swap-sheets/", {"state": "refused"}).json()["results"]} == {"refused"}
    assert operator.post("swap-sheets/", {"provider": "P", "rows": rows, "mode": "none"}).json()["field"] == "mode"


def test_a_file_is_uploaded_and_its_grid_worked_on(world: World, operator: Caller) -> None:
    # given: a file that lacks gold, in which somebody is
    made = upload(
        operator, "swap-sheets/upload/", {"provider": "Prime LP"}, b"Symbol,Long,Short\nEURUSD,-6.6,2.2\n", field="file",
        name="lp.csv", key="u",
    )  # fmt: skip
    assert made.status_code == 201, made.content
    sheet = f"swap-sheets/{made.json()['id']}"
    gold = grid_row(operator.get(f"{sheet}/grid/"), "XAUUSD")
    assert (gold["state"], made.json()["problems"][0]["code"]) == ("missing", "missing_row")
    incomplete = operator.post(f"{sheet}/propose/", {"reason": "x"}, key="p")
    assert (incomplete.status_code, incomplete.json()["code"]) == (409, "sheet_incomplete")

    # when
    kept = operator.post(f"{sheet}/keep-todays/", {"rows": [gold["id"]]}, key="k")
    added = operator.post(f"{sheet}/add-row/", {"symbol": "EURUSD", "group": world.group.pk}, key="a")
    own = next(row for row in added.json()["rows"] if row["group"] == world.group.name)
    moved = operator.post(
        f"{sheet}/edit/", {"edits": [{"row": gold["id"], "field": "long", "value": "-31", "was": "-99"}]}, key="m"
    )
    removed = operator.post(f"{sheet}/remove-row/", {"row": own["id"]}, key="r")
    stays = operator.post(f"{sheet}/remove-row/", {"row": gold["id"]}, key="s")

    # then
    assert grid_row(kept, "XAUUSD")["long"] == "-30.00000000"
    assert (own["server"], own["long"], added.status_code) == (world.code, "-6.50000000", 201)
    assert (moved.status_code, moved.json()["code"], moved.json()["field"]) == (409, "cell_moved", "long")
    assert {row["group"] for row in removed.json()["rows"]} == {None}
    assert (stays.status_code, stays.json()["code"]) == (409, "row_stays")
    copied = operator.post(f"{sheet}/copy/", {}, key="c").json()
    assert (copied["state"], copied["rows"]) == ("open", 2)
    assert operator.post(f"{sheet}/discard/", {"reason": "Twice"}, key="d").json()["state"] == "discarded"
    begun = operator.post("swap-sheets/from-today/", {}, key="t").json()
    assert (begun["state"], begun["rows"]) == ("open", 2)
    assert SwapRate.objects.count() == 2


def test_markup_rules_shape_the_sheets_that_come_after_them(world: World, operator: Caller) -> None:
    rule = operator.post(
        "swap-markup-rules/", {"symbol": "EURUSD", "kind": "absolute", "long_value": "1", "short_value": "1"}, key="a"
    )
    assert rule.status_code == 201, rule.content
    twice = operator.post(
        "swap-markup-rules/", {"symbol": "EURUSD", "kind": "percent", "long_value": "1", "short_value": "1"}, key="b"
    )
    assert (twice.status_code, twice.json()["code"]) == (409, "rule_exists")
    made = operator.post(
        "swap-sheets/", {"provider": "LP", "rows": [{"symbol": "EURUSD", "long": "-6", "short": "3"}]}, key="s"
    )
    row = grid_row(operator.get(f"swap-sheets/{made.json()['id']}/grid/"), "EURUSD")
    assert (row["provider_long"], row["long"], row["short"]) == ("-6.00000000", "-7.00000000", "2.00000000")
    path = f"swap-markup-rules/{rule.json()['id']}"
    replaced = operator.post(f"{path}/replace/", {"kind": "custom", "long_value": "200", "short_value": "50"}, key="c")
    assert (replaced.json()["kind"], replaced.json()["symbol"]) == ("custom", None)
    assert operator.post(f"{path}/remove/", {"reason": "Not needed"}, key="d").status_code == 204
    assert not SwapMarkupRule.objects.exists()


def test_who_sees_a_part_of_the_broker_sees_no_sheet(world: World) -> None:
    sheet = world.sheet()
    stranger = world.caller(Role.PLATFORM_OPERATIONS, entities=(world.luna,))
    assert stranger.get("swap-sheets/").json()["results"] == []
    for page in ("", "grid/", "impact/"):
        assert stranger.get(f"swap-sheets/{sheet.public_id}/{page}").status_code == 404
    assert stranger.get("swap-markup-rules/").json()["results"] == []
    assert stranger.get("swap-pushes/").json()["results"] == []
