"""Under which brand a partner, and whoever they introduced, meets the house."""

from __future__ import annotations

from django.apps import apps
from django.db import connection

from backoffice.core.models import Brand
from backoffice.kernel import clock
from ib.models import ClientReferral, Partner

# The nearest one upwards that has a brand of its own. UNION ends a cycle that tampering made.
_BRAND_ABOVE = """
WITH RECURSIVE above AS (
    SELECT %(partner)s::bigint AS partner_id, 0 AS depth
    UNION
    SELECT edge.parent_id, above.depth + 1
    FROM above JOIN ib_partneredge AS edge ON edge.child_id = above.partner_id AND edge.validity @> %(now)s
    WHERE above.depth < 1000
)
SELECT label.brand_id FROM above JOIN ib_whitelabel AS label ON label.partner_id = above.partner_id
ORDER BY above.depth LIMIT 1
"""


def brand_of_partner(partner: Partner) -> Brand:
    """The brand of the nearest white label at or above the partner; else the brand they were registered under."""
    with connection.cursor() as cursor:
        cursor.execute(_BRAND_ABOVE, {"partner": partner.pk, "now": clock.now()})
        found = cursor.fetchone()
    return Brand.objects.get(pk=found[0] if found else partner.brand_id)


def brand_of_login(user_id: int) -> int | None:
    """The brand under which a login of the portal meets the house; None for a login that is neither partner nor client."""
    partner = Partner.objects.filter(user_id=user_id).first()
    if partner is not None:
        return brand_of_partner(partner).pk
    client = apps.get_model("crm", "Client")._default_manager.filter(user_id=user_id).first()
    if client is None:
        return None
    referral = (
        ClientReferral.objects.filter(client_id=client.pk, validity__contains=clock.now())
        .select_related("partner")
        .first()
    )
    if referral is None:
        return int(client.brand_id)
    brand = brand_of_partner(referral.partner)
    # Only a white label takes its clients along; otherwise they stay with the brand that they registered with.
    return brand.pk if hasattr(brand, "white_label") else int(client.brand_id)
