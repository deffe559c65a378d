"""Making the projections anew: trades, open positions, balance operations and openings from nothing but deals."""

from __future__ import annotations

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from platform_ops.events import TRADES_CHANGED
from platform_ops.locks import lock_server
from platform_ops.models import IngestBatch, StatementImport, TradingServer
from platform_ops.permissions import REBUILD_PROJECTIONS
from platform_ops.services.openings import refresh_openings
from platform_ops.services.projections import project_server


@transaction.atomic(durable=True)
def rebuild_projections(*, server_id: int, actor: Actor) -> IngestBatch:
    """Brings every projection of a server to what its deals say; the batch counts what was wrong.

    Rows that are right are left alone, so that nothing downstream moves without a reason. Without a change the batch is
    unsaved and nothing is written.
    """
    authorise(actor, REBUILD_PROJECTIONS)
    server = TradingServer.objects.filter(pk=server_id).first()
    if server is None:
        raise NotFound("No such trading server.", server_id=server_id)
    lock_server(server_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('platform_ops_ingestbatch', 'id'))")
        batch_id = cursor.fetchone()[0]
    projected = project_server(server_id=server_id, batch_id=batch_id)
    accounts = (
        StatementImport.objects.filter(server_id=server_id, state=StatementImport.State.STORED, account__isnull=False)
        .order_by("account_id")
        .values_list("account_id", flat=True)
        .distinct()
    )
    openings = sum(refresh_openings(account_id=account_id, batch_id=batch_id) for account_id in accounts if account_id)
    batch = IngestBatch(
        server=server,
        source="rebuild",
        changed_trades=projected.trades,
        changed_positions=projected.positions,
        changed_operations=projected.operations + openings,
    )
    if projected.trades or projected.positions or projected.operations or openings:
        batch.pk = batch_id
        batch.save(force_insert=True)
        audit.record(actor=actor, action="platform.rebuild_projections", target=batch, entity_id=server.entity_id)
        outbox.publish(
            topic=TRADES_CHANGED,
            payload={"batch_id": batch_id, "server_id": server_id},
            shard_key=f"server:{server_id}",
        )
    return batch
