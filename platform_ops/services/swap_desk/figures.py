"""What a night costs and pays in one currency, by row of a grid or by client, book, partner, server and symbol.

The engine's estimate of every open position is grouped in the database by account currency; only sums are converted, at
the reference rates of the day. Demo accounts are no money.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import connection, transaction

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.currency import Currency
from backoffice.kernel.registry import Registry
from platform_ops.models import TradingServer
from platform_ops.rules.swaps import RateDraft
from platform_ops.selectors.rates import rate_provider
from platform_ops.services.swaps.estimates import ESTIMATE_TABLE, fill_estimate

DEFAULT_CURRENCY = "USD"
MAX_NAMES = 40
NOBODY = "—"
ZERO = Decimal(0)

_OPEN = f"""
  FROM {ESTIMATE_TABLE} night
  JOIN platform_ops_tradingaccount account ON account.id = night.account_id AND NOT account.is_demo
 WHERE night.server_id = ANY (%(servers)s)
"""
_SUMS = "count(*), coalesce(sum(night.volume_lots), 0), coalesce(sum(night.money_now), 0), coalesce(sum(night.money_then), 0)"
_BY_ROW = f"SELECT night.symbol_id, night.group_id, night.currency, {_SUMS} {_OPEN} GROUP BY 1, 2, 3"
_BY_NAME = """
SELECT named.name, night.currency, {sums}
  FROM {table} night
  JOIN platform_ops_tradingaccount account ON account.id = night.account_id AND NOT account.is_demo
  LEFT JOIN LATERAL ({name}) named ON TRUE
 WHERE night.server_id = ANY (%(servers)s)
 GROUP BY 1, 2
"""
_groupings: Registry[tuple[str, str]] = Registry("groupings of nightly costs")


@dataclass(frozen=True, slots=True)
class NightFigures:
    """What some positions get in a night (negative: pay), as rates are and as they would be, in the reporting currency."""

    positions: int = 0
    lots: Decimal = ZERO
    now: Decimal = ZERO
    then: Decimal = ZERO

    @property
    def change(self) -> Decimal:
        """What the clients get more; negative: what they pay more."""
        return self.then - self.now

    def plus(self, other: NightFigures) -> NightFigures:
        """Both together."""
        return NightFigures(
            self.positions + other.positions, self.lots + other.lots, self.now + other.now, self.then + other.then
        )


@dataclass(frozen=True, slots=True)
class Night:
    """A night of everything that a set of drafts touches, by name within each grouping."""

    currency: str
    total: NightFigures
    groupings: dict[str, list[tuple[str, NightFigures]]]


def register_grouping(key: str, label: str, sql: str) -> None:
    """Adds a way to group accounts. *sql* selects one column `name` for the row `account`; a desk above may add its own."""
    _groupings.register(key, (label, sql))


def reporting_currency(actor: Actor | None = None) -> str:
    """The currency that sums are shown in: the base currency of the first legal entity that the actor sees."""
    entities = LegalEntity.objects.order_by("pk")
    if actor is not None and not actor.is_system:
        entities = entities.filter(pk__in=actor.entity_ids)
    return entities.values_list("base_currency", flat=True).first() or DEFAULT_CURRENCY


@transaction.atomic
def night_by_row(
    *, drafts: Sequence[RateDraft], symbol_ids: Iterable[int], actor: Actor
) -> dict[tuple[int, int | None], NightFigures]:
    """What a night is worth by symbol and account group. Raises MissingRate for a price or a rate that nobody has."""
    fill_estimate(drafts=drafts, symbol_ids=symbol_ids)
    to = _Converter(reporting_currency(actor))
    found: dict[tuple[int, int | None], NightFigures] = defaultdict(NightFigures)
    with connection.cursor() as cursor:
        cursor.execute(_BY_ROW, {"servers": _servers(actor)})
        for symbol_id, group_id, currency, *sums in cursor.fetchall():
            found[symbol_id, group_id] = found[symbol_id, group_id].plus(to.figures(currency, sums))
        cursor.execute(f"DROP TABLE {ESTIMATE_TABLE}")
    return dict(found)


@transaction.atomic
def night_of(*, drafts: Sequence[RateDraft], actor: Actor) -> Night:
    """A night of the drafts' symbols by every grouping, the largest change first. Raises MissingRate."""
    fill_estimate(drafts=drafts)
    to = _Converter(reporting_currency(actor))
    servers = _servers(actor)
    groupings: dict[str, list[tuple[str, NightFigures]]] = {}
    total = NightFigures()
    with connection.cursor() as cursor:
        for place, (_, (label, name)) in enumerate(_groupings.items()):
            named: dict[str, NightFigures] = defaultdict(NightFigures)
            cursor.execute(_BY_NAME.format(sums=_SUMS, table=ESTIMATE_TABLE, name=name), {"servers": servers})
            for who, currency, *sums in cursor.fetchall():
                named[who or NOBODY] = named[who or NOBODY].plus(to.figures(currency, sums))
            if place == 0:
                for figures in named.values():
                    total = total.plus(figures)
            ranked = sorted(named.items(), key=lambda pair: (-abs(pair[1].change), pair[0]))
            groupings[label] = _bounded(ranked)
        cursor.execute(f"DROP TABLE {ESTIMATE_TABLE}")
    return Night(to.currency, total, groupings)


