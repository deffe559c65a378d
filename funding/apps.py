"""Registers the funding desk with Django."""

from django.apps import AppConfig


class FundingConfig(AppConfig):
    """Money in and out, and the posting of trading results."""

    name = "funding"
    label = "funding"
    verbose_name = "Funding"
