"""The events of this desk: topic names, and what their payloads hold."""

from __future__ import annotations

TRADES_CHANGED = "platform.trades_changed"
"""Deals were booked; payload: batch_id, server_id. Read what changed from the batch."""

MARKETS_CHANGED = "platform.markets_changed"
"""Trades that were booked before got another market price; payload: server_id, days (ISO dates of their closing)."""

SYMBOL_MAPPED = "platform.symbol_mapped"
"""A server's symbol got (or changed) its canonical symbol; payload: server_symbol_id."""

ACCOUNT_ASSIGNED = "platform.account_assigned"
"""A trading account got (or changed) its client; payload: account_id."""

RATES_CHANGED = "platform.rates_changed"
"""Reference rates were loaded; payload: source, new, corrected_days (ISO dates whose conversions may change), and the first
and the last day of a rate that is new or another one."""

STATEMENT_REFUSED = "platform.statement_refused"
"""A statement file could not be read and stands in quarantine; payload: import_id."""

SWAPS_COMPUTED = "platform.swaps_computed"
"""A rollover wrote lines; payload: run_id, server_id, day, lines."""

OPERATION_FINISHED = "platform.operation_finished"
"""An operation on a server ended; payload: operation_id, state (done, found, refused or cancelled)."""

RECONCILIATION_BREAK_OPENED = "platform.reconciliation_break_opened"
"""A comparison with a server found differences of one kind that are new, or stand otherwise than they were accepted;
payload: run_id, kind, opened (how many), break_ids (of the first ones)."""

SYMBOL_DRIFT_FOUND = "platform.symbol_drift_found"
"""A look at a server found fields that it states otherwise than approved; payload: server_id, found (how many),
drift_ids (of the first ones)."""
