"""What claimants are told of a conflict about a client: that there is one, and how it ended. Never who else claims."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.urls import reverse

from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.services.messages import queue_message
from ib.models import ClaimConflict, ClientClaim, Partner
from ib.models.claims import ClaimantType
from ib.rules.claims import evidence_words

TEMPLATE = "ib.claim_conflict"


def register() -> None:
    """Makes the message known; called once when the application starts."""
    register_template(
        MessageTemplateDefinition(
            code=TEMPLATE,
            label="Conflict about a client: opened or decided",
            category="service",
            variables={
                "name": "Alpha Partners",
                "client": "C-000123",
                "what": "Somebody else says to have brought this client, too. We look at the evidence of both.",
                "evidence": "Code given at the registration: code ALPHA23",
                "portal_url": "https://example.com/portal/clients/",
            },
            must_show=("client", "what"),
            subject="Your client {{ client }}",
            mjml="<mj-section><mj-column><mj-text>Dear {{ name }},</mj-text>"
            "<mj-text>about the client <b>{{ client }}</b>:</mj-text><mj-text>{{ what }}</mj-text>"
            "<mj-text>What we know from you: {{ evidence }}.</mj-text>"
            '<mj-button href="{{ portal_url }}">Your clients</mj-button></mj-column></mj-section>',
        )
    )


def tell_opened(conflict: ClaimConflict, claims: Iterable[ClientClaim], client: Any) -> None:
    """Tells every partner who takes part, once each."""
    words = (
        "Somebody else says to have brought this client, too. We look at the evidence of both and decide; until then "
        "nothing changes. If you have more evidence, answer to this mail."
    )
    for claim in claims:
        _tell(claim, client, words, key=f"claim opened:{conflict.pk}:{claim.pk}")


def tell_decided(conflict: ClaimConflict, claims: Iterable[ClientClaim], client: Any) -> None:
    """Tells every partner who took part how it ended."""
    for claim in claims:
        if claim.pk == conflict.winner_id:
            words = f"It is decided: the client counts as yours from {conflict.valid_from:%Y-%m-%d %H:%M} UTC."
        else:
            words = (
                f"It is decided: the client does not count as yours from {conflict.valid_from:%Y-%m-%d %H:%M} UTC. "
                "If you do not agree, answer to this mail."
            )
        _tell(claim, client, words, key=f"claim decided:{conflict.pk}:{claim.pk}")


def _tell(claim: ClientClaim, client: Any, words: str, *, key: str) -> None:
    if claim.claimed_by_type != ClaimantType.PARTNER:
        return
    partner = Partner.objects.filter(pk=claim.claimed_by_id).first()
    if partner is None or not partner.email:
        return
    queue_message(
        template=TEMPLATE,
        to=partner.email,
        variables={
            "name": partner.name,
            "client": client.reference,
            "what": words,
            "evidence": evidence_words(claim.evidence),
            "portal_url": f"{settings.PUBLIC_URL}{reverse('portal:ib_clients')}",
        },
        entity_id=partner.entity_id,
        brand_id=partner.brand_id,
        recipient_type="ib.partner",
        recipient_id=partner.pk,
        dedupe_key=key,
    )
