"""Who sees and keeps what a legal entity has: bank accounts, terms, numbers of documents."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import STAFF_ROLES, Role

VIEW_NUMBERS = "core.view_document_numbers"

_MONEY_ROLES = (Role.FINANCE, Role.AUDITOR, Role.ADMINISTRATOR)


def declare() -> None:
    """Declares verbs and scopes. Called once, when the process starts."""
    declare_capability("core.view_bank_accounts", _MONEY_ROLES)
    declare_capability("core.manage_bank_accounts", (Role.FINANCE, Role.ADMINISTRATOR))
    declare_capability("core.reveal_bank_account", (Role.FINANCE, Role.AUDITOR))
    declare_capability("core.view_terms", STAFF_ROLES)
    declare_capability("core.manage_terms", (Role.COMPLIANCE, Role.ADMINISTRATOR))
    declare_capability(VIEW_NUMBERS, (*_MONEY_ROLES, Role.COMPLIANCE))
    register_scope("core.EntityBankAccount", role_entity_scope("entity", *_MONEY_ROLES))
    register_scope("core.TermsVersion", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.DocumentSeries", role_entity_scope("entity", *_MONEY_ROLES, Role.COMPLIANCE))
    register_scope("core.DocumentNumber", role_entity_scope("entity", *_MONEY_ROLES, Role.COMPLIANCE))
