"""What account operations and price complaints register with the rooms above; called once when the application starts."""

from __future__ import annotations

from backoffice.core.changes.kinds import register_change_kind
from backoffice.core.schedule import register_periodic
from backoffice.core.services import outbox


def register() -> None:
    """Kinds of change and of work, handlers, ticks and proofs."""
    from platform_ops import account_checks, account_permissions, portal
    from platform_ops.events import TRADES_CHANGED
    from platform_ops.services.account_operations import approved, recognising
    from platform_ops.services.complaints import deciding, letters, waiting

    account_permissions.register()
    portal.register()
    account_checks.register()
    waiting.register()
    letters.register()
    register_change_kind(deciding.complaint_change_kind())
    register_change_kind(approved.money_change_kind())
    outbox.subscribe(TRADES_CHANGED, "platform.recognise_operations", recognising.recognise_batch)
    register_periodic("platform.operations", "platform_ops.tasks.carry_out_operations", 5)
    register_periodic("platform.complaints", "platform_ops.tasks.finish_price_complaints", 10)
