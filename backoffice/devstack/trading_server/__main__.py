"""`python -m backoffice.devstack.trading_server FILE`: serves what the file describes, until it is told to stop.

The file is JSON: host, port, zone, journal, managers, execution, groups, symbols, accounts, quotes, first_ticket,
catches_up. What the journal remembers comes first; the file only adds what is missing.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from backoffice.devstack.trading_server import operator_commands
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.executing import Execution
from backoffice.devstack.trading_server.journal import Journal
from backoffice.devstack.trading_server.server import Settings, TradingServer
from backoffice.devstack.trading_server.setup import AccountPlan, set_up

SHORTEST_ABSENCE_MSC = 2_000


def server_from(plan: dict[str, Any]) -> TradingServer:
    """The server that a description means, its memory read."""
    journal = Journal(Path(plan["journal"]) if plan.get("journal") else None)
    broker = Broker(zone=plan.get("zone", "EET_US"), journal=journal)
    dealing = Dealing(broker, execution=Execution(**plan.get("execution", {})), seed=plan.get("seed"))
    last_alive, was_stopped = broker.last_alive_msc(), broker.counters.get("stopped", 0)
    accounts = [
        AccountPlan(**{**account, "deposit": Decimal(str(account.get("deposit", 0)))})
        for account in plan.get("accounts", [])
    ]
    quotes = {} if broker.quotes else {name: (pair[0], pair[1]) for name, pair in plan.get("quotes", {}).items()}
    set_up(
        dealing, groups=plan.get("groups", []), symbols=plan.get("symbols", []), accounts=accounts, quotes=quotes,
        first_ticket=plan.get("first_ticket"),
    )  # fmt: skip
    was_killed = bool(last_alive) and was_stopped < last_alive
    if plan.get("catches_up") and was_killed and broker.now_msc() - last_alive > SHORTEST_ABSENCE_MSC:
        operator_commands.catch_up(dealing, since_msc=last_alive)
    settings = Settings(
        managers={int(login): str(password) for login, password in plan["managers"].items()},
        host=plan.get("host", "127.0.0.1"),
        port=int(plan.get("port", 0)),
    )
    return TradingServer(dealing, settings)


async def serve(server: TradingServer) -> None:
    """Runs the server until SIGTERM or SIGINT, and notes that it was stopped and not killed."""
    loop = asyncio.get_running_loop()

    def end() -> None:
        broker = server.dealing.broker
        broker.put("counter", "stopped", max(broker.now_msc(), broker.last_alive_msc()))
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await server.run(
        ready=lambda: print(f"trading server: listening on {server.settings.host}:{server.port}", flush=True)
    )


def main(arguments: list[str]) -> int:
    """Serves the description in the one file that is named."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    plan = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    asyncio.run(serve(server_from(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
