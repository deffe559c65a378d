"""Celery's way into the desk. Shards of settlement are job rows that the ground's own worker tasks run."""

from __future__ import annotations

from celery import shared_task

from backoffice.core.types import Actor
from ib.services import disputes, links, payouts, periods, ranks, statement_papers, statements, upkeep


@shared_task
def make_line_partitions() -> None:
    """Makes the partitions of the coming days."""
    upkeep.make_partitions_ahead()


@shared_task
def enqueue_unsettled_batches() -> None:
    """Finds ingest batches that no settlement has taken up."""
    upkeep.enqueue_unsettled_batches()


@shared_task
def run_statements() -> None:
    """Closes the statements whose books are closed, and approves what the terms approve."""
    statements.run_statements(actor=Actor.system("ib.statements"))


@shared_task
def enqueue_due_periods() -> None:
    """Gives every partner whose periods changed a job."""
    periods.enqueue_due()


@shared_task
def enqueue_ended_periods() -> None:
    """Gives every partner with a plan by the period a job for the month that ended."""
    periods.enqueue_ended()


@shared_task
def follow_disputes() -> None:
    """Closes the disputes whose difference is posted, and issues documents that are missing."""
    disputes.follow_disputes()
    disputes.issue_documents()


@shared_task
def chase_disputes() -> None:
    """Reminds partners who were asked; lets the clock go on where no answer comes."""
    disputes.chase_disputes()


@shared_task
def evaluate_ranks() -> None:
    """Decides the ranks of the month that ended, once."""
    ranks.evaluate_due()


@shared_task
def follow_payouts() -> None:
    """Books the payouts that servers carried out; frees the money of those that they refused."""
    payouts.follow_payouts()


@shared_task
def issue_statement_papers() -> None:
    """Numbers the papers of paid statements and makes their PDFs."""
    statement_papers.issue_papers()


@shared_task
def forget_visitors() -> None:
    """Removes the digests by which browsers were counted once a day."""
    links.forget_visitors()
