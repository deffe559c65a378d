"""Report databases on a real MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from platform_ops.gateways.report_database import (
    Mt4ReportDatabase,
    Mt5ReportDatabase,
    ReportDatabaseSettings,
    open_report_database,
)
from platform_ops.types import Platform
from tests.platform_ops.mariadb import READER, READER_PASSWORD, MariaServer

Open = Callable[..., "Mt4ReportDatabase | Mt5ReportDatabase"]


@pytest.fixture
def opened(mariadb: MariaServer) -> Iterator[Open]:
    """Opens readers and closes them at the end."""
    readers: list[Mt4ReportDatabase | Mt5ReportDatabase] = []

    def open_one(
        database: str, platform: Platform = Platform.MT5, **more: object
    ) -> Mt4ReportDatabase | Mt5ReportDatabase:
        chosen = {"user": READER, "password": READER_PASSWORD, "unix_socket": mariadb.socket} | more
        reader = open_report_database(
            ReportDatabaseSettings(server="alpha", platform=platform, database=database, **chosen)  # type: ignore[arg-type]
        )
        readers.append(reader)
        return reader

    yield open_one
    for reader in readers:
        reader.close()
