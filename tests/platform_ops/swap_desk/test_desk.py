"""The swap desk's use cases: a sheet taken in, its grid, what blocks it, the change request, the rates in force."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from backoffice.core.models import AuditRecord, ChangeRequest, StoredFile
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.models import SwapPush, SwapRate, SwapSheet
from platform_ops.rules.swap_sheets import DecimalMark, Reading, SignOf
from platform_ops.services.swap_desk import editing, markup, sheets
from platform_ops.services.swap_desk.editing import CellEdit
from platform_ops.services.swap_desk.figures import night_of
from platform_ops.services.swap_desk.grid import grid_of
from platform_ops.services.swap_desk.proposing import propose_sheet
from platform_ops.services.swaps.rates import rates_in_force
from platform_ops.types import Side
from tests.factories import platform
from tests.factories.changes import make_person
from tests.platform_ops.swap_desk.ground import SHEET, Desk

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def desk() -> Desk:
    return Desk()


def states(sheet: SwapSheet, desk: Desk) -> dict[str, str]:
    return {str(row.row): row.state for row in grid_of(sheet, actor=desk.maker).rows}


def problems(sheet: SwapSheet) -> list[tuple[int | None, str, str]]:
    return [(problem["row"], problem["field"], problem["code"]) for problem in sheet.problems]


def in_force(desk: Desk, code: str) -> tuple[Decimal, Decimal]:
    rate = rates_in_force(at=clock.now())[desk.symbols[code].pk, None]
    return rate.long, rate.short


def approved(desk: Desk, sheet: SwapSheet) -> ChangeRequest:
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly swaps")
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="as the provider")
    return ChangeRequest.objects.get(pk=change.pk)


# Taking a sheet in


def test_a_sheet_is_kept_in_the_file_room_and_becomes_a_grid(desk: Desk) -> None:
    sheet = desk.sheet()

    assert sheet.state == SwapSheet.State.OPEN
    assert sheet.file is not None and (sheet.file.purpose, sheet.file.state) == (
        "platform.swap_sheet",
        StoredFile.State.CLEAN,
    )
    rows = {row.symbol.code: (row.line, row.lp_long, row.long, row.short) for row in sheet.rows.all()}
    assert rows == {"EURUSD": (2, D("-6.6"), D("-6.6"), D("2.2")), "XAUUSD": (3, D(-31), D(-31), D("12.5"))}
    assert AuditRecord.objects.filter(action="platform.open_swap_sheet").count() == 1


def test_a_sheet_that_lacks_an_open_symbol_says_so_and_cannot_be_proposed(desk: Desk) -> None:
    # given: a sheet without XAUUSD, in which a client has a position
    before = list(SwapRate.objects.order_by("pk").values())
    sheet = desk.sheet("Symbol,Long,Short\nEURUSD,-6.6,2.2\n")

    # then: the row is in the grid without figures, and the problem names server, symbol and field
    assert problems(sheet) == [(None, "long, short", "missing_row")]
    assert sheet.problems[0]["symbol"] == "XAUUSD" and desk.server.code in sheet.problems[0]["message"]
    assert states(sheet, desk) == {"EURUSD": "changed", "XAUUSD": "missing"}
    with pytest.raises(Conflict, match="XAUUSD: long is missing and short is missing") as refused:
        propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    assert refused.value.code == "sheet_incomplete"

    # and: nothing is half applied
    assert list(SwapRate.objects.order_by("pk").values()) == before
    assert not ChangeRequest.objects.exists() and not SwapPush.objects.exists()
    assert SwapSheet.objects.get(pk=sheet.pk).state == SwapSheet.State.OPEN

    # when: today's rate is kept for it, it goes
    row = sheet.rows.get(symbol=desk.symbols["XAUUSD"])
    editing.keep_todays(sheet_id=sheet.pk, row_ids=[row.pk], actor=desk.maker)
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    assert [rate["symbol_id"] for rate in change.payload["rates"]] == [desk.symbols["EURUSD"].pk]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Symbol,Long,Short\nEURUSD,-6.6,\nXAUUSD,-31,12\n", [(2, "short", "no_figure")]),
        ("Symbol,Long,Short\nEURUSD,-6.6,2\nEURUSD.m,-66,2\nXAUUSD,-31,12\n", [(3, "symbol", "duplicate")]),
        ("Symbol,Long,Short\nEURUSD,-6.6,2\nBANANA,1,1\nXAUUSD,x,12\n", [(3, "symbol", "unknown_symbol"), (4, "long", "unreadable")]),
        ("Symbol,Long,Short,Group\nEURUSD,-6.6,2,nowhere\n", [(2, "group", "unknown_group")]),
        ("just some words", [(1, "symbol, long, short", "unreadable")]),
    ],
)  # fmt: skip
def test_a_sheet_with_mistakes_is_refused_whole_and_every_mistake_is_named(
    desk: Desk, text: str, expected: list
) -> None:
    sheet = desk.sheet(text)
    assert sheet.state == SwapSheet.State.REFUSED
    found = problems(sheet)
    assert [(row, code) for row, _, code in found] == [(row, code) for row, _, code in expected]
    assert [field for _, field, _ in found][: len(expected) - 1] == [field for _, field, _ in expected][
        :-1
    ] or found == expected
    assert not sheet.rows.exists()


def test_unknown_names_are_left_out_only_when_somebody_says_so(desk: Desk) -> None:
    sheet = desk.sheet(SHEET + "BANANA,1,1\n", leaves_out_unknown=True)
    assert (sheet.state, sheet.left_out) == (SwapSheet.State.OPEN, ["BANANA"])


def test_a_refused_sheet_is_read_again_in_another_way(desk: Desk) -> None:
    refused = desk.sheet("Symbol;Long;Short\nEURUSD;6,125;-2,1\nXAUUSD;31;-12\n")
    assert problems(refused) == [(2, "long", "unreadable")]
    sheet = sheets.read_again(
        sheet_id=refused.pk, actor=desk.maker, reading=Reading(sign_of=SignOf.COST, decimal_mark=DecimalMark.COMMA)
    )
    assert sheet.rows.get(symbol=desk.symbols["EURUSD"]).lp_long == D("-6.125")
    with pytest.raises(Conflict):
        sheets.read_again(sheet_id=sheet.pk, actor=desk.maker)


def test_a_file_that_is_no_sheet_is_refused_by_the_file_room(desk: Desk) -> None:
    sheet = sheets.open_sheet(provider="LP", data=b"%PDF-1.4 no sheet", file_name="swap.pdf", actor=desk.maker)
    assert sheet.state == SwapSheet.State.REFUSED and sheet.problems[0]["field"] == "file"
    with pytest.raises(InvalidInput):
        sheets.open_sheet(provider="LP", data=b"", file_name="swap.csv", actor=desk.maker)


def test_markup_rules_shape_the_grid_and_make_rows_for_groups(desk: Desk) -> None:
    # given: 10 % on everything, double for gold, and 5 points more for the vip accounts
    markup.set_markup_rule(kind="percent", long_value=D(10), short_value=D(10), actor=desk.maker)
    markup.set_markup_rule(
        kind="custom",
        long_value=D(200),
        short_value=D(200),
        symbol_id=desk.symbols["XAUUSD"].pk,
        actor=desk.maker,
        flag_percent=D(500),
    )
    markup.set_markup_rule(
        kind="absolute", long_value=D(5), short_value=D(5), account_group_id=desk.group.pk, actor=desk.maker
    )

    sheet = desk.sheet()

    rows = {str(row): (row.long, row.short, row.markup) for row in sheet.rows.all()}
    assert rows == {
        "EURUSD": (D("-7.26"), D("1.98"), "+10 % against the client"),
        "EURUSD for real\\vip": (D("-11.60"), D("-2.80"), "5 against the client"),
        "XAUUSD": (D("-62.00"), D("25.00"), "200 % of the rate"),
    }
    with pytest.raises(Conflict):
        markup.set_markup_rule(kind="percent", long_value=D(1), short_value=D(1), actor=desk.maker)
    with pytest.raises(InvalidInput):
        markup.set_markup_rule(kind="percent", long_value=D(-1), short_value=D(1), actor=desk.maker, symbol_id=1)


# What blocks it


def test_a_slipped_decimal_point_blocks_and_its_cost_is_shown(desk: Desk) -> None:
    # given: −66 where −6.6 was meant; 2 lots cost 13 dollars a night today
    sheet = desk.sheet(SHEET.replace("-6.60", "-66.0"))

    row = next(row for row in grid_of(sheet, actor=desk.maker).rows if row.row.symbol.code == "EURUSD")
    assert row.state == "blocked"
    assert (row.night.now, row.night.then) == (D("-13.00"), D("-132.00"))
    with pytest.raises(Conflict) as refused:
        propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    assert refused.value.code == "sheet_blocked"
    assert "looks like ×10" in refused.value.message
    assert "A night would be -132.00 USD instead of -13.00" in refused.value.message
    assert not ChangeRequest.objects.exists()

    # when: it is mended
    desk.edit(sheet, "EURUSD", long="-6.6")
    assert states(sheet, desk)["EURUSD"] == "flagged"  # better than what the sheet says
    assert propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly").state == "submitted"


def test_an_explanation_lifts_a_block_and_falls_with_the_next_figure(desk: Desk) -> None:
    sheet = desk.sheet(SHEET.replace("-6.60", "-66.0"))
    desk.edit(sheet, "EURUSD", explanation="ok")
    assert states(sheet, desk)["EURUSD"] == "blocked"
    desk.edit(sheet, "EURUSD", explanation="The central bank moved its rate by nine points.")
    assert states(sheet, desk)["EURUSD"] == "explained"
    desk.edit(sheet, "EURUSD", long="-660")
    assert states(sheet, desk)["EURUSD"] == "blocked"
    desk.edit(sheet, "EURUSD", long="-66", explanation="The central bank moved its rate by nine points.")
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    assert change.payload["explanations"] == ["The central bank moved its rate by nine points.", ""]
    assert change.impact_rows[0]["Why"] == "The central bank moved its rate by nine points."


def test_the_kind_itself_refuses_a_suspicious_rate_that_nobody_explained(desk: Desk) -> None:
    # A payload that came past the grid: the guard stands in the change itself.
    change = propose_sheet(sheet_id=desk.sheet().pk, actor=desk.maker, reason="weekly", submit=False)
    for spoil, field in (
        (lambda p: p["rates"][0].update(long="-66"), "explanations"),
        (lambda p: p["rates"][0].update(long="-6.60"), "rates"),
        (lambda p: p["rates"][0].update(long="NaN"), None),
        (lambda p: p["rates"].append(p["rates"][0]), "rates"),
        (lambda p: p.update(rates="x"), "rates"),
        (lambda p: p.update(valid_from="yesterday"), "valid_from"),
        (lambda p: p["rates"][0].pop("mode"), "rates"),
        (lambda p: p["rates"][0].update(symbol_id=10**9), "symbol"),
    ):
        payload = {**change.payload, "rates": [dict(rate) for rate in change.payload["rates"]]}
        spoil(payload)
        with pytest.raises((InvalidInput, Conflict)) as refused:
            changes.draft_change(kind="platform.swap_rates", payload=payload, actor=desk.maker, reason="x")
        assert field is None or refused.value.details.get("field") == field


def test_a_position_opened_since_keeps_an_incomplete_sheet_back(desk: Desk) -> None:
    sheet = desk.sheet()
    other = platform.make_symbol("GBPUSD", base_asset="GBP", profit_currency="USD")
    platform.make_spec(other)
    desk.names["GBPUSD"] = platform.make_server_symbol(desk.server, "GBPUSD", other)
    desk.position(desk.clients[0], "GBPUSD", Side.BUY, "1", "1.3")
    with pytest.raises(Conflict, match=f"GBPUSD on {desk.server.code}: no row, 1 open"):
        propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")


# Editing


def test_a_block_of_cells_is_written_whole_or_not_at_all(desk: Desk) -> None:
    sheet = desk.sheet()
    euro, gold = sheet.rows.get(symbol=desk.symbols["EURUSD"]), sheet.rows.get(symbol=desk.symbols["XAUUSD"])
    with pytest.raises(InvalidInput) as refused:
        editing.edit_cells(
            sheet_id=sheet.pk,
            edits=[CellEdit(euro.pk, "long", "-7"), CellEdit(gold.pk, "short", "twelve")],
            actor=desk.maker,
        )
    assert (refused.value.details["symbol"], refused.value.details["field"]) == ("XAUUSD", "short")
    euro.refresh_from_db()
    assert euro.long == D("-6.6")
    # Somebody else was faster.
    editing.edit_cells(sheet_id=sheet.pk, edits=[CellEdit(euro.pk, "long", "-7,2", "-6.6")], actor=desk.maker)
    with pytest.raises(Conflict) as moved:
        editing.edit_cells(sheet_id=sheet.pk, edits=[CellEdit(euro.pk, "long", "-8", "-6.6")], actor=desk.maker)
    assert moved.value.code == "cell_moved"
    euro.refresh_from_db()
    assert euro.long == D("-7.2")
    for row, field in ((10**9, "long"), (euro.pk, "mode")):
        with pytest.raises((NotFound, InvalidInput)):
            editing.edit_cells(sheet_id=sheet.pk, edits=[CellEdit(row, field, "1")], actor=desk.maker)


def test_a_proposed_sheet_never_changes_and_can_be_begun_again(desk: Desk) -> None:
    sheet = desk.sheet()
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    with pytest.raises(Conflict) as closed:
        desk.edit(sheet, "EURUSD", long="-1")
    assert closed.value.code == "sheet_closed"
    with pytest.raises(Conflict):
        sheets.discard_sheet(sheet_id=sheet.pk, actor=desk.maker)
    changes.reject_change(change_id=change.pk, actor=desk.checker, reason="gold looks odd")
    again = sheets.copy_sheet(sheet_id=sheet.pk, actor=desk.maker)
    assert [str(row.long) for row in again.rows.order_by("symbol__code")] == [
        str(row.long) for row in sheet.rows.order_by("symbol__code")
    ]
    assert sheets.discard_sheet(sheet_id=again.pk, actor=desk.maker).state == SwapSheet.State.DISCARDED


def test_rows_by_hand_on_todays_rates(desk: Desk) -> None:
    sheet = sheets.sheet_of_standing(actor=desk.maker)
    assert states(sheet, desk) == {"EURUSD": "same", "XAUUSD": "same"}
    with pytest.raises(Conflict, match="nothing would change"):
        propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly")
    row = editing.add_row(
        sheet_id=sheet.pk, symbol_id=desk.symbols["EURUSD"].pk, group_id=desk.group.pk, actor=desk.maker
    )
    assert (row.long, row.short) == (D("-6.5"), D("2.1"))
    with pytest.raises(Conflict):
        editing.add_row(sheet_id=sheet.pk, symbol_id=desk.symbols["EURUSD"].pk, actor=desk.maker)
    editing.remove_row(sheet_id=sheet.pk, row_id=row.pk, actor=desk.maker)
    assert sheet.rows.count() == 2


# In force


def test_from_sheet_to_rates_in_force_by_two_people_and_back(desk: Desk) -> None:
    sheet = desk.sheet()
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly swaps")
    assert change.target_label.startswith("Prime LP")
    assert in_force(desk, "EURUSD") == (D("-6.5"), D("2.1"))
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=desk.maker, reason="mine")
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="fine")
    applied = changes.apply_change(change_id=change.pk, actor=desk.checker)

    # then: in force here; the server without a connection waits for a hand and is named
    assert in_force(desk, "EURUSD") == (D("-6.6"), D("2.2"))
    rate = SwapRate.objects.get(symbol=desk.symbols["EURUSD"], validity__contains=clock.now())
    assert (rate.lp_long, rate.source, rate.change_id) == (D("-6.6"), f"Prime LP, sheet {sheet.pk}", change.pk)
    assert applied.state == "applied"
    assert applied.problems == [
        f"{desk.server.code} EURUSD, XAUUSD: to be set by hand. The server has no connection that takes changes."
    ]

    # when: reverted in one click
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="the provider was wrong")
    assert in_force(desk, "EURUSD") == (D("-6.5"), D("2.1"))
    assert in_force(desk, "XAUUSD") == (D(-30), D(12))
    assert set(SwapPush.objects.values_list("state", flat=True)) == {"superseded"}


def test_a_rate_that_moved_meanwhile_makes_the_request_stale(desk: Desk) -> None:
    change = approved(desk, desk.sheet())
    desk.rate("EURUSD", "-7", "2", at=clock.now() - timedelta(seconds=1))
    with pytest.raises(Conflict) as stale:
        changes.apply_change(change_id=change.pk, actor=desk.checker)
    assert stale.value.code in ("change_stale", "rate_moved")
    assert in_force(desk, "EURUSD") == (D(-7), D(2))


def test_a_reversal_after_a_later_change_is_refused(desk: Desk) -> None:
    change = approved(desk, desk.sheet())
    changes.apply_change(change_id=change.pk, actor=desk.checker)
    desk.rate("EURUSD", "-7", "2", at=clock.now())
    with pytest.raises(Conflict) as refused:
        changes.revert_change(change_id=change.pk, actor=desk.checker, reason="back")
    assert refused.value.code == "moved_on"
    assert in_force(desk, "XAUUSD") == (D(-31), D("12.5"))


def test_a_group_without_a_rate_before_has_none_after_the_reversal(desk: Desk) -> None:
    markup.set_markup_rule(
        kind="absolute", long_value=D(1), short_value=D(1), account_group_id=desk.group.pk, actor=desk.maker
    )
    change = approved(desk, desk.sheet())
    changes.apply_change(change_id=change.pk, actor=desk.checker)
    assert (desk.symbols["EURUSD"].pk, desk.group.pk) in rates_in_force(at=clock.now())
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="back")
    assert (desk.symbols["EURUSD"].pk, desk.group.pk) not in rates_in_force(at=clock.now())


def test_a_moment_ahead_is_when_it_is_applied(desk: Desk, time_machine_at=None) -> None:
    moment = clock.now() + timedelta(hours=1)
    sheet = desk.sheet()
    for wrong in (clock.now() - timedelta(hours=1), clock.now() + timedelta(days=200)):
        with pytest.raises(InvalidInput):
            propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly", valid_from=wrong)
    change = propose_sheet(sheet_id=sheet.pk, actor=desk.maker, reason="weekly", valid_from=moment)
    assert change.apply_at == moment
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="fine")
    assert changes.apply_due_changes() == 0
    assert in_force(desk, "EURUSD") == (D("-6.5"), D("2.1"))


def test_the_preview_adds_up_by_every_grouping_and_leaves_demo_accounts_out(desk: Desk) -> None:
    desk.position(desk.clients[0], "EURUSD", Side.BUY, "50", "1.1", is_demo=True)
    platform.put_in_book(desk.clients[0].trading_accounts.filter(is_demo=False).get(), "B")
    grid = grid_of(desk.sheet(), actor=desk.maker)
    night = night_of(drafts=[row.draft for row in grid.changed], actor=desk.maker)
    # EURUSD: 2 lots, a point is a dollar a lot; XAUUSD: 1 lot, a point is a dollar.
    assert (night.currency, night.total.positions) == ("USD", 2)
    assert (night.total.now, night.total.then) == (D("-13.00") + D("12.00"), D("-13.20") + D("12.50"))
    for named in night.groupings.values():
        assert sum(figures.change for _, figures in named) == night.total.change
    assert {"Server", "Symbol", "Book", "Client", "Account group"} <= set(night.groupings)
    assert dict(night.groupings["Book"])["B"].then == D("-13.20")


def test_a_policy_applies_small_moves_alone_and_leaves_the_rest_to_people(desk: Desk) -> None:
    administrators = [make_person(Role.ADMINISTRATOR, entities=[desk.entity]) for _ in range(2)]
    policy = changes.request_policy(
        kind="platform.swap_rates",
        bounds={"change_percent": "10", "nightly_cost": "50"},
        actor=administrators[0],
        reason="routine",
    )
    changes.submit_change(change_id=policy.pk, actor=administrators[0])
    changes.approve_change(change_id=policy.pk, actor=administrators[1], reason="fine")
    changes.apply_change(change_id=policy.pk, actor=administrators[1])

    small = propose_sheet(sheet_id=desk.sheet().pk, actor=desk.maker, reason="weekly")
    assert small.state == "applied" and small.policy_id is not None
    large = propose_sheet(sheet_id=desk.sheet(SHEET.replace("-6.60", "-9")).pk, actor=desk.maker, reason="weekly")
    assert large.state == "submitted"


def test_who_may_not_changes_nothing(desk: Desk) -> None:
    sheet = desk.sheet()
    sales = make_person(Role.SALES, entities=[desk.entity])
    partly = make_person(Role.PLATFORM_OPERATIONS, entities=[])
    for actor in (sales, partly, desk.checker):
        with pytest.raises((Denied, NotFound)):
            desk.edit(sheet, "EURUSD", actor=actor, long="-1")
        with pytest.raises((Denied, NotFound)):
            propose_sheet(sheet_id=sheet.pk, actor=actor, reason="x")
        with pytest.raises((Denied, NotFound)):
            sheets.open_sheet(provider="LP", data=SHEET.encode(), file_name="a.csv", actor=actor)
    assert sheet.rows.get(symbol=desk.symbols["EURUSD"]).long == D("-6.6")
    assert SwapSheet.objects.count() == 1
