"""How a report database is reached as the connection of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.registry import ConnectionSettings, Options, checked_options, register_connector
from platform_ops.gateways.report_database import ReportDatabaseSettings, open_report_database
from platform_ops.gateways.types import ReadingGateway
from platform_ops.types import Platform

KIND = "report_database"
_OPTIONS: Mapping[str, tuple[type, Any]] = {
    "database": (str, ""),
    "currency": (str, ""),
    "unix_socket": (str, ""),
    "tls_ca": (str, ""),
}


def check_options(options: Mapping[str, Any]) -> Options:
    """`database` must be named; `currency` is that of accounts whose group does not tell. Raises InvalidInput."""
    whole = checked_options(options, known=_OPTIONS)
    if not whole["database"].strip():
        raise InvalidInput("Name the database of the export in the option `database`.", field="options")
    return whole


def open_connection(settings: ConnectionSettings) -> ReadingGateway:
    """The connector of a server's connection."""
    options = settings.options
    return open_report_database(
        ReportDatabaseSettings(
            server=settings.server,
            platform=Platform.MT4 if settings.platform == Platform.MT4 else Platform.MT5,
            database=options["database"],
            user=settings.login,
            password=settings.password,
            host=settings.host,
            port=settings.port or 3306,
            unix_socket=options.get("unix_socket", ""),
            zone=settings.zone,
            currency=options.get("currency", ""),
            tls_ca=options.get("tls_ca", ""),
        )
    )


def register() -> None:
    """Adds the kind of connection; called once when the application starts."""
    register_connector(KIND, open_connection, check_options)
