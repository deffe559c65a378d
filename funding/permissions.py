"""Who may use the verbs of funding, and whose results each role sees. The ledger declares its own."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role
from funding.ledger.permissions import KEEPERS, READERS

VIEW_RESULTS = "funding.view_results"
POST_RESULTS = "funding.post_results"
RECEIVE_DEPOSIT = "funding.receive_deposit"
PAY_WITHDRAWAL = "funding.pay_withdrawal"
VIEW_JOURNALS = "funding.view_journals"
VIEW_PERIODS = "funding.view_periods"
VIEW_REVALUATIONS = "funding.view_revaluations"
VIEW_BALANCES = "funding.view_balances"

_PATHS_TO_ENTITY = {
    "funding.ManualJournal": "entity",
    "funding.RevaluationRun": "entity",
    "funding.RevaluedPosition": "entity",
    "funding.RevaluationLine": "run__entity",
    "funding.ExternalAccount": "entity",
    "funding.BalanceStatement": "account__entity",
    "funding.DifferenceItem": "statement__account__entity",
    "funding.Reconciliation": "statement__account__entity",
}


def register() -> None:
    """Declares the desk's verbs and scopes; called once when the application starts."""
    declare_capability(VIEW_RESULTS, READERS)
    declare_capability(POST_RESULTS, KEEPERS)
    declare_capability(RECEIVE_DEPOSIT, KEEPERS)
    declare_capability(PAY_WITHDRAWAL, KEEPERS)
    register_scope("funding.TradingResultLine", role_entity_scope("account__server__entity", *READERS))
    register_scope("funding.TradingResultRun", role_entity_scope("server__entity", *READERS))
    for capability in (VIEW_JOURNALS, VIEW_PERIODS, VIEW_REVALUATIONS, VIEW_BALANCES):
        declare_capability(capability, READERS)
    declare_capability("funding.propose_journal", KEEPERS)
    declare_capability("funding.approve_journal", KEEPERS)
    # Client money is booked by deposits, withdrawals and servers; by hand only where an administrator stands for it.
    declare_capability("funding.journal_client_money", (Role.ADMINISTRATOR,))
    declare_capability("funding.close_month", KEEPERS)
    declare_capability("funding.revalue", KEEPERS)
    declare_capability("funding.manage_external_accounts", KEEPERS)
    declare_capability("funding.enter_balances", KEEPERS)
    declare_capability("funding.reconcile_balances", KEEPERS)
    for label, path in _PATHS_TO_ENTITY.items():
        register_scope(label, role_entity_scope(path, *READERS))
