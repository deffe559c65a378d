"""Common tables of the data centre's statements: who is introduced, what they traded, paid in, and what it earned.

Every page, file and endpoint is built of these, so a figure is the same wherever it is read. Trees and referrals count as
they were at the time of each fact. Commission comes from the lines themselves, not from who is introduced now: what a
later change took back is in it. Amounts are brought into the viewpoint's currency by the reference rates of their days.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this package and of the platform's
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from ib.engine.period_facts import VALID_EVENT
from ib.selectors.data_centre.viewpoint import Dimension, Filters, Viewpoint
from platform_ops.selectors.rates import crossed_rates_select

MAXIMUM_DEPTH = 100
UNKNOWN = ""

# From one partner down: whoever introduced a client, and through which partner directly below. A client with a rebate is a
# node that counts as no level and as nobody by itself.
_FROM_PARTNER = f"""
below AS (
    SELECT self.id AS partner_id, self.id AS introducer_id, NULL::bigint AS branch_id,
           (self.kind <> 'trader')::int AS level, tstzrange(NULL, NULL) AS validity, ARRAY[self.id] AS path
    FROM ib_partner AS self WHERE self.id = %(partner)s
    UNION ALL
    SELECT edge.child_id,
           CASE WHEN child.kind = 'trader' THEN below.introducer_id ELSE edge.child_id END,
           CASE WHEN child.kind = 'trader' THEN below.branch_id ELSE coalesce(below.branch_id, edge.child_id) END,
           below.level + (child.kind <> 'trader')::int, below.validity * edge.validity, below.path || edge.child_id
    FROM below
    JOIN ib_partneredge AS edge ON edge.parent_id = below.partner_id AND edge.validity && below.validity
    JOIN ib_partner AS child ON child.id = edge.child_id
    WHERE cardinality(below.path) <= {MAXIMUM_DEPTH} AND edge.child_id <> ALL(below.path)
),
introduced AS MATERIALIZED (
    SELECT referral.client_id, below.level, below.introducer_id, coalesce(below.branch_id, below.introducer_id) AS branch_id,
           below.validity * referral.validity AS validity
    FROM below
    JOIN ib_clientreferral AS referral
      ON referral.partner_id = below.partner_id AND referral.validity && below.validity
)"""

_FROM_HOUSE = """
introduced AS MATERIALIZED (
    SELECT referral.client_id, 1 AS level, coalesce(edge.parent_id, partner.id) AS introducer_id,
           coalesce(edge.parent_id, partner.id) AS branch_id,
           CASE WHEN edge.id IS NULL THEN referral.validity ELSE referral.validity * edge.validity END AS validity
    FROM ib_clientreferral AS referral
    JOIN ib_partner AS partner ON partner.id = referral.partner_id AND partner.entity_id = %(entity)s
    LEFT JOIN ib_partneredge AS edge
      ON partner.kind = 'trader' AND edge.child_id = partner.id AND edge.validity && referral.validity
)"""

# Of which campaign a client came: the first code that any of their accounts carried.
CAMPAIGNS = """
campaign_of AS MATERIALIZED (
    SELECT DISTINCT ON (account.client_id) account.client_id, dimension.value AS campaign
    FROM platform_ops_accountdimension AS dimension
    JOIN platform_ops_tradingaccount AS account ON account.id = dimension.account_id
    WHERE dimension.dimension = 'campaign' AND account.client_id IS NOT NULL
    ORDER BY account.client_id, lower(dimension.validity) NULLS FIRST, dimension.id
)"""

# The business day of a moment: it closes at 17:00 in New York, and what happens from Friday's close on is Monday's.
_DAY_OF = """(SELECT day + CASE extract(isodow FROM day) WHEN 6 THEN 2 WHEN 7 THEN 1 ELSE 0 END
            FROM (SELECT (({moment} AT TIME ZONE 'America/New_York') + interval '7 hours')::date AS day) AS calendar)"""

_PEOPLE_FILTER = """
    (%(level)s::int IS NULL OR introduced.level = %(level)s)
    AND (%(country)s = '' OR client.country = %(country)s)
    AND (%(campaign)s = '' OR campaign_of.campaign = %(campaign)s)
"""


def day_of(moment: str) -> str:
    """The business day of a moment, as SQL."""
    return _DAY_OF.format(moment=moment)


OWN_ACCOUNT = "NOT account.is_demo AND (people.left_at IS NULL OR account.opened_at < people.left_at)"
"""Accounts of `people` that are of interest: what somebody opens after they left is another's."""


