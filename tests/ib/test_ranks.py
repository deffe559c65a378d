"""Ranks by themselves: what a month earns, when a rank is kept and lost, what is given by hand, and what comes later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import DatabaseError, transaction

from backoffice.core.books import verify_books
from backoffice.core.models import ChangeRequest, Job
from backoffice.core.services import changes, jobs
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput
from ib.models import PartnerRank, PeriodLine, PlanRank, RankCondition, RankEvaluation
from ib.rules.ranks import Condition, RankTerms, decide, earned_rank, first_of_window, missing_to_next
from ib.selectors.period_lines import explain_period_line
from ib.selectors.ranks import rank_progress
from ib.services import agreed_rates, plan_drafts, plans, rank_requests, ranks
from ib.services.client_events import ClientFact, record_client_event
from ib.services.period_targets import end_of
from ib.services.periods import prove_partner, settle_due
from ib.services.rank_rows import rank_at, ranks_of
from ib.types import RuleTerms
from tests.factories import ib as factory
from tests.factories.changes import make_person
from tests.factories.ib import LONG_AGO, Broker
from tests.factories.platform import MONDAY, SYSTEM, make_trade

pytestmark = pytest.mark.django_db

MARCH, APRIL, MAY = date(2026, 3, 1), date(2026, 4, 1), date(2026, 5, 1)
LATER = datetime(2026, 5, 4, 12, tzinfo=UTC)


def condition(measure: str, threshold: str, *, scope: str = "own", window: str = "month", currency: str = ""):
    return Condition(measure, scope, window, Decimal(threshold), currency)


LADDER = (
    RankTerms("bronze", "Bronze"),
    RankTerms("silver", "Silver", (condition("lots", "10"), condition("active_clients", "2"))),
    RankTerms("gold", "Gold", (condition("lots", "100", scope="team"),), keep_months=1),
)


def figures(lots: str, clients: str = "5", team: str = "0"):
    return {
        ("lots", "own", "month"): Decimal(lots),
        ("active_clients", "own", "month"): Decimal(clients),
        ("lots", "team", "month"): Decimal(team),
    }


@pytest.mark.parametrize(
    ("reached", "expected"),
    [
        (figures("0"), "bronze"),
        (figures("10"), "silver"),
        (figures("9.99"), "bronze"),
        (figures("10", clients="1"), "bronze"),
        (figures("0", team="100"), "gold"),
        ({}, "bronze"),
    ],
)
def test_the_highest_rank_of_which_all_conditions_hold_is_earned(reached, expected):
    assert earned_rank(LADDER, reached) == expected


def test_a_rank_without_conditions_is_nobodys_unless_it_is_the_lowest():
    assert earned_rank((RankTerms("a", "A", (condition("lots", "1"),)), RankTerms("b", "B")), {}) == ""


def test_a_rank_rises_at_once_falls_after_its_patience_and_stays_where_it_was_given_by_hand():
    low, high = figures("0"), figures("0", team="100")
    assert decide(LADDER, high, held="bronze") == ranks.Decision("gold", "gold", 0, "raised")
    assert decide(LADDER, high, held="gold") == ranks.Decision("gold", "gold", 0, "unchanged")
    assert decide(LADDER, low, held="gold") == ranks.Decision("bronze", "gold", 1, "spared")
    assert decide(LADDER, low, held="gold", misses_before=1) == ranks.Decision("bronze", "bronze", 0, "lowered")
    assert decide(LADDER, low, held="gold", is_by_hand=True).outcome == "by_hand"
    # A rank that the version does not know is none
    assert decide(LADDER, low, held="platinum") == ranks.Decision("bronze", "bronze", 0, "raised")


def test_what_is_missing_names_every_condition_of_the_next_rank():
    rank, missing = missing_to_next(LADDER, figures("4", clients="2"), held="bronze")
    assert rank is not None and rank.code == "silver"
    assert [(item.left, item.percent) for item in missing] == [(Decimal(6), 40), (Decimal(0), 100)]
    assert missing[0].text == "at least 10 lots of own clients in a month"
    assert missing_to_next(LADDER, {}, held="gold") == (None, ())
    assert first_of_window("quarter", date(2026, 1, 1)) == date(2025, 11, 1)


@pytest.fixture
def world() -> Iterator[Broker]:
    """A plan of three ranks: silver by own lots and traders, gold by the team's lots in three months, kept a month."""
    with time_machine.travel(LATER, tick=False):
        broker = Broker()
        plan = plans.create_plan(entity_id=broker.entity.pk, code="ladder", name="Ladder", actor=SYSTEM)
        draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
        for code, rate in (("bronze", "3"), ("silver", "5"), ("gold", "7")):
            plans.add_rank(version_id=draft.pk, code=code, name=code.title(), actor=SYSTEM)
            plans.add_rule(
                version_id=draft.pk,
                terms=RuleTerms(
                    rate=Decimal(rate), currency="USD", rank=code, distribution="difference", pays_close_by=True
                ),
                actor=SYSTEM,
            )
        set_rank(draft, "silver", condition("lots", "10"), condition("active_clients", "2"))
        set_rank(draft, "gold", condition("lots", "30", scope="team", window="quarter"), keep_months=1)
        plans.publish_version(version_id=draft.pk, valid_from=LONG_AGO, actor=SYSTEM)
        broker.ladder = draft
        broker.top = broker.partner(plan=plan)
        broker.low = broker.partner(plan=plan, parent=broker.top)
        broker.accounts = [broker.client_of(broker.low) for _ in range(2)]
        broker.maker = make_person(Role.PARTNER_MANAGER, entities=[broker.entity])
        broker.checker = make_person(Role.FINANCE, entities=[broker.entity])
        yield broker


