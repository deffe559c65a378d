"""Who compares servers with the books, accepts differences, and sees what liquidity providers filled."""

from __future__ import annotations

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import Role
from platform_ops.permissions import WHOLE_ENTITY_ROLES

RECONCILE = "platform.reconcile"
ACCEPT_BREAKS = "platform.accept_breaks"
VIEW_LIQUIDITY = "platform.view_liquidity"
MANAGE_LIQUIDITY = "platform.manage_liquidity"

_OPERATORS = (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR)
_LIQUIDITY_VIEWERS = (*_OPERATORS, Role.DEALING, Role.FINANCE, Role.AUDITOR, Role.COMPLIANCE)


def register() -> None:
    """Declares the verbs and scopes; called once when the application starts."""
    declare_capability(RECONCILE, (*_OPERATORS, Role.FINANCE))
    declare_capability(ACCEPT_BREAKS, (*_OPERATORS, Role.FINANCE))
    declare_capability(VIEW_LIQUIDITY, _LIQUIDITY_VIEWERS)
    declare_capability(MANAGE_LIQUIDITY, (*_OPERATORS, Role.DEALING))
    for label in ("ReconciliationRun", "ReconciliationBreak"):
        register_scope(f"platform_ops.{label}", role_entity_scope("server__entity", *WHOLE_ENTITY_ROLES))
    for label, path in (
        ("LiquidityProvider", "entity"),
        ("LiquiditySymbol", "provider__entity"),
        ("LiquidityMessage", "provider__entity"),
        ("LiquidityFill", "provider__entity"),
        ("CurrentFill", "provider__entity"),
        ("LiquidityOrderProblem", "provider__entity"),
        ("DropCopySession", "provider__entity"),
        ("DropCopyMessage", "provider__entity"),
    ):
        register_scope(f"platform_ops.{label}", role_entity_scope(path, *_LIQUIDITY_VIEWERS))
