"""The Web API against the simulated server, with and without batches, and a folder of CSV files."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.csv_files.client import CsvFolderGateway
from platform_ops.gateways.mt5web.client import Mt5WebGateway
from platform_ops.gateways.mt5web.connection import Limits
from platform_ops.gateways.mt5web.connection import Peer as Address
from tests.platform_ops.conformance.worlds import World, register_world
from tests.trading_server import HEDGING_LOGIN, NETTING_LOGIN, RunningServer, running_server

ZONE = ServerZone.parse("EET_US")


def gateway_to(server: RunningServer, *, batches: bool = True) -> Mt5WebGateway:
    """A connector for a simulated server."""
    limits = Limits(connect_seconds=2.0, answer_seconds=5.0)
    address = Address("SIM", server.host, server.port, str(server.login), server.password, limits)
    return Mt5WebGateway(peer=address, zone=ZONE, asks_batches=batches)


@contextmanager
def web_world(*, knows_batches: bool, chunk_bytes: int) -> Iterator[World]:
    """A hedging and a netting account that trade."""
    with running_server(knows_batches=knows_batches, chunk_bytes=chunk_bytes) as server:
        for _ in range(120):
            server.order(HEDGING_LOGIN, "EURUSD", "BUY", "0.01")
        opened = server.order(HEDGING_LOGIN, "EURUSD", "SELL", "0.20")
        server.order(NETTING_LOGIN, "XAUUSD", "BUY", "0.50")
        server.quote("EURUSD", "1.09000", "1.09010")
        server.close(HEDGING_LOGIN, opened.order.position)
        gateway = gateway_to(server)
        now = datetime.now(UTC)
        try:
            yield World(
                gateway=gateway,
                start=now - timedelta(hours=1),
                end=now + timedelta(minutes=1),
                logins=frozenset({"5001", "5002", "5003"}),
                symbols=frozenset({"EURUSD", "USDJPY", "XAUUSD"}),
                has_whole_history=True,
            )
        finally:
            gateway.close()


@contextmanager
def folder_world() -> Iterator[World]:
    """Two accounts' files, one of them told in two files of which the later has the last word."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_csv(folder / "first.csv", account="100")
        write_csv(folder / "other.CSV", account="200", ticket_offset=1_000)
        write_csv(folder / "again.csv", account="100")
        (folder / "notes.txt").write_text("not a deal", encoding="utf-8")
        gateway = CsvFolderGateway(server="FILES", folder=folder, zone=ZONE, settled_seconds=0.5)
        yield World(
            gateway=gateway,
            start=datetime(2024, 1, 1, tzinfo=UTC),
            end=datetime(2025, 1, 1, tzinfo=UTC),
            logins=frozenset({"100", "200"}),
            symbols=frozenset(),
            has_whole_history=True,
        )


CSV = """backoffice-deals,1
account,{account}
currency,USD
platform,mt5
as_of,2024-03-05 18:30:00
deals,4
open_positions,1

ticket,leg,kind,entry,position,order,symbol,volume_lots,price,time,profit,swap,commission,fee,comment,price_digits,open_price,open_time
{a},0,balance,,0,0,,0,,2024-03-01 09:00:00,100.00,0,0,0,Deposit,0,,
{b},0,buy,in,{b},{b},EURUSD,0.10,1.10000,2024-03-04 10:00:00,0,0,-0.35,0,,5,,
{c},0,sell,out,{b},{c},EURUSD,0.10,1.11000,2024-03-04 11:00:00,100.00,-1.5,-0.35,0,,5,1.10000,2024-03-04 10:00:00
{d},0,sell,in,{d},{d},EURUSD,0.20,1.11000,2024-03-04 11:00:00,0,0,-0.70,0,,5,,

ticket,position,symbol,side,volume_lots,open_time,open_price,current_price,sl,tp,swap,commission,taxes,profit,comment
{d},{d},EURUSD,sell,0.20,2024-03-04 11:00:00,1.11000,1.10900,,,0,0,0,20.00,
end
"""


def write_csv(path: Path, *, account: str, ticket_offset: int = 0, text: str = CSV) -> None:
    """A file that was complete a minute ago."""
    tickets = {name: str(number + ticket_offset) for name, number in zip("abcd", (1, 20, 21, 30), strict=True)}
    path.write_text(text.format(account=account, **tickets), encoding="utf-8")
    then = time.time() - 60
    os.utime(path, (then, then))


register_world("web api, batches", partial(web_world, knows_batches=True, chunk_bytes=0xFFFE))
register_world("web api, pages, small packets", partial(web_world, knows_batches=False, chunk_bytes=700))
register_world("folder of CSV files", folder_world)
