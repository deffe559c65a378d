"""The proofs: what altered lines, batches and trees are found by, and what becomes of every trade."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from itertools import product

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.models import Job, OutboxEvent, WorkItem
from backoffice.core.services import outbox
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict
from ib.models import CommissionLine, PartnerEdge
from ib.rules import commission, mask_email, parse_line_reference
from ib.rules.amounts import ONE, Rounding, reward
from ib.selectors import coverage, explain_line
from ib.services import day_step
from ib.services.proof import prove_range
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.shards import RESETTLE_DAY, SETTLE_BATCH
from ib.services.upkeep import enqueue_unsettled_batches, make_partitions_ahead
from ib.services.validity import from_on
from ib.types import Coverage, Exclusion
from platform_ops.models import BusinessDayStep, DealMarket, Trade
from platform_ops.services.business_day import open_business_day
from tests.factories import ib as factory
from tests.factories.ib import LONG_AGO, Broker, booked
from tests.factories.platform import (
    MONDAY,
    SYSTEM,
    correct_trade,
    make_account,
    make_batch,
    make_deal,
    make_spec,
    make_trade,
    noon,
)

pytestmark = pytest.mark.django_db


def settled_broker() -> tuple[Broker, list]:
    broker = Broker()
    top = broker.partner()
    direct = broker.partner(parent=top)
    account = broker.client_of(direct)
    for lots in ("1", "2"):
        make_trade(account, lots=lots, server_symbol=broker.eurusd)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    return broker, [direct, top]


def tamper(sql: str, *parameters: object) -> None:
    """What only a superuser who switches the triggers off can do."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = 'replica'")
        cursor.execute(sql, parameters)
        cursor.execute("SET LOCAL session_replication_role = 'origin'")


def failing(names: list[str] | None = None) -> dict[str, list[dict]]:
    return {check["name"]: check["rows"] for check in verify_books(names)["checks"] if not check["ok"]}


def test_an_altered_amount_is_named_by_partner_trade_and_settlement():
    _, (direct, _) = settled_broker()
    assert failing() == {}
    line = CommissionLine.objects.filter(partner_id=direct.pk).first()
    tamper(
        "UPDATE ib_commissionline SET amount = 8, target = 8 WHERE partner_id = %s AND trade_id = %s",
        direct.pk,
        line.trade_id,
    )
    found = failing()
    assert set(found) == {"ib.lines_explained", "ib.lines_equal_accruals", "ib.lines_equal_batches"}
    assert [row["trade_id"] for row in found["ib.lines_explained"]] == [line.trade_id]
    assert found["ib.lines_equal_accruals"][0]["partner"] == direct.reference
    assert Decimal(found["ib.lines_equal_accruals"][0]["difference"]) == Decimal(8) - line.amount
    proof = prove_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    assert {(row["partner_id"], row["trade_id"]) for row in proof.rows} == {(direct.pk, line.trade_id)}


def test_a_removed_line_is_missed_by_sum_count_and_proof():
    _, (direct, _) = settled_broker()
    line = CommissionLine.objects.filter(partner_id=direct.pk).first()
    tamper("DELETE FROM ib_commissionline WHERE partner_id = %s AND trade_id = %s", direct.pk, line.trade_id)
    assert set(failing()) == {"ib.lines_equal_accruals", "ib.lines_equal_batches"}
    assert not prove_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).ok


def test_an_amount_moved_between_two_lines_of_one_partner_is_found_by_the_digest():
    _, (direct, _) = settled_broker()
    tamper("UPDATE ib_commissionline SET amount = 21 - amount, target = 21 - target WHERE partner_id = %s", direct.pk)
    assert set(failing()) == {"ib.lines_explained", "ib.lines_equal_batches"}


