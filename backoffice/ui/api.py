"""Bases of the HTTP API: who may call, pages by cursor, every error as problem+json.

class ClientViewSet(ScopedReadOnlyViewSet):
    capability = "crm.view_client"
    queryset = Client.objects.select_related("entity")
    serializer_class = ClientSerializer
    lookup_field = "public_id"
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.authentication import SessionAuthentication
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.core.second_factor import session_passed_second_factor
from backoffice.kernel.errors import DomainError

PROBLEM_TYPE = "application/problem+json"


class SecondFactorSessionAuthentication(SessionAuthentication):
    """The session of a browser; a member of staff is let in only if it has passed the second factor."""

    def authenticate(self, request: Request) -> Any:
        """See the class."""
        found = super().authenticate(request)
        if found is not None and found[0].is_staff and not session_passed_second_factor(request._request):
            raise exceptions.PermissionDenied("Give your one-time code first.", code="second_factor_required")
        return found

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing login a 401, as the schema says."""
        return "Session"


class CapabilityPermission(BasePermission):
    """Lets in an actor who holds the view's `capability`; a view that names none lets nobody in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        capability = getattr(view, "capability", None)
        return capability is not None and request.user.is_authenticated and holds(actor_of(request), capability)


class LoggedIn(BasePermission):
    """Lets in everybody who is logged in; for what concerns only the caller."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        return bool(request.user and request.user.is_authenticated)


class StandardCursorPagination(CursorPagination):
    """Pages by cursor, newest first."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
    ordering = "-id"


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every expected error as application/problem+json with a stable code; an unexpected one stays a server error."""
    if isinstance(exc, DomainError):
        return _problem(exc.http_status, exc.message, exc.code, exc.details)
    if isinstance(exc, Http404):
        return _problem(status.HTTP_404_NOT_FOUND, "There is no such thing, or it is not yours to see.", "not_found")
    if isinstance(exc, DjangoPermissionDenied):
        return _problem(status.HTTP_403_FORBIDDEN, str(exc) or "Your role does not allow this.", "denied")
    if isinstance(exc, exceptions.ValidationError):
        return _problem(exc.status_code, "The request is not valid.", "invalid_input", {"fields": exc.detail})
    if isinstance(exc, exceptions.APIException):
        response = _problem(exc.status_code, str(exc.detail), _code_of(exc))
        if header := getattr(exc, "auth_header", None):
            response.headers["WWW-Authenticate"] = header
        if wait := getattr(exc, "wait", None):
            response.headers["Retry-After"] = str(int(wait))
        return response
    return None


def _code_of(exc: exceptions.APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else exc.default_code


def _problem(http_status: int, title: str, code: str, details: Any = None) -> Response:
    body = {"type": "about:blank", "title": title, "status": http_status, "code": code, "details": details or {}}
    return Response(body, http_status, content_type=PROBLEM_TYPE)
