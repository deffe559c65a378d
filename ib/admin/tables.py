"""Small tables on pages, as safe HTML from the desk's templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, numeric_from: int = 99, empty: str = ""
) -> SafeString:
    """A table; columns from *numeric_from* on are figures. Without rows: the empty text, or nothing."""
    if not rows and not empty:
        return SafeString("")
    return render_to_string(
        "ib/table.html",
        {
            "headings": [(heading, index >= numeric_from) for index, heading in enumerate(headings)],
            "rows": [[(cell, index >= numeric_from) for index, cell in enumerate(row)] for row in rows],
            "empty": empty,
        },
    )
