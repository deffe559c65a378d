"""Registers the CRM desk with Django."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Leads, clients and what is known of them."""

    name = "crm"
    label = "crm"
    verbose_name = "CRM"

    def ready(self) -> None:
        """Declares who sees which clients; registers the desk's pages and endpoints."""
        from backoffice.ui.api_registry import register_router
        from backoffice.ui.navigation import register_page, register_section
        from crm import permissions
        from crm.api.clients import ClientViewSet

        permissions.declare()
        register_section("crm", "CRM", "group", 10)
        register_page("crm", "Clients", "admin:crm_client_changelist", "crm.view_clients", 10)
        register_router("clients", ClientViewSet, "client")
