"""The room of ranks and agreed rates: its changes, jobs, events, tick, step of the business day, screens and endpoints."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol

from backoffice.core.models import OutboxEvent
from backoffice.core.schedule import register_periodic
from backoffice.core.services import jobs, outbox
from ib import rate_changes
from ib.services import ranks
from platform_ops.services.business_day import register_step

STEP_ORDER = 56
TICK_SECONDS = 900
PAGES = (
    ("Ranks", "admin:ib_partnerrank_changelist", 42, "military_tech"),
    ("Ranks month by month", "admin:ib_rankevaluation_changelist", 43, "leaderboard"),
    ("Agreed rates", "admin:ib_negotiatedrate_changelist", 44, "handshake"),
)


class Day(Protocol):
    """What the step needs of a business day."""

    @property
    def day(self) -> date: ...


def on_trades_changed(payload: dict[str, Any], event: OutboxEvent) -> None:
    """Trades of a month that was decided came in: it is looked at again."""
    ranks.look_again(batch_id=payload["batch_id"])


def decide_business_day(business_day: Day) -> dict[str, Any]:
    """Looks at the month before when that is due and was not done by the tick."""
    run = ranks.evaluate_due()
    return run.as_dict() if run is not None else {"due": False}


def register() -> None:
    """Called once, when the process starts."""
    _register_screens()
    rate_changes.register()
    jobs.register_runner(ranks.EVALUATE_RANKS, ranks.run_job)
    outbox.subscribe("platform.trades_changed", "ib.look_at_ranks", on_trades_changed)
    register_step("partner_ranks", STEP_ORDER, decide_business_day, title="Ranks of the month that ended")
    register_periodic("ib.ranks", "ib.tasks.evaluate_ranks", TICK_SECONDS)


def _register_screens() -> None:
    """The desk's pages, the partner's own, and the endpoints."""
    from backoffice.ui.navigation import register_page
    from ib.admin import rank_pages
    from ib.api import plan_editor
    from ib.api import rates as endpoints
    from ib.portal import ranks as portal

    for title, url_name, order, icon in PAGES:
        register_page("ib", title, url_name, "ib.view_partners", order, icon=icon)
    register_page("ib", "Rules of plans", "admin:ib_planrule_changelist", "ib.view_plans", 56, icon="rule_settings")
    rank_pages.register_panels()
    endpoints.register()
    plan_editor.register()
    portal.register()