def _bounded(ranked: list[tuple[str, NightFigures]]) -> list[tuple[str, NightFigures]]:
    """The largest ones by name, all others as one, so that the column still adds up."""
    if len(ranked) <= MAX_NAMES:
        return ranked
    rest = NightFigures()
    for _, figures in ranked[MAX_NAMES - 1 :]:
        rest = rest.plus(figures)
    return [*ranked[: MAX_NAMES - 1], (f"{len(ranked) - MAX_NAMES + 1:,} others", rest)]


def _servers(actor: Actor) -> list[int]:
    servers = TradingServer.objects.all()
    seen = servers if actor.is_system else visible_to(servers, actor)
    return list(seen.order_by().values_list("pk", flat=True))


class _Converter:
    """Turns sums of an account currency into the reporting currency, each rate read once."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self._day = business_day_of(clock.now())
        self._provider = rate_provider()
        self._rates: dict[str, Decimal] = {currency: Decimal(1)}

    def figures(self, currency: str, sums: Sequence[Decimal]) -> NightFigures:
        """The sums of one currency."""
        positions, lots, now, then = sums
        rate = self._rate(currency)
        return NightFigures(int(positions), Decimal(lots), now * rate, then * rate)

    def _rate(self, currency: str) -> Decimal:
        if currency not in self._rates:
            found = self._provider.rate(base=Currency.of(currency), quote=Currency.of(self.currency), on=self._day)
            self._rates[currency] = found.rate
        return self._rates[currency]


register_grouping("server", "Server", "SELECT server.code AS name FROM platform_ops_tradingserver server WHERE server.id = night.server_id")  # fmt: skip
register_grouping("symbol", "Symbol", "SELECT symbol.code AS name FROM platform_ops_symbol symbol WHERE symbol.id = night.symbol_id")  # fmt: skip
register_grouping(
    "book",
    "Book",
    "SELECT dimension.value AS name FROM platform_ops_accountdimension dimension"
    " WHERE dimension.account_id = account.id AND dimension.dimension = 'book' AND dimension.validity @> now() LIMIT 1",
)
register_grouping(
    "client",
    "Client",
    "SELECT client.reference || ' ' || client.full_name AS name FROM crm_client client WHERE client.id = account.client_id",
)
register_grouping(
    "group",
    "Account group",
    "SELECT account_group.name AS name FROM platform_ops_accountgroup account_group WHERE account_group.id = account.group_id",
)
