"""Who may use the verbs of funding, and whose results each role sees. The ledger declares its own."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from funding.ledger.permissions import KEEPERS, READERS

VIEW_RESULTS = "funding.view_results"
POST_RESULTS = "funding.post_results"
RECEIVE_DEPOSIT = "funding.receive_deposit"
PAY_WITHDRAWAL = "funding.pay_withdrawal"


def register() -> None:
    """Declares the desk's verbs and scopes; called once when the application starts."""
    declare_capability(VIEW_RESULTS, READERS)
    declare_capability(POST_RESULTS, KEEPERS)
    declare_capability(RECEIVE_DEPOSIT, KEEPERS)
    declare_capability(PAY_WITHDRAWAL, KEEPERS)
    register_scope("funding.TradingResultLine", role_entity_scope("account__server__entity", *READERS))
    register_scope("funding.TradingResultRun", role_entity_scope("server__entity", *READERS))
