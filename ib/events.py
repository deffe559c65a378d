"""What the desk listens to. Handlers only enqueue: they run in the transaction of the delivery.

Published by this desk: `ib.partner_registered` {partner_id}, `ib.tree_changed` {partner_id}, `ib.referral_changed`
{client_id}, `ib.plan_published` {plan_version_id}, `ib.agreement_signed` {agreement_id}, `ib.commissions_settled`
{settlement_batch_id}.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from backoffice.core.models import OutboxEvent
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from ib.services import ordered, periods, shards, work

ACTOR = Actor.system("ib.events")
RATE_DAYS = timedelta(days=10)
"""For how long after its day a rate counts where no newer one is known."""


def on_trades_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Trades came in: their batch is settled, and what was set aside and is corrected by now is nobody's work any more."""
    shards.enqueue_batch(ingest_batch_id=payload["batch_id"])
    work.note_corrections()


def on_symbol_mapped(payload: dict[str, Any], event: OutboxEvent) -> None:
    """A server's symbol has another meaning: the days on which it was traded are settled again."""
    symbol_id = payload["server_symbol_id"]
    shards.enqueue_days(
        days=shards.days_of_server_symbol(server_symbol_id=symbol_id), cause=f"symbol_mapped:{symbol_id}", actor=ACTOR
    )


def on_account_assigned(payload: dict[str, Any], event: OutboxEvent) -> None:
    """An account belongs to another client: the days on which it traded are settled again."""
    account_id = payload["account_id"]
    shards.enqueue_days(
        days=shards.days_of_account(account_id=account_id), cause=f"account_assigned:{account_id}", actor=ACTOR
    )


def on_markets_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Trades got another market price: what is paid on spread and mark-up of their days is settled again."""
    days = [date.fromisoformat(day) for day in payload["days"]]
    shards.enqueue_days(days=days, cause=f"markets:{event.pk}", actor=ACTOR)


def on_rates_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """A rate came late or is another one: whatever may have been converted by it is settled again."""
    first, last = (date.fromisoformat(payload[name]) for name in ("first_day", "last_day"))
    cause = f"rates:{event.pk}"
    shards.enqueue_days(days=shards.days_between(first=first, last=last + RATE_DAYS), cause=cause, actor=ACTOR)
    ordered.rates_changed(first=first, last=last + RATE_DAYS, cause=cause)
    periods.rates_changed(first=first, last=last + RATE_DAYS)


def subscribe() -> None:
    """Subscribes the handlers. Called once, when the process starts."""
    outbox.subscribe("platform.trades_changed", "ib.settle_batch", on_trades_changed)
    outbox.subscribe("platform.markets_changed", "ib.resettle_markets", on_markets_changed)
    outbox.subscribe("platform.rates_changed", "ib.resettle_rates", on_rates_changed)
    outbox.subscribe("platform.symbol_mapped", "ib.resettle_symbol", on_symbol_mapped)
    outbox.subscribe("platform.account_assigned", "ib.resettle_account", on_account_assigned)
