"""Registers the API root with Django."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """The root of the HTTP API."""

    name = "backoffice.api"
    label = "api"
    verbose_name = "API"
