"""Operations on trading servers: written down, sent outside of any transaction, and looked up where an answer is lost.

    operation = request_balance_operation(account_id=…, kind=DealKind.BALANCE, amount=Decimal("100"), actor=…,
                                          reason="Deposit DEP-2026-00017", idempotency_key="deposit:17")
    outcome = carry_out(operation_id=operation.pk)

A request takes effect once for its key. `carry_out` may be called by anybody, any number of times: one worker at a time
holds an operation, a sent one is never sent again before the server was asked for its reference, and beat's sweep carries
on what a dead process left. Money is counted in the books only when its deal comes back through the server's history.
"""

from platform_ops.services.account_operations.carrying_out import carry_out, carry_out_due
from platform_ops.services.account_operations.changing import (
    request_access_change,
    request_group_change,
    request_leverage_change,
    request_new_password,
)
from platform_ops.services.account_operations.common import Credentials, Outcome, cancel_operation
from platform_ops.services.account_operations.limits import limit_of, set_operation_limit, why_approval_is_needed
from platform_ops.services.account_operations.money import propose_balance_operation, request_balance_operation
from platform_ops.services.account_operations.opening import request_account_opening
from platform_ops.services.account_operations.recognising import recognise_batch, recognise_server

__all__ = [
    "Credentials",
    "Outcome",
    "cancel_operation",
    "carry_out",
    "carry_out_due",
    "limit_of",
    "propose_balance_operation",
    "recognise_batch",
    "recognise_server",
    "request_access_change",
    "request_account_opening",
    "request_balance_operation",
    "request_group_change",
    "request_leverage_change",
    "request_new_password",
    "set_operation_limit",
    "why_approval_is_needed",
]
