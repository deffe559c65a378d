"""The one door to a trading server: how each is reached, and `open_gateway`, which every use case goes through.

No gateway is opened inside a database transaction: what happens on a server cannot be rolled back, and nobody waits for a
peer with locks in hand. A gateway that may change the server is opened with `writing=True`, which asks the switch that
stops pushes to servers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.db import connection as database
from django.db import transaction
from django.db.models import Model

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, switches
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput, Misconfigured, NotFound
from platform_ops.gateways.errors import GatewayError, NotOffered
from platform_ops.gateways.registry import ConnectionSettings, connector_of
from platform_ops.gateways.types import (
    Ability,
    GatewayAccount,
    GatewayDeal,
    GatewayGroup,
    GatewayOrder,
    GatewayPosition,
    GatewaySymbol,
    GatewayTick,
    ReadingGateway,
    ServerClock,
    TradingGateway,
)
from platform_ops.models import ServerConnection, ServerSync, TradingServer
from platform_ops.permissions import MANAGE_CONNECTIONS

WRITING = frozenset({Ability.BALANCE_OPERATIONS, Ability.ACCOUNT_CHANGES, Ability.SYMBOL_CHANGES})
_TRACKED = (
    "kind",
    "host",
    "port",
    "login",
    "options",
    "is_enabled",
    "syncs_orders",
    "interval_seconds",
    "overlap_seconds",
    "started_at",
)


class ReadOnlyGateway:
    """The reading half of a gateway; what changes a server is not on it."""

    def __init__(self, gateway: ReadingGateway) -> None:
        self._gateway = gateway

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can read."""
        return self._gateway.abilities - WRITING

    def clock(self) -> ServerClock:
        """The server's clock."""
        return self._gateway.clock()

    def deals(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayDeal]:
        """Deals of a window."""
        return self._gateway.deals(from_time=from_time, to_time=to_time, logins=logins)

    def orders(
        self, *, from_time: datetime, to_time: datetime, logins: Sequence[str] | None = None
    ) -> Iterator[GatewayOrder]:
        """Ended orders of a window."""
        return self._gateway.orders(from_time=from_time, to_time=to_time, logins=logins)

    def positions(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayPosition]:
        """What is open now."""
        return self._gateway.positions(logins=logins)

    def accounts(self, *, logins: Sequence[str] | None = None) -> Iterator[GatewayAccount]:
        """Accounts with their money."""
        return self._gateway.accounts(logins=logins)

    def groups(self) -> Iterator[GatewayGroup]:
        """All groups."""
        return self._gateway.groups()

    def symbols(self) -> Iterator[GatewaySymbol]:
        """All symbols."""
        return self._gateway.symbols()

    def last_ticks(self, *, symbols: Sequence[str]) -> Mapping[str, GatewayTick]:
        """The last quotes."""
        return self._gateway.last_ticks(symbols=symbols)

    def earliest_news(self, *, since: datetime) -> datetime | None:
        """From when on a source that tells old deals at any time has news; None where the window says it all."""
        told = getattr(self._gateway, "earliest_news", None)
        return None if told is None else told(since=since)

    def close(self) -> None:
        """Ends the session."""
        self._gateway.close()

    def check_password(self, *, login: str, password: str, is_investor: bool) -> bool:
        """Whether the password is the account's."""
        return self._trading().check_password(login=login, password=password, is_investor=is_investor)

    def find_operation(self, *, login: str, reference: str, since: datetime) -> GatewayDeal | None:
        """The money deal whose comment holds the reference: looking up changes nothing."""
        return self._trading().find_operation(login=login, reference=reference, since=since)

    def _trading(self) -> TradingGateway:
        if not self._gateway.abilities & WRITING:
            raise NotOffered("This connection cannot look up operations.")
        return cast(TradingGateway, self._gateway)

    def __getattr__(self, name: str) -> Any:
        if name in _CHANGING:
            raise NotOffered("This session may only read: open the gateway for writing.", operation=name)
        if name in _READING_MORE and hasattr(self._gateway, name):
            return getattr(self._gateway, name)
        raise AttributeError(name)


