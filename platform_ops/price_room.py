"""What prices register with the rooms above; called once when the application starts."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope
from backoffice.core.measuring.bench import register_suite
from backoffice.core.schedule import register_periodic
from backoffice.core.services import outbox
from backoffice.core.services.backup_folders import BackupFolder, register_backup_folder
from backoffice.core.types import Actor, Role

SEND_PRICES = "platform.send_prices"
FLUSH_SECONDS = 600
PRUNE_SECONDS = 6 * 3_600
MODELS = (
    "PriceSource", "PriceFilterSetting", "PriceFeed", "RejectionEpisode", "RejectedTick", "PriceBar", "TickFile",
)  # fmt: skip


def register() -> None:
    """Scopes, kinds of change and of work, proofs, ticks of the clock, pages and the bench."""
    from django.db.models import Q

    from platform_ops import price_changes, price_checks
    from platform_ops.admin import prices as price_pages
    from platform_ops.api import price_filters
    from platform_ops.api import prices as price_api
    from platform_ops.events import TRADES_CHANGED
    from platform_ops.services import market_ticks
    from platform_ops.services.prices import store, watch

    def every_member_of_staff(actor: Actor) -> Q | None:
        """Prices belong to nobody: every member of staff may read them."""
        return Q() if actor.is_staff else None

    declare_capability(SEND_PRICES, (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR))
    for model in MODELS:
        register_scope(f"platform_ops.{model}", every_member_of_staff)
    price_changes.register()
    price_checks.register()
    watch.register()
    price_pages.register()
    price_api.register()
    price_filters.register()
    register_backup_folder(BackupFolder(name="ticks", label="tick files", path=store.folder, forget=store.forget_files))
    outbox.subscribe(TRADES_CHANGED, "platform.market_ticks", market_ticks.on_trades_changed)
    register_periodic("platform.flush_ticks", "platform_ops.tasks.flush_ticks", FLUSH_SECONDS)
    register_periodic("platform.prune_ticks", "platform_ops.tasks.prune_ticks", PRUNE_SECONDS)
    register_suite("ticks", "platform_ops.bench_ticks.ticks")
