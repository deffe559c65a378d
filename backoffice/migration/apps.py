"""Registers the migration room with Django."""

from django.apps import AppConfig


class MigrationConfig(AppConfig):
    """Taking a broker over from another system, and taking a whole one out and in again."""

    name = "backoffice.migration"
    label = "migration"
    verbose_name = "Migration"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Declares permissions and registers proofs, the kind of change, the runner of jobs and the page."""
        from backoffice.core.services.jobs import register_runner
        from backoffice.migration import change_kinds, checks, permissions
        from backoffice.migration.admin import register_panels
        from backoffice.migration.services.packages import run_package_job
        from backoffice.migration.types import MIGRATION_JOB_KIND
        from backoffice.ui.navigation import register_page

        permissions.declare()
        checks.register()
        change_kinds.register()
        register_runner(MIGRATION_JOB_KIND, run_package_job)
        register_panels()
        register_page(
            "organisation",
            "Migration packages",
            "admin:migration_migrationpackage_changelist",
            permissions.VIEW_PACKAGES,
            80,
            icon="move_to_inbox",
        )
