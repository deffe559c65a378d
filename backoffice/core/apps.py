"""Registers the ground of every desk with Django."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """What every desk needs once."""

    name = "backoffice.core"
    label = "core"
    verbose_name = "Organisation and access"

    def ready(self) -> None:
        """Declares permissions, scheduled work and checks, and makes the Celery application the current one."""
        from backoffice.celery import app
        from backoffice.core import checks, permissions, schedule, sign_in  # noqa: F401 - checks register themselves

        app.set_default()
        permissions.declare()
        schedule.register_own()
        sign_in.connect()
