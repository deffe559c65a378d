"""The SQL of the daily finance report. Each query has two times: the business day, and the moment of recording.

Parameters: `entity`, `day`, `starts` and `ends` (the day's bounds), `until`.
Amounts from servers are signed from the clients' side; ledger amounts as each query says.
"""

# The entity's deals of the day: of each the latest revision that was recorded by then. Demo accounts are not the broker's.
_DEALS = """
    SELECT deal.account_id, deal.server_symbol_id, deal.kind, deal.entry, deal.profit, deal.swap, deal.commission, deal.fee,
           deal.at, account.currency
    FROM platform_ops_deal deal
    JOIN platform_ops_tradingaccount account ON account.id = deal.account_id AND NOT account.is_demo
    JOIN platform_ops_tradingserver server ON server.id = account.server_id AND server.entity_id = %(entity)s
    WHERE deal.at >= %(starts)s AND deal.at < %(ends)s AND deal.recorded_at <= %(until)s
      AND NOT EXISTS (
          SELECT 1 FROM platform_ops_deal later
          WHERE later.revision > 0 AND later.server_id = deal.server_id AND later.ticket = deal.ticket
            AND later.leg = deal.leg AND later.revision > deal.revision AND later.recorded_at <= %(until)s)
"""

CLIENT_MONEY = f"""
WITH deals AS ({_DEALS}), money AS (
    SELECT currency, profit + swap + commission + fee AS amount FROM deals WHERE kind = 2
)
SELECT currency, count(*) FILTER (WHERE amount > 0), coalesce(sum(amount) FILTER (WHERE amount > 0), 0),
       count(*) FILTER (WHERE amount < 0), coalesce(sum(amount) FILTER (WHERE amount < 0), 0)
FROM money GROUP BY currency
"""  # noqa: S608 - built of constants
"""currency, number and sum of deposits, number and sum of withdrawals (negative)."""

OTHER_OPERATIONS = f"""
WITH deals AS ({_DEALS})
SELECT kind, currency, count(*), sum(profit + swap + commission + fee)
FROM deals WHERE kind NOT IN (0, 1, 2, 13, 14) GROUP BY kind, currency
"""  # noqa: S608 - built of constants
"""kind, currency, number, sum of every balance operation that is neither deposit nor withdrawal."""

SWAPS = f"""
WITH deals AS ({_DEALS})
SELECT coalesce(family.name, 'Symbols not mapped'), deals.currency,
       coalesce(sum(deals.swap) FILTER (WHERE deals.swap < 0), 0),
       coalesce(sum(deals.swap) FILTER (WHERE deals.swap > 0), 0)
FROM deals
LEFT JOIN platform_ops_serversymbol named ON named.id = deals.server_symbol_id
LEFT JOIN platform_ops_symbol symbol ON symbol.id = named.symbol_id
LEFT JOIN platform_ops_symbolgroup family ON family.id = symbol.group_id
WHERE deals.kind IN (0, 1) AND deals.swap <> 0
GROUP BY 1, 2
"""  # noqa: S608 - built of constants
"""symbol group, currency, swap charged (negative), swap paid, both from the clients' side."""

# Who is in no book is in the B book: the house takes the other side (the rule by which the ledger books results).
_BOOK = "CASE WHEN book.value = 'A' THEN 'A' ELSE 'B' END"

TRADED = f"""
WITH deals AS ({_DEALS})
SELECT {_BOOK}, deals.currency, count(*) FILTER (WHERE deals.entry > 0), sum(deals.profit), sum(deals.swap)
FROM deals
LEFT JOIN platform_ops_accountdimension book
       ON book.account_id = deals.account_id AND book.dimension = 'book' AND book.validity @> deals.at
WHERE deals.kind IN (0, 1)
GROUP BY 1, 2
"""  # noqa: S608 - built of constants
"""book, currency, closed trades, profit and swap of the day's deals."""

# A line of profit says its book itself; the other components follow the account's book at the end of their day. A line
# without an entry cancelled out with others of its day.
CLIENT_RESULTS = f"""
SELECT CASE WHEN line.book <> '' THEN line.book ELSE {_BOOK} END,
       line.business_day < coalesce(entry.business_day, line.business_day), line.currency,
       coalesce(sum(line.amount) FILTER (WHERE line.component = 'profit'), 0),
       coalesce(sum(line.amount) FILTER (WHERE line.component = 'swap'), 0),
       coalesce(sum(line.amount) FILTER (WHERE line.component = 'commission'), 0),
       coalesce(sum(line.amount) FILTER (WHERE line.component = 'fee'), 0)
FROM funding_tradingresultline line
JOIN platform_ops_tradingaccount account ON account.id = line.account_id
JOIN platform_ops_tradingserver server ON server.id = account.server_id AND server.entity_id = %(entity)s
LEFT JOIN ledger_journalentry entry ON entry.id = line.entry_id
LEFT JOIN platform_ops_accountdimension book
       ON book.account_id = line.account_id AND book.dimension = 'book'
      AND book.validity @> (((line.business_day + time '17:00') AT TIME ZONE 'America/New_York') - interval '1 microsecond')
WHERE (entry.business_day = %(day)s OR (line.entry_id IS NULL AND line.business_day = %(day)s))
  AND line.created_at <= %(until)s AND line.component IN ('profit', 'swap', 'commission', 'fee')
GROUP BY 1, 2, 3
"""  # noqa: S608 - built of constants
"""book, whether earlier days are concerned, currency, profit, swap, commission, fees: what the ledger booked on the day."""

