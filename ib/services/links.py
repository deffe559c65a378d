"""Links and codes of partners: several for each, followed and counted by day."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import date, timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Lower

from backoffice.core import throttle
from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from ib.models import LinkVisitor, Partner, PartnerLink
from ib.permissions import KEEP_LINKS
from ib.rules.claims import CODE_FORM, checked_code, checked_path
from ib.selectors.brands import brand_of_partner
from ib.services.partners import locked_partner

MOST_LINKS = 200
"""Of one partner, those that ended included."""
MOST_VISITORS_A_DAY = 20_000
"""More browsers than this are counted as clicks only."""
VISITORS_KEPT = timedelta(days=2)
CLICKS_A_MINUTE = 30
"""Of one address and link; whoever clicks more often is led on and not counted."""
CODE_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 8
_COUNT = """
INSERT INTO ib_linkday AS counted (link_id, day, clicks, visitors) VALUES (%s, %s, 1, 0)
ON CONFLICT (link_id, day) DO UPDATE SET clicks = least(counted.clicks::bigint + 1, 2147483647)
RETURNING id, visitors
"""
_SEE = """
WITH seen AS (INSERT INTO ib_linkvisitor (link_day_id, digest) VALUES (%(day)s, %(digest)s) ON CONFLICT DO NOTHING RETURNING 1)
UPDATE ib_linkday SET visitors = visitors + 1 WHERE id = %(day)s AND EXISTS (SELECT 1 FROM seen)
"""


@transaction.atomic
def create_link(
    *, partner_id: int, campaign: str, actor: Actor, landing_path: str = "/", code: str = ""
) -> PartnerLink:
    """A further link of a partner; without a code a new one is drawn. A partner makes only the own.

    Raises Conflict (`code_taken`) for a code that anybody has or had, InvalidInput for a path that leaves the own site.
    """
    authorise(actor, KEEP_LINKS)
    partner = _own(partner_id, actor)
    if partner.status == Partner.Status.CLOSED:
        raise InvalidInput("A closed partner introduces nobody.", field="partner_id")
    if not campaign.strip():
        raise InvalidInput("Give the link a name, such as where you show it.", field="campaign")
    path = checked_path(landing_path)
    if PartnerLink.objects.filter(partner=partner).count() >= MOST_LINKS:
        raise Conflict(f"A partner has at most {MOST_LINKS} links.", code="too_many_links")
    wanted = checked_code(code) if code.strip() else _new_code()
    if find_link(wanted) is not None:
        raise Conflict("This code is taken; choose another one.", code="code_taken", field="code")
    link = PartnerLink.objects.create(
        partner=partner, code=wanted, campaign=campaign.strip()[:80], landing_path=path, created_by=actor.label
    )
    audit.record(
        actor=actor, action="ib.create_link", target=link, entity_id=partner.entity_id, changes={"code": link.code}
    )
    return link


@transaction.atomic
def end_link(*, link_id: int, actor: Actor, reason: str = "") -> PartnerLink:
    """Ends a link: its code counts for nobody any more. Again is harmless."""
    authorise(actor, KEEP_LINKS)
    seen = get_visible(PartnerLink.objects.all(), actor, pk=link_id)
    partner = _own(seen.partner_id, actor)
    link = PartnerLink.objects.get(pk=link_id)
    if link.ended_at is not None:
        return link
    link.ended_at = clock.now()
    link.save(update_fields=["ended_at"])
    audit.record(actor=actor, action="ib.end_link", target=link, reason=reason, entity_id=partner.entity_id)
    return link


def find_link(code: str) -> PartnerLink | None:
    """The link of a code, whatever its capitals; None for nobody's."""
    if not CODE_FORM.fullmatch(code.strip()):
        return None
    by_code = PartnerLink.objects.annotate(lower_code=Lower("code")).filter(lower_code=code.strip().lower())
    return by_code.select_related("partner").first()


def follow_link(*, code: str, address: str, browser: str, brand_id: int | None) -> str:
    """Counts a click and gives the address to lead on to. *brand_id*: of the host on which it was followed, if any.

    Raises NotFound for an unknown or ended code, and on the host of another brand.
    """
    link = find_link(code)
    if link is None or not link.is_active or link.partner.status == Partner.Status.CLOSED:
        raise NotFound("No such link.")
    brand = brand_of_partner(link.partner)
    if (brand_id or brand.pk) != brand.pk or (brand_id is None and brand.host):
        raise NotFound("No such link.")
    _count_click(link, address=address, browser=browser)
    return landing_address(link, brand)


def landing_address(link: PartnerLink, brand: Brand) -> str:
    """Where the link leads: a path of the brand's own site with the code."""
    path, _, query = link.landing_path.partition("?")
    return f"{site_of(brand)}{path}?{f'{query}&' if query else ''}{urlencode({'ref': link.code})}"


def site_of(brand: Brand) -> str:
    """The brand's own site: what it names, else its host, else the house's."""
    if brand.site:
        return brand.site.rstrip("/")
    return portal_of(brand)


def portal_of(brand: Brand) -> str:
    """Where the brand's portal stands."""
    scheme, _, house = settings.PUBLIC_URL.partition("://")
    port = f":{house.rpartition(':')[2]}" if house.rpartition(":")[2].isdigit() else ""
    return f"{scheme}://{brand.host}{port}" if brand.host else settings.PUBLIC_URL


def _count_click(link: PartnerLink, *, address: str, browser: str) -> None:
    """Counts, boundedly: who clicked is known only as a digest by a key that holds for the day and this link."""
    today = clock.now().date()
    digest = visitor_digest(link_id=link.pk, day=today, address=address, browser=browser)
    allowance = throttle.take(f"link:{digest}", limit=CLICKS_A_MINUTE, window_seconds=60)
    if allowance is not None and allowance.is_exceeded:
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_COUNT, [link.pk, today])
        day_id, visitors = cursor.fetchone()
        if visitors < MOST_VISITORS_A_DAY:
            cursor.execute(_SEE, {"day": day_id, "digest": digest})


def visitor_digest(*, link_id: int, day: date, address: str, browser: str) -> str:
    """A digest by a key of the day, so that nobody is followed from one day, or one link, to the next."""
    key = hmac.new(settings.SECRET_KEY.encode(), f"ib.link:{link_id}:{day}".encode(), hashlib.sha256).digest()
    return hmac.new(key, f"{address}\n{browser[:300]}".encode(), hashlib.sha256).hexdigest()[:32]


def forget_visitors() -> int:
    """Removes the digests of days that ended; how many."""
    before = clock.now().date() - VISITORS_KEPT
    return LinkVisitor.objects.filter(link_day__day__lt=before).delete()[0]


def _own(partner_id: int, actor: Actor) -> Partner:
    """The partner, locked: any that staff see, and for a partner only themselves, not those below."""
    partner = locked_partner(partner_id, actor)
    if not actor.is_staff and partner.user_id != actor.user_id:
        raise NotFound("No such partner, or it is not yours to see.", partner_id=partner_id)
    return partner


def _new_code() -> str:
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
