"""What the ground registers for files: verbs, scopes, the job that checks, the ticks that tidy up."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.schedule import register_periodic
from backoffice.core.services import file_sweep, files
from backoffice.core.services.jobs import register_runner
from backoffice.core.types import Role

ERASING_ROLES = (Role.ADMINISTRATOR, Role.COMPLIANCE)


def register() -> None:
    """Called once, when the process starts."""
    seeing = (Role.ADMINISTRATOR.value, Role.AUDITOR.value, Role.COMPLIANCE.value)
    declare_capability("core.view_files", seeing)
    declare_capability("core.erase_file", ERASING_ROLES)
    # The list of files names clients; who works for a whole legal entity sees it. Single files are opened through
    # `services.files`, which asks the door about the owner.
    register_scope("core.StoredFile", role_entity_scope("entity", *seeing))
    register_runner(files.CHECK_JOB_KIND, files.run_check_job)
    register_periodic("core.file_sweep", "backoffice.core.tasks.sweep_files", 600)
    file_sweep.register_proof()
