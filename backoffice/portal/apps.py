"""Registers the client portal with Django."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The shell of the client portal."""

    name = "backoffice.portal"
    label = "portal"
    verbose_name = "Client portal"

    def ready(self) -> None:
        """Registers a trader's pages and the notices above every page."""
        from backoffice.portal import notices, trader

        trader.register()
        notices.register()
