"""Who may do what on the risk desk, and whose exposure they see."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role

_VIEWERS = (Role.DEALING, Role.ADMINISTRATOR, Role.AUDITOR)


def declare() -> None:
    """Called once, when the app is ready."""
    declare_capability("risk.view_exposure", _VIEWERS)
    declare_capability("risk.calculate_exposure", (Role.DEALING, Role.ADMINISTRATOR))
    register_scope("risk.ExposureRun", role_entity_scope("entity", *_VIEWERS))
    register_scope("risk.ExposureRow", role_entity_scope("run__entity", *_VIEWERS))
