"""Pages as PDF by WeasyPrint, in the house's print style. Nothing is ever fetched from a network.

    data = render_pdf("reports/daily_finance.html", {"rows": rows, ...}, title="Daily finance", brand="Aurum Markets")

The template extends `ui/print.html` and fills the block `body`; tables carry the class `table`, numeric cells `num`.
"""

from __future__ import annotations

import base64
import logging
import mimetypes
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, Misconfigured

BUNDLED_SCHEME = "bundled:"
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
# Eleven lines of progress a document help nobody.
logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)


def bundled_file(name: str) -> Path:
    """A static file of the project by its path, e.g. `ui/print.css`."""
    found = finders.find(name)
    if not isinstance(found, str):
        raise Misconfigured(f"The bundled file {name} is missing.", name=name)
    return Path(found)


class BundledFetcher(URLFetcher):
    """Hands WeasyPrint `data:` URLs and `bundled:ui/…` files; any other URL ends the rendering before it is opened."""

    def fetch(self, url: str, headers: Any = None) -> URLFetcherResponse:
        """See the class."""
        if url.startswith("data:"):
            header, _, body = url[len("data:") :].partition(",")
            content = base64.b64decode(unquote(body)) if header.endswith(";base64") else unquote_to_bytes(body)
            return URLFetcherResponse(url, content, {"Content-Type": header.split(";")[0] or "text/plain"})
        name = url.removeprefix(BUNDLED_SCHEME)
        if name != url and ".." not in name:
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            return URLFetcherResponse(url, bundled_file(name).read_bytes(), {"Content-Type": kind})
        raise FatalURLFetchingError(f"A document may not load {url}")


def render_pdf(
    template: str, context: dict[str, Any], *, title: str, brand: str, entity: str = "", accent: str = "#1f4e79"
) -> bytes:
    """The PDF of a template. `accent` is the brand's colour; `brand` stands in the header of every page, `entity` (licence line) in its footer."""
    if not _COLOUR.fullmatch(accent):
        raise InvalidInput("A colour is written like #1f4e79.", field="accent", value=accent)
    page = {
        "title": title,
        "brand": brand,
        "entity": entity,
        "accent": accent,
        "printed_at": clock.now(),
    }
    html = render_to_string(template, {**context, "page": page})
    fonts = FontConfiguration()
    fetcher = BundledFetcher()
    style = CSS(string=bundled_file("ui/print.css").read_text(), url_fetcher=fetcher, font_config=fonts)
    document = HTML(string=html, url_fetcher=fetcher)
    return document.write_pdf(stylesheets=[style], font_config=fonts)  # type: ignore[no-any-return]
