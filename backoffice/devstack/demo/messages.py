"""The demo's mails and papers: texts in a second language, wishes of clients, mails to look at, files that were checked."""

from __future__ import annotations

import io
from dataclasses import dataclass

from django.conf import settings
from PIL import Image, ImageDraw

from backoffice.core.messages.account_mails import queue_account_mail
from backoffice.core.models import User
from backoffice.core.services import consents, files, message_templates
from backoffice.core.types import Actor
from crm.documents import PURPOSE
from crm.letters import NEWS, WELCOME
from crm.models import Client
from crm.services.letters import write_to_client

CLIENTS_WRITTEN_TO = 6
GERMAN_WELCOME = """<mj-section><mj-column><mj-text>Guten Tag {{ name }},</mj-text>
<mj-text>Ihr Konto bei {{ brand_name }} ist bereit. Ihre Kundennummer ist <b>{{ reference }}</b>.</mj-text>
<mj-button href="{{ portal_url }}">Zum Portal</mj-button></mj-column></mj-section>"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How many of the clients written to agreed to marketing."""

    agreed: int


def write_messages(*, actor: Actor) -> Wishes:
    """Publishes a German text, records wishes, queues mails of each kind, keeps two papers of a client."""
    clients = list(Client.objects.exclude(email="").order_by("pk")[:CLIENTS_WRITTEN_TO])
    if not clients:
        return Wishes(agreed=0)
    _publish_german(clients[0].brand_id, actor)
    agreed = clients[: len(clients) // 2]
    for client in agreed:
        consents.record_consent(
            person=client, category="marketing", is_given=True, evidence="Ticked on the registration form", actor=actor
        )
    consents.suppress_address(
        entity_id=clients[-1].entity_id,
        address=clients[-1].email,
        scope="all",
        reason="Three mails came back: the mailbox does not exist",
        actor=actor,
    )
    for client in clients:
        values = {"reference": client.reference, "portal_url": f"{settings.PUBLIC_URL}/portal/"}
        write_to_client(client_id=client.pk, template=WELCOME, variables=values, actor=actor)
        write_to_client(client_id=client.pk, template=NEWS, variables=_news(), actor=actor)
    for user in User.objects.filter(roles__contains=["finance"]).order_by("pk")[:1]:
        queue_account_mail(prefix="account/email/password_changed", email=user.email, context={"user": user})
    _keep_papers(clients[0], actor)
    return Wishes(agreed=len(agreed))


def _news() -> dict[str, str]:
    return {
        "title": "Gold at a tighter spread",
        "words": "From Monday on, gold trades from 0.18 points in every account of the Standard group.",
        "read_url": f"{settings.PUBLIC_URL}/portal/",
    }


def _publish_german(brand_id: int, actor: Actor) -> None:
    draft = message_templates.save_draft(
        code=WELCOME,
        brand_id=brand_id,
        language="de",
        subject="Willkommen bei {{ brand_name }}",
        mjml=GERMAN_WELCOME,
        note="First German text",
        actor=actor,
    )
    message_templates.publish_template(version_id=draft.pk, actor=actor)


def _keep_papers(client: Client, actor: Actor) -> None:
    """A drawn identity card, which was photographed with a place, and a table that pretends to be a document."""
    card = Image.new("RGB", (860, 540), "#e8eef5")
    pen = ImageDraw.Draw(card)
    pen.rectangle((24, 24, 836, 516), outline="#1c5d99", width=4)
    pen.text((60, 60), "SPECIMEN IDENTITY CARD", fill="#1c5d99", font_size=34)
    pen.text((60, 140), client.full_name, fill="#222d39", font_size=30)
    pen.text((60, 190), f"Client {client.reference}. Drawn for the demo; nobody's paper.", fill="#5f6d7e", font_size=22)
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (34.0, 40.0, 30.0), 3: "E", 4: (33.0, 2.0, 38.0)})
    photo = io.BytesIO()
    card.save(photo, "JPEG", exif=exif, quality=88)
    papers = {"identity card.jpg": photo.getvalue(), "utility bill.pdf": b"date;amount\n2026-02-01;84.10\n"}
    for name, data in papers.items():
        files.store_file(
            purpose=PURPOSE, data=data, file_name=name, actor=actor, entity_id=client.entity_id, owner=client
        )
