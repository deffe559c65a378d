"""Registers reports with Django."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Report registry, schedules and issued documents."""

    name = "backoffice.reports"
    label = "reports"
    verbose_name = "Reports"
