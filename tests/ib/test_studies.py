"""What-if studies: what they say is what then happens, and the set-up as it is makes the books to the cent."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from unittest import mock

import pytest
from django.urls import reverse

from backoffice.core.models import Job
from backoffice.core.services import changes, jobs
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from ib.models import CommissionLine, CpaClaim, PartnerEdge, PeriodLine, PeriodMark, PlanRule, WhatIfStudy
from ib.rules.periods import next_period, period_of
from ib.services import ordered, plans, requests, studies, tree, what_if
from ib.services.settlement import settle_range
from ib.types import RuleTerms, VersionTerms
from tests.factories import ib as factory
from tests.factories.changes import make_person
from tests.factories.periods import APRIL, MARCH, House, settle, tell
from tests.factories.platform import SYSTEM
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

D = Decimal
MONTHS = studies.Months(MARCH, APRIL)
LAST_DAY = date(2026, 4, 30)


class Partners:
    """A head with an override, and one below who is paid by the lot, by tiers, by net revenue and for new clients."""

    def __init__(self) -> None:
        self.house = house = House()
        entity = house.brand.entity
        tiers = {"tier_measure": "lots", "tier_mode": "marginal", "tier_window": "this", "tier_scope": "team"}
        self.plan = factory.make_plan_of(
            entity,
            RuleTerms(component="lots", rate=D(5), level=1, currency="USD"),
            RuleTerms(component="more", rate=D(1), level=1, currency="USD", tiers=((D(2), D(2)),), **tiers),
            RuleTerms(component="share", basis="net_revenue_share", rate=D(30), level=1),
            RuleTerms(
                component="new",
                basis="cpa",
                rate=D(100),
                currency="USD",
                level=1,
                minimum_deposit=D(200),
                qualify_days=30,
            ),
            money=VersionTerms(carry_over="plan"),
        )
        above = factory.make_plan_of(
            entity,
            RuleTerms(component="lots", rate=D(1), level=2, currency="USD"),
            RuleTerms(
                component="share", basis="net_revenue_share", rate=D(10), level=1, distribution="override",
                override_of="direct", funded_by="broker",
            ),
        )  # fmt: skip
        self.head = house.partner(above)
        self.below = house.partner(self.plan, parent=self.head)
        account = house.client_of(self.below)
        for day, loss in ((date(2026, 3, 10), "1000"), (date(2026, 3, 20), "-3000"), (date(2026, 4, 14), "4000")):
            house.loses(account, loss, day, lots="1.5")
        tell(account.client_id, "deposit", "500", at=datetime(2026, 4, 8, 12, tzinfo=UTC))
        self.settle()

    def settle(self) -> None:
        """Everything that is due."""
        settle_range(from_day=MARCH, to_day=LAST_DAY, actor=SYSTEM)
        ordered.settle_due(actor=SYSTEM)
        settle()

    def draft(self):
        """A draft that pays half as much again by the lot, and 40 % of net revenue."""
        draft = plans.draft_version(plan_id=self.plan.pk, actor=SYSTEM)
        PlanRule.objects.filter(version=draft, component="lots").update(rate=D("7.5"))
        PlanRule.objects.filter(version=draft, basis="net_revenue_share").update(rate=D(40))
        return draft


@pytest.fixture
def partners() -> Partners:
    return Partners()


def computed(study: WhatIfStudy) -> WhatIfStudy:
    """The study after a worker took it up."""
    assert jobs.run_ready(kind=studies.STUDY, owner="test") == 1
    study.refresh_from_db()
    assert (study.state, study.problem, study.waiting_for) == ("done", "", [])
    return study


def said(study: WhatIfStudy) -> dict[tuple[int, str, date], tuple[Decimal, Decimal]]:
    """What it says would be paid, by the trade and by the period."""
    return {
        (row.partner_id, row.currency, row.period): (row.then_by_trade, row.then_by_period) for row in study.rows.all()
    }


def booked() -> dict[tuple[int, str, date], tuple[Decimal, Decimal]]:
    """What stands in the books, the same way."""
    found: dict[tuple[int, str, date], list[Decimal]] = {}
    for line in CommissionLine.objects.all():
        found.setdefault((line.partner_id, line.currency, period_of(line.day)), [D(0), D(0)])[0] += line.amount
    for line in PeriodLine.objects.filter(period__lte=APRIL):
        found.setdefault((line.partner_id, line.currency, line.period), [D(0), D(0)])[1] += line.amount
    return {key: (by_trade, by_period) for key, (by_trade, by_period) in found.items()}


def counts() -> tuple[int, ...]:
    """What a study must leave as it was."""
    tables = (CommissionLine, PeriodLine, PeriodMark, CpaClaim, PartnerEdge, PlanRule)
    return tuple(table.objects.count() for table in tables)


def test_the_set_up_as_it_is_makes_the_books_to_the_cent(partners):
    # In the entity's euros: what came in at the rate of its day, what partners cost at that of the month's last
    factory.quote(date(2026, 4, 14), USD="1.25")
    factory.quote(LAST_DAY, USD="1.20")
    before = counts()
    study = computed(studies.study_books(entity_id=partners.head.entity_id, months=MONTHS, actor=SYSTEM))
    assert said(study) == booked()
    assert [row.difference for row in study.rows.all() if row.difference] == []
    assert (study.difference, study.percent, counts()) == ({"USD": "0.00000000"}, 100, before)
    # By hand: 3 × 1.5 lots at 5 and 1; the loss of March is set off in April; the head has 10 % of the share that is left
    april = study.rows.get(partner=partners.below, period=APRIL)
    march = study.rows.get(partner=partners.below, period=MARCH)
    assert (march.booked_by_period, april.booked_by_period) == (D(0), D("600") + D("100"))
    assert study.rows.get(partner=partners.head, period=APRIL).booked_by_trade == D("1.5")
    month = study.months.get(period=APRIL)
    cost = sum(row.booked for row in study.rows.filter(period=APRIL))
    # (one part has no value: the trade has no opening deal that could say its commission)
    assert (month.revenue, month.cost_booked, month.unvalued) == (D(3200), round(cost / D("1.2"), 2), 1)
    assert study.months.get(period=MARCH).unvalued > 0


def test_what_a_study_says_of_a_version_is_what_its_publication_books(partners):
    before, draft = counts(), partners.draft()
    rules = PlanRule.objects.count() - before[-1]
    study = computed(studies.study_version(version_id=draft.pk, months=MONTHS, actor=SYSTEM))
    assert counts() == (*before[:-1], before[-1] + rules)
    # The draft may change afterwards: the study still says what was tried
    assert any("40" in words for words in study.described.values())
    april = study.rows.get(partner=partners.below, period=APRIL)
    assert (april.booked_by_period, april.then_by_period) == (D(700), D("900"))
    assert april.then_by_trade - april.booked_by_trade == D("1.5") * D("2.5")
    head = study.rows.get(partner=partners.head, period=APRIL)
    assert head.then_by_period > head.booked_by_period
    # When it is published from then on
    plans.publish_version(version_id=draft.pk, valid_from=datetime(2026, 2, 28, tzinfo=UTC), actor=SYSTEM)
    partners.settle()
    assert said(study) == booked()


def test_what_a_study_says_of_a_place_is_what_the_move_books(partners):
    other = partners.house.partner(None)
    study = computed(studies.study_place(partner_id=partners.below.pk, parent_id=other.pk, months=MONTHS, actor=SYSTEM))
    assert study.described == {"Partner": str(partners.below), "Stands under": str(other)}
    lost = [row.difference for row in study.rows.filter(partner=partners.head)]
    assert sum(lost) < 0
    tree.place_partner(
        partner_id=partners.below.pk, parent_id=other.pk, valid_from=datetime(2026, 2, 28, tzinfo=UTC), actor=SYSTEM
    )
    partners.settle()
    gone = {key: amounts for key, amounts in said(study).items() if any(amounts)}
    assert gone == {key: amounts for key, amounts in booked().items() if any(amounts)}
    # And once it has happened the same question has no difference
    again = computed(studies.study_again(study_id=study.pk, actor=SYSTEM))
    assert [row.difference for row in again.rows.all() if row.difference] == []


def test_the_preview_of_a_change_in_the_past_knows_what_is_earned_by_the_period(partners):
    other = partners.house.partner(None)
    maker = make_person(Role.PARTNER_MANAGER, entities=[partners.head.entity])
    question = {"partner_id": partners.below.pk, "parent_id": other.pk}
    study = computed(studies.study_place(**question, months=MONTHS, actor=SYSTEM))
    before = counts()
    change = requests.request_move(
        **question, valid_from=datetime(2026, 2, 28, tzinfo=UTC), actor=maker, reason="bought the team"
    )
    assert counts() == before
    [row] = [row for row in change.impact_rows if row["Partner"] == str(partners.head)]
    lost = sum(row.difference for row in study.rows.filter(partner=partners.head))
    by_period = sum(row.then_by_period - row.booked_by_period for row in study.rows.filter(partner=partners.head))
    assert (D(row["Booked again"]), by_period) == (lost, D(-60))
    # Too many at once are not valued while somebody waits: it says so
    with mock.patch.object(what_if, "PREVIEW_PARTNERS", 0):
        change = changes.refresh_change(change_id=change.pk, actor=maker)
    assert "earn by the period is too much to value here" in change.impact_summary


def test_what_cannot_be_tried_is_refused_with_its_reason(partners):
    today = period_of(clock.today_business_day())
    for first, last, field in (
        (date(2026, 3, 2), APRIL, "from_period"),
        (APRIL, MARCH, "to_period"),
        (today, next_period(today), "to_period"),
        (date(2025, 3, 1), APRIL, "from_period"),
    ):
        with pytest.raises(InvalidInput) as refused:
            studies.Months(first, last)
        assert refused.value.details["field"] == field
    with pytest.raises(Conflict) as circle:
        studies.study_place(partner_id=partners.head.pk, parent_id=partners.below.pk, months=MONTHS, actor=SYSTEM)
    assert circle.value.code == "tree_cycle"
    with pytest.raises(InvalidInput):
        studies.study_place(partner_id=partners.head.pk, parent_id=partners.head.pk, months=MONTHS, actor=SYSTEM)
    empty = plans.create_plan(entity_id=partners.head.entity_id, code="nothing", name="Nothing", actor=SYSTEM)
    with pytest.raises(InvalidInput):
        studies.study_version(version_id=empty.versions.get().pk, months=MONTHS, actor=SYSTEM)
    # The same question twice at once is one computation
    study = studies.study_books(entity_id=partners.head.entity_id, months=MONTHS, actor=SYSTEM)
    with pytest.raises(Conflict) as same:
        studies.study_books(entity_id=partners.head.entity_id, months=MONTHS, actor=SYSTEM)
    assert same.value.details["study_id"] == study.pk
    # Staff of another house neither ask nor see; who reads commissions may not ask for plans
    stranger = make_person(Role.PARTNER_MANAGER, entities=[factory.Broker().brand.entity])
    with pytest.raises(NotFound):
        studies.study_again(study_id=study.pk, actor=stranger)
    with pytest.raises(Denied):
        reader = make_person(Role.COMPLIANCE, entities=[partners.head.entity])
        studies.study_version(version_id=partners.draft().pk, months=MONTHS, actor=reader)


def test_a_study_that_a_rule_refuses_says_so_and_a_killed_one_is_computed_again(partners):
    draft = partners.draft()
    study = studies.study_version(version_id=draft.pk, months=MONTHS, actor=SYSTEM)
    # Its worker died in the middle: what it had written is its state alone
    WhatIfStudy.objects.filter(pk=study.pk).update(state="running", done_steps=2)
    Job.objects.filter(kind=studies.STUDY).update(state="ready", attempts=1)
    assert computed(study).rows.exists()
    # A partner was moved below the one who was to take it since the question was asked
    question = studies.study_place(partner_id=partners.head.pk, parent_id=None, months=MONTHS, actor=SYSTEM)
    other = partners.house.partner(None)
    WhatIfStudy.objects.filter(pk=question.pk).update(parent=other)
    tree.place_partner(partner_id=other.pk, parent_id=partners.below.pk, valid_from=factory.LONG_AGO, actor=SYSTEM)
    assert jobs.run_ready(kind=studies.STUDY, owner="test") == 1
    question.refresh_from_db()
    assert (question.state, question.rows.count()) == ("failed", 0)
    assert "circle" in question.problem


def test_a_manager_tries_a_version_and_a_place_at_the_desk_and_reads_who_gains(partners, client):
    user = make_user("manager@house.test", Role.PARTNER_MANAGER, entities=(partners.head.entity,))
    manager = log_in(client, user)
    draft = partners.draft()
    months = {"from_period": MARCH.isoformat(), "to_period": APRIL.isoformat()}
    asked = manager.post(reverse("admin:ib_planversion_what-if", args=[draft.pk]), months)
    study = WhatIfStudy.objects.get()
    page = reverse("admin:ib_whatifstudy_change", args=[study.pk])
    assert (asked.status_code, asked.headers["location"]) == (302, page)
    waits = manager.get(page).content.decode()
    state = reverse("admin:ib_study_state", kwargs={"study_id": study.pk})
    assert state in waits and "Compute again" not in waits
    assert manager.get(state).json() == {"state": "Waiting", "percent": 0, "is_over": False}
    computed(study)
    shown = manager.get(page).content.decode()
    assert "2 would have earned more, 0 less, 0 the same." in shown and "Compute again" in shown
    rows = reverse("admin:ib_study_rows", kwargs={"study_id": study.pk})

    def found(**filters: str) -> int:
        return manager.get(rows, filters).context["page_obj"].paginator.count

    assert found(q=partners.below.reference, period=APRIL.isoformat()) == 1
    # In March the head has no override: those below have nothing
    assert (found(), found(only_changed="on")) == (4, 3)
    exported = b"".join(manager.get(rows, {"export": "csv"}).streaming_content).decode()
    assert exported.count(partners.below.reference) == 2
    # A mistake names its field, and nothing is asked for
    wrong = manager.post(
        reverse("admin:ib_partner_what-if", args=[partners.head.pk]), {**months, "parent": partners.below.pk}
    )
    assert "circle" in wrong.content.decode()
    backwards = {"from_period": APRIL.isoformat(), "to_period": MARCH.isoformat()}
    wrong = manager.post(reverse("admin:ib_planversion_what-if", args=[draft.pk]), backwards)
    assert wrong.context["form"].errors == {"to_period": ["The last month lies before the first."]}
    assert WhatIfStudy.objects.count() == 1
