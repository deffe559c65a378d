"""The look of the brand whose host is asked: its colour as a style sheet, and its logo. Both are for everybody."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from backoffice.core.files.kinds import IMAGES
from backoffice.core.files.storage import read_object
from backoffice.core.models import Brand, StoredFile
from backoffice.core.organisation.brands import BrandLook
from backoffice.core.services.files import FOLDER, object_name

KEPT = "public, max-age=3600"
_STYLE = """:root {{ --bo-brand: {0}; --bo-brand-strong: color-mix(in srgb, {0} 80%, #000); --bo-brand-soft: color-mix(in srgb, {0} 12%, #fff);
  --bo-info: {0}; --bo-info-soft: color-mix(in srgb, {0} 12%, #fff); }}
@media (prefers-color-scheme: dark) {{ html[data-theme="system"] {{ --bo-brand: color-mix(in srgb, {0} 55%, #fff);
  --bo-brand-strong: color-mix(in srgb, {0} 40%, #fff); --bo-brand-soft: color-mix(in srgb, {0} 30%, #10161e); }} }}
"""


@require_safe
def brand_css(request: HttpRequest) -> HttpResponse:
    """The brand's colour over the tokens of the house."""
    look = _look(request)
    if not look.colour:
        raise Http404
    response = HttpResponse(_STYLE.format(look.colour), content_type="text/css; charset=utf-8")
    response["Cache-Control"] = KEPT
    return response


@require_safe
def brand_logo(request: HttpRequest) -> HttpResponse:
    """The brand's logo, a picture that was checked when it was given."""
    brand = Brand.objects.filter(pk=_look(request).brand_id).select_related("logo").first()
    logo = brand.logo if brand is not None else None
    if logo is None or logo.state != StoredFile.State.CLEAN or logo.content_type not in IMAGES:
        raise Http404
    response = HttpResponse(read_object(object_name(logo, FOLDER)), content_type=logo.content_type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = KEPT
    return response


def _look(request: HttpRequest) -> BrandLook:
    look: BrandLook | None = getattr(request, "brand", None)
    if look is None:
        raise Http404
    return look
