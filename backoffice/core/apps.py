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
        from backoffice.core import (
            change_room,
            checks,  # noqa: F401 - checks register themselves
            identity_permissions,
            message_room,
            metrics,
            organisation_checks,
            organisation_permissions,
            permissions,
            private_files,
            schedule,
            sign_in,
            stream_channels,
            webhook_room,
            work_mail,
        )
        from backoffice.core.services import leavers, work_sweep

        app.set_default()
        permissions.declare()
        organisation_permissions.declare()
        organisation_checks.register()
        schedule.register_own()
        metrics.register_own()
        change_room.register()
        private_files.register()
        message_room.register()
        work_sweep.register()
        work_mail.register()
        identity_permissions.declare()
        leavers.register_own()
        stream_channels.register()
        sign_in.connect()
        webhook_room.register()
