"""Registers the ledger with Django."""

from django.apps import AppConfig


class LedgerConfig(AppConfig):
    """Accounts, entries, postings, balances and holds."""

    name = "funding.ledger"
    label = "ledger"
    verbose_name = "Ledger"
