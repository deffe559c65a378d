"""Registers the platform operations desk with Django."""

from django.apps import AppConfig


class PlatformOpsConfig(AppConfig):
    """Servers, accounts, symbols, deals and the business day."""

    name = "platform_ops"
    label = "platform_ops"
    verbose_name = "Platform operations"

    def ready(self) -> None:
        """Declares the desk's verbs, scopes and proofs."""
        from backoffice.core.measuring.bench import register_suite
        from platform_ops import (
            account_room,
            api,
            change_kinds,
            checks,
            drop_copy_room,
            outer_room,
            permissions,
            price_room,
            screens,
            server_room,
            swap_room,
            symbol_room,
        )
        from platform_ops.services import work

        permissions.register()
        account_room.register()
        outer_room.register()
        server_room.register()
        checks.register()
        change_kinds.register()
        work.register()
        screens.register()
        drop_copy_room.register()
        price_room.register()
        swap_room.register()
        symbol_room.register()
        api.register()
        register_suite("ingest", "platform_ops.bench.ingest")
