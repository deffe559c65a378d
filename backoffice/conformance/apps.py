"""Registers the conformance room with Django, for its command."""

from django.apps import AppConfig


class ConformanceConfig(AppConfig):
    """Scenarios run in a scratch database. The room has no tables, screens or permissions."""

    name = "backoffice.conformance"
    label = "conformance"
    verbose_name = "Conformance"
