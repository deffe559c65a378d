"""Puts API keys' and webhooks' recurring work in its place. Called once, when the process starts."""

from __future__ import annotations


def register() -> None:
    """The runner of deliveries, and the ticks of upkeep."""
    from backoffice.core.schedule import register_periodic
    from backoffice.core.services import webhook_delivery

    webhook_delivery.register()
    register_periodic("core.webhook_upkeep", "backoffice.core.tasks.keep_webhooks_up", 60)
    register_periodic("core.api_upkeep", "backoffice.core.tasks.forget_api_answers", 3600)
