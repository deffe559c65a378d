"""What every request passes: headers that harden the browser, the trace id, and the refusals of business rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

from backoffice.core.refusals import refusal_response
from backoffice.core.streams import streams_origin
from backoffice.kernel.errors import DomainError

GetResponse = Callable[[HttpRequest], HttpResponse]

# Alpine, on which the desk's screens stand, evaluates expressions in attributes; charts and menus set inline styles.
# Nothing else may: neither the portal nor the account pages nor the API ever get these two words.
DESK_PREFIX = "/desk/"
_COMMON_POLICY = (
    "default-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STRICT_POLICY = f"{_COMMON_POLICY}; script-src 'self'; style-src 'self'"
DESK_POLICY = f"{_COMMON_POLICY}; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
# Everything a back office has no use for is switched off.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
        "xr-spatial-tracking",
    )
)
REQUEST_ID_HEADER = "X-Request-ID"
_SOUND_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_SECRET_IN_PATH = re.compile(r"(/password/reset/key/|/confirm-email/)[^/]+")


class SecurityHeadersMiddleware:
    """Sets the content security policy, the permissions policy and the isolation of every answer."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See the class. A view that has set a stricter policy of its own keeps it."""
        response = self.get_response(request)
        policy = _desk_policy(request) if request.path.startswith(DESK_PREFIX) else STRICT_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if getattr(request, "user", None) is not None and "Cookie" in response.headers.get("Vary", ""):
            # What depends on who is logged in must not stay in a shared computer's cache.
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response


def _desk_policy(request: HttpRequest) -> str:
    """The desk's pages also open live streams, which may stand on a port of their own."""
    origin = streams_origin(request)
    return DESK_POLICY.replace("connect-src 'self'", f"connect-src 'self' {origin}") if origin else DESK_POLICY


class TraceMiddleware(RequestMiddleware):
    """Gives each request a trace id, or takes a sound one from the proxy, and answers with it.

    The id stands in every log line and audit record of the request and travels with the tasks it starts.
    """

    def prepare(self, request: HttpRequest) -> None:
        """Binds the id before anything is logged under it."""
        super().prepare(request)
        given = request.headers.get(REQUEST_ID_HEADER, "")
        if _SOUND_REQUEST_ID.fullmatch(given):
            structlog.contextvars.bind_contextvars(request_id=given)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """Puts the id into the answer; logs and forgets it."""
        response.headers[REQUEST_ID_HEADER] = structlog.contextvars.get_contextvars().get("request_id", "")
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Method and path. The query may hold names and addresses people searched for, some paths hold secrets."""
        path = _SECRET_IN_PATH.sub(r"\1…", request.path)
        return f"{request.method} {path}"


class DomainErrorMiddleware:
    """Turns a business rule's refusal in a plain view into an answer, in this one place."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Passes the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to a DomainError; everything else goes on to Django."""
        return refusal_response(request, exception) if isinstance(exception, DomainError) else None

    # Django asks each middleware for this attribute when it builds an asynchronous chain.
    async_capable: Any = False
