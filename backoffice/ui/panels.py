"""Panels on an object's desk page: desks above add what they know of an object, e.g. to the Client 360.

    register_panel("crm.Client", "trading_accounts", "Trading accounts", render_accounts, order=20,
                   capability="platform_ops.view_account")

`render(obj, actor)` returns safe HTML, or "" to show nothing; it reads through selectors with the actor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backoffice.core.access import holds
from backoffice.core.types import Actor
from backoffice.kernel.errors import Misconfigured

Render = Callable[[Any, Actor], str]


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of a model's page."""

    key: str
    title: str
    render: Render
    order: int
    capability: str


@dataclass(frozen=True, slots=True)
class ShownPanel:
    """A panel with its content for one object and viewer."""

    key: str
    title: str
    body: str


_panels: dict[str, dict[str, Panel]] = {}


def register_panel(
    model_label: str, key: str, title: str, render: Render, *, order: int = 100, capability: str = ""
) -> None:
    """Adds a panel to the page of a model. Without `capability` everybody sees it who may open the page."""
    of_model = _panels.setdefault(model_label.lower(), {})
    panel = Panel(key, title, render, order, capability)
    if of_model.setdefault(key, panel) != panel:
        raise Misconfigured(f"The panel {key} of {model_label} is registered twice.", key=key)


def panels_for(model_label: str, obj: Any, actor: Actor) -> list[ShownPanel]:
    """The panels of an object that the actor may see and that have something to show, in order."""
    shown = []
    for panel in sorted(_panels.get(model_label.lower(), {}).values(), key=lambda item: item.order):
        if panel.capability and not holds(actor, panel.capability):
            continue
        body = panel.render(obj, actor)
        if body:
            shown.append(ShownPanel(panel.key, panel.title, body))
    return shown
