"""Who may bring packages in, confirm them and read their history."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role

VIEW_PACKAGES = "migration.view_packages"
GIVE_PACKAGE = "migration.give_package"
CONFIRM_PACKAGE = "migration.confirm_package"
EXPORT_BROKER = "migration.export_broker"

_KEEPERS = (Role.ADMINISTRATOR.value, Role.FINANCE.value)
_READERS = (*_KEEPERS, Role.AUDITOR.value)


def declare() -> None:
    """Called once, when the app is ready."""
    declare_capability(VIEW_PACKAGES, _READERS)
    declare_capability(GIVE_PACKAGE, _KEEPERS)
    declare_capability(CONFIRM_PACKAGE, _KEEPERS)
    # A whole broker leaves the house by command only, on the machine that has the database anyway.
    declare_capability(EXPORT_BROKER, [Role.ADMINISTRATOR.value])
    register_scope("migration.MigrationPackage", role_entity_scope("entity", *_READERS))
    register_scope("migration.MigrationKey", role_entity_scope("entity", *_READERS))
