"""Registers the marketing desk with Django."""

from django.apps import AppConfig


class MarketingConfig(AppConfig):
    """Campaigns."""

    name = "marketing"
    label = "marketing"
    verbose_name = "Marketing"
