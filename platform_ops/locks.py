"""The locks of platform operations, written once so that their order is one order everywhere: server, day, account."""

from __future__ import annotations

from django.db import OperationalError, connection

from backoffice.core.locks import advisory_key
from backoffice.kernel.errors import Retryable
from platform_ops.models import BusinessDay

LOCK_TIMEOUT_MILLISECONDS = 3000
WRITER_WAIT_MILLISECONDS = 120_000
"""A load of a million rows holds the server's lock for seconds; nobody waits longer than this."""

_LOCK_NOT_AVAILABLE = "55P03"


def lock_business_day(business_day_id: int) -> BusinessDay:
    """The business day, locked until the transaction ends; waits at most three seconds for another holder."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
    return (
        BusinessDay.objects.select_for_update(of=("self",)).select_related("server", "entity").get(pk=business_day_id)
    )


def lock_server(server_id: int) -> None:
    """Makes the caller the only writer of the server's deals until its transaction ends. Raises Retryable on a time-out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        usual = cursor.fetchone()[0]
        cursor.execute(f"SET LOCAL lock_timeout = {WRITER_WAIT_MILLISECONDS}")
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("platform", "server", str(server_id))])
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Retryable("Another load of this server is still running.", server_id=server_id) from error
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [usual])


def lock_swap_rates() -> None:
    """Makes the caller the only one who sets swap rates until its transaction ends; waits at most three seconds."""
    _lock_alone("swap_rates", "all", "Somebody else is setting swap rates.")


def lock_rollover(server_id: int) -> None:
    """Makes the caller the only rollover of the server until its transaction ends; waits at most three seconds."""
    _lock_alone("rollover", str(server_id), "Another rollover of this server is under way.")


def _lock_alone(what: str, which: str, problem: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("platform", what, which)])
        except OperationalError as error:
            if getattr(error.__cause__, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Retryable(problem, what=what, which=which) from error
