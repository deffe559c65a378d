"""The desk is Django's admin with our own site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig

ORGANISATION_PAGES = (
    ("Legal entities", "legalentity", "core.manage_organisation"),
    ("Brands", "brand", "core.manage_organisation"),
    ("Teams", "team", "core.manage_organisation"),
    ("Bank accounts", "entitybankaccount", "core.view_bank_accounts"),
    ("Terms", "termsversion", "core.view_terms"),
    ("Document numbers", "documentnumber", "core.view_document_numbers"),
    ("Users", "user", "core.view_users"),
    ("Sign-ins", "loginevent", "core.view_login_events"),
    ("Sessions", "usersession", "core.view_login_events"),
    ("Leavers", "leaverrecord", "core.view_leavers"),
    ("Views as a client", "clientview", "core.view_audit"),
    ("Signed reviews", "accessreview", "core.review_access"),
    ("Audit trail", "auditrecord", "core.view_audit"),
    ("Audit seals", "auditseal", "core.view_audit"),
    ("API keys", "apikey", "core.view_api_keys"),
    ("Webhook endpoints", "webhookendpoint", "core.view_webhooks"),
    ("Webhook deliveries", "webhookdelivery", "core.view_webhooks"),
    ("Public events", "publicevent", "core.view_webhooks"),
    ("Jobs", "job", "core.view_work"),
    ("Scheduled runs", "jobrun", "core.view_work"),
    ("Outbox", "outboxevent", "core.view_work"),
    ("Processes", "processheartbeat", "core.view_work"),
)


class DeskAdminConfig(AdminConfig):
    """Makes the desk the default admin site, so that desks register with `admin.site`."""

    default_site = "backoffice.desk.site.DeskSite"


class DeskConfig(AppConfig):
    """Navigation, dashboards and the look of the desk."""

    name = "backoffice.desk"
    label = "desk"
    verbose_name = "Desk"

    def ready(self) -> None:
        """Registers the pages of the organisation and of the machinery, and their cards."""
        from backoffice.core.services.changes import waiting
        from backoffice.desk import cards
        from backoffice.desk.admin import change_panels, files, inbox_pages, inbox_panels, messages, switches
        from backoffice.ui.navigation import register_page, register_section

        register_section("organisation", "Organisation", "apartment", 90)
        for order, (title, model, capability) in enumerate(ORGANISATION_PAGES, start=1):
            register_page("organisation", title, f"admin:core_{model}_changelist", capability, order * 10)
        register_page("organisation", "Access review", "admin:organisation_access_review", "core.review_access", 115)
        cards.register()
        change_panels.register()
        # Every desk has registered its kinds of change by now: this application comes after all of them.
        waiting.register_work_kinds()
        inbox_pages.register()
        inbox_panels.register()
        switches.register()
        files.register()
        messages.register()
