"""The share of change requests in `verify_books`: what was carried out is what was approved, by somebody else."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

# The constraints of the table say the same; a proof does not trust that they still stand.
_FOUR_EYES = """
SELECT change.reference, change.kind, change.state, change.maker_id, change.checker_id, change.policy_id
FROM core_changerequest AS change
LEFT JOIN core_approvalpolicy AS policy ON policy.id = change.policy_id
WHERE change.payload_hash <> encode(sha256(convert_to(change.payload::text, 'UTF8')), 'hex')
   OR (change.state IN ('approved', 'failed', 'applied', 'verified', 'reverted') AND (
          num_nonnulls(change.checker_id, change.policy_id) <> 1
       OR change.approved_hash <> change.payload_hash
       OR change.checker_id = change.maker_id
       OR (change.policy_id IS NOT NULL AND policy.kind <> change.kind)))
   OR (change.state IN ('applied', 'verified', 'reverted') AND change.executed_hash <> change.approved_hash)
ORDER BY change.id
"""
# Whoever approved, applied or reverted is in the audit trail too, written in the same transaction.
_AUDITED = """
SELECT change.reference, event.verb, event.actor
FROM core_changeevent AS event
JOIN core_changerequest AS change ON change.id = event.change_id
WHERE event.verb IN ('approve', 'apply', 'revert') AND NOT EXISTS (
    SELECT FROM core_auditrecord AS record
    WHERE record.object_type = 'core.changerequest' AND record.object_id = change.id::text
      AND record.action = 'core.' || event.verb || '_change')
ORDER BY event.id
"""


def what_was_applied_was_approved() -> CheckOutcome:
    """Every request that was carried out has one approval of somebody else, for the very payload."""
    return rows_of_query(_FOUR_EYES)


def decisions_are_audited() -> CheckOutcome:
    """Every approval, application and reversal stands in the audit trail."""
    return rows_of_query(_AUDITED)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("core.changes_applied_as_approved", what_was_applied_was_approved)
    register_check("core.changes_are_audited", decisions_are_audited)
