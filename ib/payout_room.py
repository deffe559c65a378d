"""The room of payouts: numbers, files, work, proofs, ticks, screens and endpoints."""

from __future__ import annotations

from backoffice.core.schedule import register_periodic
from funding.ledger.services.entries import register_derived_source
from ib import payout_checks
from ib.services import payment_files, payout_work, payouts, statement_papers

FOLLOW_SECONDS = 15
PAPERS_SECONDS = 30


def register() -> None:
    """Called once, when the process starts."""
    payment_files.register()
    statement_papers.register()
    payout_work.register()
    payout_checks.register()
    register_derived_source(payouts.SOURCE_TYPE, "say at the payout that the bank returned it")
    register_periodic("ib.payouts", "ib.tasks.follow_payouts", FOLLOW_SECONDS)
    register_periodic("ib.statement_papers", "ib.tasks.issue_statement_papers", PAPERS_SECONDS)
