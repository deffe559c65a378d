"""Registers what concerns symbols: scopes, work items, change kinds, screens. Called once, when the application starts."""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import register_scope, role_entity_scope
from backoffice.core.types import Actor
from backoffice.ui.navigation import register_page
from platform_ops import symbol_changes
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM, WHOLE_ENTITY_ROLES
from platform_ops.services import symbol_drift

DESK = "platform_ops"
PAGES = (
    ("Symbol explorer", "admin:platform_ops_symbol_explorer", VIEW_PLATFORM, 69, "travel_explore"),
    ("Servers side by side", "admin:platform_ops_symbol_servers", VIEW_PLATFORM, 76, "compare_arrows"),
    ("Drift", "admin:platform_ops_symboldrift_changelist", VIEW_PLATFORM, 77, "difference"),
    ("Compare with a server", "admin:platform_ops_look_at_symbols", MANAGE_CATALOGUE, 77, "sync_problem"),
    ("Naming rules", "admin:platform_ops_symbol_names", VIEW_PLATFORM, 78, "spellcheck"),
    ("Terms of groups", "admin:platform_ops_groupsymboloverride_changelist", VIEW_PLATFORM, 81, "group_work"),
    ("Import specifications", "admin:platform_ops_specification_import", MANAGE_CATALOGUE, 82, "upload_file"),
    ("Sessions calendar", "admin:platform_ops_sessions_calendar", VIEW_PLATFORM, 83, "calendar_month"),
    ("Holiday calendars", "admin:platform_ops_marketcalendar_changelist", VIEW_PLATFORM, 84, "event_busy"),
    ("Calculator", "admin:platform_ops_calculator", VIEW_PLATFORM, 86, "calculate"),
)


def register() -> None:
    """Puts the room's parts where they are asked for."""
    from platform_ops.admin import (  # noqa: F401 -- they mount their pages
        market_calendars,
        session_pages,
        symbol_pages,
        symbol_work,
    )

    for label, entity_path in (
        ("GroupSymbolOverride", "group__server__entity"),
        ("ServerSymbolTerms", "server_symbol__server__entity"),
        ("SymbolDrift", "server_symbol__server__entity"),
        ("SymbolNameRule", "server__entity"),
    ):
        register_scope(f"platform_ops.{label}", role_entity_scope(entity_path, *WHOLE_ENTITY_ROLES))
    register_scope("platform_ops.SymbolNameRule", _of_every_server)
    for label in ("MarketCalendar", "Holiday", "SpecificationImport"):
        register_scope(f"platform_ops.{label}", _every_member_of_staff)
    symbol_changes.register()
    symbol_drift.register_work()
    for title, url_name, capability, order, icon in PAGES:
        register_page(DESK, title, url_name, capability, order, icon=icon)


def _of_every_server(actor: Actor) -> Q | None:
    """A rule of no server counts for all, so every member of staff may read it."""
    return Q(server__isnull=True) if actor.is_staff else None


def _every_member_of_staff(actor: Actor) -> Q | None:
    """Calendars and files of specifications belong to nobody."""
    return Q() if actor.is_staff else None
