"""Registers the migration room with Django."""

from django.apps import AppConfig


class MigrationConfig(AppConfig):
    """Taking a broker over from another system, and taking a whole one out and in again."""

    name = "backoffice.migration"
    label = "migration"
    verbose_name = "Migration"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Declares permissions and registers proofs."""
        from backoffice.migration import checks, permissions

        permissions.declare()
        checks.register()