OPENED_HERE = "(account.opened_at < people.joined_at OR people.spans @> account.opened_at)"
"""Brought along, or opened while they counted for the viewpoint: what somebody opened elsewhere in between does not."""


# Each client once, where they stand now (or stood last), and since when they count for the viewpoint.
PEOPLE = f"""
person AS MATERIALIZED (
    SELECT DISTINCT ON (introduced.client_id) introduced.client_id, introduced.level, introduced.introducer_id,
           introduced.branch_id, client.country, coalesce(campaign_of.campaign, '') AS campaign,
           min(lower(introduced.validity)) OVER (PARTITION BY introduced.client_id) AS since_at,
           upper(introduced.validity) AS left_at,
           range_agg(introduced.validity) OVER (PARTITION BY introduced.client_id) AS spans,
           greatest(coalesce(client.registered_at, client.created_at),
                    min(lower(introduced.validity)) OVER (PARTITION BY introduced.client_id)) AS joined_at
    FROM introduced
    JOIN crm_client AS client ON client.id = introduced.client_id
    LEFT JOIN campaign_of ON campaign_of.client_id = introduced.client_id
    WHERE {_PEOPLE_FILTER}
    ORDER BY introduced.client_id, upper(introduced.validity) DESC NULLS FIRST
),
people AS MATERIALIZED (
    SELECT person.*, {day_of("person.joined_at")} AS day, NULL::bigint AS symbol_group_id FROM person
)"""

# Trading accounts, counted when they were opened, or when their owner came to the viewpoint.
ACCOUNTS = f"""
opened AS MATERIALIZED (
    SELECT account.id, people.client_id, people.level, people.introducer_id, people.branch_id, people.country,
           people.campaign, NULL::bigint AS symbol_group_id,
           {day_of("greatest(account.opened_at, people.joined_at)")} AS day
    FROM people
    JOIN platform_ops_tradingaccount AS account ON account.client_id = people.client_id AND {OWN_ACCOUNT} AND {OPENED_HERE}
)"""

_TRADE_CAMPAIGN = """
    LEFT JOIN platform_ops_accountdimension AS code
      ON code.account_id = t.account_id AND code.dimension = 'campaign' AND coalesce(code.validity @> t.closed_at, false)
"""

TRADED = f"""
traded AS MATERIALIZED (
    SELECT t.id, introduced.client_id, introduced.level, introduced.introducer_id, introduced.branch_id,
           t.business_day AS day, t.volume_lots, t.close_price, t.closed_at, client.country,
           coalesce(code.value, '') AS campaign, symbol.id AS symbol_id, symbol.group_id AS symbol_group_id,
           symbol.profit_currency AS currency
    FROM introduced
    JOIN crm_client AS client ON client.id = introduced.client_id
    JOIN platform_ops_tradingaccount AS account ON account.client_id = introduced.client_id AND NOT account.is_demo
    JOIN platform_ops_trade AS t
      ON t.account_id = account.id AND t.business_day BETWEEN %(from)s AND %(to)s AND NOT t.is_cancelled AND t.volume_lots > 0
     AND coalesce(introduced.validity @> t.closed_at, false)
    LEFT JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
    LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
    {_TRADE_CAMPAIGN}
    WHERE (%(level)s::int IS NULL OR introduced.level = %(level)s)
      AND (%(country)s = '' OR client.country = %(country)s)
      AND (%(campaign)s = '' OR code.value = %(campaign)s)
      AND (%(symbol_group)s::bigint IS NULL OR symbol.group_id = %(symbol_group)s)
)"""

# The value of a trade at its closing price, in its profit currency, by the house's own function. It is in proportion to
# price times lots, so that trades of a day on one specification are valued together.
NOTIONAL = """
moved AS MATERIALIZED (
    SELECT {key} AS key, traded.day, traded.currency, spec.id AS specification_id, count(*) AS trades,
           sum(traded.close_price * traded.volume_lots) AS price_lots
    FROM traded
    LEFT JOIN platform_ops_symbolspec AS spec
      ON spec.symbol_id = traded.symbol_id AND coalesce(spec.validity @> traded.closed_at, false)
    GROUP BY 1, 2, 3, 4
),
worth AS MATERIALIZED (
    SELECT moved.key, moved.day, moved.currency, moved.trades,
           platform_move_value(spec.calculation_mode, spec.contract_size, spec.tick_size, spec.tick_value,
                               spec.face_value, moved.price_lots, 1) AS amount
    FROM moved LEFT JOIN platform_ops_symbolspec AS spec ON spec.id = moved.specification_id
)"""

