"""Registers the introducing-broker desk with Django."""

from django.apps import AppConfig


class IbConfig(AppConfig):
    """Partners, plans and commissions."""

    name = "ib"
    label = "ib"
    verbose_name = "Partners and commissions"
