"""Partners below a viewpoint: the league, and the tree that opens one level at a time."""

# ruff: noqa: S608 -- the SQL is built from constants of this package
from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from ib.selectors.data_centre import sources
from ib.selectors.data_centre.sources import fetch, rate_join, rates, reading, with_only, with_tables
from ib.selectors.data_centre.viewpoint import Filters, Viewpoint

MAXIMUM_PARTNERS = 5_000
CHILDREN_AT_ONCE = 200
FOUND_AT_ONCE = 30
FLAT_PERCENT = 5
"""A change of less than so many percent is none."""
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class LeagueRow:
    """A partner below (or of the house), by the clients whom they introduced themselves.

    `commission` is what the viewpoint earned through them; for a house, what the partner earned.
    """

    place: int
    partner_id: int
    reference: str
    name: str
    status: str
    level: int
    clients: int
    registered: int
    active: int
    trades: int
    lots: Decimal
    lots_before: Decimal
    commission: Decimal
    currency: str

    @property
    def trend(self) -> Decimal | None:
        """Percent more or less lots than in the days before; None where nothing was traded before."""
        return percent_change(self.lots, self.lots_before)


def percent_change(now: Decimal, before: Decimal) -> Decimal | None:
    """Percent, to a whole one."""
    return ((now - before) * 100 / before).quantize(Decimal(1)) if before else None


_STANDING = """
standing AS MATERIALIZED (
    SELECT introduced.introducer_id, count(DISTINCT introduced.client_id) AS clients FROM introduced
    WHERE coalesce(introduced.validity @> %(now)s::timestamptz, false) GROUP BY 1
),
joined AS MATERIALIZED (
    SELECT people.introducer_id, count(*) AS registered FROM people WHERE people.day BETWEEN %(from)s AND %(to)s GROUP BY 1
),
volume AS MATERIALIZED (
    SELECT traded.introducer_id,
           count(DISTINCT traded.client_id) FILTER (WHERE traded.day >= %(since)s) AS active,
           count(*) FILTER (WHERE traded.day >= %(since)s) AS trades,
           coalesce(sum(traded.volume_lots) FILTER (WHERE traded.day >= %(since)s), 0) AS lots,
           coalesce(sum(traded.volume_lots) FILTER (WHERE traded.day < %(since)s), 0) AS lots_before
    FROM traded GROUP BY 1
)"""

# Through whom a line came: the partner who introduced the client, whatever stands between.
_BY_INTRODUCER = """
paid AS MATERIALIZED (
    SELECT CASE WHEN direct.kind = 'trader' THEN card.path[2] ELSE direct.id END AS introducer_id, line.day, line.currency,
           sum(line.amount) AS amount
    FROM ib_commissionline AS line
    LEFT JOIN ib_commissionline AS before
      ON before.partner_id = line.partner_id AND before.trade_id = line.trade_id AND before.part = line.part
     AND before.day = line.day AND before.seq = line.seq - 1 AND line.card_entry_id IS NULL
    JOIN ib_ratecardentry AS card ON card.id = coalesce(line.card_entry_id, before.card_entry_id)
    JOIN ib_partner AS direct ON direct.id = card.path[1]
    WHERE line.partner_id = %(partner)s AND line.day BETWEEN %(from)s AND %(to)s
    GROUP BY 1, 2, 3
)"""
_BY_EARNER = """
paid AS MATERIALIZED (
    SELECT line.partner_id AS introducer_id, line.day, line.currency, sum(line.amount) AS amount
    FROM ib_commissionline AS line
    WHERE line.partner_id IN (SELECT id FROM ib_partner WHERE entity_id = %(entity)s)
      AND line.day BETWEEN %(from)s AND %(to)s
    GROUP BY 1, 2, 3
)"""

# Who stands below now, and how far; of a house, everybody.
_NOW_BELOW = f"""
WITH RECURSIVE now_below AS (
    SELECT self.id, 0 AS level, ARRAY[self.id] AS path FROM ib_partner AS self WHERE self.id = %(partner)s
    UNION ALL
    SELECT edge.child_id, now_below.level + 1, now_below.path || edge.child_id
    FROM now_below
    JOIN ib_partneredge AS edge ON edge.parent_id = now_below.id AND edge.validity @> %(now)s::timestamptz
    JOIN ib_partner AS child ON child.id = edge.child_id AND child.kind <> 'trader'
    WHERE cardinality(now_below.path) <= {sources.MAXIMUM_DEPTH} AND edge.child_id <> ALL(now_below.path)
)
SELECT partner.id, partner.reference, partner.name, partner.status, now_below.level
FROM now_below JOIN ib_partner AS partner ON partner.id = now_below.id ORDER BY now_below.path LIMIT %(limit)s
"""
_NOW_OF_HOUSE = """
SELECT partner.id, partner.reference, partner.name, partner.status, 1
FROM ib_partner AS partner WHERE partner.entity_id = %(entity)s AND partner.kind <> 'trader'
ORDER BY partner.reference LIMIT %(limit)s
"""


