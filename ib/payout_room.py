"""The room of payouts: numbers, files, work, proofs, ticks, screens and endpoints."""

from __future__ import annotations

from backoffice.core.schedule import register_periodic
from funding.ledger.services.entries import register_derived_source
from ib import payout_checks
from ib.permissions import VIEW_PAYOUTS
from ib.services import payment_files, payout_work, payouts, statement_papers

PAGES = (
    ("Payouts", "admin:ib_payout_changelist", 65, "payments"),
    ("Payment files", "admin:ib_paymentfile_changelist", 66, "account_balance"),
    ("Ways to be paid", "admin:ib_payoutmethod_changelist", 67, "wallet"),
)
FOLLOW_SECONDS = 15
PAPERS_SECONDS = 30


def register() -> None:
    """Called once, when the process starts."""
    payment_files.register()
    statement_papers.register()
    payout_work.register()
    payout_checks.register()
    _register_screens()
    register_derived_source(payouts.SOURCE_TYPE, "say at the payout that the bank returned it")
    register_periodic("ib.payouts", "ib.tasks.follow_payouts", FOLLOW_SECONDS)
    register_periodic("ib.statement_papers", "ib.tasks.issue_statement_papers", PAPERS_SECONDS)


def _register_screens() -> None:
    """The desk's pages, the partner's own, and the endpoints."""
    from backoffice.core.types import Role
    from backoffice.ui.dashboards import register_card
    from backoffice.ui.navigation import register_page
    from ib.admin import payouts as pages
    from ib.api import payouts as endpoints
    from ib.portal import payouts as portal

    for title, url_name, order, icon in PAGES:
        register_page("ib", title, url_name, VIEW_PAYOUTS, order, icon=icon)
    pages.register_panels()
    roles = (Role.PARTNER_MANAGER, Role.FINANCE, Role.ADMINISTRATOR)
    register_card("ib.payouts", roles, pages.payouts_card, order=41)
    endpoints.register()
    portal.register()
