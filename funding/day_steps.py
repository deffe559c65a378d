"""What funding does in a business day: it posts the trading results, and closes the books behind the last server."""

from __future__ import annotations

from datetime import date
from typing import Any

from backoffice.core.types import Actor
from funding.ledger.services.periods import close_day
from funding.selectors import all_servers_closed, require_server
from funding.services.trading_results import post_trading_results

ACTOR = Actor.system("business day")


def post_results(business_day: Any) -> dict[str, Any]:
    """The step `trading_results` of a server's business day."""
    return post_trading_results(business_day=business_day.day, server_id=business_day.server_id, actor=ACTOR)


def close_books(payload: dict[str, Any], event: Any) -> None:
    """Closes the entity's books through a day once every server of the entity has closed it."""
    day = date.fromisoformat(payload["day"])
    server = require_server(int(payload["server_id"]), actor=ACTOR)
    if all_servers_closed(entity_id=server.entity_id, day=day):
        close_day(entity_id=server.entity_id, business_day=day, actor=ACTOR)
