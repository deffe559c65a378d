"""Pages by cursor and filters of the API's lists, both strict: what is not understood is refused, never ignored."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

from django.core import signing
from django.db.models import Q
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from backoffice.kernel.errors import InvalidInput

CURSOR = "cursor"
PAGE_SIZE = "page_size"
MAX_CURSOR_LENGTH = 1000


class StandardCursorPagination(BasePagination):
    """Pages by cursor, newest first: each page starts after the last row of the one before.

    A cursor holds that row's values in the list's order, so rows that come or go meanwhile shift nothing, and a late page
    costs what the first one costs. It is opaque and signed for the path it was made for; one that was altered, or comes
    from elsewhere, is refused. A view names another order in `page_ordering`, which must end with what is unique.
    """

    page_size = 100
    max_page_size = 1000

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """One page, and whether there is more on either side."""
        self.request = request
        self.order = tuple(getattr(view, "page_ordering", None) or ("-id",))
        size = _page_size(request, self.page_size, self.max_page_size)
        position, backwards = self._given()
        order = tuple(_turned(name) for name in self.order) if backwards else self.order
        rows = queryset.order_by(*order)
        if position is not None:
            rows = rows.filter(_beyond(order, position))
        found = list(rows[: size + 1])
        more, page = len(found) > size, found[:size]
        if backwards:
            page.reverse()
        self.page = page
        self.has_next = more if not backwards else True
        self.has_previous = more if backwards else position is not None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """The rows, and the addresses of the pages beside this one."""
        following = self._url(self.page[-1], "n") if self.page and self.has_next else None
        previous = self._url(self.page[0], "p") if self.page and self.has_previous else None
        return Response({"next": following, "previous": previous, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As the schema tells it."""
        address = {"type": "string", "nullable": True, "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": address | {"description": "The page after this one."},
                "previous": address | {"description": "The page before this one."},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Cursor and size."""
        return [
            {
                "name": CURSOR,
                "in": "query",
                "required": False,
                "description": "From `next` or `previous` of another page, unchanged.",
                "schema": {"type": "string", "maxLength": MAX_CURSOR_LENGTH},
            },
            {
                "name": PAGE_SIZE,
                "in": "query",
                "required": False,
                "description": f"Rows on a page, {self.page_size} if not given.",
                "schema": {"type": "integer", "minimum": 1, "maximum": self.max_page_size},
            },
        ]

    def _signer(self) -> signing.Signer:
        return signing.Signer(salt=f"api.cursor:{self.request.path}:{','.join(self.order)}")

    def _given(self) -> tuple[list[Any] | None, bool]:
        """The position that the cursor names, and whether the page lies before it."""
        given = self.request.query_params.get(CURSOR)
        if given is None:
            return None, False
        try:
            if len(given) > MAX_CURSOR_LENGTH:
                raise ValueError
            text = self._signer().unsign(urlsafe_b64decode(given.encode("ascii")).decode())
            direction, position = json.loads(text)
        except (signing.BadSignature, ValueError):
            raise InvalidInput("This cursor is none of this list's.", code="invalid_cursor", field=CURSOR) from None
        return position, direction == "p"

    def _url(self, row: Any, direction: str) -> str:
        position = [str(_value(row, name.lstrip("-"))) for name in self.order]
        text = self._signer().sign(json.dumps([direction, position]))
        encoded = urlsafe_b64encode(text.encode()).decode("ascii")
        return str(replace_query_param(self.request.build_absolute_uri(), CURSOR, encoded))


def _page_size(request: Request, default: int, maximum: int) -> int:
    given = request.query_params.get(PAGE_SIZE)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= maximum):
        raise InvalidInput(f"A page has 1 to {maximum} rows.", field=PAGE_SIZE, value=given)
    return int(given)


def _turned(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _value(row: Any, name: str) -> Any:
    for part in name.split("__"):
        row = getattr(row, part)
    return row.isoformat() if hasattr(row, "isoformat") else row


def _beyond(order: tuple[str, ...], position: list[Any]) -> Q:
    """Rows that come after the position: equal in the first fields and beyond it in the next one."""
    condition, equal = Q(), Q()
    for name, value in zip(order, position, strict=True):
        field = name.lstrip("-")
        condition |= equal & Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        equal &= Q(**{field: value})
    return condition


class StrictFilterBackend(DjangoFilterBackend):
    """Filters by the view's filterset. A misspelt filter would answer with too much, so unknown names are refused."""

    def filter_queryset(self, request: Request, queryset: Any, view: Any) -> Any:
        """Refuses unknown parameters, then filters."""
        filterset = self.get_filterset_class(view, queryset)
        known = {CURSOR, PAGE_SIZE, *(filterset.base_filters if filterset is not None else ())}
        refuse_unknown(request, known)
        return super().filter_queryset(request, queryset, view)

    def get_filterset(self, request: Request, queryset: Any, view: Any) -> Any:
        """With every moment in UTC: the database knows no offset such as +22:19, which is a moment all the same."""
        filterset = super().get_filterset(request, queryset, view)
        if filterset is not None and filterset.is_valid():
            given = filterset.form.cleaned_data
            for name, value in given.items():
                if isinstance(value, datetime) and value.tzinfo is not None:
                    given[name] = _in_utc(value, name)
        return filterset


def _in_utc(moment: datetime, name: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput("There is no such moment.", field=name) from None


def refuse_unknown(request: Request, known: set[str]) -> None:
    """Raises InvalidInput when the query names a parameter that is not known, or one parameter twice."""
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(f"There is no parameter {name[:60]}.", code="unknown_parameter", field=name[:60])
        if len(request.query_params.getlist(name)) > 1 and name in {CURSOR, PAGE_SIZE}:
            raise InvalidInput(f"Give {name} once.", field=name)
