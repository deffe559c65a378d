"""What a partner is told of a dispute, and the documents and files that belong to one."""

from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from backoffice.core.files.kinds import DOCUMENTS, MEGABYTE, PDF, FilePurpose, register_file_purpose
from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
from backoffice.core.services.messages import queue_message
from ib.models import Dispute

DOCUMENT_KIND = "ib.commission_dispute"
EVIDENCE_PURPOSE = "ib.dispute_evidence"
FILE_PURPOSE = "ib.dispute_file"
STEP_TEMPLATE = "ib.dispute_step"
KEPT_DAYS = 7 * 366
MAX_TOLD = 1_500
_SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"


def register() -> None:
    """Makes numbers, files and the message known; called once when the application starts."""
    register_document_kind(DocumentKind(DOCUMENT_KIND, "Commission disputes", "{entity}-CD-{year}-{number:05}"))
    register_file_purpose(
        FilePurpose(
            purpose=EVIDENCE_PURPOSE,
            label="Evidence of a commission dispute",
            content_types=frozenset({PDF}),
            view_capability="ib.read_dispute_files",
            max_bytes=5 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )
    register_file_purpose(
        FilePurpose(
            purpose=FILE_PURPOSE,
            label="File for a commission dispute",
            content_types=DOCUMENTS,
            view_capability="ib.read_dispute_files",
            upload_capability="ib.give_dispute_files",
            max_bytes=10 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )
    register_template(
        MessageTemplateDefinition(
            code=STEP_TEMPLATE,
            label="Commission dispute: what happened",
            category="service",
            variables={
                "name": "Alpha Partners",
                "reference": "NOVA-CD-2026-00012",
                "line": "12-3456-0-20260302",
                "what": "We have corrected the line: 3.00 USD were booked.",
                "portal_url": "https://example.com/portal/commission/disputes/01913a5e-0000-7000-8000-000000000012/",
            },
            must_show=("reference", "what"),
            subject="Your dispute {{ reference }}",
            mjml=_SECTION.format(
                "<mj-text>Dear {{ name }},</mj-text>"
                "<mj-text>about your dispute <b>{{ reference }}</b> (commission {{ line }}):</mj-text>"
                "<mj-text>{{ what }}</mj-text>"
                '<mj-button href="{{ portal_url }}">Open the dispute</mj-button>'
            ),
        )
    )


def tell_partner(dispute: Dispute, *, what: str, event_id: int) -> None:
    """Queues the message about a step; a partner without an address reads it in the portal."""
    partner = dispute.partner
    if not partner.email:
        return
    queue_message(
        template=STEP_TEMPLATE,
        to=partner.email,
        variables={
            "name": partner.name,
            "reference": dispute.reference,
            "line": dispute.subject_reference,
            "what": what[:MAX_TOLD],
            "portal_url": portal_url(dispute),
        },
        entity_id=dispute.entity_id,
        brand_id=partner.brand_id,
        recipient_type="ib.partner",
        recipient_id=partner.pk,
        dedupe_key=f"dispute step:{event_id}",
    )


def portal_url(dispute: Dispute) -> str:
    """Where the partner reads the dispute."""
    return f"{settings.PUBLIC_URL}{reverse('portal:ib_dispute', args=[dispute.public_id])}"
