"""Registers the risk desk with Django."""

from django.apps import AppConfig


class RiskConfig(AppConfig):
    """Exposure."""

    name = "risk"
    label = "risk"
    verbose_name = "Risk"

    def ready(self) -> None:
        """Declares permissions and registers pages, the card, the API endpoint, the proof and the scheduled work."""
        from backoffice.core.books import register_check
        from backoffice.core.measuring.bench import register_suite
        from backoffice.core.schedule import register_periodic
        from backoffice.core.types import Role
        from backoffice.ui.dashboards import register_card
        from backoffice.ui.navigation import register_page, register_section
        from risk import checks, permissions, stream
        from risk.admin import ExposurePage, exposure_card
        from risk.api import views

        permissions.declare()
        register_check("risk.exposure_equals_positions", checks.exposure_equals_positions)
        register_periodic("risk.exposure", "risk.tasks.recalculate_exposure", 5)
        register_section("risk", "Risk", "monitoring", 50)
        register_page("risk", "Net exposure", "admin:risk_exposure", ExposurePage.capability, 10, icon="balance")
        register_card("risk.exposure", (Role.DEALING, Role.ADMINISTRATOR), exposure_card, order=20)
        views.register()
        register_suite("exposure", "risk.bench.exposure")
        stream.register()
