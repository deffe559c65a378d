"""Wires the change requests into the house when the process starts: verbs, scopes, beat's tick, the proof of the books."""

from __future__ import annotations

from backoffice.core.changes import checks as change_checks
from backoffice.core.changes import permissions as change_permissions
from backoffice.core.schedule import register_periodic
from backoffice.core.services.changes.policies import register_policy_kind

TICK_SECONDS = 5


def register() -> None:
    """Called once, from the application's `ready`."""
    change_permissions.declare()
    register_policy_kind()
    register_periodic("core.changes", "backoffice.core.tasks.apply_due_changes", TICK_SECONDS)
    change_checks.register()
