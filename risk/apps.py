"""Registers the risk desk with Django."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """Exposure."""

    name = "risk"
    label = "risk"
    verbose_name = "Risk"
