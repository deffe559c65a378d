"""What the page of a change request shows: what is wrong, the diff side by side, the impact, the timeline; and the card
of what waits for the viewer's approval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.changes.kinds import change_kinds
from backoffice.core.changes.permissions import VIEW_CHANGES, VIEW_POLICIES
from backoffice.core.models import ChangeEvent, ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import STAFF_ROLES, Actor
from backoffice.desk.admin.changes import flat, label_of, waiting_for
from backoffice.kernel import clock
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import format_age, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel

MODEL = "core.ChangeRequest"
EVENTS_SHOWN = 200
CARD_ROWS = 5
VERBS = {
    "draft": "Drafted",
    "edit": "Edited",
    "submit": "Handed in",
    "approve": "Approved",
    "leave_to_person": "Left to a person",
    "reject": "Rejected",
    "withdraw": "Withdrawn",
    "refresh": "Diff taken anew",
    "schedule": "Scheduled",
    "apply": "Applied",
    "fail": "Failed",
    "verify": "Verified",
    "revert": "Reverted",
}


def register() -> None:
    """Adds the panels, the pages and the card; called once when the application starts."""
    register_panel(MODEL, "state", "What to know now", notice_panel, order=5)
    register_panel(MODEL, "diff", "What changes", diff_panel, order=10)
    register_panel(MODEL, "impact", "Impact", impact_panel, order=20)
    register_panel(MODEL, "timeline", "Timeline", timeline_panel, order=30)
    register_panel(MODEL, "proof", "Proof", proof_panel, order=40)
    register_page("work", "Change requests", "admin:core_changerequest_changelist", VIEW_CHANGES, 30)
    register_page("organisation", "Approval policies", "admin:core_approvalpolicy_changelist", VIEW_POLICIES, 59)
    register_card("desk.changes", sorted(STAFF_ROLES), waiting_card, order=6)


def notice_panel(change: ChangeRequest, actor: Actor) -> SafeString | str:
    """What stands in the way, or went wrong."""
    notices: list[tuple[str, str]] = []
    if change.error:
        notices.append(
            ("bad", f"It failed at {format_time(change.failed_at)} UTC, and nothing of it stayed: {change.error}")
        )
    if change.state == "applied" and change.problems:
        notices.append(("bad", f"It was applied, but the proof failed: {'; '.join(change.problems)}"))
    if changes.is_stale(change):
        notices.append(
            (
                "warn",
                "What it would change has changed since the diff was taken. Refresh it before it is approved or applied.",
            )
        )
    if change.state == "submitted" and change.maker_id == actor.user_id:
        notices.append(("info", "It waits for somebody else: nobody approves a change of their own."))
    if change.policy_id and change.state in ("approved", "applied", "verified"):
        notices.append(("info", f"{change.checked_by} approved it: it lies within the policy's bounds."))
    return format_html_join("", '<p class="bo-notice bo-notice-{}">{}</p>', notices)


def diff_panel(change: ChangeRequest, actor: Actor) -> SafeString:
    """Before and after, side by side; what moves is marked, and said in words for who does not see colours. What stays is
    folded away."""
    before, after = flat(change.before), flat(change.after)
    keys = _ordered({**before, **after}, change.shown_order.get("fields", []))
    rows = [_diff_row(label_of(change, key), before.get(key), after.get(key)) for key in keys]
    moved = [row for is_moved, row in rows if is_moved]
    same = [row for is_moved, row in rows if not is_moved]
    stays: SafeString | str = ""
    if same:
        words = "1 field stays as it is" if len(same) == 1 else f"{len(same)} fields stay as they are"
        stays = format_html(
            '<details class="bo-diff-rest"><summary>{}</summary>{}</details>', words, _diff_table(same, words)
        )
    return format_html("{}{}", _diff_table(moved, "What changes"), stays)


def _diff_table(rows: list[SafeString], label: str) -> SafeString:
    return format_html(
        '<div class="bo-table-wrap" tabindex="0" role="region" aria-label="{}"><table class="bo-table bo-diff">'
        '<thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>'
        "<tbody>{}</tbody></table></div>",
        label,
        format_html_join("", "{}", ((row,) for row in rows)),
    )


def _ordered(keys: Iterable[str], wanted: list[str]) -> list[str]:
    """The keys in the order in which the desk gave their first part; any other ones after them."""
    place = {name: number for number, name in enumerate(wanted)}
    return sorted(keys, key=lambda key: place.get(key.split(" › ")[0], len(place)))


def _diff_row(label: str, before: str | None, after: str | None) -> tuple[bool, SafeString]:
    if before == after:
        return False, format_html(
            '<tr class="bo-diff-same"><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', label, before, after
        )
    old = format_html("<del>{}</del>", before) if before not in (None, "—") else _nothing("not there before")
    new = format_html("<ins>{}</ins>", after) if after not in (None, "—") else _nothing("no longer there")
    return True, format_html('<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>', label, old, new)


def _nothing(words: str) -> SafeString:
    return format_html('<span class="bo-diff-none">{}</span>', words)


def impact_panel(change: ChangeRequest, actor: Actor) -> SafeString:
    """What the desk found out that it would do, and when it was asked."""
    figures = format_html_join(
        "",
        "<div><dt>{}</dt><dd>{}</dd></div>",
        (
            (name, _plain(change.impact_figures[name]))
            for name in _ordered(change.impact_figures, change.shown_order.get("figures", []))
        ),
    )
    table: SafeString | str = ""
    if change.impact_rows:
        columns = _ordered(change.impact_rows[0], change.shown_order.get("columns", []))
        numeric = {name for name in columns if all(_is_number(row.get(name)) for row in change.impact_rows)}
        head = format_html_join("", '<th scope="col"{}>{}</th>', ((_right(name in numeric), name) for name in columns))
        body = format_html_join(
            "",
            "<tr>{}</tr>",
            (
                (
                    format_html_join(
                        "",
                        '<td data-label="{}"{}>{}</td>',
                        ((name, _right(name in numeric, row.get(name)), _plain(row.get(name))) for name in columns),
                    ),
                )
                for row in change.impact_rows
            ),
        )
        table = format_html(
            '<div class="bo-table-wrap" tabindex="0" role="region" aria-label="Impact"><table class="bo-table">'
            "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
            head,
            body,
        )
    return format_html(
        '<p class="bo-impact">{}</p><dl class="bo-facts bo-impact-figures">{}</dl>{}<p class="bo-note">As of {} UTC.</p>',
        change.impact_summary,
        figures,
        table,
        format_time(change.impact_at),
    )


def timeline_panel(change: ChangeRequest, actor: Actor) -> SafeString:
    """Who did what, when and why, the latest first."""
    events = ChangeEvent.objects.filter(change=change).order_by("-id")[:EVENTS_SHOWN]
    rows = [
        (
            format_time(event.at),
            VERBS.get(event.verb, event.verb),
            event.actor,
            format_html("<p>{}</p>", event.text) if event.text else "",
        )
        for event in events
    ]
    entry = '<li><time>{}</time><div><strong>{}</strong> <span class="bo-who">{}</span>{}</div></li>'
    return format_html('<ol class="bo-timeline">{}</ol>', format_html_join("", entry, rows))


def proof_panel(change: ChangeRequest, actor: Actor) -> SafeString:
    """The hashes by which it is known that what was approved is what was carried out."""
    pairs = [
        ("Handed in", change.payload_hash),
        ("Approved", change.approved_hash or "—"),
        ("Carried out", change.executed_hash or "—"),
    ]
    return format_html(
        '<dl class="bo-evidence">{}</dl>',
        format_html_join("", '<dt>{}</dt><dd><code class="bo-hash">{}</code></dd>', pairs),
    )


def waiting_card(actor: Actor) -> Card | None:
    """What waits for the viewer's approval; nothing for who approves nothing."""
    from backoffice.core.access import holds

    if not any(holds(actor, kind.checker_capability) for kind in change_kinds()):
        return None
    waiting = waiting_for(actor).order_by("submitted_at")
    now, count = clock.now(), waiting.count()
    rows = [
        (
            format_html(
                '<a class="bo-link" href="{}">{}</a>',
                reverse("admin:core_changerequest_change", args=[change.pk]),
                change.title,
            ),
            format_age(int((now - change.submitted_at).total_seconds())) if change.submitted_at else "",
        )
        for change in waiting[:CARD_ROWS]
    ]
    return Card(
        title="Waiting for my approval",
        figure=f"{count:,}",
        rows=rows,
        note="" if count else "Nothing waits for you.",
        url=f"{reverse('admin:core_changerequest_changelist')}?whose=approve",
        width=2 if rows else 1,
        tone="warn" if count else "",
    )


def _plain(value: Any) -> str:
    if value in (None, ""):
        return "—"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _is_number(value: Any) -> bool:
    text = str(value if value is not None else "")
    return text in ("", "—") or text.lstrip("+-").replace(".", "", 1).replace(",", "").isdigit()


def _right(is_numeric: bool, value: Any = "") -> SafeString | str:
    if not is_numeric:
        return ""
    is_negative = str(value).startswith("-")
    return format_html(' class="{}"', "bo-right bo-negative" if is_negative else "bo-right")
