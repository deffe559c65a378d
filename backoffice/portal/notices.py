"""What a client or partner must know on every page: that withdrawals or payouts are paused. Never why, never by whom."""

from __future__ import annotations

from backoffice.core.services.switches import Switch, is_stopped
from backoffice.core.types import Actor, Role
from backoffice.ui.portal import register_portal_notice
from crm.selectors import client_of_user
from ib.selectors.partners import partner_of_login

WITHDRAWALS_PAUSED = (
    "Withdrawals are paused for the moment. Your money is safe and you can go on trading; "
    "you can withdraw again as soon as this notice is gone."
)
PAYOUTS_PAUSED = "Payouts of commission are paused for the moment. What you earn is recorded as always."


def register() -> None:
    """Adds the notices; called once when the application starts."""
    register_portal_notice("withdrawals_paused", withdrawals_paused)
    register_portal_notice("payouts_paused", payouts_paused)


def withdrawals_paused(actor: Actor) -> str:
    """A sentence while withdrawals of the trader's legal entity are stopped."""
    client = client_of_user(actor=actor) if actor.has_role(Role.TRADER) else None
    if client is None or not is_stopped(Switch.WITHDRAWALS, entity_id=client.entity_id):
        return ""
    return WITHDRAWALS_PAUSED


def payouts_paused(actor: Actor) -> str:
    """A sentence while payouts of the partner's legal entity are stopped."""
    partner = partner_of_login(actor=actor) if actor.has_role(Role.IB) else None
    if partner is None or not is_stopped(Switch.PAYOUTS, entity_id=partner.entity_id):
        return ""
    return PAYOUTS_PAUSED