def test_a_gap_in_the_sequence_is_named():
    _, (direct, _) = settled_broker()
    line = CommissionLine.objects.filter(partner_id=direct.pk).first()
    tamper("UPDATE ib_commissionline SET seq = 2 WHERE partner_id = %s AND trade_id = %s", direct.pk, line.trade_id)
    rows = failing(["ib.line_sequence_gapless"])["ib.line_sequence_gapless"]
    assert [(row["trade_id"], row["seq"], row["expected_seq"]) for row in rows] == [(line.trade_id, 2, 0)]


def test_a_line_without_a_partition_of_its_day_is_raised():
    _, (direct, _) = settled_broker()
    far = MONDAY + timedelta(days=9000)
    tamper(
        "INSERT INTO ib_commissionline (partner_id, trade_id, part, seq, day, batch_id, card_entry_id, rule_id, level,"
        " quantity, rate, rate_currency, fx_rate, fx_date, target, amount, currency, booked_day)"
        " SELECT partner_id, trade_id, part, seq, %s, batch_id, card_entry_id, rule_id, level,"
        " quantity, rate, rate_currency, fx_rate, fx_date, target, amount, currency, booked_day"
        " FROM ib_commissionline WHERE partner_id = %s LIMIT 1",
        far,
        direct.pk,
    )
    rows = failing(["ib.default_partition_empty"])["ib.default_partition_empty"]
    assert [row["day"] for row in rows] == [str(far)]


def test_a_circle_made_by_sql_is_named_and_does_not_hang_the_compiler():
    _, (direct, top) = settled_broker()
    PartnerEdge.objects.create(child=top, parent=direct, validity=from_on(LONG_AGO))
    rows = failing(["ib.tree_acyclic"])["ib.tree_acyclic"]
    assert {row["partner"] for row in rows} == {direct.reference, top.reference}
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)


def test_every_line_of_a_book_with_corrections_is_explained_to_the_stored_cent():
    broker, (direct, _) = settled_broker()
    factory.quote(MONDAY, USD="1.0834", JPY="162.54")
    yen = broker.partner(currency="JPY", parent=direct)
    make_trade(broker.client_of(yen), lots="0.37", server_symbol=broker.gold)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    factory.publish(broker.plan, (None, 1, "6.123456", "USD"), (None, 2, "0.5", "EUR"), since=LONG_AGO)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    lines = list(CommissionLine.objects.all())
    assert len(lines) > 8
    for line in lines:
        facts, explanation = explain_line(actor=SYSTEM, reference=line.reference)
        assert explanation.agrees, facts
        assert (explanation.target, explanation.amount) == (line.target, line.amount)


def test_the_explanation_shows_conversion_and_rounding():
    broker = Broker()
    factory.quote(MONDAY, USD="1.08", JPY="162.54")
    direct = broker.partner(currency="JPY")
    make_trade(broker.client_of(direct), lots="0.01", server_symbol=broker.eurusd)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    _, explanation = explain_line(actor=SYSTEM, reference=CommissionLine.objects.get().reference)
    words = {step.title: (step.text, step.figure) for step in explanation.steps}
    assert words["Volume times rate"] == ("0.01 lots × 7 USD", "0.07 USD")
    assert words["Conversion"] == (f"1 USD = 150.5 JPY, ECB reference rate of {MONDAY}.", "10.535 JPY")
    assert words["Rounding"] == ("Once, to whole units, a half away from zero.", "11 JPY")


