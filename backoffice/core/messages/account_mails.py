"""The mails about logins: password, second factor, address, codes. allauth says when; texts and sending are ours.

Each of allauth's mails maps to a template of the house. One that is not mapped (a later version of allauth may write
about something new) still goes out, as a notice with allauth's own words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template, template_definition
from backoffice.core.models import Brand, Message, User
from backoffice.core.models.messages import MessageCategory
from backoffice.core.services.messages import queue_message
from backoffice.kernel import clock

MAX_AGENT_LENGTH = 120
NOTICE = "account.notice"
_WHERE = {
    "happened_at": "1 March 2026, 10:15 UTC",
    "address": "203.0.113.7",
    "browser": "Firefox on Windows",
}
_WHERE_BLOCK = """<mj-text font-size="14px" color="#5f6d7e">When: {{ happened_at }}<br />From: {{ address }}<br />
Browser: {{ browser }}</mj-text><mj-text>If this was not you, write to us at once and change your password.</mj-text>"""


def _section(*parts: str) -> str:
    return f"<mj-section><mj-column>{''.join(parts)}</mj-column></mj-section>"


def _text(words: str) -> str:
    return f"<mj-text>{words}</mj-text>"


def _change(code: str, label: str, subject: str, words: str) -> MessageTemplateDefinition:
    """A mail that tells of a change which the person may not have made."""
    return MessageTemplateDefinition(
        code=code,
        label=label,
        category=MessageCategory.SECURITY,
        variables={"name": "Anna Lindqvist", **_WHERE},
        subject=subject,
        mjml=_section(_text("Dear {{ name }},"), _text(words), _WHERE_BLOCK),
    )


_CODE = '<mj-text font-size="30px" font-weight="600" letter-spacing="6px">{{ code }}</mj-text>'
DEFINITIONS = (
    MessageTemplateDefinition(
        code="account.password_reset",
        label="Password reset",
        category=MessageCategory.SECURITY,
        variables={"name": "Anna Lindqvist", "reset_url": "https://example.com/account/password/reset/key/sample/"},
        must_show=("reset_url",),
        subject="Choose a new password",
        mjml=_section(
            _text("Dear {{ name }},"),
            _text("somebody, probably you, asked for a new password for this login."),
            '<mj-button href="{{ reset_url }}">Choose a new password</mj-button>',
            _text("The link works once, for a limited time. If you did not ask for it, nothing needs to be done."),
        ),
    ),
    MessageTemplateDefinition(
        code="account.sign_in_code",
        label="Sign-in code",
        category=MessageCategory.SECURITY,
        variables={"name": "Anna Lindqvist", "code": "482-913"},
        must_show=("code",),
        subject="Your sign-in code",
        mjml=_section(
            _text("Dear {{ name }}, this is the code that you asked for:"),
            _CODE,
            _text("We never ask for it by telephone. If you did not ask for it, nothing needs to be done."),
        ),
    ),
    MessageTemplateDefinition(
        code="account.confirm_address",
        label="Confirm an address",
        category=MessageCategory.SECURITY,
        variables={"name": "Anna Lindqvist", "confirm_url": "https://example.com/account/confirm-email/sample/"},
        must_show=("confirm_url",),
        subject="Confirm your mail address",
        mjml=_section(
            _text("Dear {{ name }}, please confirm that this address is yours."),
            '<mj-button href="{{ confirm_url }}">Confirm the address</mj-button>',
        ),
    ),
    MessageTemplateDefinition(
        code=NOTICE,
        label="Other notice about a login",
        category=MessageCategory.SECURITY,
        variables={"name": "Anna Lindqvist", "title": "A change to your login", "words": "Something has changed."},
        must_show=("words",),
        subject="{{ title }}",
        mjml=_section(_text("Dear {{ name }},"), _text("{{ words }}")),
    ),
    _change("account.password_changed", "Password changed", "Your password was changed", "your password was changed."),
    _change(
        "account.second_factor_added",
        "Second factor set up",
        "A second factor was set up",
        "a one-time code app or a passkey was added to your login.",
    ),
    _change(
        "account.second_factor_removed",
        "Second factor removed",
        "A second factor was removed",
        "a one-time code app or a passkey was removed from your login.",
    ),
    _change(
        "account.recovery_codes",
        "Recovery codes made",
        "New recovery codes were made",
        "new recovery codes were made for your login; the old ones no longer work.",
    ),
    _change(
        "account.address_changed", "Address changed", "Your mail address was changed", "your mail address was changed."
    ),
)
# allauth's name of a mail -> our template and, for links and codes, which of its values goes where.
_MAILS: dict[str, tuple[str, dict[str, str]]] = {
    "account/email/password_reset_key": ("account.password_reset", {"reset_url": "password_reset_url"}),
    "account/email/password_reset_code": ("account.sign_in_code", {"code": "code"}),
    "account/email/login_code": ("account.sign_in_code", {"code": "code"}),
    "account/email/email_confirmation": ("account.confirm_address", {"confirm_url": "activate_url"}),
    "account/email/email_confirmation_signup": ("account.confirm_address", {"confirm_url": "activate_url"}),
    "account/email/password_changed": ("account.password_changed", {}),
    "account/email/password_reset": ("account.password_changed", {}),
    "account/email/password_set": ("account.password_changed", {}),
    "account/email/email_changed": ("account.address_changed", {}),
    "account/email/email_deleted": ("account.address_changed", {}),
    "mfa/email/totp_activated": ("account.second_factor_added", {}),
    "mfa/email/webauthn_added": ("account.second_factor_added", {}),
    "mfa/email/totp_deactivated": ("account.second_factor_removed", {}),
    "mfa/email/webauthn_removed": ("account.second_factor_removed", {}),
    "mfa/email/recovery_codes_generated": ("account.recovery_codes", {}),
}


def register() -> None:
    """Makes the mails known; called once, when the process starts."""
    for definition in DEFINITIONS:
        register_template(definition)


def is_mapped(prefix: str) -> bool:
    """Whether the house has a text of its own for the mail that allauth calls *prefix*."""
    return prefix in _MAILS


def queue_account_mail(
    *, prefix: str, email: str, context: Mapping[str, Any], words: tuple[str, str] | None = None
) -> Message:
    """Queues the mail that allauth calls *prefix*. *words* are its own subject and text, for one that we do not map."""
    user = _user_of(email, context)
    template, wanted = _MAILS.get(prefix, (NOTICE, {}))
    values: dict[str, str] = {name: str(context.get(source, "")) for name, source in wanted.items()}
    if template == NOTICE or not all(values.values()):
        template = NOTICE
        subject, text = words or ("A change to your login", "Please sign in and look at your login.")
        values = {"title": subject, "words": text[:4_000]}
    available = {**_circumstances(context), "name": user.full_name if user and user.full_name else email}
    own = template_definition(template).variables
    values |= {name: value for name, value in available.items() if name in own}
    entity_id, brand_id = _house_of(user)
    return queue_message(
        template=template,
        to=email,
        variables=values,
        entity_id=entity_id,
        brand_id=brand_id,
        language=user.language if user else "en",
        recipient_type="core.user" if user else "",
        recipient_id=user.pk if user else None,
    )


def _circumstances(context: Mapping[str, Any]) -> dict[str, str]:
    """When, from where and with what the change was made, as far as allauth knows."""
    at = context.get("timestamp") or clock.now()
    return {
        "happened_at": f"{at:%d %B %Y, %H:%M} UTC",
        "address": str(context.get("ip") or "unknown"),
        "browser": str(context.get("user_agent") or "unknown")[:MAX_AGENT_LENGTH],
    }


def _user_of(email: str, context: Mapping[str, Any]) -> User | None:
    user = context.get("user")
    return user if isinstance(user, User) else User.objects.filter(email__iexact=email).first()


def _house_of(user: User | None) -> tuple[int | None, int | None]:
    """In whose name we write: the person's own brand, else the first legal entity of theirs."""
    if user is None:
        return None, None
    client = getattr(user, "client", None) if hasattr(user, "client") else None
    if client is not None:
        return client.entity_id, client.brand_id
    entity_id = user.entities.order_by("pk").values_list("pk", flat=True).first()
    if entity_id is None:
        return None, None
    return entity_id, Brand.objects.filter(entity_id=entity_id).order_by("pk").values_list("pk", flat=True).first()
