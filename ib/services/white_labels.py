"""Brands of partners: a white label meets its own people under its own name."""

from __future__ import annotations

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand
from backoffice.core.organisation.brands import forget_brands
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.models import Partner, WhiteLabel
from ib.services.partners import locked_partner


@transaction.atomic
def give_brand(*, partner_id: int, brand_id: int, reason: str, actor: Actor) -> WhiteLabel:
    """Gives a brand to a partner of kind white label. Again the same is harmless.

    Raises InvalidInput for another kind of partner or a brand of another legal entity, Conflict for a brand or partner
    that has been given already.
    """
    authorise(actor, "ib.manage_partners")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    partner = locked_partner(partner_id, actor)
    brand = get_visible(Brand.objects.select_for_update(of=("self",)), actor, pk=brand_id)
    if partner.kind != Partner.Kind.WHITE_LABEL:
        raise InvalidInput("Only a partner of kind white label has a brand of their own.", field="partner_id")
    if brand.entity_id != partner.entity_id:
        raise InvalidInput("Brand and partner belong to different legal entities.", field="brand_id")
    known = WhiteLabel.objects.filter(partner=partner).first() or WhiteLabel.objects.filter(brand=brand).first()
    if known is not None:
        if (known.partner_id, known.brand_id) == (partner.pk, brand.pk):
            return known
        raise Conflict("This partner has a brand, or this brand has a partner already.", code="brand_given")
    given = WhiteLabel.objects.create(partner=partner, brand=brand)
    audit.record(actor=actor, action="ib.give_brand", target=partner, reason=reason, changes={"brand": brand.code})
    transaction.on_commit(forget_brands)
    return given
