"""The room of applications, agreements, links and claims: files, messages, work, ticks, screens and endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from backoffice.core.models import OutboxEvent
from backoffice.core.organisation.brands import register_belonging
from backoffice.core.schedule import register_periodic
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, Retryable
from ib.permissions import VIEW_APPLICATIONS, VIEW_CLAIMS
from ib.selectors.brands import brand_of_login
from ib.services import application_letters, application_work, claim_letters, claims, referrals, terms

PAGES = (
    ("Applications", "admin:ib_applications_board", 5, "view_kanban", VIEW_APPLICATIONS),
    ("All applications", "admin:ib_partnerapplication_changelist", 6, "person_add", VIEW_APPLICATIONS),
    ("Links", "admin:ib_partnerlink_changelist", 32, "link", "ib.view_partners"),
    ("Claims on clients", "admin:ib_clientclaim_changelist", 34, "front_hand", VIEW_CLAIMS),
    ("Conflicts about clients", "admin:ib_claimconflict_changelist", 35, "balance", VIEW_CLAIMS),
    ("Accepted agreements", "admin:ib_termsacceptance_changelist", 42, "task_alt", VIEW_APPLICATIONS),
    ("Tax data", "admin:ib_partnertaxdata_changelist", 44, "receipt", "ib.view_partners"),
    ("White labels", "admin:ib_whitelabel_changelist", 46, "branding_watermark", "ib.view_partners"),
)
FORGET_SECONDS = 3600
REGISTRATIONS = Actor.system("ib.registrations")


def on_client_registered(payload: dict[str, Any], event: OutboxEvent) -> None:
    """A client came with a code: its partner claims them at that instant. A code that is nobody's is written down."""
    code = str(payload.get("code") or "")
    if not code:
        return
    client: Any = referrals.all_clients().get(pk=payload["client_id"])
    at: datetime = min(claims.registered_at(client), event.created_at)
    try:
        with transaction.atomic():
            claims.claim_by_code(client_id=client.pk, code=code, at=at, actor=REGISTRATIONS)
    except Retryable:
        raise
    except DomainError as error:
        structlog.get_logger(__name__).warning("code_not_claimed", client_id=client.pk, why=error.code)
        audit.record(
            actor=REGISTRATIONS,
            action="ib.code_not_claimed",
            target=client,
            changes={"code": code, "why": error.message},
            entity_id=client.entity_id,
        )


def register() -> None:
    """Called once, when the process starts."""
    application_letters.register()
    claim_letters.register()
    application_work.register()
    terms.register()
    register_belonging(brand_of_login)
    outbox.subscribe("crm.client_registered", "ib.claim_by_code", on_client_registered)
    register_periodic("ib.link_visitors", "ib.tasks.forget_visitors", FORGET_SECONDS)
    _register_screens()


def _register_screens() -> None:
    """The desk's pages, the portal's, and the endpoints."""
    from backoffice.core.types import Role
    from backoffice.ui.dashboards import register_card
    from backoffice.ui.navigation import register_page
    from ib.admin import applications, claims, links, terms, white_labels
    from ib.api import applications as application_endpoints
    from ib.api import claims as claim_endpoints
    from ib.api import links as link_endpoints
    from ib.portal import applications as application_pages
    from ib.portal import claims as claim_pages
    from ib.portal import links as link_pages
    from ib.portal import terms as term_pages

    for title, url_name, order, icon, capability in PAGES:
        register_page("ib", title, url_name, capability, order, icon=icon)
    register_card(
        "ib.applications", (Role.PARTNER_MANAGER, Role.ADMINISTRATOR), applications.applications_card, order=43
    )
    for panels in (applications, claims, links, terms, white_labels):
        panels.register_panels()
    for part in (application_endpoints, claim_endpoints, link_endpoints):
        part.register()
    for pages in (application_pages, claim_pages, link_pages, term_pages):
        pages.register()
