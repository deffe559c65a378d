"""The contest of plans with tiers: what a month costs when one plan pays more the more lots a partner has brought.

Such a line hangs on the trades before it, so it is valued in their order, by partner and month, after the others. The other
lines must be the same to the cent, and the proof must derive every one of them anew.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import fetch_all, fill_tables, settle_down
from backoffice.core.services import jobs
from backoffice.kernel.errors import Conflict
from ib.bench.world import ACTOR, World
from ib.services import ordered
from ib.services.card import compile_rate_card
from ib.services.proof import prove_range
from ib.services.shards import SETTLE_BATCH

PLAIN, TIERED = "ours, without tiers", "ours, tiers in one plan"


class _Month:
    """The first month of the world, settled from nothing without tiers and with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.days = [day for day in world.days if day.month == world.days[0].month]
        self.batch_ids = world.batch_ids[: len(self.days)]
        self.period: date = self.days[0].replace(day=1)

    def settle(self) -> None:
        jobs.run_ready(kind=SETTLE_BATCH, owner="bench:1")

    def settle_with_tiers(self) -> None:
        self.settle()
        ordered.settle_due(actor=ACTOR, periods=[self.period])

    def add_tiers(self) -> None:
        fill_tables((_RULES, _TIERS), {})
        settle_down(("ib_planrule", "ib_plantier"))
        compile_rate_card(actor=ACTOR)
        self.world.reset(self.batch_ids)

    def others(self) -> Mapping[str, Any]:
        """The lines of the rules without tiers."""
        return {"lines without tiers": fetch_all(_OTHERS)[0]}

    def proved_and_others(self) -> Mapping[str, Any]:
        """The same, when the proof has derived every line anew."""
        proof = prove_range(from_day=self.days[0], to_day=self.days[-1], actor=ACTOR)
        if not proof.ok:
            raise Conflict(f"The proof found {proof.count} contradictions.", code="bench_checksum", rows=proof.rows[:3])
        return self.others()

    def tiered(self) -> Mapping[str, float]:
        partners, lines, reached = fetch_all(_TIERED)[0]
        if not reached:
            raise Conflict("No partner has come to a tier.", code="bench_checksum")
        return {"partners": float(partners), "lines": float(lines), "lines_past_a_tier": float(reached)}


def tiers(world: World) -> Contest:
    """The contest. The world pays by tiers afterwards."""
    month = _Month(world)
    units = int(
        fetch_all(
            "SELECT count(*) FROM platform_ops_trade WHERE batch_id = ANY(%(batches)s)",
            {"batches": list(month.batch_ids)},
        )[0][0]
    )
    return Contest(
        "plans with tiers",
        "trades",
        [
            Contender(PLAIN, month.settle, units, prepare=lambda: world.reset(month.batch_ids), checksums=month.others,
                      turns=1),
            Contender(TIERED, month.settle_with_tiers, units, prepare=month.add_tiers,
                      checksums=month.proved_and_others, notes=month.tiered, turns=1),
        ],
        [Comparison("settle a month, one plan with tiers", TIERED, PLAIN, target=2)],
        rounds=1,
    )  # fmt: skip


_RULES = """
INSERT INTO ib_planrule
    (component, basis, distribution, pays_close_by, pays_negative_balance, version_id, position, level, rate, currency,
     tier_measure, tier_mode, tier_window, tier_scope)
SELECT 'volume', 'per_lot', 'absolute', true, true, version.id, 900, 1, 0.5, 'USD', 'lots', 'marginal', 'this', 'own'
FROM ib_planversion AS version WHERE version.plan_id = (SELECT min(id) FROM ib_plan WHERE id %% 8 = 1)
"""
_TIERS = """
INSERT INTO ib_plantier (rule_id, from_value, rate)
SELECT rule.id, tier.from_value, tier.rate
FROM ib_planrule AS rule CROSS JOIN (VALUES (20, 0.75), (100, 1)) AS tier (from_value, rate)
WHERE rule.component = 'volume'
"""
_OTHERS = """
SELECT count(*), coalesce(sum(line.amount), 0), coalesce(sum(line.amount * (line.trade_id % 1009)), 0),
       coalesce(sum(line.amount * (line.partner_id % 997)), 0)
FROM ib_commissionline AS line JOIN ib_planrule AS rule ON rule.id = line.rule_id
WHERE rule.component <> 'volume'
"""
_TIERED = """
SELECT count(DISTINCT line.partner_id), count(*), count(*) FILTER (WHERE line.tier_before >= 20)
FROM ib_commissionline AS line JOIN ib_planrule AS rule ON rule.id = line.rule_id
WHERE rule.component = 'volume'
"""
