"""Registers reports with Django."""

from django.apps import AppConfig


class ReportsConfig(AppConfig):
    """Report registry, schedules and issued documents."""

    name = "backoffice.reports"
    label = "reports"
    verbose_name = "Reports"

    def ready(self) -> None:
        """Declares permissions and registers definitions, pages, the proof and the last step of the business day."""
        from backoffice.core.books import register_check
        from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
        from backoffice.reports import api, checks, permissions
        from backoffice.reports.admin import document_panel
        from backoffice.reports.definitions.daily_finance import DAILY_FINANCE
        from backoffice.reports.registry import register_report
        from backoffice.reports.services.issue import DOCUMENT_KIND
        from backoffice.reports.services.schedules import STEP_ORDER, issue_scheduled, register_work
        from backoffice.ui.navigation import register_page, register_section
        from backoffice.ui.panels import register_panel
        from platform_ops.services.business_day import register_step

        permissions.declare()
        api.register()
        register_document_kind(DocumentKind(DOCUMENT_KIND, "Issued reports", "{entity}-REP-{year}-{number:05}"))
        register_report(DAILY_FINANCE)
        register_check("reports.issued_reports_intact", checks.issued_reports_intact)
        register_work()
        register_step("reports", STEP_ORDER, issue_scheduled, title="Reports issued")
        register_panel("reports.IssuedReport", "document", "Document", document_panel, order=10)
        register_section("reports", "Reports", "description", 70)
        register_page(
            "reports",
            "Issued reports",
            "admin:reports_issuedreport_changelist",
            "reports.view_report",
            10,
            icon="draft",
        )
        register_page(
            "reports",
            "Schedules",
            "admin:reports_reportschedule_changelist",
            "reports.view_schedule",
            20,
            icon="schedule",
        )
