"""Who may use the verbs of platform operations, and whose accounts and trades each role sees."""

from __future__ import annotations

from django.apps import apps
from django.db.models import Q

from backoffice.core.access import ScopeProvider, declare_capability, register_scope, role_entity_scope, visible_to
from backoffice.core.organisation.scope import stands_for
from backoffice.core.types import Actor, Role

VIEW_PLATFORM = "platform.view_platform"
IMPORT_STATEMENTS = "platform.import_statements"
DOWNLOAD_STATEMENTS = "platform.download_statements"
ASSIGN_ACCOUNTS = "platform.assign_accounts"
MAP_SYMBOLS = "platform.map_symbols"
LOAD_RATES = "platform.load_rates"
REBUILD_PROJECTIONS = "platform.rebuild_projections"
MANAGE_CATALOGUE = "platform.manage_catalogue"
RUN_BUSINESS_DAY = "platform.run_business_day"
HOLD_BUSINESS_DAY = "platform.hold_business_day"
MANAGE_CONNECTIONS = "platform.manage_connections"
APPROVE_SPECIFICATIONS = "platform.approve_specifications"
MANAGE_SWAPS = "platform.manage_swaps"
APPROVE_SWAPS = "platform.approve_swaps"
VIEW_SWAP_DESK = "platform.view_swap_desk"
APPROVE_DIVIDENDS = "platform.approve_dividends"
RUN_ROLLOVER = "platform.run_rollover"
ACCEPT_SWAP_BREAKS = "platform.accept_swap_breaks"

# Roles that see every account of their legal entities, also those that no client has yet.
WHOLE_ENTITY_ROLES = (
    Role.PLATFORM_OPERATIONS,
    Role.DEALING,
    Role.FINANCE,
    Role.AUDITOR,
    Role.ADMINISTRATOR,
    Role.COMPLIANCE,
)
_OPERATORS = (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR)

# From each model to the account, and to the server's legal entity.
_SCOPED = {
    "platform_ops.TradingAccount": ("", "server__entity"),
    "platform_ops.Trade": ("account__", "account__server__entity"),
    "platform_ops.Position": ("account__", "account__server__entity"),
    "platform_ops.BalanceOperation": ("account__", "account__server__entity"),
    "platform_ops.CurrentDeal": ("account__", "account__server__entity"),
    "platform_ops.OrderExecution": ("account__", "account__server__entity"),
    "platform_ops.AccountDimension": ("account__", "account__server__entity"),
    "platform_ops.SwapLine": ("account__", "account__server__entity"),
    "platform_ops.SwapCharge": ("account__", "account__server__entity"),
    "platform_ops.SwapBreak": ("account__", "account__server__entity"),
    "platform_ops.SwapFreeRevocation": ("account__", "account__server__entity"),
}


