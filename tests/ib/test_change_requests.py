"""Publication and moves through change requests: the preview is what is booked, and four eyes cannot be walked around."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes, jobs
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, NotFound
from ib.models import CommissionLine, ConfigChange, PartnerEdge, PlanVersion, RateCardEntry, RateCardVersion
from ib.services import plans, requests, tree
from ib.services.settlement import settle_range
from ib.services.shards import RESETTLE_DAY
from ib.types import RuleTerms
from tests.factories.changes import make_person
from tests.factories.ib import Broker, after, booked
from tests.factories.platform import MONDAY, SYSTEM, make_trade

pytestmark = pytest.mark.django_db

TUESDAY = MONDAY + timedelta(days=1)
THURSDAY = MONDAY + timedelta(days=3)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with time_machine.travel(datetime(2026, 3, 5, 12, tzinfo=UTC), tick=False):
        made = Broker()
        made.maker = make_person(Role.PARTNER_MANAGER, entities=[made.entity])
        made.checker = make_person(Role.FINANCE, entities=[made.entity])
        made.top, made.rival = made.partner(), made.partner()
        made.direct = made.partner(parent=made.top)
        made.below = made.partner(parent=made.direct)
        made.account = made.client_of(made.below)
        for day, lots in ((MONDAY, "1.5"), (TUESDAY, "2"), (THURSDAY, "1")):
            make_trade(made.account, day=day, lots=lots, server_symbol=made.eurusd)
        settle_range(from_day=MONDAY, to_day=THURSDAY, actor=SYSTEM)
        yield made


def next_version(broker: Broker, amount: str = "9") -> PlanVersion:
    """A draft that pays level 1 otherwise."""
    draft = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    rule = draft.rules.get(level=1, symbol_group=None)
    plans.remove_rule(rule_id=rule.pk, actor=SYSTEM)
    plans.add_rule(
        version_id=draft.pk,
        terms=RuleTerms(symbol_group_id=None, level=1, rate=Decimal(amount), currency="USD", pays_close_by=True),
        actor=SYSTEM,
    )
    return draft


def approved(broker: Broker, change: ChangeRequest) -> ChangeRequest:
    return changes.approve_change(
        change_id=change.pk, actor=broker.checker, reason="checked", seen_diff=change.diff_hash
    )


def applied(broker: Broker, change: ChangeRequest) -> ChangeRequest:
    """Approved, applied, and the days it touches settled by the workers."""
    done = changes.apply_change(change_id=approved(broker, change).pk, actor=broker.maker)
    jobs.run_ready(kind=RESETTLE_DAY, owner="test")
    return done


def sums(broker: Broker) -> dict[str, Decimal]:
    return {name: booked(getattr(broker, name)) for name in ("top", "direct", "below", "rival")}


def state_of_the_desk() -> tuple[int, ...]:
    return tuple(
        model.objects.count()
        for model in (PartnerEdge, PlanVersion, RateCardVersion, RateCardEntry, CommissionLine, ConfigChange)
    )


def test_a_move_in_the_past_previews_exactly_what_is_booked(broker):
    assert sums(broker) == {"below": 31.5, "direct": Decimal(9), "top": Decimal("4.5"), "rival": 0}
    before = state_of_the_desk()

    change = requests.request_move(
        partner_id=broker.direct.pk,
        parent_id=broker.rival.pk,
        valid_from=after(TUESDAY),
        actor=broker.maker,
        reason="bought the team",
    )

    assert state_of_the_desk() == before
    assert change.before["Stands under"] == str(broker.top)
    assert change.after["Stands under"] == str(broker.rival)
    rows = {row["Partner"]: row for row in change.impact_rows}
    # As if it had been so for the 20 days: all three trades; booked again: from Tuesday on, 3 lots at 1 USD.
    assert rows[str(broker.rival)] == {
        "Partner": str(broker.rival),
        "Currency": "USD",
        "Earned": "0.00",
        "Would have earned": "4.50",
        "Difference": "4.50",
        "Booked again": "3.00",
    }
    assert rows[str(broker.top)]["Booked again"] == "-3.00"
    assert set(rows) == {str(broker.rival), str(broker.top)}
    assert change.impact_figures["Booked again, USD"] == "0.00"

    done = applied(broker, change)

    assert done.state == "verified"
    assert done.outcome["days_settled_again"] == [TUESDAY.isoformat(), THURSDAY.isoformat()]
    assert sums(broker) == {"below": 31.5, "direct": Decimal(9), "top": Decimal("1.5"), "rival": Decimal(3)}
    lines = CommissionLine.objects.filter(partner_id=broker.below.pk)
    assert lines.exclude(seq=0).filter(amount=0).count() + lines.filter(seq=0).count() == lines.count()


def test_a_move_is_reverted_and_the_differences_are_booked_back(broker):
    was, edges = sums(broker), tree.edges_above(broker.direct.pk)
    done = applied(
        broker,
        requests.request_move(
            partner_id=broker.direct.pk, parent_id=None, valid_from=after(MONDAY), actor=broker.maker, reason="alone"
        ),
    )
    assert sums(broker)["top"] == 0
    reverted = changes.revert_change(change_id=done.pk, actor=broker.checker, reason="not agreed")
    jobs.run_ready(kind=RESETTLE_DAY, owner="test")
    assert reverted.state == "reverted"
    assert tree.edges_above(broker.direct.pk) == edges
    assert sums(broker) == was


def test_a_move_that_was_followed_by_another_is_not_reverted(broker):
    done = applied(
        broker,
        requests.request_move(
            partner_id=broker.direct.pk, parent_id=None, valid_from=after(MONDAY), actor=broker.maker, reason="alone"
        ),
    )
    tree.place_partner(partner_id=broker.direct.pk, parent_id=broker.rival.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    edges = tree.edges_above(broker.direct.pk)
    with pytest.raises(Conflict) as refused:
        changes.revert_change(change_id=done.pk, actor=broker.checker, reason="back")
    assert refused.value.code == "moved_on"
    assert tree.edges_above(broker.direct.pk) == edges
    assert ChangeRequest.objects.get(pk=done.pk).state == "verified"


def test_a_revert_that_would_close_a_circle_is_refused(broker):
    done = applied(
        broker,
        requests.request_move(
            partner_id=broker.direct.pk, parent_id=None, valid_from=after(MONDAY), actor=broker.maker, reason="alone"
        ),
    )
    tree.place_partner(partner_id=broker.top.pk, parent_id=broker.below.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    with pytest.raises(Conflict) as refused:
        changes.revert_change(change_id=done.pk, actor=broker.checker, reason="back")
    assert refused.value.code == "tree_cycle"


def test_a_move_that_closes_a_circle_or_leaves_the_entity_is_not_even_drafted(broker):
    other = Broker()
    for parent, error in (
        (broker.below, Conflict),
        (broker.direct, Conflict),
        (other.partner(), NotFound),
    ):
        with pytest.raises(error):
            requests.request_move(
                partner_id=broker.direct.pk,
                parent_id=parent.pk,
                valid_from=after(TUESDAY),
                actor=broker.maker,
                reason="x",
            )
    assert not ChangeRequest.objects.exists()


def test_a_circle_that_arose_after_the_approval_stops_the_application(broker):
    change = approved(
        broker,
        requests.request_move(
            partner_id=broker.top.pk,
            parent_id=broker.rival.pk,
            valid_from=after(TUESDAY),
            actor=broker.maker,
            reason="below the rival",
        ),
    )
    tree.place_partner(partner_id=broker.rival.pk, parent_id=broker.below.pk, valid_from=after(MONDAY), actor=SYSTEM)
    before = tree.edges_above(broker.top.pk)
    with pytest.raises(Conflict) as refused:
        changes.apply_change(change_id=change.pk, actor=broker.maker)
    assert refused.value.code == "tree_cycle"
    assert ChangeRequest.objects.get(pk=change.pk).state == "failed"
    assert tree.edges_above(broker.top.pk) == before


def test_nobody_moves_or_publishes_past_a_change_request(broker):
    draft = next_version(broker)
    administrator = make_person(Role.ADMINISTRATOR, Role.PARTNER_MANAGER, entities=[broker.entity])
    change = requests.request_move(
        partner_id=broker.direct.pk, parent_id=None, valid_from=after(TUESDAY), actor=broker.maker, reason="x"
    )
    forged = ChangeRequest(pk=change.pk, kind=tree.TREE_MOVE, state="approved", payload=change.payload)
    for approval in (None, change, forged):
        with pytest.raises(Denied) as refused:
            tree.place_partner(
                partner_id=broker.direct.pk,
                parent_id=None,
                valid_from=after(TUESDAY),
                actor=administrator,
                approval=approval,
            )
        assert refused.value.code == "approval_needed"
        with pytest.raises(Denied):
            plans.publish_version(
                version_id=draft.pk, valid_from=after(TUESDAY), actor=administrator, approval=approval
            )
    really = approved(broker, change)
    with pytest.raises(Denied):  # approved for another place and day
        tree.place_partner(
            partner_id=broker.direct.pk,
            parent_id=broker.rival.pk,
            valid_from=after(TUESDAY),
            actor=administrator,
            approval=really,
        )
    assert tree.edges_above(broker.direct.pk)[0]["parent_id"] == broker.top.pk
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_a_partner_at_whom_nothing_hangs_is_placed_directly(broker):
    fresh = broker.partner()
    tree.place_partner(
        partner_id=fresh.pk, parent_id=broker.top.pk, valid_from=after(TUESDAY), actor=broker.maker, reason="new"
    )
    assert tree.edges_above(fresh.pk)[0]["parent_id"] == broker.top.pk
    with pytest.raises(Denied):
        tree.place_partner(partner_id=fresh.pk, parent_id=None, valid_from=after(TUESDAY), actor=broker.maker)


def test_a_publication_previews_gains_per_partner_and_books_only_what_it_begins_with(broker):
    draft = next_version(broker, "9")
    before = state_of_the_desk()
    change = requests.request_publication(
        version_id=draft.pk, valid_from=after(THURSDAY), actor=broker.maker, reason="new season"
    )
    assert state_of_the_desk() == before
    assert change.before["All symbols, level 1"] == "7.00 USD per lot"
    assert change.after["All symbols, level 1"] == "9.00 USD per lot"
    assert change.before["All symbols, level 2"] == change.after["All symbols, level 2"]
    [row] = change.impact_rows
    # 4.5 lots at 9 instead of 7; from Thursday on one lot.
    assert row == {
        "Partner": str(broker.below),
        "Currency": "USD",
        "Earned": "31.50",
        "Would have earned": "40.50",
        "Difference": "9.00",
        "Booked again": "2.00",
    }
    assert (change.impact_figures["Partners who gain"], change.impact_figures["Partners who lose"]) == (1, 0)

    done = applied(broker, change)

    assert done.state == "verified"
    assert booked(broker.below) == Decimal("33.5")
    draft.refresh_from_db()
    assert (draft.state, draft.validity.lower, draft.published_by) == ("published", after(THURSDAY), broker.maker.label)

    reverted = changes.revert_change(change_id=done.pk, actor=broker.checker, reason="too dear")
    jobs.run_ready(kind=RESETTLE_DAY, owner="test")
    assert booked(broker.below) == Decimal("31.5")
    assert reverted.revert_outcome["restored_as"] == [3]
    restored = PlanVersion.objects.get(plan=broker.plan, number=3)
    assert requests.rules_of(restored) == requests.rules_of(PlanVersion.objects.get(plan=broker.plan, number=1))


def test_a_publication_in_the_future_is_tried_on_the_last_days_and_books_nothing_now(broker):
    change = requests.request_publication(
        version_id=next_version(broker, "5").pk,
        valid_from=after(THURSDAY + timedelta(days=30)),
        actor=broker.maker,
        reason="cheaper",
    )
    [row] = change.impact_rows
    assert (row["Difference"], row["Booked again"]) == ("-9.00", "0.00")
    assert change.impact_figures["Days settled again"] == 0
    done = applied(broker, change)
    assert done.outcome["days_settled_again"] == []
    assert booked(broker.below) == Decimal("31.5")


def test_the_rules_that_were_handed_in_are_the_rules_that_are_published(broker):
    draft = next_version(broker)
    change = requests.request_publication(
        version_id=draft.pk, valid_from=after(THURSDAY), actor=broker.maker, reason="x"
    )
    rule = draft.rules.get(level=2)
    with pytest.raises(Conflict) as refused:
        plans.remove_rule(rule_id=rule.pk, actor=broker.maker)
    assert refused.value.code == "under_review"
    rule.delete()  # past the use case
    for step in (
        lambda: changes.approve_change(change_id=change.pk, actor=broker.checker, reason="x"),
        lambda: changes.submit_change(
            change_id=requests.request_publication(
                version_id=draft.pk, valid_from=after(TUESDAY), actor=broker.maker, reason="x", submit=False
            ).pk,
            actor=broker.checker,
        ),
    ):
        with pytest.raises((Conflict, Denied)):
            step()
    changes.withdraw_change(change_id=change.pk, actor=broker.maker, reason="rules moved")
    plans.add_rule(
        version_id=draft.pk,
        terms=RuleTerms(symbol_group_id=None, level=2, rate=Decimal(1), currency="USD", pays_close_by=True),
        actor=broker.maker,
    )
    draft.refresh_from_db()
    assert draft.state == "draft"


def test_another_publication_meanwhile_makes_the_request_stale(broker):
    change = approved(
        broker,
        requests.request_publication(
            version_id=next_version(broker).pk, valid_from=after(THURSDAY), actor=broker.maker, reason="x"
        ),
    )
    third = PlanVersion.objects.create(plan=broker.plan, number=9)
    plans.add_rule(
        version_id=third.pk,
        terms=RuleTerms(symbol_group_id=None, level=1, rate=Decimal(1), currency="USD", pays_close_by=True),
        actor=SYSTEM,
    )
    plans.publish_version(version_id=third.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    with pytest.raises(Conflict) as refused:
        changes.apply_change(change_id=change.pk, actor=broker.maker)
    assert refused.value.code == "change_stale"
    refreshed = changes.refresh_change(change_id=change.pk, actor=broker.maker)
    assert refreshed.state == "submitted"
    assert refreshed.before["Version in force"] == "v9"


@pytest.mark.parametrize("role", [Role.SALES, Role.DEALING, Role.AUDITOR, Role.FINANCE, Role.IB, Role.TRADER])
def test_only_partner_managers_ask_for_moves_and_publications(broker, role):
    actor = make_person(role, entities=[broker.entity])
    with pytest.raises(Denied):
        requests.request_move(
            partner_id=broker.direct.pk, parent_id=None, valid_from=after(TUESDAY), actor=actor, reason="x"
        )
    with pytest.raises(Denied):
        requests.request_publication(
            version_id=next_version(broker).pk, valid_from=after(TUESDAY), actor=actor, reason="x"
        )
    assert not ChangeRequest.objects.exists()
