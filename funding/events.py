"""The events of funding: topic names, and what their payloads hold."""

from __future__ import annotations

TRADING_RESULTS_POSTED = "funding.trading_results_posted"
"""A server's results were compared with the books; payload: run_id, server_id, business_day, lines."""

DEPOSIT_RECEIVED = "funding.deposit_received"
"""Money arrived; payload: entry_id, account_id or client_id, amount, currency."""

WITHDRAWAL_PAID = "funding.withdrawal_paid"
"""Money left; payload: entry_id, account_id or client_id, amount, currency."""

BALANCE_DIFFERS = "funding.balance_differs"
"""A stated balance is not the ledger's; payload: statement_id, account_id, difference."""