def test_coverage_says_of_every_trade_what_became_of_it():
    broker, (direct, _) = settled_broker()
    yen = broker.partner(currency="JPY")
    bare = factory.make_partner(broker.brand)
    make_trade(broker.client_of(None), server_symbol=broker.eurusd)
    make_trade(make_account(broker.server), server_symbol=broker.eurusd)
    make_trade(broker.client_of(direct), server_symbol=broker.map("X.UNKNOWN", None))
    make_trade(broker.client_of(yen), server_symbol=broker.eurusd)
    make_trade(broker.client_of(bare), server_symbol=broker.eurusd)
    demo = broker.client_of(direct)
    demo.is_demo = True
    demo.save()
    make_trade(demo, server_symbol=broker.eurusd)
    correct_trade(make_trade(broker.client_of(direct), server_symbol=broker.eurusd), is_cancelled=True)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    late = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    found = {(row.status, row.reason): row.trades for row in coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)}
    assert found == {
        (Coverage.PAID, None): 2,
        (Coverage.UNMATCHED, None): 1,
        (Coverage.EXCLUDED, Exclusion.CLIENT_NOT_REFERRED): 1,
        (Coverage.EXCLUDED, Exclusion.ACCOUNT_NOT_ASSIGNED): 1,
        (Coverage.EXCLUDED, Exclusion.SYMBOL_NOT_MAPPED): 1,
        (Coverage.EXCLUDED, Exclusion.MISSING_RATE): 1,
        (Coverage.EXCLUDED, Exclusion.NO_RULE): 1,
        (Coverage.EXCLUDED, Exclusion.DEMO_ACCOUNT): 1,
        (Coverage.EXCLUDED, Exclusion.CANCELLED): 1,
    }
    settle_ingest_batch(ingest_batch_id=late.batch_id, actor=SYSTEM)
    rows = coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)
    assert Coverage.UNMATCHED not in {row.status for row in rows}


class Day:
    day = MONDAY


def test_the_business_day_step_settles_proves_and_counts():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    make_trade(broker.client_of(None), server_symbol=broker.eurusd)
    outcome = day_step.settle_business_day(Day())
    assert outcome == {
        "trades": 2,
        "lines": 1,
        "booked": {"USD": "7.00"},
        "paid": 1,
        "excluded": {"client_not_referred": 1},
        "payouts": [],
    }


def test_the_business_day_step_is_not_proved_while_a_trade_is_unmatched(monkeypatch):
    _, (direct, _) = settled_broker()
    real = day_step.settle_range
    calls = []

    def settle_then_tamper(**arguments):
        calls.append(1)
        result = real(**arguments)
        if len(calls) == 2:
            tamper("DELETE FROM ib_commissionline WHERE partner_id = %s", direct.pk)
        return result

    monkeypatch.setattr(day_step, "settle_range", settle_then_tamper)
    with pytest.raises(Conflict) as refused:
        day_step.settle_business_day(Day())
    assert refused.value.code == "commissions_not_proved"


def test_payouts_above_the_revenue_of_a_proved_day_are_somebodys_work_and_a_lost_line_is_missed():
    # Given 18.00 USD for two lots to two partners, of a spread of 3 points at each end that brought in 6.00
    broker, _ = settled_broker()
    made = Trade.objects.order_by("pk").last()
    Trade.objects.exclude(pk=made.pk).update(is_cancelled=True)
    priced(broker, made, points=3)
    outcome = day_step.settle_business_day(Day())
    assert outcome["payouts"] == [
        {
            "entity_id": broker.entity.pk,
            "currency": "EUR",
            "trades": 1,
            "paid": "14.40",
            "revenue": "4.80",
            "percent": "300.00",
            "limit": "100",
            "is_above": True,
        }
    ]
    # When the day's step is kept, then it is an item, a note of the proof, and the inbox is as it should be
    kept = open_business_day(server_id=broker.server.pk, day=MONDAY)
    BusinessDayStep.objects.filter(business_day=kept, step="commissions").update(
        state="done", outcome=outcome, finished_at=clock.now()
    )
    with time_machine.travel(noon(MONDAY + timedelta(days=3)), tick=False):
        day_step.on_step_done({"step": "commissions"}, OutboxEvent())
        item = WorkItem.objects.get(kind="ib.payouts_above_limit")
        assert (item.title, item.entity_id) == (
            "Partners were paid 300.00 % of the revenue of 2026-03-02",
            broker.entity.pk,
        )
        Job.objects.exclude(state="done").delete()
        OutboxEvent.objects.filter(delivered_at__isnull=True).update(delivered_at=clock.now())
        found = verify_books(["ib.trades_accounted"])["checks"][0]
        assert found["ok"] and [note["percent"] for note in found["notes"]] == ["300.00"]
        # And a line that is gone is missed, though the sums of all others are right; while work waits nothing is said
        tamper("DELETE FROM ib_commissionline WHERE trade_id = %s", made.pk)
        missed = failing(["ib.trades_accounted"])["ib.trades_accounted"]
        assert {(row["trade_id"], Decimal(row["unbooked"])) for row in missed} == {
            (made.pk, Decimal(14)),
            (made.pk, Decimal(4)),
        }
        Job.objects.create(kind=RESETTLE_DAY, key="waits", payload={})
        assert failing(["ib.trades_accounted"]) == {}


