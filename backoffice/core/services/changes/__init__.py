"""Change requests: draft → diff → impact preview → approval by another person → applied now or at a time → verified →
reverted in one click.

A use case that needs four eyes is carried out by its kind's `apply` alone; `require_approved` is how that use case makes
sure that it was.
"""

from backoffice.core.services.changes.applying import (
    apply_change,
    apply_due_changes,
    require_approved,
    revert_change,
    verify_change,
)
from backoffice.core.services.changes.deciding import (
    approve_change,
    reject_change,
    schedule_change,
    withdraw_change,
)
from backoffice.core.services.changes.drafting import (
    draft_change,
    edit_change,
    is_stale,
    refresh_change,
    submit_change,
)
from backoffice.core.services.changes.policies import end_policy, policy_in_force, request_policy

__all__ = [
    "apply_change",
    "apply_due_changes",
    "approve_change",
    "draft_change",
    "edit_change",
    "end_policy",
    "is_stale",
    "policy_in_force",
    "refresh_change",
    "reject_change",
    "request_policy",
    "require_approved",
    "revert_change",
    "schedule_change",
    "submit_change",
    "verify_change",
    "withdraw_change",
]
