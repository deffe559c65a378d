"""The room's share of `verify_books`."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

_KEYS = """
SELECT keyed.id AS key_id, keyed.content, keyed.external_id, keyed.object_id
FROM migration_migrationkey keyed
LEFT JOIN crm_client client ON keyed.content = 'clients' AND client.id = keyed.object_id
LEFT JOIN ib_partner partner ON keyed.content = 'partners' AND partner.id = keyed.object_id
WHERE keyed.content IN ('clients', 'partners')
  AND coalesce(client.entity_id, partner.entity_id) IS DISTINCT FROM keyed.entity_id
ORDER BY 1
"""

_SIGNED = "sum((keyed.facts->>'amount')::numeric)"

# What was noted of every kind and currency against what the packages' entries moved on the accounts of that kind.
_OPENINGS = f"""
SELECT coalesce(noted.package_id, posted.package_id) AS package_id, coalesce(noted.kind, posted.kind) AS kind,
       coalesce(noted.currency, posted.currency) AS currency, coalesce(noted.amount, 0) AS taken_over,
       coalesce(posted.amount, 0) AS posted
FROM (
    SELECT keyed.package_id, keyed.facts->>'kind' AS kind, keyed.facts->>'currency' AS currency, {_SIGNED} AS amount
    FROM migration_migrationkey keyed
    WHERE keyed.content = 'opening_balances' AND keyed.facts->>'kind' NOT LIKE 'trading%%' GROUP BY 1, 2, 3
) noted
FULL JOIN (
    SELECT entry.source_id AS package_id, account.kind::text AS kind, posting.currency::text AS currency,
           sum(CASE WHEN (posting.side = 'D') = account.is_debit_normal THEN posting.amount ELSE -posting.amount END)
               AS amount
    FROM ledger_journalentry entry
    JOIN ledger_posting posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount account ON account.id = posting.account_id
    WHERE entry.source_type = 'migration' AND entry.reverses_id IS NULL AND account.kind <> 'opening_equity'
    GROUP BY 1, 2, 3
) posted USING (package_id, kind, currency)
WHERE coalesce(noted.amount, 0) <> coalesce(posted.amount, 0)
ORDER BY 1, 2, 3
"""  # noqa: S608 - own text


def keys_have_rows() -> CheckOutcome:
    """Every external number of a client or partner leads to a row of its legal entity."""
    return rows_of_query(_KEYS)


def openings_equal_postings() -> CheckOutcome:
    """What each package took over of a kind and currency is what its entries booked there.

    Opening balances of trading accounts are proved with the trading results they are part of.
    """
    return rows_of_query(_OPENINGS)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("migration.keys_have_rows", keys_have_rows)
    register_check("migration.openings_equal_postings", openings_equal_postings)
