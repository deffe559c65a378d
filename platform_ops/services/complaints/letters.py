"""The letter of a complaint: its file, and the message that tells of it."""

from __future__ import annotations

from backoffice.core.files.kinds import MEGABYTE, PDF, FilePurpose, register_file_purpose
from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.organisation.document_kinds import DocumentKind, register_document_kind
from platform_ops.account_permissions import DOWNLOAD_LETTERS
from platform_ops.services.complaints.opening import DOCUMENT_KIND

LETTER_PURPOSE = "platform.complaint_letter"
LETTER_TEMPLATE = "platform.complaint_answered"
KEPT_DAYS = 7 * 366
_SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"


def register() -> None:
    """Makes numbers, file and message known; called once when the application starts."""
    register_document_kind(DocumentKind(DOCUMENT_KIND, "Price complaints", "{entity}-PC-{year}-{number:05}"))
    register_file_purpose(
        FilePurpose(
            purpose=LETTER_PURPOSE,
            label="Letter about a price complaint",
            content_types=frozenset({PDF}),
            view_capability=DOWNLOAD_LETTERS,
            max_bytes=5 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )
    register_template(
        MessageTemplateDefinition(
            code=LETTER_TEMPLATE,
            label="Price complaint answered",
            category="service",
            variables={
                "name": "Anna Lindqvist",
                "reference": "NOVA-PC-2026-00012",
                "ticket": "481516",
                "outcome": "We have credited what the wrong price cost you to your trading account.",
                "portal_url": "https://example.com/portal/price-complaints/",
            },
            must_show=("reference", "outcome"),
            subject="Your price complaint {{ reference }}",
            mjml=_SECTION.format(
                "<mj-text>Dear {{ name }},</mj-text>"
                "<mj-text>we have looked into the price of your trade {{ ticket }} (complaint <b>{{ reference }}</b>)."
                "</mj-text><mj-text>{{ outcome }}</mj-text>"
                "<mj-text>Our letter with the reasons and the prices is in your portal.</mj-text>"
                '<mj-button href="{{ portal_url }}">Read the letter</mj-button>'
            ),
        )
    )
