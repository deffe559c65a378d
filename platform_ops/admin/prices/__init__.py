"""Screens of prices: feeds and sources, rejected ticks, the filter studio, bars."""

from __future__ import annotations

from platform_ops.admin.prices import feeds, rejections, studio, tables

__all__ = ["feeds", "register", "rejections", "studio", "tables"]


def register() -> None:
    """Menu entries and panels."""
    from backoffice.ui.navigation import register_page
    from backoffice.ui.panels import register_panel
    from platform_ops.permissions import VIEW_PLATFORM

    for title, url_name, order, icon in (
        ("Price feeds", "admin:platform_ops_pricefeed_changelist", 86, "sensors"),
        ("Filter studio", "admin:platform_ops_filter_studio", 87, "tune"),
        ("Rejected prices", "admin:platform_ops_rejectionepisode_changelist", 88, "block"),
        ("Trades near rejected prices", "admin:platform_ops_near_rejections", 89, "troubleshoot"),
        ("Price bars", "admin:platform_ops_price_bars", 91, "candlestick_chart"),
        ("Price sources", "admin:platform_ops_pricesource_changelist", 92, "hub"),
    ):
        register_page("platform_ops", title, url_name, VIEW_PLATFORM, order, icon=icon)
    register_panel("platform_ops.RejectionEpisode", "chart", "Prices around it", rejections.chart_panel, order=10)
    register_panel("platform_ops.RejectionEpisode", "ticks", "Rejected ticks", rejections.ticks_panel, order=20)
    register_panel(
        "platform_ops.RejectionEpisode", "trades", "Trades executed near it", rejections.trades_panel, order=30
    )
    register_panel("platform_ops.PriceFeed", "chart", "The last minutes", feeds.chart_panel, order=10)