def priced(broker: Broker, made: Trade, *, points: int) -> None:
    """Says what the market was at both ends of a trade."""
    make_spec(broker.eurusd.symbol, digits=5, contract_size=100_000, pip_size=Decimal("0.0001"))
    factory.quote(MONDAY - timedelta(days=3), USD="1.25")
    opening = make_deal(
        account=made.account,
        server_symbol=broker.eurusd,
        kind=0,
        entry=0,
        position_ticket=made.position_ticket,
        at=made.opened_at,
        volume_lots=made.volume_lots,
    )
    for deal in (opening, made):
        DealMarket.objects.create(
            server=broker.server,
            ticket=deal.ticket,
            leg=deal.leg,
            bid=Decimal("1.1"),
            ask=Decimal("1.1") + Decimal(points) / 100_000,
            stated_as_of=noon(MONDAY),
        )


def test_events_of_the_platform_enqueue_exactly_what_they_touch():
    broker = Broker()
    account = broker.client_of(broker.partner())
    batch = make_batch(broker.server)
    make_trade(account, server_symbol=broker.eurusd, batch=batch)
    make_trade(account, day=MONDAY + timedelta(days=1), server_symbol=broker.gold)
    Job.objects.all().delete()
    OutboxEvent.objects.all().delete()
    outbox.publish(topic="platform.trades_changed", payload={"batch_id": batch.pk, "server_id": broker.server.pk})
    outbox.publish(topic="platform.symbol_mapped", payload={"server_symbol_id": broker.gold.pk})
    outbox.publish(topic="platform.account_assigned", payload={"account_id": account.pk})
    outbox.deliver_due()
    jobs = sorted((job.kind, job.payload.get("day", ""), job.payload.get("cause", "")) for job in Job.objects.all())
    days = [MONDAY.isoformat(), (MONDAY + timedelta(days=1)).isoformat()]
    assert jobs == [
        (RESETTLE_DAY, days[0], f"account_assigned:{account.pk}"),
        (RESETTLE_DAY, days[1], f"account_assigned:{account.pk}"),
        (RESETTLE_DAY, days[1], f"symbol_mapped:{broker.gold.pk}"),
        (SETTLE_BATCH, "", ""),
    ]


def test_a_batch_whose_event_was_lost_is_found():
    broker = Broker()
    batch = make_batch(broker.server, changed_trades=1, created_at=LONG_AGO)
    make_trade(broker.client_of(broker.partner()), server_symbol=broker.eurusd, batch=batch)
    assert enqueue_unsettled_batches() == 1
    assert enqueue_unsettled_batches() == 0
    assert Job.objects.get(kind=SETTLE_BATCH).key == str(batch.pk)


def test_partitions_of_the_coming_days_are_made_once():
    make_partitions_ahead()
    assert make_partitions_ahead() == 0


