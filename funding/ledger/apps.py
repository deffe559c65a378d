"""Registers the ledger with Django."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Accounts, entries, postings, balances and holds."""

    name = "funding.ledger"
    label = "ledger"
    verbose_name = "Ledger"

    def ready(self) -> None:
        """Declares the ledger's verbs and scopes and its share of the proofs."""
        from funding.ledger import checks, permissions

        permissions.register()
        checks.register()
