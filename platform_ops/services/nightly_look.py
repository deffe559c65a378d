"""What a server is asked once a day, after its comparison: what has accrued on open positions, and its symbols.

The first is what the rollover is proved against for positions that stay open; the second shows where a symbol drifts
from its approved specification. Neither changes anything on the server.
"""

from __future__ import annotations

from datetime import date

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, previous_business_day
from platform_ops.gateways.types import Ability
from platform_ops.services.connections import open_gateway, refuse_within_transaction
from platform_ops.services.swaps.proof import observe_swaps
from platform_ops.services.symbol_drift import take_server_symbols


def look_after_day(*, server_id: int, day: date, actor: Actor) -> dict[str, int]:
    """Asks the server; counts of positions observed, symbols stated, refused and drifting.

    What has accrued is kept for the day that ended last only: later nights would be in it for an earlier one. Raises a
    GatewayError when the server cannot be asked.
    """
    refuse_within_transaction()
    is_last_day = day == previous_business_day(business_day_of(clock.now()))
    with open_gateway(server_id=server_id) as gateway:
        asks_positions = is_last_day and Ability.POSITIONS in gateway.abilities
        positions = list(gateway.positions()) if asks_positions else None
        observed_at = clock.now()
        symbols = list(gateway.symbols()) if Ability.SYMBOLS in gateway.abilities else None
    found: dict[str, int] = {}
    if positions is not None:
        found["positions_observed"] = observe_swaps(
            server_id=server_id, day=day, positions=positions, observed_at=observed_at, actor=actor
        )
    if symbols is not None:
        found |= take_server_symbols(server_id=server_id, symbols=symbols, at=clock.now())
    return found
