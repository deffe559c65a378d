"""The look of the desk: unfold's settings. What they name is in `backoffice.desk`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _file(name: str) -> Any:
    """A static file's URL, found when a page is drawn."""

    def url(request: HttpRequest) -> str:
        return static(name)

    return url


# The house's blue for what can be pressed, neutral greys for everything else.
_BLUE = {
    "50": "#f1f6fb",
    "100": "#e1ecf6",
    "200": "#c4daee",
    "300": "#98bfe1",
    "400": "#659ed0",
    "500": "#4c8fcb",
    "600": "#1c5d99",
    "700": "#1a4f82",
    "800": "#19436b",
    "900": "#17395a",
    "950": "#0f253c",
}
_GREY = {
    "50": "#f6f8fa",
    "100": "#eef1f5",
    "200": "#dde3ea",
    "300": "#c3ccd6",
    "400": "#93a2b3",
    "500": "#5f6d7e",
    "600": "#4b5a6b",
    "700": "#344353",
    "800": "#222d39",
    "900": "#10161e",
    "950": "#0a0f15",
}

UNFOLD = {
    "SITE_TITLE": "Back office",
    "SITE_HEADER": "Back office",
    "SITE_SUBHEADER": "backoffice.desk.context.entities_line",
    "SITE_URL": None,
    "SITE_ICON": _file("desk/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("desk/mark.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "backoffice.desk.context.environment_label",
    "STYLES": [_file("ui/tokens.css"), _file("ui/elements.css"), _file("desk/desk.css")],
    "SCRIPTS": [_file("desk/desk.js"), _file("desk/badge.js"), _file("ui/streams.js")],
    "COLORS": {"primary": _BLUE, "base": _GREY},
    "SIDEBAR": {"show_search": True, "command_search": True, "show_all_applications": False},
    "COMMAND": {"search_models": True, "show_history": False},
    "ACCOUNT": {
        "navigation": [
            {"title": "One-time codes", "link": reverse_lazy("mfa_index")},
            {"title": "Change password", "link": reverse_lazy("account_change_password")},
        ]
    },
}
