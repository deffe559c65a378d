"""Report databases: the SQL copies that MT4 and MT5 servers write of themselves. Read only, bounded, no float anywhere.

`open_report_database` answers a `ReadingGateway`; what a copy does not hold (an older schema, a table that was not
exported) is not among its abilities.
"""

from __future__ import annotations

from platform_ops.gateways.report_database.connection import ReportDatabaseSettings, connect
from platform_ops.gateways.report_database.mt4 import Mt4ReportDatabase
from platform_ops.gateways.report_database.mt5 import Mt5ReportDatabase
from platform_ops.types import Platform

__all__ = ["Mt4ReportDatabase", "Mt5ReportDatabase", "ReportDatabaseSettings", "open_report_database"]


def open_report_database(settings: ReportDatabaseSettings) -> Mt4ReportDatabase | Mt5ReportDatabase:
    """A connector over the report database of a server.

    Raises GatewayUnavailable while the database cannot be reached, GatewayRefused when it does not let us in, and
    GatewayGarbled when it holds no deals of the stated platform.
    """
    database = connect(settings)
    try:
        if settings.platform is Platform.MT4:
            return Mt4ReportDatabase(database)
        return Mt5ReportDatabase(database)
    except BaseException:
        database.close()
        raise
