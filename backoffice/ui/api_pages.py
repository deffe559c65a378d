"""Pages by cursor and filters of the API's lists, both strict: what is not understood is refused, never ignored."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from django.core import signing
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from backoffice.kernel.errors import InvalidInput

MAX_CURSOR_LENGTH = 1000


class StandardCursorPagination(CursorPagination):
    """Pages by cursor, newest first. Rows that are added or removed meanwhile shift nothing.

    A cursor is opaque and signed for the path it was made for; one that was altered, or comes from elsewhere, is
    refused. A view may name another stable order in `page_ordering`.
    """

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
    ordering = "-id"
    cursor_query_description = "Where the page starts: from `next` or `previous` of another page, unchanged."
    page_size_query_description = "Rows on a page."

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """Notes the path that cursors are signed for."""
        self._signer = signing.Signer(salt=f"api.cursor:{request.path}")
        return super().paginate_queryset(queryset, request, view=view)

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        """The view's order, or newest first."""
        ordering = getattr(view, "page_ordering", None) or self.ordering
        return (ordering,) if isinstance(ordering, str) else tuple(ordering)

    def get_page_size(self, request: Request) -> int:
        """The wanted number of rows. Raises InvalidInput for one that cannot be."""
        given = request.query_params.get(self.page_size_query_param)
        if given is None:
            return self.page_size
        if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= self.max_page_size):
            raise InvalidInput(
                f"A page has 1 to {self.max_page_size} rows.", field=self.page_size_query_param, value=given
            )
        return int(given)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Raises InvalidInput for a cursor that this path did not give out."""
        given = request.query_params.get(self.cursor_query_param)
        if given is None:
            return None
        try:
            if len(given) > MAX_CURSOR_LENGTH:
                raise ValueError
            text = self._signer.unsign(urlsafe_b64decode(given.encode("ascii")).decode())
            offset, reverse, position = json.loads(text)
        except (signing.BadSignature, ValueError):
            raise InvalidInput(
                "This cursor is none of this list's.", code="invalid_cursor", field=self.cursor_query_param
            ) from None
        return Cursor(offset=offset, reverse=reverse, position=position)

    def encode_cursor(self, cursor: Cursor) -> str:
        """The URL of the page that starts at the cursor."""
        text = self._signer.sign(json.dumps([cursor.offset, cursor.reverse, cursor.position]))
        encoded = urlsafe_b64encode(text.encode()).decode("ascii")
        return str(replace_query_param(self.base_url or "", self.cursor_query_param, encoded))

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Names the bounds."""
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] = {"type": "integer", "minimum": 1, "maximum": self.max_page_size}
        return parameters


class StrictFilterBackend(DjangoFilterBackend):
    """Filters by the view's filterset. A misspelt filter would answer with too much, so unknown names are refused."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        """Refuses unknown parameters, then filters."""
        filterset = self.get_filterset_class(view, queryset)
        known = {"cursor", "page_size", *(filterset.base_filters if filterset is not None else ())}
        refuse_unknown(request, known)
        return super().filter_queryset(request, queryset, view)


def refuse_unknown(request: Request, known: set[str]) -> None:
    """Raises InvalidInput when the query names a parameter that is not known, or one parameter twice."""
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(f"There is no parameter {name[:60]}.", code="unknown_parameter", field=name[:60])
        if len(request.query_params.getlist(name)) > 1 and name in {"cursor", "page_size"}:
            raise InvalidInput(f"Give {name} once.", field=name)