def test_the_commands_print_json_and_say_by_their_exit_status_whether_lines_are_right():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    arguments = ["--from", MONDAY.isoformat(), "--to", MONDAY.isoformat(), "--json"]
    out = StringIO()
    call_command("settle_commissions", *arguments, stdout=out)
    result = json.loads(out.getvalue())
    assert {name: result[name] for name in ("trades", "lines", "booked")} == {
        "trades": 1,
        "lines": 1,
        "booked": {"USD": "7.00"},
    }
    out = StringIO()
    call_command("settle_commissions", *arguments, "--prove", stdout=out)
    assert json.loads(out.getvalue())["ok"] is True
    whole = StringIO()
    call_command("settle_commissions", "--prove", "--json", stdout=whole)
    assert whole.getvalue() == out.getvalue(), "without days the whole book is proved"
    with pytest.raises(CommandError, match="--from D --to D"):
        call_command("settle_commissions")
    with pytest.raises(CommandError, match="'2025-13-01' is not a day"):
        call_command("settle_commissions", "--from", "2025-13-01")
    out = StringIO()
    call_command("explain_line", CommissionLine.objects.get().reference, "--json", stdout=out)
    assert json.loads(out.getvalue())["agrees"] is True
    tamper("UPDATE ib_commissionline SET amount = 8, target = 8")
    with pytest.raises(SystemExit):
        call_command("settle_commissions", *arguments, "--prove", stdout=StringIO())
    with pytest.raises(SystemExit):
        call_command("explain_line", CommissionLine.objects.get().reference, stdout=StringIO())
    assert booked(direct) == Decimal(8)


@pytest.mark.parametrize(
    ("lots", "amount", "rate", "currency", "expected"),
    [
        ("1", "7", "1", "USD", "7.00"),
        ("0.15", "0.1", "0.333333333333333333333333", "EUR", "0.01"),
        ("0.5", "1.01", "1", "USD", "0.51"),
        ("0.5", "1", "1", "JPY", "1"),
        ("0.0005", "1", "1", "BHD", "0.001"),
        ("0.01", "7", "0.00000961", "BTC", "0.00000067"),
    ],
)
def test_the_arithmetic_of_one_line(lots, amount, rate, currency, expected):
    result = commission(lots=Decimal(lots), amount_per_lot=Decimal(amount), fx_rate=Decimal(rate), currency=currency)
    assert f"{result:f}" == expected


def test_addresses_are_masked_and_references_read_back():
    assert mask_email("anna@example.com") == "a***@example.com"
    assert mask_email("") == ""
    assert parse_line_reference("12-3456-0-20260302") == (12, 3456, 0, 0, MONDAY)
    assert parse_line_reference("12-3456-1-2-20260302") == (12, 3456, 1, 2, MONDAY)


def test_the_database_rounds_a_reward_as_the_rule_does_in_every_mode() -> None:
    # given every way to round, at every stage, of a half, of its neighbours and of what no currency can hold
    cases = list(
        product(
            ("per_lot", "spread_share"),
            ("half_up", "half_even", "down"),
            ("line", "step"),
            ("JPY", "USD"),
            (0, 2, 8),
            (None, Decimal("0.5")),
            (None, Decimal("0.004")),
            ("0.005", "-2.5", "12.344999999999999999", "1e-19"),
        )
    )
    # when the database works them out, all in one statement
    texts = [
        (basis, Decimal(value), factor, Decimal("1.5"), code, Decimal("0.83333"), stage, mode, digits, cap)
        for basis, mode, stage, code, digits, factor, cap, value in cases
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT ib_reward(a, b, c, d, e, f, g, h, i, j) FROM (VALUES "
            + ", ".join(
                ["(%s, %s::numeric, %s::numeric, %s::numeric, %s, %s::numeric, %s, %s, %s, %s::numeric)"] * len(texts)
            )
            + ") AS said (a, b, c, d, e, f, g, h, i, j)",
            [part for case in texts for part in case],
        )
        found = [row[0] for row in cursor.fetchall()]
    # then each is what the rule says
    assert found == [
        reward(
            basis=basis, quantity=quantity, factor=factor or ONE, rate=rate, rate_digits=Currency.of(code).digits,
            fx_rate=fx_rate, rounding=Rounding(digits, mode, stage), cap_left=cap,
        )
        for basis, quantity, factor, rate, code, fx_rate, stage, mode, digits, cap in texts
    ]  # fmt: skip
