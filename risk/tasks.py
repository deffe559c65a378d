"""Celery's way into the risk desk."""

from __future__ import annotations

from celery import shared_task

from backoffice.core.types import Actor
from backoffice.kernel.errors import Retryable
from risk.services.exposure import recalculate_where_changed

MOST_RETRIES = 2


@shared_task(bind=True, autoretry_for=(Retryable,), max_retries=MOST_RETRIES, default_retry_delay=1)
def recalculate_exposure(self: object) -> None:
    """Calculates exposure where positions or prices have moved."""
    recalculate_where_changed(actor=Actor.system("exposure"))
