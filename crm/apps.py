"""Registers the CRM desk with Django."""

from django.apps import AppConfig


class CrmConfig(AppConfig):
    """Leads, clients and what is known of them."""

    name = "crm"
    label = "crm"
    verbose_name = "CRM"

    def ready(self) -> None:
        """Declares who sees which clients; registers the desk's pages and endpoints."""
        from backoffice.core.services.access_review import register_exception_counter
        from backoffice.core.services.client_views import register_viewable
        from backoffice.ui.navigation import register_page, register_section
        from crm import documents, letters, permissions
        from crm.api import clients as clients_api
        from crm.api import documents as documents_api
        from crm.models import Client
        from crm.services import leavers

        permissions.declare()
        documents.register()
        letters.register()
        leavers.register()
        register_viewable("crm.clients", Client.objects.all)
        register_exception_counter("crm.clients", leavers.exceptions_of)
        register_section("crm", "CRM", "group", 10)
        register_page("crm", "Clients", "admin:crm_client_changelist", "crm.view_clients", 10)
        clients_api.register()
        documents_api.register()
