"""Who opens and changes accounts, who moves money on them, who decides complaints; whose operations and complaints each sees."""

from __future__ import annotations

from django.apps import apps
from django.db.models import Q

from backoffice.core.access import ScopeProvider, declare_capability, register_scope, role_entity_scope, visible_to
from backoffice.core.types import Actor, Role
from platform_ops.permissions import WHOLE_ENTITY_ROLES

OPEN_ACCOUNTS = "platform.open_accounts"
CHANGE_ACCOUNTS = "platform.change_accounts"
MOVE_MONEY = "platform.move_money"
APPROVE_MONEY = "platform.approve_money"
SET_OPERATION_LIMITS = "platform.set_operation_limits"
OWN_ACCOUNTS = "platform.manage_own_accounts"
HANDLE_COMPLAINTS = "platform.handle_complaints"
DECIDE_COMPLAINTS = "platform.decide_complaints"
COMPLAIN = "platform.complain"
DOWNLOAD_LETTERS = "platform.download_complaint_letters"

_OPERATORS = (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR)


def register() -> None:
    """Declares the verbs and scopes; called once when the application starts."""
    declare_capability(OPEN_ACCOUNTS, _OPERATORS)
    declare_capability(CHANGE_ACCOUNTS, _OPERATORS)
    declare_capability(MOVE_MONEY, (*_OPERATORS, Role.FINANCE))
    declare_capability(APPROVE_MONEY, (Role.FINANCE, Role.ADMINISTRATOR))
    declare_capability(SET_OPERATION_LIMITS, (Role.FINANCE, Role.ADMINISTRATOR))
    declare_capability(OWN_ACCOUNTS, (Role.TRADER,))
    declare_capability(HANDLE_COMPLAINTS, (*_OPERATORS, Role.DEALING, Role.COMPLIANCE))
    declare_capability(DECIDE_COMPLAINTS, (Role.DEALING, Role.COMPLIANCE, Role.ADMINISTRATOR))
    declare_capability(COMPLAIN, (Role.TRADER,))
    declare_capability(DOWNLOAD_LETTERS, (*WHOLE_ENTITY_ROLES, Role.TRADER))
    for label, path in (
        ("platform_ops.ServerOperation", ""),
        ("platform_ops.ServerOperationEvent", "operation__"),
        ("platform_ops.PriceComplaint", ""),
    ):
        register_scope(label, role_entity_scope(f"{path}entity", *WHOLE_ENTITY_ROLES))
        register_scope(label, _of_visible_clients(path))
        register_scope(label, _own(path))
    register_scope("platform_ops.OperationLimit", role_entity_scope("entity", *WHOLE_ENTITY_ROLES))
    register_scope("platform_ops.AccountOffer", role_entity_scope("account_type__entity", *WHOLE_ENTITY_ROLES))
    register_scope("platform_ops.TradeCancellation", role_entity_scope("server__entity", *WHOLE_ENTITY_ROLES))


def _of_visible_clients(path: str) -> ScopeProvider:
    """Staff who see a client see what is done for the client."""
    whole_entity = frozenset(str(role) for role in WHOLE_ENTITY_ROLES)

    def provider(actor: Actor) -> Q | None:
        if not actor.is_staff or actor.has_role(*whole_entity):
            return None
        clients = visible_to(apps.get_model("crm", "Client")._default_manager.all(), actor)
        return Q(**{f"{path}client__in": clients.values("pk")})

    return provider


def _own(path: str) -> ScopeProvider:
    """A trader sees their own."""

    def provider(actor: Actor) -> Q | None:
        return Q(**{f"{path}client__user_id": actor.user_id}) if actor.has_role(Role.TRADER) else None

    return provider
