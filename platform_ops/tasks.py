"""Celery's way into platform operations: each task calls one use case."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from platform_ops.services.account_operations import carry_out_due
from platform_ops.services.complaints import finish_complaints
from platform_ops.services.due_days import run_due_days
from platform_ops.services.liquidity.drop_copies import prune_drop_copy_log
from platform_ops.services.prices import store
from platform_ops.services.reconciliation import reconcile_due_servers
from platform_ops.services.swap_desk.pushing import push_due
from platform_ops.services.swaps.sending import send_due_charges


@shared_task
def run_due_business_days() -> None:
    """Runs the finished business days that are not closed yet."""
    run_due_days()


@shared_task
def carry_out_operations() -> None:
    """Carries on with operations on servers: fresh ones, lost answers, what a dead worker left."""
    carry_out_due()


@shared_task
def flush_ticks() -> None:
    """Moves settled ticks into files, and puts the files of finished days together."""
    store.flush_ticks()
    store.compact_finished_days()


@shared_task
def prune_ticks() -> None:
    """Removes ticks, rejections and minutes that are older than they are kept."""
    store.prune_ticks(keep_days=settings.TICK_DAYS)


@shared_task
def prune_drop_copies() -> None:
    """Removes messages of FIX sessions that are older than they are kept."""
    prune_drop_copy_log(keep_days=settings.DROP_COPY_DAYS)


@shared_task
def reconcile_due() -> None:
    """Has followed servers compared with the books, once for each day that has ended."""
    reconcile_due_servers()


@shared_task
def finish_price_complaints() -> None:
    """Takes decided complaints to their end: the trade taken back, the letter, the message."""
    finish_complaints()


@shared_task
def push_due_swaps() -> None:
    """Tells the servers the swap rates that are in force and have not arrived."""
    push_due()


@shared_task
def send_swap_charges() -> None:
    """Sends the charges of swaps, dividends and fees that are due to the servers that take them."""
    send_due_charges()
