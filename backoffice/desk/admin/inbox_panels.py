"""What the page of a work item shows below its facts: where it is solved, the evidence, the timeline."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import holds
from backoffice.core.models import WorkItem, WorkItemEvent
from backoffice.core.services.work_delivery import target_of
from backoffice.core.types import Actor
from backoffice.core.work.kinds import is_registered, work_kind
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.formats import EMPTY, format_plain, format_time
from backoffice.ui.panels import register_panel

MODEL = "core.WorkItem"
EVENTS_SHOWN = 200
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00")


def register() -> None:
    """Adds the panels; called once when the application starts."""
    register_panel(MODEL, "solve", "Where it is solved", solve_panel, order=10)
    register_panel(MODEL, "evidence", "Evidence", evidence_panel, order=20)
    register_panel(MODEL, "timeline", "Timeline", timeline_panel, order=30)


def solve_panel(item: WorkItem, actor: Actor) -> SafeString | str:
    """Links to the object and to the action that solves it, as far as the viewer may open them."""
    links = []
    if item.url:
        links.append((item.url, "bo-button", "Open"))
    target = target_of(item)
    target_admin = admin.site._registry.get(type(target)) if target is not None else None
    if (
        target is not None
        and isinstance(target_admin, DeskModelAdmin)
        and target_admin.visible_rows(actor).filter(pk=target.pk).exists()
    ):
        links += _links_to(item, target, target_admin, actor)
    if not links:
        return ""
    return format_html('<p class="bo-solve">{}</p>', format_html_join(" ", '<a class="{1}" href="{0}">{2}</a>', links))


def _links_to(item: WorkItem, target: Any, target_admin: DeskModelAdmin, actor: Actor) -> list[tuple[str, str, str]]:
    opts = target_admin.opts
    prefix = f"{target_admin.admin_site.name}:{opts.app_label}_{opts.model_name}"
    kind = work_kind(item.kind) if is_registered(item.kind) else None
    links = []
    for view in target_admin.object_actions if kind is not None else ():
        solves = kind is not None and view.slug == kind.action_slug
        if solves and not item.is_closed and holds(actor, view.capability) and view.is_offered(target, actor):
            label = kind.action_label if kind is not None else ""
            links.append((reverse(f"{prefix}_{view.slug}", args=[target.pk]), "bo-button", label or view.label()))
    links.append(
        (reverse(f"{prefix}_change", args=[target.pk]), "bo-link", f"{str(opts.verbose_name).capitalize()} {target}")
    )
    return links


def evidence_panel(item: WorkItem, actor: Actor) -> SafeString | str:
    """What was seen, as pairs."""
    if not item.evidence:
        return ""
    # The database keeps no order of its own; what follows from the rest is read last.
    names = sorted(item.evidence, key=lambda name: (name == "consequence", name))
    pairs = [(name.replace("_", " ").capitalize(), _shown(item.evidence[name])) for name in names]
    return format_html('<dl class="bo-evidence">{}</dl>', format_html_join("", "<dt>{}</dt><dd>{}</dd>", pairs))


def _shown(value: Any) -> str:
    if value in (None, ""):
        return EMPTY
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return f"{format_time(datetime.fromisoformat(value))} UTC"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else format_plain(value)


def timeline_panel(item: WorkItem, actor: Actor) -> SafeString | str:
    """What happened, the latest first."""
    events = WorkItemEvent.objects.filter(item=item).order_by("-id")[:EVENTS_SHOWN]
    rows = [(format_time(event.at), event.get_kind_display(), event.actor, _text(event)) for event in events]
    entry = '<li><time>{}</time><div><strong>{}</strong> <span class="bo-who">{}</span>{}</div></li>'
    return format_html('<ol class="bo-timeline">{}</ol>', format_html_join("", entry, rows))


def _text(event: WorkItemEvent) -> SafeString | str:
    extra = f"To {event.data['to']}. " if event.kind == WorkItemEvent.Kind.ASSIGNED and "to" in event.data else ""
    if event.kind == WorkItemEvent.Kind.ESCALATED:
        extra = f"Level {event.data.get('level')}, to {str(event.data.get('role', '')).replace('_', ' ')}. "
    said = f"{extra}{event.text}".strip()
    return format_html("<p>{}</p>", said) if said else ""
