"""The Django app of the embedded stack."""

from __future__ import annotations

from django.apps import AppConfig


class DevstackConfig(AppConfig):
    """Holds the commands that run the demo, and the check that keeps the stack out of production."""

    name = "backoffice.devstack"
    label = "devstack"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Registers the deployment check."""
        from backoffice.devstack import checks  # noqa: F401
