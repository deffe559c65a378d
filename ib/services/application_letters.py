"""What applicants are told by mail, and the files they give."""

from __future__ import annotations

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse
from django.utils.crypto import salted_hmac

from backoffice.core.files.kinds import DOCUMENTS, MEGABYTE, FilePurpose, register_file_purpose
from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template
from backoffice.core.models import User
from backoffice.core.services.messages import queue_message
from ib.models import Partner, PartnerApplication
from ib.permissions import ENTER_APPLICATIONS, READ_APPLICATION_FILES
from ib.services.links import portal_of

FILE_PURPOSE = "ib.application_document"
STEP_TEMPLATE = "ib.application_step"
WELCOME_TEMPLATE = "ib.partner_welcome"
KEPT_DAYS = 7 * 366
_SECTION = "<mj-section><mj-column>{}</mj-column></mj-section>"


def register() -> None:
    """Makes files and messages known; called once when the application starts."""
    register_file_purpose(
        FilePurpose(
            purpose=FILE_PURPOSE,
            label="Document of a partner's application",
            content_types=DOCUMENTS,
            view_capability=READ_APPLICATION_FILES,
            upload_capability=ENTER_APPLICATIONS,
            max_bytes=10 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )
    register_template(
        MessageTemplateDefinition(
            code=STEP_TEMPLATE,
            label="Application of a partner: what happened",
            category="service",
            variables={
                "name": "Alpha Media Ltd",
                "reference": "PA-00012",
                "what": "We have received your application and look at it within two working days.",
                "status_url": "https://example.com/portal/application/sample/",
            },
            must_show=("reference", "what", "status_url"),
            subject="Your application {{ reference }}",
            mjml=_SECTION.format(
                "<mj-text>Dear {{ name }},</mj-text><mj-text>about your application <b>{{ reference }}</b>:</mj-text>"
                "<mj-text>{{ what }}</mj-text>"
                '<mj-button href="{{ status_url }}">Open the application</mj-button>'
                "<mj-text>Whoever has this link can read your application: keep it to yourself.</mj-text>"
            ),
        )
    )
    register_template(
        MessageTemplateDefinition(
            code=WELCOME_TEMPLATE,
            label="Partner: welcome and first sign-in",
            category="service",
            variables={
                "name": "Alpha Media Ltd",
                "reference": "IB-0042",
                "code": "ALPHA234",
                "link": "https://example.com/portal/go/ALPHA234/",
                "password_url": "https://example.com/account/password/reset/key/sample/",
                "portal_url": "https://example.com/portal/",
            },
            must_show=("password_url", "code"),
            subject="Welcome: you are our partner {{ reference }}",
            mjml=_SECTION.format(
                "<mj-text>Dear {{ name }},</mj-text>"
                "<mj-text>your application was approved. You are our partner <b>{{ reference }}</b>.</mj-text>"
                "<mj-text>Your first code is <b>{{ code }}</b>; your link is {{ link }}</mj-text>"
                '<mj-button href="{{ password_url }}">Choose a password</mj-button>'
                "<mj-text>The button works once, for a limited time; afterwards ask for a new password at "
                "{{ portal_url }}</mj-text>"
            ),
        )
    )


def access_token(application: PartnerApplication) -> str:
    """The secret part of the address by which an applicant reads the own application."""
    return salted_hmac("ib.application", str(application.public_id), algorithm="sha256").hexdigest()


def status_url(application: PartnerApplication) -> str:
    """Where the applicant reads it."""
    path = reverse("portal:ib_application", args=[access_token(application)])
    return f"{portal_of(application.brand)}{path}"


def tell_applicant(application: PartnerApplication, *, what: str, key: str) -> None:
    """Queues the mail about a step, once for its key."""
    queue_message(
        template=STEP_TEMPLATE,
        to=application.email,
        variables={
            "name": application.contact_name or application.name,
            "reference": application.reference,
            "what": what[:1_500],
            "status_url": status_url(application),
        },
        entity_id=application.entity_id,
        brand_id=application.brand_id,
        language=application.language,
        recipient_type="ib.partnerapplication",
        recipient_id=application.pk,
        dedupe_key=f"application {application.pk}:{key}",
    )


def welcome(application: PartnerApplication, *, partner: Partner, user: User, code: str) -> None:
    """Queues the mail with which a new partner signs in for the first time."""
    portal = portal_of(application.brand)
    key = {"uidb36": user_pk_to_url_str(user), "key": default_token_generator.make_token(user)}
    queue_message(
        template=WELCOME_TEMPLATE,
        to=application.email,
        variables={
            "name": application.contact_name or application.name,
            "reference": partner.reference,
            "code": code,
            "link": f"{portal}{reverse('portal:ib_go', args=[code])}",
            "password_url": f"{portal}{reverse('account_reset_password_from_key', kwargs=key)}",
            "portal_url": f"{portal}{reverse('portal:home')}",
        },
        entity_id=application.entity_id,
        brand_id=application.brand_id,
        language=application.language,
        recipient_type="ib.partner",
        recipient_id=partner.pk,
        dedupe_key=f"partner welcome:{partner.pk}",
    )
