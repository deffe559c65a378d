"""Celery's way into platform operations: each task calls one use case."""

from __future__ import annotations

from celery import shared_task

from platform_ops.services.due_days import run_due_days


@shared_task
def run_due_business_days() -> None:
    """Runs the finished business days that are not closed yet."""
    run_due_days()
