"""What every call to /api/ passes before any view: bounds, the count by address, and no error that is not a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from backoffice.core import throttle
from backoffice.core.addresses import client_address
from backoffice.core.middleware import REQUEST_ID_HEADER
from backoffice.ui.api import WINDOW_SECONDS
from backoffice.ui.api_problems import PROBLEM_TYPE, problem_body

API_PREFIX = "/api/"
MAX_JSON_BYTES = 1024 * 1024
MAX_BODY_BYTES = 31 * 1024 * 1024
_TITLES = {
    400: ("bad_request", "The request cannot be read."),
    403: ("denied", "This is not allowed."),
    404: ("not_found", "There is no such thing, or it is not yours to see."),
    405: ("method_not_allowed", "This cannot be done here."),
    413: ("too_large", "The request is too large."),
}
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate", REQUEST_ID_HEADER, "Vary")
GetResponse = Callable[[HttpRequest], HttpResponse]


class ApiMiddleware:
    """Stands outside sessions and views, so that whatever goes wrong inside leaves as application/problem+json."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See the class; paths of the other front doors pass through."""
        if not request.path_info.startswith(API_PREFIX):
            return self.get_response(request)
        response = _refused_at_once(request) or self.get_response(request)
        if response.status_code >= 400 and PROBLEM_TYPE not in response.headers.get("Content-Type", ""):
            response = _as_problem(response)
        _tell_allowance(request, response)
        return response

    # Django asks each middleware for this attribute when it builds an asynchronous chain.
    async_capable: Any = False


def _refused_at_once(request: HttpRequest) -> HttpResponse | None:
    address = client_address(request) or "unknown"
    allowance = throttle.take(
        f"address:{address}", limit=settings.API_CALLS_PER_MINUTE_AND_ADDRESS, window_seconds=WINDOW_SECONDS
    )
    request.api_allowance = allowance  # type: ignore[attr-defined]
    if allowance is not None and allowance.is_exceeded:
        response = _problem(429, "throttled", "Too many calls from this address; wait.")
        response.headers["Retry-After"] = str(allowance.reset_seconds)
        return response
    if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return _problem(400, "bad_request", "The address holds a null character.")
    return _too_large(request)


def _too_large(request: HttpRequest) -> HttpResponse | None:
    """Bodies are bounded before they are read; without a stated length the server reads none."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return _problem(400, "bad_request", "The length of the body cannot be read.")
    is_multipart = request.META.get("CONTENT_TYPE", "").startswith("multipart/")
    limit = MAX_BODY_BYTES if is_multipart else MAX_JSON_BYTES
    return _problem(413, *_TITLES[413]) if length > limit else None


def _as_problem(response: HttpResponse) -> HttpResponse:
    code, title = _TITLES.get(response.status_code, ("server_error", "The server could not answer this."))
    problem = _problem(response.status_code, code, title)
    for name in _KEPT_HEADERS:
        if name in response.headers:
            problem.headers[name] = response.headers[name]
    problem.cookies = response.cookies
    return problem


def _problem(status: int, code: str, title: str) -> HttpResponse:
    return JsonResponse(problem_body(status, title, code), status=status, content_type=PROBLEM_TYPE)


def _tell_allowance(request: HttpRequest, response: HttpResponse) -> None:
    """The caller's own limit if known, else that of the address; nothing while nobody can count."""
    allowance: throttle.Allowance | None = getattr(request, "api_allowance", None)
    if allowance is None:
        return
    response.headers["RateLimit-Limit"] = str(allowance.limit)
    response.headers["RateLimit-Remaining"] = str(allowance.remaining)
    response.headers["RateLimit-Reset"] = str(allowance.reset_seconds)
