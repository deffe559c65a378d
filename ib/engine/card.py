"""Compiles everything dated (tree, agreements, plan versions, rules) into flat rates, in SQL.

Ranges are intersected here, once per change of the set-up, and not for every trade. The result is content-addressed: an
entry that is still true keeps its row and its id, one that is not is set aside, and none is ever rewritten.
"""

from __future__ import annotations

# Partners are placed first and rated then: the other way round every chain would meet every rule of its level. The planner
# cannot know that (it expects a handful of rows from the ranges), so the steps are fenced by MATERIALIZED.
# A chain of partners is followed only as far up as some rule pays; the path stops a cycle that tampering made.
CREATE_BUILD = """
CREATE TEMP TABLE ib_card_build ON COMMIT DROP AS
WITH RECURSIVE
deepest AS (
    SELECT coalesce(max(rule.level), 0) AS level
    FROM ib_planrule AS rule
    JOIN ib_planversion AS version ON version.id = rule.version_id AND version.state = 'published'
),
chain AS (
    SELECT partner.id AS direct_partner_id, partner.id AS beneficiary_id, 1 AS level, ARRAY[partner.id] AS path,
           tstzrange(NULL, NULL) AS validity
    FROM ib_partner AS partner
    UNION ALL
    SELECT chain.direct_partner_id, edge.parent_id, chain.level + 1, chain.path || edge.parent_id,
           chain.validity * edge.validity
    FROM chain
    JOIN ib_partneredge AS edge ON edge.child_id = chain.beneficiary_id AND edge.validity && chain.validity
    CROSS JOIN deepest
    WHERE chain.level < deepest.level AND edge.parent_id <> ALL(chain.path)
),
promise AS MATERIALIZED (
    SELECT agreement.partner_id, version.id AS version_id, agreement.validity * version.validity AS validity
    FROM ib_agreement AS agreement
    JOIN ib_planversion AS version
      ON version.plan_id = agreement.plan_id AND version.state = 'published' AND version.validity && agreement.validity
),
rate AS MATERIALIZED (
    SELECT DISTINCT ON (rule.version_id, rule.level, symbol_group.id)
           rule.version_id, rule.level, symbol_group.id AS symbol_group_id, rule.id AS rule_id, rule.rate,
           rule.currency AS rate_currency
    FROM ib_planrule AS rule
    JOIN platform_ops_symbolgroup AS symbol_group
      ON rule.symbol_group_id IS NULL OR rule.symbol_group_id = symbol_group.id
    ORDER BY rule.version_id, rule.level, symbol_group.id, rule.position
),
placed AS MATERIALIZED (
    SELECT chain.direct_partner_id, chain.beneficiary_id, chain.level, chain.path, promise.version_id,
           partner.currency AS reward_currency, digits.digits AS reward_digits,
           chain.validity * promise.validity AS validity
    FROM chain
    JOIN promise ON promise.partner_id = chain.beneficiary_id AND promise.validity && chain.validity
    JOIN ib_partner AS partner ON partner.id = chain.beneficiary_id
    JOIN unnest(%(currencies)s::text[], %(digits)s::smallint[]) AS digits(currency, digits)
      ON digits.currency = partner.currency
),
entry AS (
    SELECT placed.direct_partner_id, rate.symbol_group_id, placed.beneficiary_id, placed.level, placed.path,
           rate.rule_id, rate.rate, rate.rate_currency, placed.reward_currency, placed.reward_digits,
           lower(placed.validity) AS valid_from, upper(placed.validity) AS valid_to
    FROM placed
    JOIN rate ON rate.version_id = placed.version_id AND rate.level = placed.level
    WHERE rate.rate > 0
)
SELECT entry.*,
       sha256(convert_to(concat_ws('|', direct_partner_id, symbol_group_id, beneficiary_id, level,
           array_to_string(path, ','), rule_id, rate, rate_currency, reward_currency, reward_digits,
           coalesce(extract(epoch FROM valid_from)::text, '-'),
           coalesce(extract(epoch FROM valid_to)::text, '-')), 'UTF8')) AS content_key
FROM entry
"""

DIGEST = """
SELECT count(*), encode(sha256(coalesce(string_agg(content_key, ''::bytea ORDER BY content_key), ''::bytea)), 'hex')
FROM ib_card_build
"""

CURRENCY_PAIRS = """
SELECT DISTINCT rate_currency, reward_currency FROM ib_card_build ORDER BY rate_currency, reward_currency
"""

