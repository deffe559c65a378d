"""Registers the platform operations desk with Django."""

from django.apps import AppConfig


class PlatformOpsConfig(AppConfig):
    """Servers, accounts, symbols, deals and the business day."""

    name = "platform_ops"
    label = "platform_ops"
    verbose_name = "Platform operations"

    def ready(self) -> None:
        """Declares the desk's verbs, scopes and proofs."""
        from backoffice.core.bench import register_suite
        from platform_ops import account_room, api, change_kinds, checks, permissions, screens
        from platform_ops.gateways.mt5web import connector as mt5web
        from platform_ops.services import work
        from platform_ops.services.sync import work as sync_work

        permissions.register()
        account_room.register()
        mt5web.register()
        checks.register()
        change_kinds.register()
        work.register()
        sync_work.register()
        screens.register()
        api.register()
        register_suite("ingest", "platform_ops.bench.ingest")
