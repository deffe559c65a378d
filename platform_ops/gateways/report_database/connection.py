"""One read-only session with a report database: opened, bounded in time and rows, its errors in our words.

Numbers leave this module as Decimal or int and times as naive server-local datetimes; a zero date is None. The session
refuses to write whatever rights its user has.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

import pymysql
from pymysql.constants import ER, FIELD_TYPE
from pymysql.converters import conversions

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.errors import GatewayGarbled, GatewayRefused, GatewayUnavailable
from platform_ops.types import Platform

CONNECT_SECONDS = 5
READ_SECONDS = 60
WRITE_SECONDS = 10
STATEMENT_SECONDS = 45
PAGE_ROWS = 5_000
MAX_TABLES = 2_000
LOGINS_PER_QUERY = 1_000

Row = dict[str, Any]

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?)?")
_MARIADB_STATEMENT_TIMEOUT = 1969
_MYSQL_STATEMENT_TIMEOUT = 3024
_REFUSALS = frozenset(
    {
        ER.ACCESS_DENIED_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.BAD_DB_ERROR,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.COLUMNACCESS_DENIED_ERROR,
        ER.HOST_NOT_PRIVILEGED,
        1698,  # access denied without a password
        1820,  # the password has expired
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDatabaseSettings:
    """Where a report database is and what it is a copy of.

    `zone` is the server's own; without it the offset is taken from the database (MT5 only). `currency` is that of
    accounts whose group does not tell. `unix_socket` goes before host and port.
    """

    server: str
    platform: Platform
    database: str
    user: str
    password: str = field(repr=False, default="")
    host: str = "127.0.0.1"
    port: int = 3306
    unix_socket: str = ""
    zone: ServerZone | None = None
    currency: str = ""
    tls_ca: str = ""


class Database:
    """A session, and which tables and columns it sees."""

    def __init__(self, settings: ReportDatabaseSettings, link: Any) -> None:
        self.settings = settings
        self._link = link
        self.columns: Mapping[str, frozenset[str]] = {}

    @property
    def server(self) -> str:
        """The code of the trading server, for messages."""
        return self.settings.server

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """All rows of a bounded statement, by column."""
        try:
            with self._link.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(sql, tuple(values))
                return list(cursor.fetchall())
        except pymysql.MySQLError as error:
            self._fail(error, sql)

    def pages(self, sql: str, values: Sequence[Any], *, key: Sequence[str], page: int = PAGE_ROWS) -> Iterator[Row]:
        """Rows of `SELECT … FROM (…)` page by page, by the ascending *key* columns; *sql* holds `{after}` for a condition.

        A page begins after the last key of the one before, so rows that come or go meanwhile shift nothing.
        """
        last: tuple[Any, ...] | None = None
        order = ", ".join(f"`{name}`" for name in key)
        while True:
            after, more = ("", ()) if last is None else _after(key, last)
            rows = self.query(
                f"{sql.format(after=after)} ORDER BY {order} LIMIT {page}",  # the parts are names of this room
                [*values, *more],
            )
            yield from rows
            if len(rows) < page:
                return
            last = tuple(rows[-1][name] for name in key)

    def has(self, table: str, *columns: str) -> bool:
        """Whether the table is there with all these columns."""
        return table in self.columns and self.columns[table] >= set(columns)

    def select(self, table: str, wanted: Sequence[str], *, alias: str = "") -> str:
        """A select list: the wanted columns, NULL for those that this schema does not have."""
        prefix = f"{alias}." if alias else ""
        held = self.columns.get(table, frozenset())
        return ", ".join(f"{prefix}`{name}`" if name in held else f"NULL AS `{name}`" for name in wanted)

    def close(self) -> None:
        """Ends the session; may be called twice."""
        with contextlib.suppress(pymysql.MySQLError, OSError):
            self._link.close()

    def garbled(
        self, problem: str, *, table: str, row: object = None, name: str = "", value: object = None
    ) -> NoReturn:
        """Gives up on content that cannot be, saying where it stands."""
        place = f"{table}{f' {row}' if row is not None else ''}{f', {name}' if name else ''}"
        raise GatewayGarbled(
            f"{self.server}: {place}: {problem}.",
            server=self.server,
            table=table,
            row=None if row is None else str(row),
            field=name,
            value=None if value is None else str(value)[:80],
        )

    def _fail(self, error: pymysql.MySQLError, sql: str) -> NoReturn:
        raise _our_error(error, server=self.server, command=sql.split(maxsplit=1)[0]) from error


def connect(settings: ReportDatabaseSettings) -> Database:
    """Opens the session. Raises GatewayUnavailable or GatewayRefused."""
    where: dict[str, Any] = {"host": settings.host, "port": settings.port}
    if settings.unix_socket:
        where = {"unix_socket": settings.unix_socket}
    if settings.tls_ca:
        where |= {"ssl_ca": settings.tls_ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    try:
        link = pymysql.connect(
            **where,
            user=settings.user,
            password=settings.password,
            database=settings.database,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            write_timeout=WRITE_SECONDS,
            autocommit=True,
            local_infile=False,
            conv=_CONVERSIONS,
        )
        database = Database(settings, link)
        _bound(link)
        database.columns = _columns(database)
    except (pymysql.MySQLError, OSError) as error:
        raise _our_error(error, server=settings.server, command="connect") from error
    return database


def _bound(link: Any) -> None:
    """No writing, and no statement that runs for minutes. MySQL and MariaDB name that limit differently."""
    with link.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute("SET SESSION time_zone = '+00:00'")
        for limit in (
            f"SET SESSION max_statement_time = {STATEMENT_SECONDS}",
            f"SET SESSION max_execution_time = {STATEMENT_SECONDS * 1000}",
        ):
            try:
                cursor.execute(limit)
                return
            except pymysql.MySQLError as error:
                if error.args[:1] != (ER.UNKNOWN_SYSTEM_VARIABLE,):
                    raise


def _columns(database: Database) -> Mapping[str, frozenset[str]]:
    rows = database.query(
        "SELECT table_name AS t, column_name AS c FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND (table_name LIKE 'mt4%%' OR table_name LIKE 'mt5%%') ORDER BY 1, 2"
    )
    found: dict[str, set[str]] = {}
    for row in rows:
        if _NAME.fullmatch(row["t"]) and _NAME.fullmatch(row["c"]):
            found.setdefault(row["t"], set()).add(row["c"])
    if len(found) > MAX_TABLES:
        raise GatewayGarbled(f"{database.server}: more than {MAX_TABLES} tables.", server=database.server)
    return {table: frozenset(names) for table, names in found.items()}


def _after(key: Sequence[str], last: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """`AND (a > x OR (a = x AND b > y) …)`: a row comparison that both servers use an index for."""
    parts, values = [], []
    for place, name in enumerate(key):
        same = [f"`{earlier}` = %s" for earlier in key[:place]]
        parts.append("(" + " AND ".join([*same, f"`{name}` > %s"]) + ")")
        values += [*last[:place], last[place]]
    return f" AND ({' OR '.join(parts)})", tuple(values)


def _our_error(error: Exception, *, server: str, command: str) -> Exception:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else None
    text = str(error.args[1]) if len(error.args) > 1 else type(error).__name__
    details: dict[str, Any] = {"server": server, "command": command, "number": number}
    if number in _REFUSALS:
        return GatewayRefused(f"{server}: the report database refuses us ({number}: {text[:200]}).", **details)
    if number in (_MARIADB_STATEMENT_TIMEOUT, _MYSQL_STATEMENT_TIMEOUT):
        return GatewayUnavailable(f"{server}: the report database took longer than {STATEMENT_SECONDS} s.", **details)
    if isinstance(error, (pymysql.ProgrammingError, pymysql.DataError, pymysql.NotSupportedError)):
        return GatewayGarbled(f"{server}: the report database is built otherwise ({number}: {text[:200]}).", **details)
    return GatewayUnavailable(f"{server}: the report database does not answer ({number}: {text[:200]}).", **details)


def _decimal(text: Any) -> Decimal:
    return Decimal(text if isinstance(text, str) else text.decode("ascii"))


def _moment(text: Any) -> datetime | None:
    """A server-local time; None for the zero date that stands for none."""
    match = _TIME.fullmatch(text if isinstance(text, str) else text.decode("ascii"))
    if match is None or match.group(1) == "0000":
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    micro = int((match.group(7) or "0").ljust(6, "0"))
    try:
        return datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001 -- server-local
    except ValueError:
        return None


_CONVERSIONS = dict(conversions) | {
    FIELD_TYPE.DOUBLE: _decimal,
    FIELD_TYPE.FLOAT: _decimal,
    FIELD_TYPE.DECIMAL: _decimal,
    FIELD_TYPE.NEWDECIMAL: _decimal,
    FIELD_TYPE.DATETIME: _moment,
    FIELD_TYPE.TIMESTAMP: _moment,
    FIELD_TYPE.DATE: _moment,
}
