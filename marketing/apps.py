"""Registers the marketing desk with Django."""

from django.apps import AppConfig


class MarketingConfig(AppConfig):
    """Campaigns."""

    name = "marketing"
    label = "marketing"
    verbose_name = "Marketing"

    def ready(self) -> None:
        """Declares permissions and registers the desk's pages."""
        from backoffice.ui.navigation import register_page, register_section
        from marketing import api, permissions

        permissions.declare()
        api.register()
        register_section("marketing", "Marketing", "campaign", 60)
        register_page(
            "marketing",
            "Campaigns",
            "admin:marketing_campaign_changelist",
            "marketing.view_campaign",
            10,
            icon="ads_click",
        )
