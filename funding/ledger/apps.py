"""Registers the ledger with Django."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Accounts, entries, postings, balances and holds."""

    name = "funding.ledger"
    label = "ledger"
    verbose_name = "Ledger"

    def ready(self) -> None:
        """Declares the ledger's verbs, scopes and proofs, its pages and its scheduled work."""
        from backoffice.core.schedule import register_periodic
        from backoffice.ui.navigation import register_page, register_section
        from funding.ledger import api, checks, permissions
        from funding.ledger.services import holds  # noqa: F401 - names the flows that it asks about

        permissions.register()
        api.register()
        checks.register()
        register_periodic("funding.expire_holds", "funding.ledger.tasks.expire_holds", 30)
        register_section("funding", "Funding", "account_balance", 30)
        for title, url_name, capability, order in (
            ("Trial balance", "admin:funding_trial_balance", "funding.view_trial_balance", 10),
            ("Ledger accounts", "admin:ledger_ledgeraccount_changelist", "funding.view_ledger", 20),
            ("Journal", "admin:ledger_journalentry_changelist", "funding.view_ledger", 30),
            ("Holds", "admin:ledger_hold_changelist", "funding.view_ledger", 40),
            ("Closed days", "admin:ledger_closedday_changelist", "funding.view_ledger", 60),
        ):
            register_page("funding", title, url_name, capability, order)
