"""Registers the CRM desk with Django."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Leads, clients and what is known of them."""

    name = "crm"
    label = "crm"
    verbose_name = "Clients"