def set_rank(draft, code: str, *conditions: Condition, keep_months: int = 0) -> PlanRank:
    return plan_drafts.set_rank(
        version_id=draft.pk, code=code, conditions=conditions, keep_months=keep_months, actor=SYSTEM
    )


def trades(broker: Broker, period: date, lots: str, *, accounts: int = 2):
    day = next(day for day in (period + timedelta(days=n) for n in range(9)) if day.weekday() < 5)
    made = [
        make_trade(account, day=day, lots=lots, server_symbol=broker.eurusd) for account in broker.accounts[:accounts]
    ]
    return made[-1]


def look(period: date, **fields) -> dict[str, int]:
    return ranks.evaluate_ranks(period=period, actor=SYSTEM, **fields).outcomes


def held(partner, period: date) -> str:
    """The rank in the month after."""
    row = rank_at(partner.pk, end_of(period))
    return row.rank if row is not None else ""


def everything() -> list[tuple]:
    rows = [
        tuple(ranks_of(pk)) and (pk, str(ranks_of(pk))) for pk in PartnerRank.objects.values_list("partner", flat=True)
    ]
    return [*sorted(set(rows)), *RankEvaluation.objects.order_by("pk").values_list("pk", "follows", "outcome")]


def test_months_are_decided_once_and_a_second_look_changes_nothing(world):
    trades(world, MARCH, "16")  # 32 lots of the lower one's clients: silver for it, gold for both as a team
    assert look(MARCH) == {"raised": 2}
    assert (held(world.low, MARCH), held(world.top, MARCH)) == ("gold", "gold")
    before = everything()
    assert look(MARCH) == {}
    assert everything() == before
    # April has no trade, but the three months to its end still have 32 lots
    assert look(APRIL) == {"unchanged": 2}
    row = RankEvaluation.objects.get(partner=world.low, period=APRIL)
    assert [(item["rank"], item["reached"], item["met"]) for item in row.measures] == [
        ("silver", "0", False),
        ("silver", "0", False),
        ("gold", "32", True),
    ]
    # The rank holds from the first moment of April's first business day on, and not before
    start = PartnerRank.objects.get(partner=world.low)
    assert start.validity.lower == end_of(MARCH) and start.source == "automatic"
    with pytest.raises(InvalidInput):
        look(date(2026, 5, 1))
    with pytest.raises(DatabaseError), transaction.atomic():
        RankEvaluation.objects.update(follows="silver")


def test_a_rank_is_kept_for_its_months_and_then_lost(world):
    trades(world, date(2026, 1, 1), "16")
    assert look(date(2026, 1, 1)) == {"raised": 2}
    assert look(date(2026, 2, 1)) == {"unchanged": 2}
    assert look(MARCH) == {"unchanged": 2}
    assert look(APRIL) == {"spared": 2}
    assert held(world.low, APRIL) == "gold"
    with time_machine.travel(datetime(2026, 6, 3, tzinfo=UTC)):
        assert look(MAY) == {"lowered": 2}
        assert held(world.low, MAY) == "bronze"
        # What was held before stays what it was
        assert held(world.low, APRIL) == "gold"


