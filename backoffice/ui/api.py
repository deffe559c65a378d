"""Bases of the HTTP API: permission by capability, cursor pages, problem+json."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.kernel.errors import DomainError


class CapabilityPermission(BasePermission):
    """Lets in an actor who holds the view's `capability`; a view that names none lets nobody in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        capability = getattr(view, "capability", None)
        return capability is not None and holds(actor_of(request), capability)


class StandardCursorPagination(CursorPagination):
    """Pages by cursor, newest first."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
    ordering = "-id"


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every error as application/problem+json with a stable code."""
    if isinstance(exc, DomainError):
        body = {"type": "about:blank", "title": exc.message, "status": exc.http_status, "code": exc.code}
        return Response(body | {"details": exc.details}, exc.http_status, content_type="application/problem+json")
    return exception_handler(exc, context)
