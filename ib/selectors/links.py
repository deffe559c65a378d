"""What came of a partner's links, and a link as a picture."""

from __future__ import annotations

from dataclasses import dataclass

import qrcode
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils.safestring import SafeString, mark_safe
from qrcode.image.svg import SvgPathImage

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from ib.models import ClientClaim, LinkDay, Partner, PartnerLink
from ib.permissions import KEEP_LINKS


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """A link and what came of it: clicks, browsers by day, clients who gave its code."""

    link: PartnerLink
    clicks: int
    visitors: int
    clients: int


def figures_of_links(*, actor: Actor, partner: Partner, link_id: int | None = None) -> list[LinkFigures]:
    """A partner's links with their figures, the newest first, in two statements however many links there are."""
    authorise(actor, KEEP_LINKS)
    days = LinkDay.objects.filter(link=OuterRef("pk")).order_by().values("link")
    rows = visible_to(PartnerLink.objects.filter(partner=partner), actor).annotate(
        clicks=Coalesce(Subquery(days.annotate(total=Sum("clicks")).values("total")), 0),
        visitors=Coalesce(Subquery(days.annotate(total=Sum("visitors")).values("total")), 0),
    )
    if link_id is not None:
        rows = rows.filter(pk=link_id)
    # The evidence of claims is the staff's alone; how many clients came by a code is the partner's own figure.
    brought: dict[str, int] = {}
    claims = ClientClaim.objects.filter(claimed_by_type="partner", claimed_by_id=partner.pk)
    for code in claims.exclude(state=ClientClaim.State.LOST).values_list("evidence__code", flat=True):
        brought[str(code)] = brought.get(str(code), 0) + 1
    return [
        LinkFigures(link=row, clicks=row.clicks, visitors=row.visitors, clients=brought.get(row.code, 0))
        for row in rows.order_by("-pk")
    ]


def qr_picture(address: str) -> SafeString:
    """The address as a square of dots, drawn here: nobody else learns of it."""
    code = qrcode.QRCode(box_size=10, border=2, error_correction=qrcode.constants.ERROR_CORRECT_M)
    code.add_data(address)
    code.make(fit=True)
    picture = code.make_image(image_factory=SvgPathImage).to_string(encoding="unicode")
    return mark_safe(picture)  # noqa: S308 - drawn above; the address is in its dots and nowhere in its text