def register() -> None:
    """Declares the desk's verbs and scopes; called once when the application starts."""
    declare_capability(VIEW_PLATFORM, WHOLE_ENTITY_ROLES)
    declare_capability(IMPORT_STATEMENTS, _OPERATORS)
    declare_capability(DOWNLOAD_STATEMENTS, (*_OPERATORS, Role.AUDITOR))
    declare_capability(ASSIGN_ACCOUNTS, _OPERATORS)
    declare_capability(MAP_SYMBOLS, (*_OPERATORS, Role.DEALING))
    declare_capability(LOAD_RATES, (*_OPERATORS, Role.FINANCE))
    declare_capability(REBUILD_PROJECTIONS, _OPERATORS)
    declare_capability(MANAGE_CATALOGUE, _OPERATORS)
    declare_capability(APPROVE_SPECIFICATIONS, (*_OPERATORS, Role.DEALING))
    declare_capability(MANAGE_SWAPS, _OPERATORS)
    declare_capability(APPROVE_SWAPS, (*_OPERATORS, Role.DEALING))
    declare_capability(VIEW_SWAP_DESK, WHOLE_ENTITY_ROLES)
    declare_capability(APPROVE_DIVIDENDS, (*_OPERATORS, Role.DEALING))
    declare_capability(RUN_ROLLOVER, (*_OPERATORS, Role.FINANCE))
    declare_capability(ACCEPT_SWAP_BREAKS, (*_OPERATORS, Role.FINANCE))
    declare_capability(RUN_BUSINESS_DAY, (*_OPERATORS, Role.FINANCE))
    declare_capability(MANAGE_CONNECTIONS, _OPERATORS)
    declare_capability(HOLD_BUSINESS_DAY, (Role.FINANCE, Role.ADMINISTRATOR))
    for label, (account_path, entity_path) in _SCOPED.items():
        register_scope(label, role_entity_scope(entity_path, *WHOLE_ENTITY_ROLES))
        register_scope(label, _accounts_of_visible_clients(account_path))
        register_scope(label, _own_accounts(account_path))
    for label, entity_path in (
        ("platform_ops.TradingServer", "entity"),
        ("platform_ops.ServerSymbol", "server__entity"),
        ("platform_ops.StatementImport", "server__entity"),
        ("platform_ops.IngestBatch", "server__entity"),
        ("platform_ops.BusinessDay", "entity"),
        ("platform_ops.ServerConnection", "server__entity"),
        ("platform_ops.ServerSync", "server__entity"),
        ("platform_ops.SyncGap", "server__entity"),
        ("platform_ops.AccountGroup", "server__entity"),
        ("platform_ops.AccountType", "entity"),
        ("platform_ops.SwapSetting", "server__entity"),
        ("platform_ops.SwapRun", "server__entity"),
        ("platform_ops.SwapPush", "server__entity"),
        # A policy speaks of one account, one group or one account type; a rate of one group, or of all (below).
        ("platform_ops.SwapFreePolicy", "account__server__entity"),
        ("platform_ops.SwapFreePolicy", "group__server__entity"),
        ("platform_ops.SwapFreePolicy", "account_type__entity"),
        ("platform_ops.SwapRate", "group__server__entity"),
    ):
        register_scope(label, role_entity_scope(entity_path, *WHOLE_ENTITY_ROLES))
    for label in (
        "Symbol",
        "SymbolGroup",
        "SymbolSpec",
        "Quote",
        "DailyPrice",
        "FxReferenceRate",
        "DividendEvent",
    ):
        register_scope(f"platform_ops.{label}", _every_member_of_staff)
    register_scope("platform_ops.SwapRate", _rates_of_all_groups)
    for label in ("SwapSheet", "SwapSheetRow", "SwapMarkupRule"):
        register_scope(f"platform_ops.{label}", _who_stands_for_the_broker)


def _accounts_of_visible_clients(account_path: str) -> ScopeProvider:
    """Staff who see a client (their own, their team's, one opened to them) see the client's accounts too."""
    whole_entity = frozenset(str(role) for role in WHOLE_ENTITY_ROLES)

    def provider(actor: Actor) -> Q | None:
        if not actor.is_staff or actor.has_role(*whole_entity):
            return None
        clients = visible_to(apps.get_model("crm", "Client")._default_manager.all(), actor)
        return Q(**{f"{account_path}client__in": clients.values("pk")})

    return provider


def _own_accounts(account_path: str) -> ScopeProvider:
    """A trader sees the accounts of the client that is themselves, and what happened on them."""

    def provider(actor: Actor) -> Q | None:
        return Q(**{f"{account_path}client__user_id": actor.user_id}) if actor.has_role(Role.TRADER) else None

    return provider


def _rates_of_all_groups(actor: Actor) -> Q | None:
    """A rate that no group has to itself belongs to nobody, as its symbol does."""
    return Q(group__isnull=True) if actor.is_staff else None


def _every_member_of_staff(actor: Actor) -> Q | None:
    """Symbols, prices and rates belong to nobody: every member of staff may read them."""
    return Q() if actor.is_staff else None


def _who_stands_for_the_broker(actor: Actor) -> Q | None:
    """What a provider charges and what is added to it concerns every legal entity: it is for those who see them all."""
    roles = frozenset(str(role) for role in WHOLE_ENTITY_ROLES)
    return Q() if actor.is_staff and actor.has_role(*roles) and stands_for(actor, None) else None
