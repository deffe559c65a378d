"""The plan editor: every rule as a sentence, drafts that are edited, checks before a publication, two versions side by
side, the live example that equals the settlement, and the guard on what a trade may pay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from types import SimpleNamespace

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput
from ib.models import CommissionLine, PlanRule, PlanVersion
from ib.rules.guard import Payout, parts_of_share
from ib.rules.plan_checks import Checked, TypicalLot, check_version, worst_cases
from ib.rules.ranks import Condition
from ib.rules.rates import RateRule, VersionRules
from ib.rules.sentences import sentence
from ib.selectors import explain_line
from ib.selectors.plan_example import ExampleQuery, ExampleStep, checked_query, example_of
from ib.selectors.plans import check_plan_version, compare_versions
from ib.services import plan_drafts, plans, requests
from ib.services.proof import prove_range
from ib.services.settlement import settle_range
from ib.types import RuleTerms, VersionTerms
from platform_ops.models import DealMarket
from tests.factories import ib as factory
from tests.factories.changes import make_person
from tests.factories.ib import Broker, booked
from tests.factories.platform import MONDAY, SYSTEM, make_deal, make_spec, make_trade, noon

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)

# ------------------------------------------------------------------------------------------------------------- sentences

BARE = {field.name: field.default for field in RuleTerms.__dataclass_fields__.values() if field.name != "tiers"}
GROUP = {"symbol": None, "symbol_group": "Majors", "account_group": None, "account_type": None}


def said(*, tiers=(), **fields) -> str:
    values = {**BARE, **GROUP, "rate": Decimal(7), "level": 1, "currency": "USD", **fields}
    return sentence(SimpleNamespace(**values), tiers=tiers)


BASES = {
    "per_lot": "7.00 USD per lot",
    "points": "7 points",
    "spread_share": "7 % of the spread at entry",
    "markup_share": "7 % of the mark-up",
    "platform_commission_share": "7 % of the platform's commission",
    "notional_per_million": "7.00 per million of turnover",
    "client_profit_share": "7 % of the client's profit",
    "net_revenue_share": "7 % of net revenue",
    "cpa": "7.00 USD for a client",
    "per_active_client": "7.00 USD per active client",
}
WAYS = {
    "absolute": "",
    "difference": ", as the difference to those below",
    "allocation": ", as a part of the rate of the partner above",
    "pass_up": ", passed up by the partner below",
}
MORE = {
    "minimum_hold_seconds": (60, ", held for at least 60 seconds"),
    "maximum_hold_seconds": (90, ", held for at most 90 seconds"),
    "minimum_points": (Decimal("5.5"), ", moved at least 5.5 points"),
    "minimum_lots": (Decimal("0.10"), ", at least 0.1 lots"),
    "side": ("buy", ", buy only"),
    "only_profitable": (True, ", profitable trades only"),
    "hedged_once": (True, ", hedged volume once"),
    "pays_negative_balance": (False, ", no negative balance"),
    "uses_credit_coefficient": (True, ", less the part of credit"),
    "cap_per_order": (Decimal(9), ", at most 9 an order"),
    "cap_client_day": (Decimal(9), ", at most 9 a client and day"),
    "cap_client_lifetime": (Decimal(9), ", at most 9 a client for ever"),
    "cap_partner_period": (Decimal(9), ", at most 9 a period"),
}
TIER = SimpleNamespace(from_value=Decimal(50), rate=Decimal(8))
TIERS = {
    ("marginal", "this", "own"): "by the period of own clients: from 50 lots 8, only on what lies above",
    ("retroactive", "this", "team"): "by the period with everybody below: from 50 lots 8, on everything",
    ("retroactive", "prior", "own"): "by the period before of own clients: from 50 lots 8, on everything",
}


def test_every_basis_and_way_of_sharing_with_every_condition_and_tier_is_a_sentence():
    place = " on Majors to level 1"
    for (basis, words), (way, tail) in product(BASES.items(), WAYS.items()):
        head = "7 % of the rate" if way == "allocation" else words
        currency = "USD" if "USD" in words else ""
        where = place
        assert said(basis=basis, distribution=way, currency=currency) == head + where + tail
        for name, (value, more) in MORE.items():
            text = said(basis=basis, distribution=way, currency=currency, **{name: value})
            assert text == head + where + tail + more, name
        for (mode, window, scope), more in TIERS.items():
            text = said(
                basis=basis, distribution=way, currency=currency, tier_measure="lots", tier_mode=mode,
                tier_window=window, tier_scope=scope, tiers=[TIER],
            )  # fmt: skip
            assert text == f"{head}{where}{tail}, {more}"
    override = {"distribution": "override", "currency": ""}
    assert said(**override, override_of="direct", funded_by="broker").startswith(
        "7 % of the commission of the next one"
    )
    assert "everybody below, taken from them" in said(**override, override_of="all", funded_by="downline")
    assert said(basis="per_lot", symbol_group=None, level=None, rank="gold") == (
        "7.00 USD per lot on all symbols to every level of rank gold"
    )
    picky = said(account_type="ECN", country="DE", campaign="spring", dimension="book", dimension_value="A")
    assert picky == "7.00 USD per lot on Majors, ECN accounts, clients from DE, campaign spring, book A to level 1"


# ---------------------------------------------------------------------------------------------------------------- checks


def rule(number: int, **fields) -> RateRule:
    values = {"component": "main", "position": number, "basis": "per_lot", "rate": Decimal(7), "currency": "USD"}
    return RateRule(rule_id=number, **{**values, **fields})


def found(*rules: RateRule, ranks=(), depth=None, share=None, typical=None, **more) -> list[tuple[str, bool, tuple]]:
    version = VersionRules(1, rules, ranks, depth)
    checked = Checked(
        version=version,
        rules=rules,
        sentences={item.rule_id: f"rule {item.rule_id}" for item in rules},
        group_names={1: "Majors", 2: "Metals"},
        group_of_symbol={11: 1, 21: 2},
        maximum_share=share,
        **more,
    )
    return [(item.kind, item.is_fatal, item.rules) for item in check_version(checked, typical=typical or {})]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule(1, level=1), rule(2, level=1, symbol_group_id=1)], [("never_paid", True, (2, 1))]),
        ([rule(1, symbol_group_id=1), rule(2, symbol_id=11), rule(3)], [("never_paid", True, (2, 1))]),
        ([rule(1, symbol_group_id=1), rule(2, symbol_id=21), rule(3)], []),
        ([rule(1), rule(2, component="extra", level=1)], []),
        ([rule(1, requires=frozenset({("country", "DE")})), rule(2)], []),
        (
            [rule(1, requires=frozenset({("country", "DE")})), rule(2, symbol_group_id=1), rule(3)],
            [("overlap", False, (1, 2))],
        ),
        ([rule(1, rank="gold")], [("unknown_rank", True, (1,)), ("gap", False, ()), ("gap", False, ())]),
        ([rule(1, symbol_group_id=1)], [("gap", False, ())]),
        ([rule(1, level=1), rule(2, level=3)], [("gap", False, ()), ("gap", False, ())]),
        ([rule(1, rate=Decimal(0))], [("gap", False, ()), ("gap", False, ())]),
    ],
)
def test_rules_that_never_pay_overlap_or_leave_a_gap_are_named(rules, expected):
    assert found(*rules) == expected


def test_a_level_beyond_the_limit_never_pays_and_a_ladder_without_conditions_is_by_hand():
    assert found(rule(1, level=1), rule(2, level=2), depth=1) == [("never_paid", True, (2,))]
    kinds = [item[0] for item in found(rule(1, rank="a"), rule(2, rank="b"), ranks=("a", "b"), by_hand_only=("b",))]
    assert kinds == ["gap", "rank_by_hand"]  # a partner without a rank is paid nothing


def test_the_worst_case_of_a_chain_is_held_against_what_a_lot_brings_in():
    typical = {1: TypicalLot("USD", Decimal(10), spread=Decimal(10), commission=Decimal(6))}
    levels = (rule(1, level=1), rule(2, level=2, rate=Decimal(2)))
    assert found(*levels, share=Decimal(50), typical=typical)[0][:2] == ("guard", True)
    assert found(*levels, share=Decimal(60), typical=typical)[0][:2] == ("guard_kept", False)
    # Differences between ranks never pay more than the highest rate, however long the chain is
    ranks = tuple(
        rule(number, rank=code, rate=Decimal(rate), distribution="difference")
        for number, (code, rate) in enumerate((("a", 3), ("b", 5), ("c", 8)), start=1)
    )
    checked = Checked(VersionRules(1, ranks, ("a", "b", "c")), ranks, {}, {1: "Majors"})
    (case,) = worst_cases(checked, typical)
    assert (case.payout, case.percent) == (Decimal(8), Decimal("50.00"))
    shares = (rule(1, basis="spread_share", rate=Decimal(40), currency=""), rule(2, component="x", rate=Decimal(4)))
    (case,) = worst_cases(Checked(VersionRules(1, shares), shares, {}, {1: "Majors"}), typical)
    assert case.payout == Decimal(24)  # three levels: 4 of the spread and 4 each
    profit = (rule(1, basis="client_profit_share", rate=Decimal(10), currency=""),)
    assert ("guard_unknown", False, ()) in found(*profit, share=Decimal(50), typical=typical)


# ----------------------------------------------------------------------------------------------------------------- guard


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 10_000)), min_size=1, max_size=6),
    st.integers(1, 150),
)
@settings(max_examples=60, deadline=None)
def test_what_the_guard_leaves_never_exceeds_the_share_and_loses_less_than_a_cent_each(pairs, share):
    revenue = Decimal(pairs[0][1]) / 100
    payouts = [Payout(Decimal(cents) / 100, revenue, 2) for cents, _ in pairs]
    left = parts_of_share(payouts, Decimal(share))
    limit = revenue * share / 100
    total = sum((item.amount for item in payouts), Decimal(0))
    if total <= limit:
        assert all(part in (None, item.amount) for part, item in zip(left, payouts, strict=True))
    else:
        kept = sum((part for part in left if part is not None), Decimal(0))
        assert limit - Decimal("0.01") * len(payouts) < kept <= limit
        assert all(part <= item.amount for part, item in zip(left, payouts, strict=True))


def test_without_a_known_market_nothing_is_cut_and_without_revenue_nothing_is_paid():
    assert parts_of_share([Payout(Decimal(5), None, 2)], Decimal(50)) == [None]
    assert parts_of_share([Payout(Decimal(5), Decimal(0), 2)], Decimal(50)) == [Decimal(0)]


# ---------------------------------------------------------------------------------------------------------------- drafts


def lots(rate: str, **fields) -> RuleTerms:
    return RuleTerms(rate=Decimal(rate), **{"basis": "per_lot", "currency": "USD", "pays_close_by": True, **fields})


def share_of(basis: str, rate: str, **fields) -> RuleTerms:
    return RuleTerms(rate=Decimal(rate), basis=basis, pays_close_by=True, **fields)


@pytest.fixture
def broker(db):
    with time_machine.travel(NOW, tick=False):
        yield Broker()


def test_a_draft_is_edited_reordered_copied_and_compared_and_a_published_version_is_not(broker):
    (standing,) = broker.plan.versions.all()
    rules = list(standing.rules.order_by("position"))
    for act in (
        lambda: plan_drafts.edit_rule(rule_id=rules[0].pk, terms=lots("9", level=1), actor=SYSTEM),
        lambda: plan_drafts.move_rule(rule_id=rules[0].pk, place=2, actor=SYSTEM),
        lambda: plans.set_version_terms(version_id=standing.pk, terms=VersionTerms(), actor=SYSTEM),
    ):
        with pytest.raises(IllegalTransition):
            act()
    draft = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    first, second = draft.rules.get(level=1, symbol_group=None), draft.rules.get(level=2)
    edited = plan_drafts.edit_rule(
        rule_id=first.pk,
        terms=lots(
            "8", level=1, tier_measure="lots", tier_mode="marginal", tier_window="this", tier_scope="own",
            tiers=((Decimal(50), Decimal(9)),),
        ),
        actor=SYSTEM,
    )  # fmt: skip
    assert (edited.pk, edited.position) == (first.pk, first.position)
    assert str(edited).startswith(
        "8.00 USD per lot on all symbols to level 1, by the period of own clients: from 50 lots 9"
    )
    with pytest.raises(Conflict):
        plan_drafts.edit_rule(rule_id=second.pk, terms=lots("8", level=1), actor=SYSTEM)
    with pytest.raises(InvalidInput) as refused:
        plan_drafts.edit_rule(rule_id=second.pk, terms=lots("8", level=2, tier_measure="lots"), actor=SYSTEM)
    assert refused.value.details["field"] == "tier_measure"
    plan_drafts.move_rule(rule_id=second.pk, place=1, actor=SYSTEM)
    assert draft.rules.order_by("position").values_list("level", "position").first() == (2, 1)
    assert len(set(draft.rules.values_list("position", flat=True))) == draft.rules.count()
    plans.set_version_terms(version_id=draft.pk, terms=VersionTerms(depth_limit=2), actor=SYSTEM)
    diff = compare_versions(actor=SYSTEM, version_id=draft.pk)
    kinds = {row.new: row.kind for row in diff.rules}
    assert kinds[str(edited)] == "changed" and sorted(set(kinds.values())) == ["changed", "same"]
    assert ("Rate", "7", "8") in next(row.fields for row in diff.rules if row.new == str(edited))
    assert diff.terms == (("Depth limit", "none", "2"),)
    # The copy of the published version takes all of it back
    again = plan_drafts.draft_copy(version_id=standing.pk, actor=SYSTEM)
    assert again.pk == draft.pk
    assert {row.kind for row in compare_versions(actor=SYSTEM, version_id=draft.pk).rules} == {"same"}
    assert PlanVersion.objects.get(pk=draft.pk).depth_limit is None


def test_a_version_that_cannot_mean_what_it_says_is_not_published_by_a_person(broker):
    maker = make_person(Role.PARTNER_MANAGER, entities=[broker.entity])
    draft = plans.draft_version(plan_id=broker.plan.pk, actor=SYSTEM)
    plan_drafts.move_rule(rule_id=draft.rules.get(level=1, symbol_group=None).pk, place=1, actor=SYSTEM)
    check = check_plan_version(actor=maker, version_id=draft.pk)
    assert [item.kind for item in check.fatal] == ["never_paid"]
    with pytest.raises(InvalidInput, match="never pays"):
        requests.request_publication(version_id=draft.pk, valid_from=NOW, actor=maker, reason="x")
    plan_drafts.draft_copy(version_id=broker.plan.versions.get(state="published").pk, actor=SYSTEM)
    plans.set_version_terms(version_id=draft.pk, terms=VersionTerms(maximum_share_of_revenue=Decimal(40)), actor=SYSTEM)
    assert check_plan_version(actor=maker, version_id=draft.pk).fatal == ()
    tiered = lots(
        "8", level=4, tier_measure="lots", tier_mode="marginal", tier_window="this", tier_scope="own",
        tiers=((Decimal(50), Decimal(9)),),
    )  # fmt: skip
    plans.add_rule(version_id=draft.pk, terms=tiered, actor=SYSTEM)
    assert check_plan_version(actor=maker, version_id=draft.pk).fatal == ()
    # A bonus takes nothing from the other rules of its component, and they take nothing from it
    plans.add_rank(version_id=draft.pk, code="gold", name="Gold", actor=SYSTEM)
    bonus = RuleTerms(rate=Decimal(5), basis="rank_bonus", currency="USD", rank="gold", bonus_for="kept", position=0)
    plans.add_rule(version_id=draft.pk, terms=bonus, actor=SYSTEM)
    assert [item.kind for item in check_plan_version(actor=maker, version_id=draft.pk).fatal] == ["never_paid"]
    plan_drafts.set_rank(
        version_id=draft.pk, code="gold", conditions=[Condition("lots", "team", "month", Decimal(10))], actor=SYSTEM
    )
    assert check_plan_version(actor=maker, version_id=draft.pk).fatal == ()
    # Two things make no sense under a guard, and are refused by name, whoever publishes
    plans.add_rule(version_id=draft.pk, terms=lots("1", level=5, cap_client_lifetime=Decimal(100)), actor=SYSTEM)
    for kind in ("guard_and_lifetime_cap", "guard_without_trades"):
        assert [item.kind for item in check_plan_version(actor=maker, version_id=draft.pk).fatal] == [kind]
        with pytest.raises(InvalidInput) as refused:
            plans.publish_version(version_id=draft.pk, valid_from=NOW, actor=SYSTEM)
        assert refused.value.code == "version_not_sound"
        for rule in draft.rules.all():
            plans.remove_rule(rule_id=rule.pk, actor=SYSTEM)
        plans.add_rule(version_id=draft.pk, terms=RuleTerms(rate=Decimal(10), basis="net_revenue_share"), actor=SYSTEM)


# --------------------------------------------------------------------------------------------------------------- example


def trade_with_market(broker: Broker, account, *, size: str, spread: int, commission: str):
    """A buy from 1.1 to 1.2 whose market was so many points wide at both ends."""
    made = make_trade(
        account, lots=size, commission=f"-{commission}", profit="20000", at=noon(MONDAY), server_symbol=broker.eurusd
    )
    opening = make_deal(
        account=account,
        server_symbol=broker.eurusd,
        kind=0,
        entry=0,
        position_ticket=made.position_ticket,
        at=made.opened_at,
        volume_lots=Decimal(size),
    )
    width = Decimal(spread) / 100_000
    for deal, bid, ask in (
        (opening, Decimal("1.1") - width, Decimal("1.1")),
        (made, Decimal("1.2"), Decimal("1.2") + width),
    ):
        DealMarket.objects.create(
            server=broker.server, ticket=deal.ticket, leg=deal.leg, bid=bid, ask=ask, stated_as_of=noon(MONDAY)
        )
    return made


def settled(broker: Broker) -> None:
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    assert settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).lines == 0
    assert prove_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).rows == ()


PLANS = {
    "levels": ([lots("7", level=1), lots("2", level=2)], None, ()),
    "hybrid": ([lots("3"), share_of("spread_share", "25", component="spread", spread_sides="half_half")], None, ()),
    "commission": ([share_of("platform_commission_share", "30")], VersionTerms(rounding_mode="down"), ()),
    "turnover": ([share_of("notional_per_million", "12", level=1)], None, ()),
    "points": ([share_of("points", "1.5", minimum_points=Decimal(5))], None, ()),
    "profit": ([share_of("client_profit_share", "0.5", cap_per_order=Decimal(40))], None, ()),
    "override": (
        [
            lots("6", level=1),
            share_of("per_lot", "10", level=2, distribution="override", override_of="direct", funded_by="broker"),
        ],
        None,
        (),
    ),
    "too short": ([lots("7", minimum_hold_seconds=7_200)], None, ()),
    "ranks": (
        [lots("3", rank="low", distribution="difference"), lots("5", rank="high", distribution="difference")],
        None,
        ("low", "high"),
    ),
    "guarded": ([lots("7", level=1), lots("4", level=2)], VersionTerms(maximum_share_of_revenue=Decimal(40)), ()),
    "guarded tiers": (
        [
            lots(
                "7",
                level=1,
                tier_measure="lots",
                tier_mode="marginal",
                tier_window="this",
                tier_scope="own",
                tiers=((Decimal(1), Decimal(9)),),
            ),
            lots("4", level=2),
        ],
        VersionTerms(maximum_share_of_revenue=Decimal(40)),
        (),
    ),
    "tiers": (
        [
            lots(
                "5",
                level=1,
                tier_measure="lots",
                tier_mode="retroactive",
                tier_window="this",
                tier_scope="own",
                tiers=((Decimal(2), Decimal(6)),),
            )
        ],
        None,
        (),
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_live_example_is_what_a_settlement_pays(broker, name):
    from ib.models import PartnerRank
    from ib.services.validity import from_on

    rules, money, ranks = PLANS[name]
    make_spec(broker.eurusd.symbol)
    plan = factory.make_plan_of(broker.entity, *rules, money=money, ranks=ranks)
    top = broker.partner(plan=plan)
    low = broker.partner(plan=plan, parent=top)
    for partner, rank in zip((low, top), ranks, strict=False):
        PartnerRank.objects.create(partner=partner, rank=rank, validity=from_on(factory.LONG_AGO), source="automatic")
    trade_with_market(broker, broker.client_of(low), size="2", spread=12, commission="9")
    settled(broker)
    query = ExampleQuery(
        version_id=plan.versions.get().pk,
        symbol_id=broker.eurusd.symbol_id,
        lots=Decimal(2),
        open_price=Decimal("1.1"),
        close_price=Decimal("1.2"),
        spread_points=Decimal(12),
        commission=Decimal(9),
        chain=tuple(ExampleStep(rank) for rank in (ranks or ("", ""))),
    )
    result = example_of(actor=SYSTEM, query=checked_query(query))
    assert all(line.agrees for line in result.lines)
    expected = {partner: booked(partner) for partner in (low, top)}
    names = {low: "Partner 1", top: "Partner 2"}
    for partner, amount in expected.items():
        lines = [line for line in result.lines if line.partner.startswith(names[partner])]
        assert sum((line.amount for line in lines), Decimal(0)) == amount, name
    # The same through the real chain above the introducer
    real = example_of(actor=SYSTEM, query=checked_query(ExampleQuery(**{**_fields(query), "partner_id": low.pk})))
    assert sorted(line.amount for line in real.lines) == sorted(line.amount for line in result.lines)
    if name == "too short":
        assert {line.excluded for line in result.lines} == {"held for less than the plan asks"}
    else:
        assert sum(expected.values()) > 0


def _fields(query: ExampleQuery) -> dict:
    return {name: getattr(query, name) for name in query.__dataclass_fields__}


def test_a_guarded_trade_pays_its_share_of_revenue_and_says_so(broker):
    make_spec(broker.eurusd.symbol)
    plan = factory.make_plan_of(
        broker.entity, lots("7", level=1), lots("4", level=2), money=VersionTerms(maximum_share_of_revenue=Decimal(40))
    )
    top = broker.partner(plan=plan)
    low = broker.partner(plan=plan, parent=top)
    account = broker.client_of(low)
    # 2 lots: 12 points are 24 USD of spread, with 9 of commission 33 USD of revenue; 40 % of it are 13.20 instead of 22
    guarded = trade_with_market(broker, account, size="2", spread=12, commission="9")
    # 60 points are 120 USD: nothing is cut
    trade_with_market(broker, account, size="2", spread=60, commission="9")
    # Without a market there is nothing to hold it against
    make_trade(account, lots="2", at=noon(MONDAY) + timedelta(minutes=5), server_symbol=broker.eurusd)
    settled(broker)
    paid = {
        (line.partner_id == low.pk, line.trade_id == guarded.pk): (line.amount, line.cap_left)
        for line in CommissionLine.objects.order_by("-trade_id")
    }
    assert paid[True, True] == (Decimal("8.40"), Decimal("8.40"))
    assert paid[False, True] == (Decimal("4.80"), Decimal("4.80"))
    assert (booked(low), booked(top)) == (Decimal("36.40"), Decimal("20.80"))
    line = CommissionLine.objects.get(trade_id=guarded.pk, partner_id=low.pk)
    _, explanation = explain_line(actor=SYSTEM, reference=line.reference)
    assert explanation.agrees
    assert [step.title for step in explanation.steps if "Share" in step.title] == ["Share of revenue"]
    # A later version without the guard pays the rest from its day on, as differences
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    plans.set_version_terms(version_id=draft.pk, terms=VersionTerms(), actor=SYSTEM)
    plans.publish_version(version_id=draft.pk, valid_from=datetime(2026, 3, 1, tzinfo=UTC), actor=SYSTEM)
    settled(broker)
    assert (booked(low), booked(top)) == (Decimal(42), Decimal(24))


def test_the_guard_holds_for_what_is_valued_in_the_trades_order_and_follows_what_moves_a_tier_elsewhere(broker):
    # Given a cap by the month below and a tier by the team's lots above, which share 40 % of a trade's 33 USD
    make_spec(broker.eurusd.symbol)
    plan = factory.make_plan_of(
        broker.entity,
        lots("7", level=1, cap_partner_period=Decimal(1_000)),
        lots(
            "4", level=2, tier_measure="lots", tier_mode="retroactive", tier_window="this", tier_scope="team",
            tiers=((Decimal(5), Decimal(6)),),
        ),
        lots("1", level=3),
        money=VersionTerms(maximum_share_of_revenue=Decimal(40)),
    )  # fmt: skip
    head = broker.partner(plan=plan)
    top = broker.partner(plan=plan, parent=head)
    low, other = broker.partner(plan=plan, parent=top), broker.partner(plan=plan, parent=top)
    guarded = trade_with_market(broker, broker.client_of(low), size="2", spread=12, commission="9")

    def of_trade() -> list[Decimal]:
        lines = CommissionLine.objects.filter(trade_id=guarded.pk)
        return [
            sum((line.amount for line in lines if line.partner_id == partner.pk), Decimal(0))
            for partner in (low, top, head)
        ]

    # When it is settled, then what stands for itself goes first (2.00), and the two give in proportion for the rest
    settled(broker)
    assert of_trade() == [Decimal("7.12"), Decimal("4.07"), Decimal("2.00")]
    # And ten lots below somebody else raise the tier above, so that the one below gets less of the same 13.20
    make_trade(broker.client_of(other), lots="10", at=noon(MONDAY), server_symbol=broker.eurusd)
    settled(broker)
    assert of_trade() == [Decimal("6.03"), Decimal("5.16"), Decimal("2.00")]
    assert booked(other) == Decimal(70)  # without a market there is nothing to hold it against
    for line in CommissionLine.objects.filter(trade_id=guarded.pk):
        _, explanation = explain_line(actor=SYSTEM, reference=line.reference)
        assert explanation.agrees
    newest = CommissionLine.objects.filter(trade_id=guarded.pk, partner_id=top.pk).order_by("-seq").first()
    _, explanation = explain_line(actor=SYSTEM, reference=newest.reference)
    assert [step.title for step in explanation.steps if "Share" in step.title] == ["Share of revenue"]
    # And where a cap may have been the narrower one, both are named
    capped = CommissionLine.objects.filter(trade_id=guarded.pk, partner_id=low.pk).order_by("-seq").first()
    _, explanation = explain_line(actor=SYSTEM, reference=capped.reference)
    assert [step.title for step in explanation.steps if "hare" in step.title] == ["Cap or share of revenue"]


def test_queries_that_cannot_be_are_refused_by_field(broker):
    query = ExampleQuery(version_id=1, symbol_id=1, lots=Decimal(0), open_price=Decimal(1), close_price=Decimal(1))
    with pytest.raises(InvalidInput) as refused:
        checked_query(query)
    assert refused.value.details["field"] == "lots"
    assert PlanRule.objects.count() > 0