BOOKED_OF_DAY = """
SELECT line.currency, line.component, sum(line.amount)
FROM funding_tradingresultline line
JOIN platform_ops_tradingaccount account ON account.id = line.account_id
JOIN platform_ops_tradingserver server ON server.id = account.server_id AND server.entity_id = %(entity)s
WHERE line.business_day = %(day)s AND line.created_at <= %(until)s AND line.component IN ('profit', 'swap', 'deposit')
GROUP BY 1, 2
"""
"""currency, component, amount that the ledger holds of the trading day, on whatever day it was booked."""

HOUSE_RESULT = """
SELECT account.kind, posting.currency, sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END)
FROM ledger_journalentry entry
JOIN ledger_posting posting ON posting.entry_id = entry.id
JOIN ledger_ledgeraccount account ON account.id = posting.account_id AND account.account_class IN ('income', 'expense')
WHERE entry.entity_id = %(entity)s AND entry.business_day = %(day)s AND entry.created_at <= %(until)s
GROUP BY 1, 2
"""
"""kind of account, currency, movement of the day, positive where the house gained."""

BALANCES = """
WITH balances AS (
    SELECT account.kind, account.currency, account.owner_id,
           sum(CASE WHEN (posting.side = 'D') = account.is_debit_normal THEN posting.amount ELSE -posting.amount END)
               AS balance,
           coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'D'), 0) AS debits,
           coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'C'), 0) AS credits
    FROM ledger_journalentry entry
    JOIN ledger_posting posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount account ON account.id = posting.account_id
    WHERE entry.entity_id = %(entity)s AND entry.business_day <= %(day)s AND entry.created_at <= %(until)s
    GROUP BY account.id
)
SELECT kind, currency, NULL::bigint AS owner_id, count(*) FILTER (WHERE balance <> 0),
       coalesce(sum(balance) FILTER (WHERE balance > 0), 0), coalesce(sum(balance) FILTER (WHERE balance < 0), 0),
       sum(debits), sum(credits)
FROM balances GROUP BY kind, currency
UNION ALL
SELECT kind, currency, owner_id, 1, greatest(balance, 0), least(balance, 0), debits, credits
FROM balances WHERE kind IN ('partner_accrued', 'partner_payable', 'partner_wallet') AND balance <> 0
"""
"""kind, currency, owner (empty: all), accounts with a balance, positive and negative balances, debits, credits at day end."""

COMMISSION_BOOKED = """
SELECT account.owner_id, posting.currency, sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END)
FROM ledger_journalentry entry
JOIN ledger_posting posting ON posting.entry_id = entry.id
JOIN ledger_ledgeraccount account ON account.id = posting.account_id AND account.kind = 'partner_accrued'
WHERE entry.entity_id = %(entity)s AND entry.business_day = %(day)s AND entry.created_at <= %(until)s
  AND entry.source_type = 'ib.settlement_batch'
GROUP BY 1, 2
"""
"""partner, currency, commission booked on the day."""

COMMISSION_LINES = """
SELECT line.partner_id, line.currency, count(*), sum(line.amount)
FROM ib_commissionline line
JOIN ib_settlementbatch batch ON batch.id = line.batch_id
JOIN ib_partner partner ON partner.id = line.partner_id AND partner.entity_id = %(entity)s
WHERE line.booked_day = %(day)s AND batch.created_at <= %(until)s
GROUP BY 1, 2
"""
"""partner, currency, number of lines and their sum."""

PARTNERS = "SELECT id, reference, name FROM ib_partner WHERE entity_id = %(entity)s"

DAYS = """
SELECT server.code, day.id IS NOT NULL,
       EXISTS (SELECT 1 FROM platform_ops_businessdaystep step
               WHERE step.business_day_id = day.id AND step.step <> 'reports' AND step.state <> 'done')
FROM platform_ops_tradingserver server
LEFT JOIN platform_ops_businessday day ON day.server_id = server.id AND day.day = %(day)s
WHERE server.entity_id = %(entity)s
ORDER BY server.code
"""
"""server, whether its day was begun, whether a step before the reports is not done."""
