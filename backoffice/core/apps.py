"""Registers the ground of every desk with Django."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """What every desk needs once."""

    name = "backoffice.core"
    label = "core"
    verbose_name = "Organisation and access"

    def ready(self) -> None:
        """Makes the Celery application the current one, so that tasks find it in every process."""
        from backoffice.celery import app

        app.set_default()
