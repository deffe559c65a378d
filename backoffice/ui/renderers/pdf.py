"""Pages as PDF by WeasyPrint, in the house's print style. Nothing is ever fetched from a network.

    data = render_pdf("reports/daily_finance.html", {"rows": rows, ...}, title="Daily finance", brand="Aurum Markets")

The template extends `ui/print.html` and fills the block `body`; tables carry the class `table`, numeric cells `num`.
"""

from __future__ import annotations

import re
from typing import Any

from django.template.loader import render_to_string

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput

_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


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
    # Loading WeasyPrint takes half a second and much memory, which a process that never prints does without.
    from backoffice.ui.renderers.printing import print_html

    return print_html(html)
