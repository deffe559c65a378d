"""A brand's logo: a picture that was checked, shown on the brand's host to everybody."""

from __future__ import annotations

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.files.kinds import IMAGES, MEGABYTE, FilePurpose, register_file_purpose
from backoffice.core.models import Brand, StoredFile
from backoffice.core.organisation.brands import forget_brands
from backoffice.core.services import audit
from backoffice.core.services.entities import MANAGE
from backoffice.core.services.files import store_file
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput

LOGO_PURPOSE = "core.brand_logo"
MAX_PIXELS = 4_000_000


def set_brand_logo(*, brand_id: int, data: bytes, file_name: str, actor: Actor) -> Brand:
    """Gives a brand a logo; the one before is kept among the files. Raises InvalidInput for what is no picture."""
    authorise(actor, MANAGE)
    brand = get_visible(Brand.objects.all(), actor, pk=brand_id)
    stored = store_file(
        purpose=LOGO_PURPOSE, data=data, file_name=file_name, actor=actor, entity_id=brand.entity_id, owner=brand
    )
    if stored.state == StoredFile.State.REFUSED:
        raise InvalidInput(f"This picture cannot be taken: {stored.reason}", field="file")
    with transaction.atomic():
        before = brand.logo_id
        brand.logo = stored
        brand.save(update_fields=["logo"])
        audit.record(actor=actor, action="core.set_brand_logo", target=brand, changes={"logo": [before, stored.pk]})
        transaction.on_commit(forget_brands)
    return brand


def register() -> None:
    """Makes the files known; called once when the application starts."""
    register_file_purpose(
        FilePurpose(
            purpose=LOGO_PURPOSE,
            label="Logo of a brand",
            content_types=IMAGES,
            view_capability="core.view_organisation",
            upload_capability=MANAGE,
            max_bytes=MEGABYTE,
            max_pixels=MAX_PIXELS,
        )
    )
