"""The demo's hedging: what clients of the A book trade is covered at the simulated provider, trade by trade.

Orders go to the provider's own desk; that they were filled the product learns from the provider's drop copy alone. While
the provider is away, what is to be covered waits and is covered when it is back.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal

from backoffice.devstack.demo.drop_copy import desk_of_the_demo
from backoffice.kernel import clock
from platform_ops.models import AccountDimension, Deal, SymbolSpec

MOST_AT_ONCE = 20
MOST_WAITING = 500
ANSWER_SECONDS = 2.0
LARGE_UNITS = 100_000
"""An order this large is filled in parts."""

STEPS_BETWEEN_LOOKS = 5
NAMES = {"EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "USDCHF", "USDCAD", "NZDUSD", "EURGBP", "EURJPY", "GBPJPY"}
"""What the provider makes prices in."""

Order = dict[str, str | int]


class Hedges:
    """Sees new deals of the A book and covers them."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self.say = say
        self.waiting: deque[Order] = deque(maxlen=MOST_WAITING)
        self.is_away = False
        self._last_deal = Deal.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._steps = 0

    def step(self, quotes: Mapping[str, tuple[Decimal, Decimal]]) -> int:
        """Covers what was traded since; how many orders were filled."""
        self._steps += 1
        self._see(quotes)
        if self.is_away and self._steps % STEPS_BETWEEN_LOOKS:
            return 0
        return self._send() if self.waiting else 0

    def _see(self, quotes: Mapping[str, tuple[Decimal, Decimal]]) -> None:
        deals = Deal.objects.filter(
            pk__gt=self._last_deal, revision=0, kind__in=(0, 1), server_symbol__symbol__code__in=NAMES
        )
        rows = list(
            deals.order_by("pk").values_list(
                "pk", "ticket", "kind", "volume_lots", "account_id", "server_symbol__symbol__code"
            )[:MOST_AT_ONCE]
        )
        if not rows:
            return
        self._last_deal = rows[-1][0]
        covered = set(
            AccountDimension.objects.filter(
                account_id__in={row[4] for row in rows}, dimension="book", value="A", validity__contains=clock.now()
            ).values_list("account_id", flat=True)
        )
        sizes = dict(
            SymbolSpec.objects.filter(
                symbol__code__in={row[5] for row in rows}, validity__endswith__isnull=True
            ).values_list("symbol__code", "contract_size")
        )
        for _, ticket, kind, lots, account_id, code in rows:
            units = round(lots * sizes.get(code, 0))
            if account_id not in covered or not units or code not in quotes:
                continue
            bid, ask = quotes[code]
            self.waiting.append(
                {
                    "do": "fill", "symbol": f"{code[:3]}/{code[3:]}", "side": 1 if kind == 0 else 2, "quantity": units,
                    "price": str(ask if kind == 0 else bid), "client_order_id": f"H{ticket}",
                    "parts": 2 if units >= LARGE_UNITS else 1,
                }
            )  # fmt: skip

    def _send(self) -> int:
        desk = desk_of_the_demo()
        if desk is None:
            self.waiting.clear()
            return 0
        done = 0
        try:
            with (
                socket.create_connection((desk.host, desk.port), timeout=ANSWER_SECONDS) as line,
                line.makefile("rwb") as talk,
            ):
                while self.waiting and done < MOST_AT_ONCE:
                    talk.write(json.dumps(self.waiting[0]).encode() + b"\n")
                    talk.flush()
                    answer = talk.readline()
                    if not answer:
                        raise OSError("it closed")
                    self.waiting.popleft()
                    done += 1
        except OSError as error:
            if not self.is_away:
                self.say(f"hedges: the provider is away: {error}")
            self.is_away = True
            return done
        if self.is_away:
            self.say("hedges: the provider answers again")
        self.is_away = False
        return done