# Facts that were not taken out again, of clients who counted at that time. The first deposit is the first of a client's life.
TOLD = f"""
told AS MATERIALIZED (
    SELECT event.id, event.kind, event.amount, event.currency, event.at, event.day, introduced.client_id, introduced.level,
           introduced.introducer_id, introduced.branch_id, client.country, coalesce(campaign_of.campaign, '') AS campaign,
           NULL::bigint AS symbol_group_id, event.kind IN ('deposit', 'kyc_verified') AND NOT EXISTS (
               SELECT 1 FROM ib_clientevent AS earlier
               WHERE earlier.client_id = event.client_id AND earlier.kind = event.kind
                 AND (earlier.at, earlier.id) < (event.at, event.id) AND earlier.reverses_id IS NULL
                 AND NOT EXISTS (SELECT 1 FROM ib_clientevent AS undone WHERE undone.reverses_id = earlier.id)
           ) AS is_first
    FROM introduced
    JOIN crm_client AS client ON client.id = introduced.client_id
    JOIN ib_clientevent AS event
      ON event.client_id = introduced.client_id AND event.day BETWEEN %(from)s AND %(to)s
     AND event.kind IN ('kyc_verified', 'deposit', 'withdrawal', 'refund', 'chargeback')
     AND coalesce(introduced.validity @> event.at, false)
    LEFT JOIN campaign_of ON campaign_of.client_id = introduced.client_id
    WHERE {VALID_EVENT} AND {_PEOPLE_FILTER}
)"""

_OF_WHOM = """(line.partner_id = %(partner)s
          OR %(partner)s::bigint IS NULL AND line.partner_id IN (SELECT id FROM ib_partner WHERE entity_id = %(entity)s))"""

# A line that took something back has no entry of the card and borrows that of the line before.
_WITH_CARD = """
    LEFT JOIN ib_commissionline AS before
      ON before.partner_id = line.partner_id AND before.trade_id = line.trade_id AND before.part = line.part
     AND before.day = line.day AND before.seq = line.seq - 1 AND line.card_entry_id IS NULL
    LEFT JOIN ib_ratecardentry AS card ON card.id = coalesce(line.card_entry_id, before.card_entry_id)"""
_WITH_CLIENT = """
    JOIN platform_ops_trade AS t ON t.id = line.trade_id
    JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
    LEFT JOIN crm_client AS client ON client.id = account.client_id"""
_WITH_SYMBOL = """
    LEFT JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
    LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id"""


def lines(filters: Filters, *asked: Dimension, has_client: bool = False, has_card: bool = False) -> str:
    """The table `line`: commission on trades. Joined is only what the filters or the asked dimensions look at."""
    of_campaign = bool(filters.campaign) or Dimension.CAMPAIGN in asked
    of_symbol = filters.symbol_group_id is not None or Dimension.SYMBOL_GROUP in asked
    of_client = has_client or bool(filters.country) or Dimension.COUNTRY in asked
    of_branch = Dimension.PARTNER in asked
    columns, joins, conditions = "", "", ""
    if of_client or of_campaign or of_symbol:
        columns += ", account.client_id, client.country"
        joins += _WITH_CLIENT
        conditions += " AND (%(country)s = '' OR client.country = %(country)s)"
    if of_campaign:
        columns += ", coalesce(code.value, '') AS campaign"
        joins += _TRADE_CAMPAIGN
        conditions += " AND (%(campaign)s = '' OR code.value = %(campaign)s)"
    if of_symbol:
        columns += ", symbol.group_id AS symbol_group_id"
        joins += _WITH_SYMBOL
        conditions += " AND (%(symbol_group)s::bigint IS NULL OR symbol.group_id = %(symbol_group)s)"
    if of_branch or has_card:
        columns += """, coalesce(card.component, '') AS component, coalesce(card.basis, '') AS basis,
           CASE WHEN %(partner)s::bigint IS NULL THEN line.partner_id
                WHEN line.level > 1 THEN card.path[cardinality(card.path) - 1] ELSE line.partner_id END AS branch_id"""
        joins = _WITH_CARD + joins
    return f"""
line AS MATERIALIZED (
    SELECT line.partner_id, line.trade_id, line.day, line.level, line.amount, line.currency{columns}
    FROM ib_commissionline AS line{joins}
    WHERE line.day BETWEEN %(from)s AND %(to)s AND {_OF_WHOM}
      AND (%(level)s::int IS NULL OR line.level = %(level)s){conditions}
)"""