def league(view: Viewpoint, filters: Filters) -> list[LeagueRow]:
    """Partners by what they brought in the days, the best first; who brought nothing stands at the end."""
    before, _ = filters.before
    both = replace(filters, from_day=before) if _fits(before, filters.to_day) else filters
    now = clock.now()
    with reading():
        known = fetch(
            _NOW_OF_HOUSE if view.partner is None else _NOW_BELOW, view, filters, now=now, limit=MAXIMUM_PARTNERS
        )
        volumes = _volumes(view, both, filters.from_day)
        counts = _counts(view, filters)
        earned = _earned(view, filters)
    rows = []
    for partner_id, reference, name, status, level in known:
        clients, registered = counts.get(partner_id, (0, 0))
        active, trades, lots, lots_before = volumes.get(partner_id, NOTHING_TRADED)
        rows.append(
            LeagueRow(
                0, partner_id, reference, name, status, level, clients, registered, active, trades, lots, lots_before,
                earned.get(partner_id, ZERO), view.currency,
            )
        )  # fmt: skip
    ordered = sorted(rows, key=lambda row: (-row.commission, -row.lots, row.reference))
    return [replace(row, place=place) for place, row in enumerate(ordered, start=1)]


def _fits(first: date, last: date) -> bool:
    return (last - first).days <= 400


def _counts(view: Viewpoint, filters: Filters) -> dict[int, tuple[int, int]]:
    """By introducer: clients now, and registered in the days."""
    tables = with_tables(view, sources.CAMPAIGNS, sources.PEOPLE, _STANDING.partition(",\nvolume")[0].strip())
    rows = fetch(
        f"{tables} SELECT coalesce(standing.introducer_id, joined.introducer_id), coalesce(standing.clients, 0),"
        " coalesce(joined.registered, 0) FROM standing FULL JOIN joined USING (introducer_id)",
        view,
        filters,
        now=clock.now(),
    )
    return {row[0]: (row[1], row[2]) for row in rows}


NOTHING_TRADED = (0, 0, ZERO, ZERO)


def _volumes(view: Viewpoint, filters: Filters, since: date) -> dict[int, tuple[int, int, Decimal, Decimal]]:
    """By introducer: active clients, trades and lots since the day, and lots before it."""
    volume = "volume" + _STANDING.partition(",\nvolume")[2]
    rows = fetch(
        f"{with_tables(view, sources.TRADED, volume)} SELECT introducer_id, active, trades, lots, lots_before FROM volume",
        view,
        filters,
        since=since,
    )
    return {row[0]: row[1:] for row in rows}


def _earned(view: Viewpoint, filters: Filters) -> dict[int, Decimal]:
    tables = with_only(_BY_EARNER if view.partner is None else _BY_INTRODUCER, rates("paid"))
    rows = fetch(
        f"{tables} SELECT paid.introducer_id, sum(paid.amount * fx.rate) FROM paid {rate_join('paid')} GROUP BY 1",
        view,
        filters,
    )
    return dict(rows)


# ------------------------------------------------------------------------------------------------------------------ tree


@dataclass(frozen=True, slots=True)
class TreeBranch:
    """A partner with everybody below summed up: lots of the days (own clients and below) and of the days before."""

    partner_id: int
    reference: str
    name: str
    status: str
    children: int
    partners_below: int
    clients: int
    lots: Decimal
    lots_before: Decimal
    share: Decimal
    """Of the largest branch of the same level, between nought and one: how large the branch is drawn."""

    @property
    def trend(self) -> Decimal | None:
        """Percent more or less lots than in the days before."""
        return percent_change(self.lots, self.lots_before)

    @property
    def direction(self) -> str:
        """up, down, flat, or new where nothing was traded before."""
        if self.trend is None:
            return "new" if self.lots else "quiet"
        return "up" if self.trend >= FLAT_PERCENT else "down" if self.trend <= -FLAT_PERCENT else "flat"


