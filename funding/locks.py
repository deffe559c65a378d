"""The locks of funding, written once. They come before the ledger's (see `funding/ledger/locks.py`)."""

from __future__ import annotations

from django.db import connection

from backoffice.core.locks import advisory_key
from funding.ledger.database import book
from funding.ledger.locks import bound_lock_waits


def lock_results_of_server(server_id: int) -> None:
    """Lets one run at a time compare and book the results of a server; held until the transaction ends.

    Raises `Retryable` when another run does not end within three seconds.
    """
    with book():
        bound_lock_waits()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [advisory_key("funding", "results", str(server_id))])
