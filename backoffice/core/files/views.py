"""Hands out private files: to who may see them, on record, in a way in which no browser runs them."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from backoffice.core.actors import actor_of
from backoffice.core.files.kinds import IMAGES
from backoffice.core.models import StoredFile
from backoffice.core.services.files import download_name, read_file

# Whatever the bytes are, no script runs, no form is sent, nothing is loaded; a picture may be framed by our own pages.
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
UNNAMED = "application/octet-stream"


@login_required
@require_GET
def stored_file(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The file: pictures may be looked at in the page (`?show=1`), everything else is saved to disk.

    A file of other people is not found; one that was not checked yet, or was refused, is in conflict.
    """
    stored, data = read_file(file_id=public_id, actor=actor_of(request))
    return file_response(stored, data, show=request.GET.get("show") == "1")


def file_response(stored: StoredFile, data: bytes, *, show: bool = False) -> HttpResponse:
    """The answer with the bytes of a file; *show* lets a picture be looked at instead of saved."""
    may_show = stored.content_type in IMAGES and show
    # Only pictures keep their type: what a browser cannot name it cannot interpret.
    response = HttpResponse(data, content_type=stored.content_type if may_show else UNNAMED)
    response["Content-Disposition"] = content_disposition_header(not may_show, download_name(stored)) or "attachment"
    response["Content-Security-Policy"] = FILE_POLICY
    response["X-Content-Type-Options"] = "nosniff"
    response["Cross-Origin-Resource-Policy"] = "same-origin"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response