# What is earned by the period has no symbol; where it is about a client it has their country and campaign.
PERIOD_LINES = f"""
period_line AS MATERIALIZED (
    SELECT line.id, line.partner_id, line.kind, line.day, line.level, line.amount, line.currency, client.id AS client_id,
           coalesce(client.country, '') AS country, coalesce(campaign_of.campaign, '') AS campaign,
           NULL::bigint AS symbol_group_id,
           CASE WHEN %(partner)s::bigint IS NULL THEN line.partner_id END AS branch_id
    FROM ib_periodline AS line
    LEFT JOIN ib_clientevent AS event ON event.id = line.cause_event_id
    LEFT JOIN crm_client AS client
      ON client.id = CASE WHEN line.subject_type = 'client' THEN line.subject_id ELSE event.client_id END
    LEFT JOIN campaign_of ON campaign_of.client_id = client.id
    WHERE line.day BETWEEN %(from)s AND %(to)s AND {_OF_WHOM}
      AND (%(level)s::int IS NULL OR line.level = %(level)s)
      AND (%(country)s = '' OR client.country = %(country)s)
      AND (%(campaign)s = '' OR campaign_of.campaign = %(campaign)s)
      AND %(symbol_group)s::bigint IS NULL
)"""

ADJUSTMENTS = f"""
adjustment AS MATERIALIZED (
    SELECT line.id, line.partner_id, line.booked_day AS day, NULL::smallint AS level, line.amount, line.currency,
           '' AS country, '' AS campaign, NULL::bigint AS symbol_group_id,
           CASE WHEN %(partner)s::bigint IS NULL THEN line.partner_id END AS branch_id
    FROM ib_commissionadjustment AS line
    WHERE line.booked_day BETWEEN %(from)s AND %(to)s AND {_OF_WHOM}
      AND %(level)s::int IS NULL AND %(country)s = '' AND %(campaign)s = '' AND %(symbol_group)s::bigint IS NULL
)"""

_KEYS = {
    Dimension.DAY: "{source}.day::text",
    Dimension.MONTH: "to_char({source}.day, 'YYYY-MM')",
    Dimension.LEVEL: "coalesce({source}.level::text, '')",
    Dimension.COUNTRY: "coalesce({source}.country, '')",
    Dimension.CAMPAIGN: "{source}.campaign",
    Dimension.SYMBOL_GROUP: "coalesce({source}.symbol_group_id::text, '')",
    Dimension.PARTNER: "coalesce({source}.branch_id::text, '')",
}


def key_of(source: str, by: Dimension | None) -> str:
    """The expression by which a source is grouped; everything at once without a dimension."""
    return _KEYS[by].format(source=source) if by is not None else "''"


def introduced_by(view: Viewpoint) -> str:
    """The tables `introduced` (and what it needs), to stand after WITH RECURSIVE."""
    return _FROM_PARTNER if view.partner is not None else _FROM_HOUSE


def rates(source: str, *, name: str = "fx") -> str:
    """The table of this name: rates from the currencies of a source into the viewpoint's, for the days of the source."""
    given = f"(SELECT array_agg(DISTINCT currency::text) FROM {source})"
    into = f"(SELECT array_agg(%(view_currency)s::text) FROM (SELECT DISTINCT currency FROM {source}) AS each)"
    days = f"(SELECT array_agg(DISTINCT day) FROM {source})"
    return f"{name} AS MATERIALIZED ({crossed_rates_select(days=days, given=given, into=into)})"


def rate_join(source: str) -> str:
    """LEFT JOIN of `fx` to a source."""
    return f"LEFT JOIN fx ON fx.day = {source}.day AND fx.rate_currency = {source}.currency"


@contextmanager
def reading() -> Iterator[None]:
    """Statements of one page see the same books. What is compiled at run time takes longer to compile than to run."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true)")
        yield


def fetch(sql: str, view: Viewpoint, filters: Filters, **more: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, within `reading`."""
    with connection.cursor() as cursor:
        cursor.execute(sql, {**view.parameters, **filters.parameters, **more})
        return list(cursor.fetchall())


def with_tables(view: Viewpoint, *tables: str) -> str:
    """WITH RECURSIVE and the tables, in order, after who is introduced."""
    return f"WITH RECURSIVE {','.join([introduced_by(view), *tables])}"


def with_only(*tables: str) -> str:
    """WITH and the tables, where nobody's introducer matters."""
    return f"WITH {','.join(tables)}"


def labels(table: str, name: str, ids: Sequence[int]) -> dict[int, str]:
    """Names of rows by id."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, {name} FROM {table} WHERE id = ANY(%s)", [list(ids)])
        return dict(cursor.fetchall())
