"""The nightly comparison of each server with the books: what differs, each difference a break until it is gone."""

from platform_ops.services.reconciliation.breaks import accept_break, explain_break, reopen_break
from platform_ops.services.reconciliation.due import reconcile_due_servers
from platform_ops.services.reconciliation.proof import prove_reconciled
from platform_ops.services.reconciliation.runs import reconcile_server, reconcile_with, request_reconciliation

__all__ = [
    "accept_break",
    "explain_break",
    "prove_reconciled",
    "reconcile_due_servers",
    "reconcile_server",
    "reconcile_with",
    "reopen_break",
    "request_reconciliation",
]
