"""Registers the shared screens' bases with Django."""

from django.apps import AppConfig


class UiConfig(AppConfig):
    """What desks subclass or call for their screens."""

    name = "backoffice.ui"
    label = "ui"
    verbose_name = "User interface"
