"""The demo's other systems: a service login for which a key can be issued, and an endpoint that is told of events.

No key is made: it would have to be printed somewhere. The endpoint's receiver does not exist, so it stands disabled; give
it an address of your own, enable it and replay what happened.
"""

from __future__ import annotations

from backoffice.core.models import LegalEntity
from backoffice.core.services import api_keys, webhooks
from backoffice.core.types import Actor, Role
from backoffice.devstack.logins import DEMO_MAIL_DOMAIN

RECEIVER = "https://receiver.demo.example/hooks"
TOPICS = ("funding.deposit_received", "funding.withdrawal_paid", "platform.statement_refused", "work.item_opened")


def introduce_other_systems(*, entity: LegalEntity, actor: Actor) -> None:
    """A service login with finance's rights, and a disabled endpoint."""
    api_keys.create_service_login(
        name="Bank reconciliation",
        email=f"bank-reconciliation@{DEMO_MAIL_DOMAIN}",
        roles=[Role.FINANCE.value],
        entity_codes=[entity.code],
        actor=actor,
    )
    made = webhooks.register_endpoint(
        entity_id=entity.pk, url=RECEIVER, topics=TOPICS, description="Accounting system", actor=actor
    )
    webhooks.disable_endpoint(endpoint_id=made.endpoint.pk, actor=actor, reason="The demo has no receiver.")
