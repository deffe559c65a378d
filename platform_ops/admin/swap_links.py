"""Links between the pages of the swap desk."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.html import format_html

from backoffice.ui.columns import object_link
from platform_ops.models import SwapSheet


def sheet_link(sheet: SwapSheet) -> str:
    """The sheet's grid."""
    url = reverse("admin:platform_ops_swap_grid", kwargs={"sheet_id": sheet.pk})
    return format_html('<a class="bo-link" href="{}">{} {}</a>', url, sheet.provider, sheet.pk)


def change_link(change: Any) -> str:
    """The change request, or nothing."""
    return (
        object_link(change, f"{change.reference} ({change.get_state_display().lower()})") if change is not None else ""
    )


def history_link(symbol: Any) -> str:
    """The symbol's history of rates."""
    url = reverse("admin:platform_ops_swap_history", kwargs={"symbol_id": symbol.pk})
    return format_html('<a class="bo-link" href="{}">{}</a>', url, symbol.code)