# What the change touches: the (direct partner, group) pairs that are valued otherwise, and from when to when. An entry whose
# validity is cut or carried on stays what it was for the rest of its time: only where the spans differ is anything settled
# again, so a plan that is published for next month settles nothing of the past.
CREATE_CHANGED = """
CREATE TEMP TABLE ib_card_changed ON COMMIT DROP AS
WITH changed AS (
    SELECT true AS is_new, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id, rate,
           rate_currency, reward_currency, reward_digits, valid_from, valid_to
    FROM ib_card_build AS build
    WHERE NOT EXISTS (
        SELECT 1 FROM ib_ratecardentry AS known WHERE known.is_current AND known.content_key = build.content_key)
    UNION ALL
    SELECT false, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id, rate,
           rate_currency, reward_currency, reward_digits, valid_from, valid_to
    FROM ib_ratecardentry AS known
    WHERE known.is_current
      AND NOT EXISTS (SELECT 1 FROM ib_card_build AS build WHERE build.content_key = known.content_key)
), spans AS (
    SELECT direct_partner_id, symbol_group_id,
           coalesce(range_agg(tstzrange(valid_from, valid_to)) FILTER (WHERE is_new), '{}'::tstzmultirange) AS new,
           coalesce(range_agg(tstzrange(valid_from, valid_to)) FILTER (WHERE NOT is_new), '{}'::tstzmultirange) AS old
    FROM changed
    GROUP BY direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id, rate, rate_currency,
             reward_currency, reward_digits
), differing AS (
    SELECT direct_partner_id, symbol_group_id, (new - old) + (old - new) AS span FROM spans WHERE new <> old
)
SELECT direct_partner_id, symbol_group_id,
       min(coalesce(lower(span), '-infinity')) AS valid_from, max(coalesce(upper(span), 'infinity')) AS valid_to
FROM differing GROUP BY direct_partner_id, symbol_group_id
"""

SET_ASIDE = """
UPDATE ib_ratecardentry AS known SET is_current = false
WHERE known.is_current
  AND NOT EXISTS (SELECT 1 FROM ib_card_build AS build WHERE build.content_key = known.content_key)
"""

TAKE_OVER = """
INSERT INTO ib_ratecardentry AS known
    (content_key, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id, rate,
     rate_currency, reward_currency, reward_digits, valid_from, valid_to, is_current, symbol_id, account_class_id,
     terms_rule_id, component, part, basis, weight, rounding_mode, rounding_stage, needs_period)
SELECT content_key, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id, rate,
       rate_currency, reward_currency, reward_digits, valid_from, valid_to, true, 0, 0, rule_id, 'main', 0, 'per_lot', 1,
       'half_up', 'line', false
FROM ib_card_build AS build
WHERE NOT EXISTS (
    SELECT 1 FROM ib_ratecardentry AS current WHERE current.is_current AND current.content_key = build.content_key)
ORDER BY direct_partner_id, symbol_group_id, level
ON CONFLICT (content_key) DO UPDATE SET is_current = true WHERE NOT known.is_current
"""

# Days on which a trade closed that a changed entry values: what has to be settled again, and nothing else. First the
# trades of the clients concerned are placed (OFFSET 0 keeps that apart), then compared with the changes: joined in one
# go, ranges on both sides let the planner expect a single row, and a first compilation over a month of trades took
# longer than settling it.
AFFECTED_DAYS = """
WITH concerned AS MATERIALIZED (
    SELECT account.id AS account_id, referral.partner_id, referral.validity
    FROM ib_clientreferral AS referral
    JOIN platform_ops_tradingaccount AS account ON account.client_id = referral.client_id
    WHERE referral.partner_id IN (SELECT direct_partner_id FROM ib_card_changed)
)
SELECT DISTINCT trade.business_day
FROM (
    SELECT t.business_day, t.closed_at, concerned.partner_id, symbol.group_id
    FROM concerned
    JOIN platform_ops_trade AS t ON t.account_id = concerned.account_id AND concerned.validity @> t.closed_at
    JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
    JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
    OFFSET 0
) AS trade
JOIN ib_card_changed AS changed
  ON changed.direct_partner_id = trade.partner_id AND changed.symbol_group_id = trade.group_id
WHERE trade.closed_at >= changed.valid_from AND trade.closed_at < changed.valid_to
ORDER BY trade.business_day
"""
