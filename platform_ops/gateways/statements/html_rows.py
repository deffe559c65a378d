"""The table rows of a saved HTML statement, as cells of text. Knows HTML, knows nothing about trading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html.parser import HTMLParser

from platform_ops.gateways.statements.fields import clean_text, refuse

MAX_ROWS = 500_000
MAX_CELLS_PER_ROW = 64
MAX_CELL_TEXT = 2_000
MAX_HEADING_TEXT = 500

_SILENT_TAGS = frozenset({"style", "script", "title"})


@dataclass(frozen=True, slots=True)
class HtmlCell:
    """`text` and `title` are clean, single-spaced text; `span` is the number of columns the cell covers.

    `is_hidden` cells carry the class that reports hide cells with.
    """

    text: str
    title: str
    span: int
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class HtmlRow:
    """`number` counts the table rows of the file from 1."""

    number: int
    cells: tuple[HtmlCell, ...]

    @property
    def is_blank(self) -> bool:
        return not any(cell.text for cell in self.cells)

    def text(self, index: int) -> str:
        return self.cells[index].text if index < len(self.cells) else ""


@dataclass(frozen=True, slots=True)
class HtmlTable:
    """All rows of the file, the text before the first one, and whether the file reached its `</html>`."""

    rows: tuple[HtmlRow, ...]
    heading: str
    is_complete: bool


def read_rows(text: str, finish: Callable[[str], str]) -> HtmlTable:
    """Read a whole HTML file. `finish` turns the raw text of a cell into real text. Bounded by MAX_ROWS."""
    parser = _RowParser(finish)
    parser.feed(text)
    parser.close()
    parser.end_row()
    return HtmlTable(
        rows=tuple(parser.rows), heading=clean_text(finish(parser.heading)), is_complete=parser.is_complete
    )


class _RowParser(HTMLParser):
    def __init__(self, finish: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[HtmlRow] = []
        self.heading = ""
        self.is_complete = False
        self._finish = finish
        self._silent = 0
        self._row_number = 0
        self._cells: list[HtmlCell] | None = None
        self._cell_text: list[str] | None = None
        self._cell_title = ""
        self._cell_span = 1
        self._cell_hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT_TAGS:
            self._silent += 1
        elif tag == "tr":
            self.end_row()
            self._row_number += 1
            if self._row_number > MAX_ROWS:
                refuse(f"the file has more than {MAX_ROWS} rows", row=self._row_number, field="file")
            self._cells = []
        elif tag in ("td", "th") and self._cells is not None:
            self._end_cell()
            named = dict(attrs)
            self._cell_text = []
            self._cell_title = named.get("title") or ""
            self._cell_hidden = "hidden" in (named.get("class") or "").split()
            span = named.get("colspan") or "1"
            self._cell_span = int(span) if span.isascii() and span.isdigit() and len(span) < 3 else 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT_TAGS:
            self._silent = max(0, self._silent - 1)
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "table"):
            self.end_row()
        elif tag == "html":
            self.is_complete = True

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if self._cell_text is not None:
            self._cell_text.append(data[:MAX_CELL_TEXT])
        elif self._row_number == 0 and len(self.heading) < MAX_HEADING_TEXT:
            self.heading += data[:MAX_HEADING_TEXT]

    def end_row(self) -> None:
        self._end_cell()
        if self._cells:
            self.rows.append(HtmlRow(number=self._row_number, cells=tuple(self._cells)))
        self._cells = None

    def _end_cell(self) -> None:
        if self._cells is None or self._cell_text is None:
            return
        if len(self._cells) >= MAX_CELLS_PER_ROW:
            refuse(f"the row has more than {MAX_CELLS_PER_ROW} cells", row=self._row_number, field="row")
        raw = "".join(self._cell_text)[:MAX_CELL_TEXT]
        self._cells.append(
            HtmlCell(
                text=clean_text(self._finish(raw)),
                title=clean_text(self._finish(self._cell_title[:MAX_CELL_TEXT])),
                span=self._cell_span,
                is_hidden=self._cell_hidden,
            )
        )
        self._cell_text = None
