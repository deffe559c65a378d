"""What the books must hold of trading, as SQL: read by the posting and by its proof, so that they cannot differ.

The texts read the projections and views of platform operations and the lines of this desk; they write nothing.
Parameters: `server`, `day` (rows up to and including it) and `end` (the instant at which that day ends).
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from funding.rules import BOOKED_BY_BOOK, COMPONENT_OF_KIND, DEFAULT_BOOK

_KINDS = ", ".join(f"({kind.value}, '{component}')" for kind, component in sorted(COMPONENT_OF_KIND.items()))
_BY_BOOK = ", ".join(f"'{component}'" for component in sorted(BOOKED_BY_BOOK))

_BOOK = f"CASE WHEN dimension.value = 'A' THEN 'A' ELSE '{DEFAULT_BOOK}' END"


def _book_at(instant: str, account: str) -> str:
    """The join to the book in which an account was at an instant."""
    return f"""
    LEFT JOIN platform_ops_accountdimension dimension
      ON dimension.dimension = 'book' AND dimension.account_id = {account} AND dimension.validity @> {instant}
    """


TARGETS = f"""
closed AS (
    SELECT trade.account_id, trade.business_day, {_BOOK} AS book,
           sum(trade.profit) AS profit, sum(trade.swap) AS swap, sum(trade.commission) AS commission,
           sum(trade.fee) AS fee
    FROM platform_ops_trade trade {_book_at("trade.closed_at", "trade.account_id")}
    WHERE trade.server_id = %(server)s AND trade.business_day <= %(day)s AND NOT trade.is_cancelled
    GROUP BY 1, 2, 3
), opened AS (
    SELECT deal.account_id, platform_business_day(deal.at) AS business_day, {_BOOK} AS book,
           sum(deal.profit) AS profit, sum(deal.swap) AS swap, sum(deal.commission) AS commission, sum(deal.fee) AS fee
    FROM platform_ops_currentdeal deal {_book_at("deal.at", "deal.account_id")}
    WHERE deal.server_id = %(server)s AND deal.at < %(end)s AND deal.kind IN (0, 1) AND deal.entry = 0
      AND (deal.commission <> 0 OR deal.fee <> 0 OR deal.swap <> 0 OR deal.profit <> 0)
    GROUP BY 1, 2, 3
), traded AS (
    SELECT dealt.account_id, dealt.business_day, part.component,
           CASE WHEN part.component IN ({_BY_BOOK}) THEN dealt.book ELSE '' END AS book, part.amount
    FROM (SELECT * FROM closed UNION ALL SELECT * FROM opened) dealt
    CROSS JOIN LATERAL (VALUES
        ('profit', dealt.profit), ('swap', dealt.swap), ('commission', dealt.commission), ('fee', dealt.fee)
    ) AS part (component, amount)
    WHERE part.amount <> 0
), operated AS (
    SELECT operation.account_id, operation.business_day, named.component,
           CASE WHEN named.component IN ({_BY_BOOK}) THEN {_BOOK} ELSE '' END AS book, operation.amount
    FROM platform_ops_balanceoperation operation
    JOIN (VALUES {_KINDS}) AS kinds (kind, component) ON kinds.kind = operation.kind
    CROSS JOIN LATERAL (
        SELECT CASE WHEN NOT operation.is_opening THEN kinds.component
                    WHEN kinds.component = 'credit' THEN 'opening_credit' ELSE 'opening' END AS component
    ) AS named
    {_book_at("operation.at", "operation.account_id")}
    WHERE operation.server_id = %(server)s AND operation.business_day <= %(day)s AND NOT operation.is_cancelled
), target AS (
    SELECT account_id, business_day, component, book, sum(amount) AS amount
    FROM (SELECT * FROM traded UNION ALL SELECT * FROM operated) moved
    GROUP BY 1, 2, 3, 4
)
"""

# Days that finance holds wait, whatever is due on them.
DIFFERENCES = f"""
WITH {TARGETS}, lines AS (
    SELECT line.account_id, line.business_day, line.component, line.book, sum(line.amount) AS amount
    FROM funding_tradingresultline line
    JOIN platform_ops_tradingaccount account ON account.id = line.account_id
    WHERE account.server_id = %(server)s AND line.business_day <= %(day)s
    GROUP BY 1, 2, 3, 4
), differences AS (
    SELECT account_id, business_day, component, book, coalesce(target.amount, 0) - coalesce(lines.amount, 0) AS amount
    FROM target FULL JOIN lines USING (account_id, business_day, component, book)
    WHERE coalesce(target.amount, 0) <> coalesce(lines.amount, 0)
)
SELECT found.account_id, account.login, account.currency, found.business_day, found.component, found.book, found.amount,
       coalesce(last.seq, 0) + row_number() OVER (
           PARTITION BY found.account_id, found.business_day, found.component ORDER BY found.book
       ) AS seq
FROM differences found
JOIN platform_ops_tradingaccount account ON account.id = found.account_id
LEFT JOIN LATERAL (
    SELECT max(line.seq) AS seq FROM funding_tradingresultline line
    WHERE line.account_id = found.account_id AND line.business_day = found.business_day
      AND line.component = found.component
) last ON true
WHERE NOT EXISTS (
    SELECT 1 FROM platform_ops_businessday held
    WHERE held.server_id = %(server)s AND held.day = found.business_day AND held.is_held
)
ORDER BY found.business_day, account.currency, found.account_id, found.component, found.book
"""
