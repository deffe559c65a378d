"""What funding does in a business day: it posts the trading results; behind the last server it revalues and closes."""

from __future__ import annotations

from datetime import date
from typing import Any

import structlog
from django.db import transaction

from backoffice.core.types import Actor
from backoffice.kernel.errors import MissingRate
from funding.ledger.database import book
from funding.ledger.locks import lock_books_alone
from funding.ledger.services.periods import close_day, closed_through
from funding.selectors import all_servers_closed, require_server
from funding.services.revaluation import revalue_books
from funding.services.trading_results import post_trading_results

ACTOR = Actor.system("business day")


def post_results(business_day: Any) -> dict[str, Any]:
    """The step `trading_results` of a server's business day."""
    return post_trading_results(business_day=business_day.day, server_id=business_day.server_id, actor=ACTOR)


def close_books(payload: dict[str, Any], event: Any) -> None:
    """Revalues foreign balances and closes the entity's books through a day once every server has closed it.

    A rate that is missing keeps nobody from closing: the day's revaluation is booked when it comes, as an adjustment, and
    no month closes without it.
    """
    day = date.fromisoformat(payload["day"])
    server = require_server(int(payload["server_id"]), actor=ACTOR)
    if not all_servers_closed(entity_id=server.entity_id, day=day):
        return
    last = closed_through(entity_id=server.entity_id)
    if last is not None and last >= day:
        return
    with transaction.atomic(), book():
        # Nobody books between the two: what is closed is what was revalued.
        lock_books_alone(server.entity_id)
        try:
            revalue_books(entity_id=server.entity_id, business_day=day, actor=ACTOR)
        except MissingRate as error:
            structlog.get_logger(__name__).warning(
                "revaluation_waits", entity_id=server.entity_id, business_day=day.isoformat(), problem=error.message
            )
        close_day(entity_id=server.entity_id, business_day=day, actor=ACTOR)
