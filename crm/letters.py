"""The messages that the desk writes to clients, and how one is addressed: brand, language and person are the client's."""

from __future__ import annotations

from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template

WELCOME, NEWS = "crm.welcome", "crm.news"
_SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"
DEFINITIONS = (
    MessageTemplateDefinition(
        code=WELCOME,
        label="Welcome",
        category="service",
        variables={"name": "Anna Lindqvist", "reference": "C-000123", "portal_url": "https://example.com/portal/"},
        must_show=("portal_url",),
        subject="Welcome to {{ brand_name }}",
        mjml=_SECTION.format(
            "<mj-text>Dear {{ name }},</mj-text>"
            "<mj-text>your account with {{ brand_name }} is ready. Your client number is <b>{{ reference }}</b>; "
            "please have it at hand when you write to us.</mj-text>"
            '<mj-button href="{{ portal_url }}">Open your portal</mj-button>'
        ),
    ),
    MessageTemplateDefinition(
        code=NEWS,
        label="News and offers",
        category="marketing",
        variables={
            "name": "Anna Lindqvist",
            "title": "Gold at a tighter spread",
            "words": "From Monday on, gold trades from 0.18 points.",
            "read_url": "https://example.com/news/",
        },
        must_show=("words",),
        subject="{{ title }}",
        mjml=_SECTION.format(
            "<mj-text>Dear {{ name }},</mj-text><mj-text>{{ words }}</mj-text>"
            '<mj-button href="{{ read_url }}">Read more</mj-button>'
        ),
    ),
)


def register() -> None:
    """Makes the messages known; called once, when the process starts."""
    for definition in DEFINITIONS:
        register_template(definition)
