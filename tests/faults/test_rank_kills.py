"""Looking at a month killed with -9 between two partners, and by two at once: each partner is decided once."""

from __future__ import annotations

import signal
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from ib.models import PartnerRank, RankEvaluation
from ib.rules.ranks import Condition
from ib.services import plan_drafts, plans, ranks
from ib.services.period_targets import end_of
from tests.factories.ib import LONG_AGO, Broker
from tests.factories.platform import SYSTEM, make_trade
from tests.faults.harness import run_child
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

MARCH = date(2026, 3, 1)


def three_on_a_ladder() -> list:
    """Partners on a plan of two ranks, each with a client who traded ten lots in March."""
    broker = Broker()
    plan = plans.create_plan(entity_id=broker.entity.pk, code="ladder", name="Ladder", actor=SYSTEM)
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    for code in ("low", "high"):
        plans.add_rank(version_id=draft.pk, code=code, name=code, actor=SYSTEM)
    condition = Condition("lots", "own", "month", Decimal(10))
    plan_drafts.set_rank(version_id=draft.pk, code="high", conditions=[condition], actor=SYSTEM)
    plans.publish_version(version_id=_ruled(draft), valid_from=LONG_AGO, actor=SYSTEM)
    found = [broker.partner(plan=plan) for _ in range(3)]
    for item in found:
        at = datetime(2026, 3, 10, 12, tzinfo=UTC) + timedelta(minutes=item.pk % 50)
        make_trade(broker.client_of(item), at=at, lots="10", server_symbol=broker.eurusd)
    return found


def _ruled(draft) -> int:
    from ib.types import RuleTerms

    plans.add_rule(version_id=draft.pk, terms=RuleTerms(rate=Decimal(5), currency="USD"), actor=SYSTEM)
    return int(draft.pk)


def assert_decided_once(partners: list) -> None:
    held = PartnerRank.objects.filter(partner__in=partners, validity__contains=end_of(MARCH))
    assert [row.rank for row in held] == ["high"] * len(partners)
    assert RankEvaluation.objects.filter(period=MARCH).count() == len(partners)


def test_killed_between_two_partners_the_next_one_completes_it() -> None:
    partners = three_on_a_ladder()
    look = partial(ranks.evaluate_ranks, period=MARCH, actor=SYSTEM)
    assert run_child(look, crash_at="ib.ranks.after_partner:2") == -signal.SIGKILL
    assert RankEvaluation.objects.count() == 2
    assert look().outcomes == {"raised": 1}
    assert_decided_once(partners)


def test_two_at_once_decide_once() -> None:
    partners = three_on_a_ladder()
    look = partial(ranks.evaluate_ranks, period=MARCH, actor=SYSTEM)
    at_once(look, look)
    assert_decided_once(partners)