_READING_MORE = frozenset({"changed_deals", "coverage", "follow", "probe", "symbol_in_group"})
"""What some connectors can tell besides: what changed since a moment, which tables hold what, what is executed now."""

_CHANGING = frozenset(
    {"open_account", "change_account", "change_password", "balance_operation", "change_symbol", "change_group_symbol"}
)


@contextmanager
def open_gateway(*, server_id: int, writing: bool = False) -> Iterator[TradingGateway]:
    """A session with a server, closed at the end. With *writing* it may change the server, else it may only read.

    Raises NotFound for a server without a connection, SwitchedOff while pushes are stopped, Misconfigured within a
    transaction. The server itself is first spoken to by the first call on the gateway.
    """
    refuse_within_transaction()
    connection = connection_of(server_id)
    if writing:
        entity_id = TradingServer.objects.values_list("entity_id", flat=True).get(pk=server_id)
        with transaction.atomic():
            switches.require_open(switches.Switch.SERVER_PUSHES, entity_id=entity_id)
    gateway = gateway_of(connection)
    try:
        yield cast(TradingGateway, gateway if writing else ReadOnlyGateway(gateway))
    finally:
        gateway.close()


def refuse_within_transaction() -> None:
    """Raises Misconfigured while a transaction is open: a server is never called with one in hand."""
    # The transaction that a test wraps around itself is none of ours (`atomic(durable=True)` knows it the same way).
    blocks = database.atomic_blocks
    if blocks and not getattr(blocks[-1], "_from_testcase", False):
        raise Misconfigured("A trading server is never called inside a transaction.")


def connection_of(server_id: int) -> ServerConnection:
    """How the server is reached. Raises NotFound."""
    found = ServerConnection.objects.filter(server_id=server_id).select_related("server").first()
    if found is None:
        raise NotFound("This server has no connection.", server_id=server_id)
    return found


def settings_of(connection: ServerConnection) -> ConnectionSettings:
    """What a connector is built from."""
    server = connection.server
    return ConnectionSettings(
        server=server.code,
        platform=server.platform,
        zone=ServerZone.parse(server.zone),
        host=connection.host,
        port=connection.port or 0,
        login=connection.login,
        password=connection.password or "",
        options=connection.options,
    )


def gateway_of(connection: ServerConnection) -> ReadingGateway:
    """A connector for the connection; nothing is sent before its first call."""
    return connector_of(connection.kind).factory(settings_of(connection))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionTerms:
    """What a person sets for a connection. A password of None keeps the one that stands."""

    kind: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str | None = None
    options: Mapping[str, Any] | None = None
    is_enabled: bool = True
    syncs_orders: bool = True
    interval_seconds: int = 5
    overlap_seconds: int = 300
    started_at: datetime | None = None


@transaction.atomic
def save_connection(*, server_id: int, terms: ConnectionTerms, actor: Actor, reason: str = "") -> ServerConnection:
    """Sets how a server is reached. Raises InvalidInput with the field that does not fit the kind."""
    authorise(actor, MANAGE_CONNECTIONS)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    options = _checked_terms(terms)
    found = ServerConnection.objects.select_for_update().filter(server=server).first()
    is_new = found is None
    connection = found or ServerConnection(server=server)
    before = {name: getattr(connection, name) for name in _TRACKED}
    for name in _TRACKED:
        if name not in ("options", "started_at"):
            setattr(connection, name, getattr(terms, name))
    connection.options = options
    if terms.started_at is not None:
        connection.started_at = terms.started_at
    elsewhere = not is_new and any(
        before[name] != getattr(connection, name) for name in ("kind", "host", "port", "login")
    )
    if terms.password is not None:
        connection.password = terms.password
    elif elsewhere and connection.password:
        # A kept password would be shown to whoever listens at the new address.
        raise InvalidInput("Another address or login needs the password again.", field="password")
    connection.save()
    ServerSync.objects.get_or_create(server=server)
    changes = {
        name: [_told(before[name]), _told(getattr(connection, name))]
        for name in _TRACKED
        if is_new or before[name] != getattr(connection, name)
    }
    if terms.password is not None:
        changes["password"] = ["", "set"] if is_new else ["(kept secret)", "changed"]
    if changes:
        audit.record(
            actor=actor,
            action="platform.save_connection",
            target=connection,
            entity_id=server.entity_id,
            reason=reason,
            changes=changes,
        )
    return connection


