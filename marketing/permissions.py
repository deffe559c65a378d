"""Who runs campaigns, and of which entities."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role

_VIEWERS = (Role.MARKETING, Role.ADMINISTRATOR, Role.AUDITOR)
_WRITERS = (Role.MARKETING, Role.ADMINISTRATOR)


def declare() -> None:
    """Called once, when the app is ready."""
    declare_capability("marketing.view_campaign", _VIEWERS)
    declare_capability("marketing.create_campaign", _WRITERS)
    declare_capability("marketing.attribute_account", _WRITERS)
    register_scope("marketing.Campaign", role_entity_scope("entity", *_VIEWERS))
