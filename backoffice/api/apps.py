"""The API root."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """Serves /api/v1/ from what desks registered."""

    name = "backoffice.api"
    label = "api"
    verbose_name = "API"

    def ready(self) -> None:
        """Lets the schema generator know our authentication, and registers what belongs to no desk."""
        from backoffice.api import (
            machinery,
            organisation,
            schema,  # noqa: F401 - extensions register themselves
            topics,
            webhooks,
        )
        from backoffice.api.endpoints import changes, entities, identity, messages, switches, work

        organisation.register()
        machinery.register()
        topics.register()
        webhooks.register()
        work.register()
        switches.register()
        changes.register()
        messages.register()
        identity.register()
        entities.register()