@dataclass(frozen=True, slots=True)
class Forest:
    """Everybody below a viewpoint as they stand now, with the sums of their branches."""

    branches: dict[int, TreeBranch]
    children: dict[int | None, list[int]]
    parents: dict[int, int | None]

    def below(self, partner_id: int | None) -> list[TreeBranch]:
        """The branches that hang directly below one, the largest first; below None, those at the top."""
        found = [self.branches[child] for child in self.children.get(partner_id, ())]
        most = max((branch.lots for branch in found), default=ZERO)
        sized = [replace(branch, share=branch.lots / most if most else ZERO) for branch in found]
        return sorted(sized, key=lambda branch: (-branch.lots, -branch.clients, branch.reference))

    def path_to(self, partner_id: int) -> list[int]:
        """From the top to the partner, both counted."""
        path: list[int] = []
        here: int | None = partner_id
        while here is not None and here not in path:
            path.append(here)
            here = self.parents.get(here)
        return path[::-1]


_EDGES_NOW = """
SELECT edge.child_id, edge.parent_id FROM ib_partneredge AS edge
WHERE edge.child_id = ANY(%(ids)s::bigint[]) AND edge.validity @> %(now)s::timestamptz
"""


def forest(view: Viewpoint, filters: Filters) -> Forest:
    """The tree with its volumes: three statements, however large it is."""
    before, _ = filters.before
    both = replace(filters, from_day=before) if _fits(before, filters.to_day) else filters
    now = clock.now()
    with reading():
        known = fetch(
            _NOW_OF_HOUSE if view.partner is None else _NOW_BELOW, view, filters, now=now, limit=MAXIMUM_PARTNERS
        )
        ids = [row[0] for row in known]
        edges = dict(fetch(_EDGES_NOW, view, filters, ids=ids, now=now))
        volumes = _volumes(view, both, filters.from_day)
        counts = _counts(view, filters)
    inside = set(ids)
    top = view.partner.pk if view.partner is not None else None
    parents = {
        partner_id: edges.get(partner_id) if edges.get(partner_id) in inside and partner_id != top else None
        for partner_id in ids
    }
    children: dict[int | None, list[int]] = defaultdict(list)
    for partner_id, parent in parents.items():
        children[parent].append(partner_id)
    sums = _summed(ids, parents, children, counts, volumes)
    branches = {
        row[0]: TreeBranch(row[0], row[1], row[2], row[3], len(children.get(row[0], ())), *sums[row[0]], ZERO)
        for row in known
    }
    return Forest(branches, dict(children), parents)


Sums = tuple[int, int, Decimal, Decimal]


def _summed(
    ids: list[int],
    parents: dict[int, int | None],
    children: dict[int | None, list[int]],
    counts: dict[int, tuple[int, int]],
    volumes: dict[int, tuple[int, int, Decimal, Decimal]],
) -> dict[int, Sums]:
    """By partner: partners below, clients, lots, lots before, of themselves and everybody below. Deepest first."""
    order: list[int] = []
    waiting = list(children.get(None, ()))
    while waiting:
        here = waiting.pop()
        order.append(here)
        waiting.extend(children.get(here, ()))
    sums: dict[int, Sums] = {}
    for here in reversed(order):
        _, _, lots, lots_before = volumes.get(here, (0, 0, ZERO, ZERO))
        below, clients = 0, counts.get(here, (0, 0))[0]
        for child in children.get(here, ()):
            child_below, child_clients, child_lots, child_before = sums[child]
            below, clients = below + child_below + 1, clients + child_clients
            lots, lots_before = lots + child_lots, lots_before + child_before
        sums[here] = below, clients, lots, lots_before
    # A circle that tampering made hangs from no top and is shown by nobody.
    return {partner_id: sums.get(partner_id, (0, 0, ZERO, ZERO)) for partner_id in ids}


def branch_of(trees: Forest, partner_id: int) -> TreeBranch:
    """A branch by its partner. Raises NotFound for one that is not in the viewer's tree."""
    if partner_id not in trees.branches:
        raise NotFound("No such partner, or not one below you.", partner=partner_id)
    return trees.branches[partner_id]


def found_in(trees: Forest, wanted: str) -> list[TreeBranch]:
    """Branches whose number or name holds the words, at most some."""
    words = wanted.strip().casefold()
    if not words:
        return []
    found = [
        branch
        for branch in trees.branches.values()
        if words in branch.reference.casefold() or words in branch.name.casefold()
    ]
    return sorted(found, key=lambda branch: (-branch.lots, branch.reference))[:FOUND_AT_ONCE]
