"""How a business rule's refusal looks to who asked for a page."""

from __future__ import annotations

from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from backoffice.kernel.errors import DomainError, Retryable

RETRY_AFTER_SECONDS = 2
_PAGES = {403: "403.html", 404: "404.html"}


def problem_of(error: DomainError) -> dict[str, Any]:
    """The body of an application/problem+json answer."""
    return {"type": "about:blank", "title": error.message, "status": error.http_status, "code": error.code}


def refusal_response(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A page with the refusal's sentence, or problem+json for who asked for JSON, with the error's own status."""
    log = structlog.get_logger(__name__)
    (log.error if error.http_status >= 500 else log.info)("request_refused", code=error.code, status=error.http_status)
    response: HttpResponse
    if request.accepts("text/html"):
        page = _PAGES.get(error.http_status, "refusal.html")
        response = render(request, page, {"error": error}, status=error.http_status)
    else:
        body = problem_of(error)
        response = JsonResponse(body, status=error.http_status, content_type="application/problem+json")
    if isinstance(error, Retryable):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
