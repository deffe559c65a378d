"""Two liquidity providers of the demo: one that counts units and tells an execution twice, one that counts contracts, names
instruments by number and took an execution back."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal

import simplefix

from backoffice.core.models import LegalEntity
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from platform_ops.models import LiquidityProvider, LiquiditySymbol, Quote, Symbol
from platform_ops.services.liquidity import import_fix_log, map_provider_symbol, save_provider

SEED = 44
ORDERS = 40
CONTRACT = Decimal(10_000)
MINUTES_BACK = 60 * 24
NUMBERED = {"EURUSD": "4001", "GBPUSD": "4002", "USDJPY": "4004"}


def write_liquidity(seeding: Seeding) -> None:
    """Comes after the quotes."""
    seeding.say("executions at two liquidity providers")
    entity = seeding.entity
    quotes = {
        quote.symbol.code: quote.bid
        for quote in Quote.objects.filter(symbol__code__in=NUMBERED).select_related("symbol")
    }
    if not quotes:
        return
    prime = _provider(seeding, entity, "prime-lp", "Prime LP", "PRIMELP", Decimal(1))
    block = _provider(seeding, entity, "block-lp", "Block LP", "BLOCKLP", CONTRACT)
    for provider, by_number in ((prime, False), (block, True)):
        log = _Session(provider.comp_id, quotes, by_number=by_number).log()
        import_fix_log(provider_id=provider.pk, data=log, file_name=f"{provider.code}.log", actor=seeding.actor)
    for name in LiquiditySymbol.objects.filter(provider=block).order_by("name")[: len(quotes) - 1]:
        code = next(code for code, number in NUMBERED.items() if number == name.name)
        map_provider_symbol(
            name_id=name.pk,
            symbol_id=Symbol.objects.get(code=code).pk,
            actor=seeding.actor,
            reason="The provider's list.",
        )


def _provider(
    seeding: Seeding, entity: LegalEntity, code: str, name: str, comp_id: str, units: Decimal
) -> LiquidityProvider:
    return save_provider(
        code=code, name=name, comp_id=comp_id, entity_id=entity.pk, actor=seeding.actor, units_per_quantity=units
    )


class _Session:
    """One day of a provider's messages."""

    def __init__(self, comp_id: str, quotes: dict[str, Decimal], *, by_number: bool) -> None:
        self._comp_id, self._quotes, self._by_number = comp_id, quotes, by_number
        self._random = random.Random(f"{SEED}:{comp_id}")  # noqa: S311 -- a demo's figures, the same in every run
        self._sequence = 0
        self._start = clock.now() - timedelta(minutes=MINUTES_BACK)
        self._parts: list[bytes] = []

    def log(self) -> bytes:
        """All messages in order."""
        for order in range(ORDERS):
            at = self._start + timedelta(minutes=MINUTES_BACK * order / ORDERS)
            self._order(f"{self._comp_id[:1]}{order + 1:05d}", at, takes_back=order == ORDERS - 1)
        return b"".join(self._parts)

    def _order(self, order_id: str, at: datetime, *, takes_back: bool) -> None:
        code = self._random.choice(sorted(self._quotes))
        quantity = self._random.choice((1, 2, 3, 5)) * (10 if self._by_number else 50_000)
        side = self._random.choice((1, 2))
        half = quantity // 2
        price = self._quotes[code] * (1 + Decimal(self._random.randint(-20, 20)) / 100_000)
        shown = price.quantize(Decimal("0.001") if code.endswith("JPY") else Decimal("0.00001"))
        common: dict[int, str | int | Decimal] = {37: order_id, 11: f"H{order_id}", 54: side, 38: quantity}
        done = 0
        for part, filled in enumerate((half, quantity - half)):
            done += filled
            told: dict[int, str | int | Decimal] = {
                17: f"{order_id}-{part + 1}",
                150: "F",
                39: 2 if done == quantity else 1,
                32: filled,
                31: shown,
            }
            told |= {14: done, 151: quantity - done, 6: shown}
            self._send(code, at + timedelta(milliseconds=40 * part), {**common, **told})
            if not self._by_number:  # announced once more under a number of its own, as some providers do
                self._send(
                    code, at + timedelta(milliseconds=40 * part + 5), {**common, **told, 17: f"{order_id}-{part + 1}x"}
                )
        if takes_back:
            self._send(
                code, at + timedelta(seconds=30),
                {**common, 17: f"{order_id}-9", 19: f"{order_id}-2", 150: "H", 39: 1, 32: 0, 31: 0, 14: half, 151: quantity - half},
            )  # fmt: skip

    def _send(self, code: str, at: datetime, fields: dict[int, str | int | Decimal]) -> None:
        self._sequence += 1
        stamp = f"{at:%Y%m%d-%H:%M:%S}.{at.microsecond // 1000:03d}"
        message = simplefix.FixMessage()
        message.append_pair(8, "FIX.4.4")
        for tag, value in ((35, "8"), (49, self._comp_id), (56, "BROKER"), (34, self._sequence), (52, stamp)):
            message.append_pair(tag, value)
        if self._by_number:
            message.append_pair(48, NUMBERED[code])
            message.append_pair(22, 8)
        else:
            message.append_pair(55, f"{code[:3]}/{code[3:]}")
        for number, told in fields.items():
            message.append_pair(number, told)
        message.append_pair(60, stamp)
        self._parts.append(message.encode())
