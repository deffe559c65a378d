"""The published keys. Public by intent: a signature is worth nothing to who cannot get the key."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from backoffice.reports.selectors import signing_keys
from backoffice.reports.signing import public_key_pem


@require_safe
def signing_key_list(request: HttpRequest) -> HttpResponse:
    """Every key that signed a report, as a page."""
    keys = [{"key_id": key.key_id, "pem": public_key_pem(bytes(key.public_key))} for key in signing_keys()]
    return render(request, "reports/keys.html", {"keys": keys})


@require_safe
def signing_key(request: HttpRequest, key_id: str) -> HttpResponse:
    """One key as PEM."""
    for key in signing_keys():
        if key.key_id == key_id:
            return HttpResponse(public_key_pem(bytes(key.public_key)), content_type="application/x-pem-file")
    raise Http404("No such key.")
