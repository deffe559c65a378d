"""WeasyPrint as the house uses it: its own style, and nothing that is fetched from a network."""

from __future__ import annotations

import base64
import logging
import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from django.contrib.staticfiles import finders
from weasyprint import CSS, HTML
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import FatalURLFetchingError, URLFetcher, URLFetcherResponse

from backoffice.kernel.errors import Misconfigured

BUNDLED_SCHEME = "bundled:"
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


def print_html(html: str) -> bytes:
    """The PDF of a whole page."""
    fonts = FontConfiguration()
    fetcher = BundledFetcher()
    style = CSS(string=bundled_file("ui/print.css").read_text(), url_fetcher=fetcher, font_config=fonts)
    document = HTML(string=html, url_fetcher=fetcher)
    return document.write_pdf(stylesheets=[style], font_config=fonts)  # type: ignore[no-any-return]