def test_a_rank_by_hand_goes_before_the_rules_and_they_stand_again_after_it(world):
    trades(world, MARCH, "16")
    look(MARCH)
    begin, until = datetime(2026, 5, 5, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    given = agreed_rates.give_rank(
        partner_id=world.low.pk, rank="silver", valid_from=begin, until=until, actor=world.maker, reason="a trial"
    )
    assert (given.rank, given.source) == ("silver", "manual")
    assert [(row["rank"], row["source"]) for row in ranks_of(world.low.pk)] == [
        ("gold", "automatic"),
        ("silver", "manual"),
        ("gold", "automatic"),
    ]
    progress = rank_progress(actor=SYSTEM, partner=world.low, now=begin)
    assert progress is not None and (progress.held, progress.by_hand_until) == ("silver", until)
    # The end of May falls into the time after the hand's end; in between the rules write nothing over it
    with time_machine.travel(datetime(2026, 6, 3, tzinfo=UTC)):
        look(APRIL)
        look(MAY)
    assert rank_at(world.low.pk, begin).rank == "silver"
    for wrong in ({"rank": "platinum"}, {"until": begin}, {"reason": " "}):
        fields = {"rank": "gold", "until": None, "reason": "x", **wrong}
        with pytest.raises(InvalidInput):
            agreed_rates.give_rank(partner_id=world.low.pk, valid_from=begin, actor=world.maker, **fields)


def test_a_time_that_has_begun_needs_another_person(world):
    past = datetime(2026, 3, 2, tzinfo=UTC)
    with pytest.raises(Denied):
        agreed_rates.give_rank(partner_id=world.low.pk, rank="gold", valid_from=past, actor=world.maker, reason="late")
    change = rank_requests.give_or_request_rank(
        partner_id=world.low.pk, rank="gold", valid_from=past, actor=world.maker, reason="late"
    )
    assert change is not None and change.state == "submitted"
    assert not PartnerRank.objects.exists()
    applied(world, change)
    assert rank_at(world.low.pk, past).rank == "gold"
    changes.revert_change(change_id=change.pk, actor=world.checker, reason="wrong partner")
    assert not PartnerRank.objects.exists()


def applied(world, change: ChangeRequest) -> ChangeRequest:
    changes.approve_change(change_id=change.pk, actor=world.checker, reason="checked", seen_diff=change.diff_hash)
    return changes.apply_change(change_id=change.pk, actor=world.checker)


def test_what_comes_later_is_asked_for_and_concerns_its_month_only(world):
    trades(world, MARCH, "2")
    assert look(MARCH) == {"raised": 2}
    assert look(APRIL) == {"unchanged": 2}
    assert held(world.low, MARCH) == "bronze"
    # A batch brings ten more lots of March
    late = trades(world, MARCH, "5")
    assert ranks.look_again(batch_id=late.batch_id) == 2
    jobs.run_ready(kind=ranks.EVALUATE_RANKS, owner="test")
    assert not Job.objects.filter(kind=ranks.EVALUATE_RANKS).exclude(state="done").exists()
    change = ChangeRequest.objects.get(kind=ranks.PARTNER_RANK)
    row = RankEvaluation.objects.get(partner=world.low, period=MARCH, seq=1)
    assert (row.outcome, row.follows, row.change_reference) == ("asked", "silver", change.reference)
    assert held(world.low, MARCH) == "bronze"
    # Asking once is enough
    assert look(MARCH) == {}
    assert ChangeRequest.objects.count() == 1
    applied(world, change)
    assert [(entry["rank"], entry["from"], entry["to"]) for entry in ranks_of(world.low.pk)] == [
        ("silver", end_of(MARCH).isoformat(), end_of(APRIL).isoformat()),
        ("bronze", end_of(APRIL).isoformat(), None),
    ]
    assert changes.verify_change(change_id=change.pk, actor=SYSTEM).state == "verified"


def test_deposits_count_less_what_went_back_in_the_currency_of_the_condition(world):
    factory.quote(MONDAY, USD="1.25")
    draft = plans.draft_version(plan_id=world.ladder.plan_id, actor=SYSTEM)
    set_rank(draft, "silver", condition("deposits", "1000", scope="team", currency="USD"))
    set_rank(draft, "gold", condition("deposits", "5000", scope="team", currency="USD"))
    plans.publish_version(version_id=draft.pk, valid_from=datetime(2026, 2, 1, tzinfo=UTC), actor=SYSTEM)
    client = world.accounts[0].client
    for kind, amount, currency in (("deposit", "1000", "EUR"), ("refund", "200", "USD")):
        fact = ClientFact(
            client_id=client.pk,
            kind=kind,
            amount=Decimal(amount),
            currency=currency,
            at=datetime(2026, 3, 2, 12, tzinfo=UTC),
            source="test",
            reference=f"{kind}-1",
        )
        record_client_event(fact=fact, actor=SYSTEM)
    look(MARCH)
    row = RankEvaluation.objects.get(partner=world.top, period=MARCH)
    assert row.measures[0]["reached"] == "1050" and row.follows == "silver"


def test_a_published_ladder_never_changes_and_a_draft_takes_it_along(world):
    with pytest.raises(IllegalTransition):
        set_rank(world.ladder, "gold", condition("lots", "1"))
    with pytest.raises(DatabaseError), transaction.atomic():
        RankCondition.objects.filter(rank__version=world.ladder).update(threshold=1)
    draft = plans.draft_version(plan_id=world.ladder.plan_id, actor=SYSTEM)
    assert ranks.rank_terms_of(draft.pk) == ranks.rank_terms_of(world.ladder.pk)
    with pytest.raises(InvalidInput):
        set_rank(draft, "gold", condition("deposits", "5"))
    with pytest.raises(InvalidInput):
        set_rank(draft, "gold", condition("lots", "5"), condition("lots", "6"))
    with pytest.raises(Conflict):
        plan_drafts.remove_rank(version_id=draft.pk, code="gold", actor=SYSTEM)
    plans.remove_rule(rule_id=draft.rules.get(rank="bronze").pk, actor=SYSTEM)
    plan_drafts.remove_rank(version_id=draft.pk, code="bronze", actor=SYSTEM)
    assert list(draft.ranks.values_list("code", "position")) == [("silver", 1), ("gold", 2)]
    plan_drafts.move_rank(version_id=draft.pk, code="gold", place=1, actor=SYSTEM)
    assert list(draft.ranks.values_list("code", flat=True)) == ["gold", "silver"]


def test_the_tick_decides_a_month_once_and_only_when_it_is_over(world):
    trades(world, APRIL, "16")
    assert ranks.evaluate_due(now=datetime(2026, 5, 1, 2, tzinfo=UTC)) is None
    run = ranks.evaluate_due()
    assert run is not None and run.outcomes == {"raised": 2}
    assert ranks.evaluate_due() is None


def test_a_partner_sees_only_the_own_standing(world):
    rival = Actor(label="rival", user_id=987, roles=frozenset({Role.IB}))
    assert rank_progress(actor=rival, partner=world.low) is None


def with_bonus(broker: Broker) -> None:
    """The ladder with 100 for reaching silver and 50 for each month of it, in force for everything that is decided."""
    draft = plans.draft_version(plan_id=broker.ladder.plan_id, actor=SYSTEM)
    for component, rate, bonus_for in (("welcome", "100", "reached"), ("salary", "50", "kept")):
        plans.add_rule(
            version_id=draft.pk,
            terms=RuleTerms(
                basis="rank_bonus",
                rate=Decimal(rate),
                currency="USD",
                rank="silver",
                bonus_for=bonus_for,
                component=component,
            ),
            actor=SYSTEM,
        )
    plans.publish_version(version_id=draft.pk, valid_from=LONG_AGO, actor=SYSTEM)


def bonuses(partner, period: date | None = None) -> Decimal:
    lines = PeriodLine.objects.filter(partner=partner, kind="rank_bonus")
    return sum((line.amount for line in lines if period in (None, line.period)), Decimal(0))


def proven(partner) -> bool:
    return (
        settle_due(actor=SYSTEM) == []
        and prove_partner(partner=partner, from_period=date(2026, 1, 1)) == []
        and verify_books(["ib.period_lines_explained", "ib.period_lines_equal_accruals"])["ok"]
    )


def test_a_bonus_follows_the_decision_that_stands_and_is_taken_back_when_that_is_corrected(world):
    with_bonus(world)
    trades(world, MARCH, "5")
    good = trades(world, APRIL, "5")
    assert look(MARCH) == {"raised": 2} and look(APRIL) == {"unchanged": 2}
    settle_due(actor=SYSTEM)
    assert (bonuses(world.low, MARCH), bonuses(world.low, APRIL)) == (Decimal(150), Decimal(50))
    assert proven(world.low)
    line = PeriodLine.objects.filter(partner=world.low, kind="rank_bonus").first()
    assert line.settlement.cause.startswith(("ib_rankevaluation:", "ib_partnerrank:"))
    _, explanation = explain_period_line(actor=SYSTEM, reference=line.reference)
    assert explanation.agrees and "rank silver" in " ".join(step.text for step in explanation.steps)
    # When a trade of April is cancelled, April is looked at again and another rank is asked for; until then all stands
    good.is_cancelled = True
    good.save(update_fields=["is_cancelled"])
    ranks.evaluate_ranks(period=APRIL, actor=SYSTEM, cause="trade 7 was cancelled")
    change = ChangeRequest.objects.get(kind=ranks.PARTNER_RANK, target_id=str(world.low.pk))
    assert change.reason.endswith("by what is known of it now: trade 7 was cancelled")
    settle_due(actor=SYSTEM)
    assert bonuses(world.low) == Decimal(200)
    # Then it is carried out, and April's bonus is taken back in the open period; reverted, it is paid again
    applied(world, change)
    settle_due(actor=SYSTEM)
    assert (bonuses(world.low, MARCH), bonuses(world.low, APRIL)) == (Decimal(150), Decimal(0))
    assert proven(world.low)
    changes.revert_change(change_id=change.pk, actor=world.checker, reason="it stands after all")
    settle_due(actor=SYSTEM)
    assert bonuses(world.low) == Decimal(200) and proven(world.low)


def test_reaching_a_rank_again_is_no_second_bonus_and_a_rank_by_hand_has_none(world):
    with_bonus(world)
    trades(world, date(2026, 2, 1), "5")
    trades(world, APRIL, "5")
    agreed_rates.give_rank(
        partner_id=world.top.pk,
        rank="silver",
        valid_from=end_of(date(2026, 1, 1)),
        until=None,
        actor=SYSTEM,
        reason="x",
    )
    for month in (date(2026, 2, 1), MARCH, APRIL):
        look(month)
    settle_due(actor=SYSTEM)
    assert bonuses(world.low, APRIL) == Decimal(50)  # lost in March, reached again
    assert bonuses(world.low) == Decimal(200)
    assert bonuses(world.top) == 0
    assert proven(world.low)


def test_what_a_month_under_a_rank_by_hand_has_earned_is_corrected_and_the_rules_rank_after_it_asked_for(world):
    with_bonus(world)
    good = trades(world, MARCH, "5")
    until = end_of(date(2026, 6, 1))
    agreed_rates.give_rank(
        partner_id=world.low.pk, rank="bronze", valid_from=end_of(MARCH), until=until, actor=SYSTEM, reason="x"
    )
    assert look(MARCH)["by_hand"] == 1
    settle_due(actor=SYSTEM)
    assert bonuses(world.low, MARCH) == Decimal(150)
    # When the trade is cancelled, the bonus goes back; what the rules gave for after the hand's time is asked for
    good.is_cancelled = True
    good.save(update_fields=["is_cancelled"])
    ranks.evaluate_ranks(period=MARCH, actor=SYSTEM, cause="trade 7 was cancelled")
    ranks.evaluate_ranks(period=MARCH, actor=SYSTEM, cause="nothing new")
    settle_due(actor=SYSTEM)
    change = ChangeRequest.objects.get(kind=ranks.PARTNER_RANK, target_id=str(world.low.pk))
    assert (change.payload["valid_from"], change.payload["is_automatic"]) == (until.isoformat(), True)
    assert bonuses(world.low) == 0
    assert proven(world.low)


def test_a_fact_that_is_told_late_has_its_month_looked_at_for_those_above_the_client_only(world):
    draft = plans.draft_version(plan_id=world.ladder.plan_id, actor=SYSTEM)
    set_rank(draft, "silver", condition("deposits", "1000", currency="USD"))
    plans.publish_version(version_id=draft.pk, valid_from=LONG_AGO, actor=SYSTEM)
    stranger = world.partner(plan=draft.plan)
    world.client_of(stranger)
    assert look(MARCH) == {"raised": 3}
    fact = ClientFact(
        client_id=world.accounts[0].client_id,
        kind="deposit",
        amount=Decimal(1500),
        currency="USD",
        at=datetime(2026, 3, 30, 12, tzinfo=UTC),
        source="bank",
        reference="late",
    )
    told = record_client_event(fact=fact, actor=SYSTEM)
    record_client_event(fact=fact, actor=SYSTEM)
    job = Job.objects.get(kind=ranks.EVALUATE_RANKS)
    assert job.payload["client_id"] == fact.client_id
    jobs.run_ready(kind=ranks.EVALUATE_RANKS, owner="test")
    change = ChangeRequest.objects.get(kind=ranks.PARTNER_RANK)
    assert change.target_id == str(world.low.pk) and f"(fact {told.pk})" in change.reason
    assert RankEvaluation.objects.filter(period=MARCH, seq=1).count() == 1
    # And what was charged back since is told as well
    record_client_event(
        fact=replace(fact, kind="chargeback", at=datetime(2026, 3, 31, 12, tzinfo=UTC), reference="back"), actor=SYSTEM
    )
    jobs.run_ready(kind=ranks.EVALUATE_RANKS, owner="test")
    assert RankEvaluation.objects.get(partner=world.low, period=MARCH, seq=2).follows == "bronze"
