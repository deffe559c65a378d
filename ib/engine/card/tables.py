"""What becomes of a compiled card in the database: its digest, what it changes, and the entries that it keeps or sets aside.

Content-addressed: an entry that is still true keeps its row and its id, one that is not is set aside, none is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from io import StringIO
from typing import Any

from django.db import connection

COLUMNS = [
    "direct_partner_id",
    "symbol_group_id",
    "symbol_id",
    "account_class_id",
    "beneficiary_id",
    "level",
    "path",
    "rule_id",
    "terms_rule_id",
    "component",
    "part",
    "basis",
    "rate",
    "rate_currency",
    "weight",
    "reward_currency",
    "reward_digits",
    "rounding_mode",
    "rounding_stage",
    "needs_period",
]
"""Everything that an entry says, save when."""
_ALL = ", ".join(COLUMNS)

_CREATE_RAW = """
DROP TABLE IF EXISTS ib_card_raw, ib_card_build, ib_card_changed;
CREATE TEMP TABLE ib_card_raw (
    direct_partner_id bigint, symbol_group_id bigint, symbol_id bigint, account_class_id bigint, beneficiary_id bigint,
    level smallint, path bigint[], rule_id bigint, terms_rule_id bigint, component text, part smallint, basis text,
    rate numeric(38, 24), rate_currency text, weight numeric(12, 6), reward_currency text, reward_digits smallint,
    rounding_mode text, rounding_stage text, needs_period boolean, valid_from timestamptz, valid_to timestamptz
) ON COMMIT DROP
"""
_CREATE_BUILD = """
CREATE TEMP TABLE ib_card_build ON COMMIT DROP AS
SELECT raw.*,
       sha256(convert_to(concat_ws('|', direct_partner_id, symbol_group_id, symbol_id, account_class_id, beneficiary_id,
           level, array_to_string(path, ','), coalesce(rule_id, 0), terms_rule_id, component, part, basis,
           trim_scale(rate), rate_currency, trim_scale(weight), reward_currency, reward_digits, rounding_mode,
           rounding_stage, needs_period, coalesce(extract(epoch FROM valid_from)::text, '-'),
           coalesce(extract(epoch FROM valid_to)::text, '-')), 'UTF8')) AS content_key
FROM ib_card_raw AS raw
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
CREATE_CHANGED = f"""
CREATE TEMP TABLE ib_card_changed ON COMMIT DROP AS
WITH changed AS (
    SELECT true AS is_new, {_ALL}, valid_from, valid_to
    FROM ib_card_build AS build
    WHERE NOT EXISTS (
        SELECT 1 FROM ib_ratecardentry AS known WHERE known.is_current AND known.content_key = build.content_key)
    UNION ALL
    SELECT false, {_ALL}, valid_from, valid_to
    FROM ib_ratecardentry AS known
    WHERE known.is_current
      AND NOT EXISTS (SELECT 1 FROM ib_card_build AS build WHERE build.content_key = known.content_key)
), spans AS (
    SELECT direct_partner_id, symbol_group_id, symbol_id,
           coalesce(range_agg(tstzrange(valid_from, valid_to)) FILTER (WHERE is_new), '{{}}'::tstzmultirange) AS new,
           coalesce(range_agg(tstzrange(valid_from, valid_to)) FILTER (WHERE NOT is_new), '{{}}'::tstzmultirange) AS old
    FROM changed
    GROUP BY {_ALL}
), differing AS (
    SELECT direct_partner_id, symbol_group_id, symbol_id, (new - old) + (old - new) AS span FROM spans WHERE new <> old
)
SELECT direct_partner_id, symbol_group_id, symbol_id,
       min(coalesce(lower(span), '-infinity')) AS valid_from, max(coalesce(upper(span), 'infinity')) AS valid_to
FROM differing GROUP BY direct_partner_id, symbol_group_id, symbol_id
"""  # noqa: S608 - own text

SET_ASIDE = """
UPDATE ib_ratecardentry AS known SET is_current = false
WHERE known.is_current
  AND NOT EXISTS (SELECT 1 FROM ib_card_build AS build WHERE build.content_key = known.content_key)
"""

TAKE_OVER = f"""
INSERT INTO ib_ratecardentry AS known (content_key, {_ALL}, valid_from, valid_to, is_current)
SELECT content_key, {_ALL}, valid_from, valid_to, true
FROM ib_card_build AS build
WHERE NOT EXISTS (
    SELECT 1 FROM ib_ratecardentry AS current WHERE current.is_current AND current.content_key = build.content_key)
ORDER BY direct_partner_id, symbol_group_id, level
ON CONFLICT (content_key) DO UPDATE SET is_current = true WHERE NOT known.is_current
"""  # noqa: S608 - own text

# Days on which a trade closed that a changed entry values: what has to be settled again, and nothing else. First the
# trades of the clients concerned are placed (OFFSET 0 keeps that apart), then compared with the changes: joined in one
# go, ranges on both sides let the planner expect a single row, and a first compilation over a month of trades took
# longer than settling it.
AFFECTED_DAYS = """
WITH concerned AS MATERIALIZED (
    SELECT account.id AS account_id, referral.partner_id, referral.validity
    FROM ib_clientreferral AS referral
    JOIN platform_ops_tradingaccount AS account ON account.client_id = referral.client_id
    WHERE referral.partner_id IN (SELECT abs(direct_partner_id) FROM ib_card_changed)
)
SELECT DISTINCT trade.business_day
FROM (
    SELECT t.business_day, t.closed_at, concerned.partner_id, symbol.group_id, symbol.id AS symbol_id
    FROM concerned
    JOIN platform_ops_trade AS t ON t.account_id = concerned.account_id AND concerned.validity @> t.closed_at
    JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
    JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
    OFFSET 0
) AS trade
JOIN ib_card_changed AS changed
  ON abs(changed.direct_partner_id) = trade.partner_id AND changed.symbol_group_id = trade.group_id
 AND changed.symbol_id IN (0, trade.symbol_id)
WHERE trade.closed_at >= changed.valid_from AND trade.closed_at < changed.valid_to
ORDER BY trade.business_day
"""


class _Rows(StringIO):
    """Rows as COPY reads them, made while it reads: a card of a hundred thousand entries is not held as one text."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        super().__init__()
        self._rows: Iterator[tuple[Any, ...]] = iter(rows)
        self._rest = ""

    def read(self, size: int | None = -1) -> str:
        """At least *size* characters, while there are any."""
        parts, length = [self._rest], len(self._rest)
        wanted = size if size is not None and size >= 0 else None
        while wanted is None or length < wanted:
            row = next(self._rows, None)
            if row is None:
                break
            line = "\t".join([_TEXTS.get(type(value), str)(value) for value in row]) + "\n"
            parts.append(line)
            length += len(line)
        whole = "".join(parts)
        given = whole if wanted is None else whole[:wanted]
        self._rest = whole[len(given) :]
        return given


_TEXTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda value: "\\N",
    tuple: lambda value: "{" + ",".join(map(str, value)) + "}",
    datetime: datetime.isoformat,
}
"""How values are written that `str` would write otherwise."""


def write_build(rows: Iterable[tuple[Any, ...]]) -> None:
    """Puts the compiled rows, with their keys, into `ib_card_build`. Component codes are slugs, so nothing is escaped."""
    with connection.cursor() as cursor:
        cursor.execute(_CREATE_RAW)
        columns = ", ".join([*COLUMNS, "valid_from", "valid_to"])
        cursor.copy_expert(f"COPY ib_card_raw ({columns}) FROM STDIN", _Rows(rows))
        cursor.execute(_CREATE_BUILD)
