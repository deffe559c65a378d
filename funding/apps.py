"""Registers the funding desk with Django."""

from django.apps import AppConfig


class FundingConfig(AppConfig):
    """Money in and out, and the posting of trading results."""

    name = "funding"
    label = "funding"
    verbose_name = "Funding"

    def ready(self) -> None:
        """Declares verbs, scopes and proofs, and takes its place in the business day."""
        from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
        from backoffice.core.services import outbox
        from backoffice.ui.dashboards import register_card
        from backoffice.ui.navigation import register_page
        from funding import admin, api, change_kinds, checks, day_steps, permissions, work
        from funding.ledger.permissions import READERS
        from funding.ledger.services.entries import register_derived_source
        from funding.services import manual_journals, revaluation, trading_results
        from platform_ops.services.business_day import register_step

        permissions.register()
        api.register()
        checks.register()
        change_kinds.register()
        work.register()
        for source in (trading_results, revaluation, manual_journals):
            register_derived_source(source.SOURCE, source.CORRECTION)
        register_document_kind(
            DocumentKind(manual_journals.DOCUMENT_KIND, "Manual journals", "{entity}-JV-{year}-{number:05}")
        )
        register_step("trading_results", 40, day_steps.post_results, title="Trading results posted")
        register_page(
            "funding", "Trading results", "admin:funding_tradingresultline_changelist", permissions.VIEW_RESULTS, 50
        )
        register_page(
            "funding", "Result runs", "admin:funding_tradingresultrun_changelist", permissions.VIEW_RESULTS, 55
        )
        register_page("funding", "Book a deposit", "admin:funding_receive_deposit", permissions.RECEIVE_DEPOSIT, 70)
        register_page("funding", "Book a withdrawal", "admin:funding_pay_withdrawal", permissions.PAY_WITHDRAWAL, 80)
        for title, url_name, capability, order in (
            ("Manual journals", "admin:funding_manualjournal_changelist", permissions.VIEW_JOURNALS, 32),
            ("Month end", "admin:funding_month_end", permissions.VIEW_PERIODS, 56),
            ("Closed months", "admin:ledger_closedmonth_changelist", permissions.VIEW_PERIODS, 61),
            ("Days opened again", "admin:ledger_periodreopening_changelist", permissions.VIEW_PERIODS, 62),
            ("Revaluations", "admin:funding_revaluationrun_changelist", permissions.VIEW_REVALUATIONS, 57),
            ("Balances outside", "admin:funding_balances", permissions.VIEW_BALANCES, 34),
            ("External accounts", "admin:funding_externalaccount_changelist", permissions.VIEW_BALANCES, 35),
            ("Stated balances", "admin:funding_balancestatement_changelist", permissions.VIEW_BALANCES, 36),
        ):
            register_page("funding", title, url_name, capability, order)
        register_card("funding.balances", READERS, admin.balances.balances_card, order=12)
        register_card("funding.client_money", READERS, admin.client_money_card, order=10)
        outbox.subscribe("platform.day_closed", "funding.close_books", day_steps.close_books)
