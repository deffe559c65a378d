"""Who may do what with the books, and whose books they see."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role

READERS = (Role.FINANCE, Role.AUDITOR, Role.ADMINISTRATOR)
KEEPERS = (Role.FINANCE, Role.ADMINISTRATOR)

_PATHS_TO_ENTITY = {
    "ledger.LedgerAccount": "entity",
    "ledger.AccountBalance": "account__entity",
    "ledger.JournalEntry": "entity",
    "ledger.Posting": "entry__entity",
    "ledger.Hold": "account__entity",
    "ledger.ClosedDay": "entity",
    "ledger.ClosedMonth": "entity",
    "ledger.PeriodReopening": "entity",
}


def register() -> None:
    """Declares the ledger's verbs and scopes."""
    declare_capability("funding.view_ledger", READERS)
    declare_capability("funding.view_trial_balance", READERS)
    declare_capability("funding.reverse_entry", KEEPERS)
    declare_capability("funding.close_day", KEEPERS)
    # Opening closed days again takes two people: one proposes, another approves.
    declare_capability("funding.propose_reopening", KEEPERS)
    declare_capability("funding.approve_reopening", KEEPERS)
    # Risk holds a suspicious partner's or client's money; finance does so for its own reasons.
    declare_capability("funding.freeze_account", (*KEEPERS, Role.DEALING, Role.COMPLIANCE))
    for label, path in _PATHS_TO_ENTITY.items():
        register_scope(label, role_entity_scope(path, *READERS))