def _checked_terms(terms: ConnectionTerms) -> dict[str, Any]:
    if terms.kind not in ServerConnection.Kind.values:
        raise InvalidInput("There is no such kind of connection.", field="kind", value=terms.kind)
    try:
        connector = connector_of(terms.kind)
    except NotFound as error:
        raise InvalidInput("This kind of connection is not installed.", field="kind", value=terms.kind) from error
    if connector.needs_address and (not terms.host.strip() or terms.port is None):
        raise InvalidInput("This kind of connection needs a host and a port.", field="host")
    if any(letter.isspace() or letter in "/@" for letter in terms.host):
        raise InvalidInput("A host is a name or an address.", field="host", value=terms.host)
    for name, value, low, high in (
        ("port", terms.port, 1, 65_535),
        ("interval_seconds", terms.interval_seconds, 1, 3_600),
        ("overlap_seconds", terms.overlap_seconds, 0, 86_400),
    ):
        if value is not None and not low <= value <= high:
            raise InvalidInput(f"It lies between {low:,} and {high:,}.", field=name, value=value)
    if terms.started_at is not None and terms.started_at > clock.now():
        raise InvalidInput("Records are fetched from a moment that has passed.", field="started_at")
    return connector.options_check(terms.options or {})


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """What a test of a connection found. `offset_seconds`: how far the server's clock is ahead of ours."""

    problem: str
    code: str = ""
    server_time: datetime | None = None
    offset_seconds: float | None = None
    milliseconds: int | None = None
    abilities: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the server answered."""
        return not self.problem


def test_connection(*, server_id: int, actor: Actor) -> ConnectionTest:
    """Connects, proves who both sides are, and reads the clock; changes nothing. A failure is an outcome, not an error."""
    authorise(actor, MANAGE_CONNECTIONS)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    started = clock.now()
    try:
        with open_gateway(server_id=server_id) as gateway:
            abilities = tuple(sorted(ability.value for ability in gateway.abilities))
            if Ability.TIME in gateway.abilities:
                told = gateway.clock()
            else:
                told = None
                _read_something(gateway)
    except (GatewayError, NotFound) as error:
        outcome = ConnectionTest(problem=error.message, code=error.code)
    else:
        ended = clock.now()
        outcome = ConnectionTest(
            problem="",
            server_time=None if told is None else told.utc,
            offset_seconds=None if told is None else round((told.utc - ended).total_seconds(), 1),
            milliseconds=round((ended - started).total_seconds() * 1000),
            abilities=abilities,
        )
    _record_test(server, actor, outcome)
    return outcome


def _read_something(gateway: ReadingGateway) -> None:
    now = clock.now()
    if Ability.EXECUTIONS in gateway.abilities:
        cast(Any, gateway).probe()
    if Ability.DEALS in gateway.abilities:
        for _ in gateway.deals(from_time=now, to_time=now):
            return


@transaction.atomic
def _record_test(server: Model, actor: Actor, outcome: ConnectionTest) -> None:
    found = "answers" if outcome.is_good else outcome.problem[:300]
    audit.record(
        actor=actor,
        action="platform.test_connection",
        target=server,
        entity_id=cast(TradingServer, server).entity_id,
        changes={"outcome": ["", found]},
    )


def _told(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
