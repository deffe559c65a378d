"""Registers the funding desk with Django."""

from django.apps import AppConfig


class FundingConfig(AppConfig):
    """Money in and out, and the posting of trading results."""

    name = "funding"
    label = "funding"
    verbose_name = "Funding"

    def ready(self) -> None:
        """Declares verbs, scopes and proofs, and takes its place in the business day."""
        from backoffice.core.services import outbox
        from funding import checks, day_steps, permissions
        from funding.ledger.services.entries import register_derived_source
        from funding.services import trading_results
        from platform_ops.services.business_day import register_step

        permissions.register()
        checks.register()
        register_derived_source(trading_results.SOURCE, trading_results.CORRECTION)
        register_step("trading_results", 40, day_steps.post_results, title="Trading results posted")
        outbox.subscribe("platform.day_closed", "funding.close_books", day_steps.close_books)
