"""Celery's way into the ledger."""

from __future__ import annotations

from celery import shared_task

from backoffice.kernel.errors import Retryable
from funding.ledger.services import holds

MOST_RETRIES = 2


@shared_task(bind=True, autoretry_for=(Retryable,), max_retries=MOST_RETRIES, default_retry_delay=1)
def expire_holds(self: object) -> None:
    """Ends holds whose time is over."""
    holds.expire_holds()
