"""The contest of a move: a quarter of the partners changes sides in the middle of the month; previewed, done, and from nothing.

The preview says by partner what the move books; the move must book just that. Both are compared with settling the days
that it touches from nothing.
"""

# ruff: noqa: S608 -- own text and own numbers
from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import SCHEMA, fetch_all
from backoffice.core.services import jobs
from backoffice.kernel.business_day import day_bounds
from ib.bench.world import ACTOR, DAYS, World
from ib.models import Partner
from ib.services.card import ensure_current_card
from ib.services.shards import RESETTLE_DAY, SETTLE_BATCH
from ib.services.tree import place_partner, write_placement
from ib.services.what_if import compare_set_ups

LARGEST_TEAM = 500
PREVIEW, MOVE, ANEW = "ours, preview of the move", "ours, the move", "ours, those days from nothing"

Booked = dict[int, Decimal]


class _Move:
    """Who moves where, and what came of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.days = world.days[DAYS // 2 :]
        self.moment: datetime = day_bounds(self.days[0])[0]
        self.batch_ids = world.batch_ids[DAYS // 2 : DAYS]
        partner_id, self.team, parent_id = fetch_all(
            _WHO_MOVES, {"wanted": min(LARGEST_TEAM, world.scale.partners // 4), "moment": self.moment}
        )[0]
        self.partner, self.parent = Partner.objects.get(pk=partner_id), Partner.objects.get(pk=parent_id)
        self.foretold: Booked = {}
        self.last_batch = 0

    def preview(self) -> None:
        def change(moment: datetime) -> None:
            write_placement(partner=self.partner, parent=self.parent, valid_from=moment)

        found: Booked = defaultdict(Decimal)
        for effect in compare_set_ups(change=change, valid_from=self.moment).booked_again:
            found[effect.partner_id] += effect.difference
        self.foretold = found

    def remember(self) -> None:
        self.last_batch = int(fetch_all("SELECT coalesce(max(id), 0) FROM ib_settlementbatch")[0][0])

    def move(self) -> None:
        place_partner(
            partner_id=self.partner.pk, parent_id=self.parent.pk, valid_from=self.moment, actor=ACTOR, reason="bench"
        )
        ensure_current_card(actor=ACTOR)
        jobs.run_ready(kind=RESETTLE_DAY, owner="bench:1")

    def booked(self) -> Mapping[str, Any]:
        rows = fetch_all(
            "SELECT partner_id, sum(amount) FROM ib_commissionline WHERE batch_id > %(last)s GROUP BY partner_id",
            {"last": self.last_batch},
        )
        return {"what is booked again": _checksum(dict(rows))}

    def settle_anew(self) -> None:
        jobs.run_ready(kind=SETTLE_BATCH, owner="bench:1")


def _checksum(booked: Booked) -> tuple[int, Decimal, Decimal]:
    """Partners with a difference, the sum, and one that changes when an amount moves to somebody else."""
    moved = {partner_id: amount for partner_id, amount in booked.items() if amount}
    return (
        len(moved),
        sum(moved.values(), Decimal(0)),
        sum((amount * (partner_id % 997) for partner_id, amount in moved.items()), Decimal(0)),
    )


def moves(world: World) -> Contest:
    """The contest, after the whole period was settled. The world is another one afterwards."""
    move = _Move(world)
    days = "', '".join(day.isoformat() for day in move.days)
    units = int(fetch_all(f"SELECT count(*) FROM platform_ops_trade WHERE business_day IN ('{days}')")[0][0])
    return Contest(
        f"move of {move.team} partners",
        "trades",
        [
            Contender(PREVIEW, move.preview, units, turns=1,
                      checksums=lambda: {"what is booked again": _checksum(move.foretold)}),
            Contender(MOVE, move.move, units, prepare=move.remember, checksums=move.booked, turns=1),
            Contender(ANEW, move.settle_anew, units, prepare=lambda: world.reset(move.batch_ids), turns=1),
        ],
        [
            Comparison("preview the move of a team", PREVIEW, ANEW, target=1.5),
            Comparison("move a team: the differences", MOVE, ANEW, target=1.5),
        ],
        rounds=1,
    )  # fmt: skip


_WHO_MOVES = f"""
WITH RECURSIVE edge AS (
    SELECT child_id, parent_id FROM ib_partneredge WHERE validity @> %(moment)s::timestamptz
), below (head_id, id) AS (
    SELECT id, id FROM {SCHEMA}.tree
    UNION ALL
    SELECT below.head_id, edge.child_id FROM below JOIN edge ON edge.parent_id = below.id
), team AS (
    SELECT head_id, count(*) AS members FROM below GROUP BY head_id
), chosen AS (
    SELECT head_id, members FROM team ORDER BY abs(members - %(wanted)s), head_id LIMIT 1
)
SELECT chosen.head_id, chosen.members, (
    SELECT tree.id FROM {SCHEMA}.tree AS tree
    WHERE tree.level <= 2 AND tree.id NOT IN (SELECT id FROM below WHERE head_id = chosen.head_id)
      AND tree.id NOT IN (SELECT parent_id FROM edge WHERE child_id = chosen.head_id)
    ORDER BY tree.level, tree.id DESC LIMIT 1
) FROM chosen
"""
