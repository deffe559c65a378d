"""Live drop copies on the desk: how the session with each provider stands, and every message of it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.ui.columns import badge_column, badge_html, computed_column, moment_column, number_column, text_column
from backoffice.ui.formats import EMPTY, format_decimal, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from platform_ops.admin.liquidity import LiquidityAdmin
from platform_ops.models import DropCopyMessage, DropCopySession, LiquidityMessage
from platform_ops.outer_permissions import VIEW_LIQUIDITY
from platform_ops.permissions import MANAGE_CONNECTIONS
from platform_ops.rules.fix_words import fields_of, kind_words
from platform_ops.services.liquidity.drop_copies import set_drop_copy_numbers

PANEL_ROWS = 15
SESSION_TONES = {"live": "good", "fetching": "warn", "away": "bad", "refused": "bad", "stopped": "quiet"}
_SESSION_KINDS = frozenset("012345A")


class NumbersForm(forms.Form):
    """Sequence numbers."""

    next_in = forms.IntegerField(
        min_value=1,
        label="Expected next",
        help_text="Number of the provider's next message. What lies below is not asked for.",
    )
    next_out = forms.IntegerField(
        min_value=1, label="Sent next", help_text="Number of our next message; the provider says which it expects."
    )
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")


class SetNumbers(DeskActionView):
    """Sets what was agreed on with the provider."""

    slug, title, capability = "set-numbers", "Set the sequence numbers", MANAGE_CONNECTIONS
    form_class = NumbersForm
    success_message = "Set. The session begins anew with these numbers."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As they stand."""
        return {"next_in": self.target.next_in, "next_out": self.target.next_out}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is lost or comes again."""
        ahead = data["next_in"] - self.target.next_in
        if ahead > 0:
            comes = f"{ahead:,} messages are never asked for: executions among them must come in as a log."
        elif ahead < 0:
            comes = f"{-ahead:,} messages are asked for once more. What is known of them changes nothing."
        else:
            comes = "Nothing is left out."
        return [
            ("Session", str(self.target)),
            ("Expected next", f"{self.target.next_in:,} becomes {data['next_in']:,}"),
            ("Sent next", f"{self.target.next_out:,} becomes {data['next_out']:,}"),
            ("What comes in", comes),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets them."""
        return set_drop_copy_numbers(
            session_id=self.target.pk,
            next_in=data["next_in"],
            next_out=data["next_out"],
            actor=actor,
            reason=data["reason"],
        )


@admin.register(DropCopySession)
class DropCopySessionAdmin(LiquidityAdmin):
    """Sessions with providers."""

    list_display = (
        "provider_shown", "state_shown", "heard_shown", "execution_shown", "fills_shown", "in_shown", "out_shown",
        "gaps_shown", "garbled_shown", "note",
    )  # fmt: skip
    list_select_related = ("provider", "server")
    list_filter = ("state", "provider")
    search_fields = ("provider__code", "provider__name", "sender_comp_id", "target_comp_id")
    object_actions = (SetNumbers,)
    empty_text = (
        "No drop copy is connected yet. Register a server for it, then connect that by kind FIX drop copy: executions come "
        "in by themselves."
    )
    fields: ClassVar[tuple[str, ...]] = (
        "provider", "server", "parties_shown", "state_shown", "since_shown", "logged_on_shown", "heard_shown",
        "execution_shown", "in_shown", "out_shown", "missing_shown", "told_shown", "fills_shown", "gaps_shown",
        "fetched_shown", "garbled_shown", "unreadable_shown", "rejects_shown", "resets_shown", "note",
    )  # fmt: skip

    provider_shown = text_column("provider", title="Provider", order="provider__code")
    state_shown = badge_column("state", title="State", tones=SESSION_TONES, order="state")
    heard_shown = moment_column("last_received_at", title="Last message", order="last_received_at")
    execution_shown = moment_column("last_execution_at", title="Last execution", order="last_execution_at")
    fills_shown = number_column("fills", title="Executions", digits=0, order="fills")
    in_shown = number_column("next_in", title="Expected next", digits=0)
    out_shown = number_column("next_out", title="Sent next", digits=0)
    gaps_shown = number_column("gaps", title="Gaps", digits=0)
    garbled_shown = number_column("garbled", title="Garbled", digits=0)
    since_shown = moment_column("state_since", title="So since")
    logged_on_shown = moment_column("logged_on_at", title="Logged on")
    missing_shown = number_column("gap_to", title="Missing up to", digits=0)
    told_shown = number_column("messages", title="Messages about orders", digits=0)
    fetched_shown = number_column("fetched", title="Came when asked for", digits=0)
    unreadable_shown = number_column("unreadable", title="Unreadable", digits=0)
    rejects_shown = number_column("rejects", title="Of ours rejected", digits=0)
    resets_shown = number_column("resets", title="Numbers begun anew", digits=0)
    parties_shown = computed_column(
        lambda row: f"{row.target_comp_id} (provider) and {row.sender_comp_id} (we)", title="Between"
    )


