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
        from backoffice.core import checks, permissions, schedule, stream_channels  # noqa: F401 - checks register themselves
        from backoffice.core.changes import room as change_room
        from backoffice.core.files import private as private_files
        from backoffice.core.identity import permissions as identity_permissions
        from backoffice.core.identity import sign_in
        from backoffice.core.messages import room as message_room
        from backoffice.core.observing import metrics
        from backoffice.core.organisation import checks as organisation_checks
        from backoffice.core.organisation import permissions as organisation_permissions
        from backoffice.core.services import brand_logos, leavers, work_sweep
        from backoffice.core.webhooks import room as webhook_room
        from backoffice.core.work import mail as work_mail

        app.set_default()
        permissions.declare()
        organisation_permissions.declare()
        organisation_checks.register()
        schedule.register_own()
        metrics.register_own()
        change_room.register()
        private_files.register()
        brand_logos.register()
        message_room.register()
        work_sweep.register()
        work_mail.register()
        identity_permissions.declare()
        leavers.register_own()
        stream_channels.register()
        sign_in.connect()
        webhook_room.register()
