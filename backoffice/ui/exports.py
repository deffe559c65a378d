"""Exports of what a page shows: bounded, streamed, written down in the audit.

`export_response` is all that a page needs; `DeskModelAdmin` and `DeskTablePage` call it themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from backoffice.core.actors import actor_of
from backoffice.core.models import User
from backoffice.core.services.audit import record
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.columns import Column
from backoffice.ui.renderers.csv import stream_csv
from backoffice.ui.renderers.xlsx import write_xlsx

EXPORT_ROW_LIMIT = 100_000
FETCH_SIZE = 2_000
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def export_response(
    request: HttpRequest, *, name: str, columns: Sequence[Column], rows: Iterable[Any], count: int, file_format: str
) -> HttpResponseBase:
    """A download of the rows. Raises InvalidInput when there are more than EXPORT_ROW_LIMIT, before anything is read."""
    if file_format not in FORMATS:
        raise InvalidInput("Exports are CSV or XLSX.", field="format", value=file_format)
    if count > EXPORT_ROW_LIMIT:
        raise InvalidInput(
            f"An export holds at most {EXPORT_ROW_LIMIT:,} rows; narrow the filter or the search first.", rows=count
        )
    record_export(request, name=name, count=count, file_format=file_format)
    headings = [column.title for column in columns]
    values = ([column.plain(row) for column in columns] for row in rows)
    file_name = f"{name}-{clock.now():%Y%m%d-%H%M%S}.{file_format}"
    if file_format == "csv":
        response: HttpResponseBase = StreamingHttpResponse(stream_csv(headings, values), content_type=FORMATS["csv"])
        response.headers["Content-Disposition"] = f'attachment; filename="{file_name}"'
        return response
    return FileResponse(
        write_xlsx(headings, values, sheet=name), as_attachment=True, filename=file_name, content_type=FORMATS["xlsx"]
    )


def record_export(request: HttpRequest, *, name: str, count: int, file_format: str) -> None:
    """Writes down who took which rows out, and by which filter."""
    user = request.user
    if not isinstance(user, User):
        return
    changes = {"page": name, "rows": count, "format": file_format, "filter": request.GET.urlencode()}
    with transaction.atomic():
        record(actor=actor_of(request), action="desk.export", target=user, changes=changes)