@admin.register(DropCopyMessage)
class DropCopyMessageAdmin(LiquidityAdmin):
    """Every message of the sessions, as long as the log is kept."""

    list_display = (
        "at_shown", "provider_shown", "way_shown", "kind_shown", "sequence_shown", "symbol", "client_shown", "order_shown",
        "exec_shown", "told_shown",
    )  # fmt: skip
    list_select_related = ("provider",)
    list_filter = ("provider", "is_incoming", "kind", "is_repeat", "at")
    search_fields = ("client_order_id", "exec_id", "order_id", "symbol")
    search_help_text = "ClOrdID, ExecID, OrderID or symbol"
    show_full_result_count = False
    empty_text = "Nothing was said in a session yet, or not within the days that the log is kept."
    fields: ClassVar[tuple[str, ...]] = (
        "provider", "way_shown", "kind_shown", "sequence_shown", "at_shown", "text",
    )  # fmt: skip

    at_shown = moment_column("at", title="At", order="id")
    provider_shown = text_column("provider", title="Provider", order="provider__code")
    way_shown = computed_column(lambda row: "Received" if row.is_incoming else "Sent", title="Way")
    kind_shown = computed_column(lambda row: kind_words(row.kind), title="Message", order="kind")
    sequence_shown = number_column("sequence", title="Number", digits=0, order="sequence")
    client_shown = text_column("client_order_id", title="ClOrdID")
    order_shown = text_column("order_id", title="OrderID")
    exec_shown = text_column("exec_id", title="ExecID")
    told_shown = computed_column(lambda row: summary_of(row.text), title="What it says")


def summary_of(text: str) -> str:
    """An execution, a reject or a request in a few words."""
    said = {field.tag: field for field in reversed(list(fields_of(text)))}
    parts = [said[tag].meaning or said[tag].value for tag in (150, 54) if tag in said]
    if 32 in said and said[32].value not in ("", "0"):
        parts.append(f"{said[32].value} at {said[31].value}" if 31 in said else said[32].value)
    if 7 in said:
        parts.append(f"from {said[7].value}")
    if 36 in said:
        parts.append(f"to {said[36].value}")
    if 58 in said:
        parts.append(said[58].value[:80])
    if 43 in said:
        parts.append("again")
    return " · ".join(parts) or EMPTY


def fields_panel(message: DropCopyMessage | LiquidityMessage, actor: Actor) -> SafeString | str:
    """The message field by field: what is told first, its envelope after it."""
    every = list(fields_of(message.text))
    ordered = [field for field in every if not field.is_header] + [field for field in every if field.is_header]
    rows = [(str(field.tag), field.name or EMPTY, field.value, field.meaning or "") for field in ordered]
    return _table(("Tag", "Field", "Value", "Meaning"), rows)


def order_panel(message: DropCopyMessage, actor: Actor) -> SafeString | str:
    """The other messages about the same order."""
    if not message.order_id or message.kind in _SESSION_KINDS:
        return ""
    rows = visible_to(DropCopyMessage.objects.filter(provider=message.provider_id, order_id=message.order_id), actor)
    return _messages(list(rows.exclude(pk=message.pk).order_by("-id")[:PANEL_ROWS]))


def session_panel(session: DropCopySession, actor: Actor) -> SafeString | str:
    """The last messages of the session."""
    rows = visible_to(DropCopyMessage.objects.filter(provider=session.provider_id), actor).order_by("-id")
    table = _messages(list(rows[:PANEL_ROWS]))
    if not table:
        return ""
    url = reverse("admin:platform_ops_dropcopymessage_changelist")
    return format_html(
        '{}<p><a class="bo-link" href="{}?provider__id__exact={}">All messages of this session</a></p>',
        table,
        url,
        session.provider_id,
    )


def _messages(rows: Sequence[DropCopyMessage]) -> SafeString | str:
    shown = [
        (
            format_html(
                '<a class="bo-link" href="{}">{}</a>',
                reverse("admin:platform_ops_dropcopymessage_change", args=[row.pk]),
                format_time(row.at),
            ),
            badge_html("Received" if row.is_incoming else "Sent", "good" if row.is_incoming else "quiet"),
            kind_words(row.kind),
            format_decimal(row.sequence),
            row.symbol or EMPTY,
            row.client_order_id or EMPTY,
            summary_of(row.text),
        )
        for row in rows
    ]
    return _table(("At", "Way", "Message", "Number", "Symbol", "ClOrdID", "What it says"), shown)


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> SafeString | str:
    if not rows:
        return ""
    head = format_html_join("", '<th scope="col">{}</th>', ((heading,) for heading in headings))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html(
        '<div class="bo-table-wrap" tabindex="0"><table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def register() -> None:
    """Menu entries and panels; called from the desk's screens."""
    for title, model, order, icon in (
        ("Drop copy sessions", "dropcopysession", 63, "sensors"),
        ("Session messages", "dropcopymessage", 69, "forum"),
    ):
        register_page("platform_ops", title, f"admin:platform_ops_{model}_changelist", VIEW_LIQUIDITY, order, icon=icon)
    register_panel("platform_ops.DropCopySession", "messages", "Last messages", session_panel, order=10)
    register_panel("platform_ops.DropCopyMessage", "fields", "In words", fields_panel, order=10)
    register_panel("platform_ops.DropCopyMessage", "order", "More about this order", order_panel, order=20)
    register_panel("platform_ops.LiquidityMessage", "fields", "In words", fields_panel, order=10)
