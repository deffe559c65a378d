"""How trading servers are reached and how they are: the health board, and the connections with their test button."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import holds, visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_html,
    computed_column,
    moment,
    number,
    state_column,
    text,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.exports import export_response
from backoffice.ui.formats import EMPTY, format_age, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from platform_ops.models import ServerConnection, ServerSync, SyncGap, TradingServer
from platform_ops.outer_permissions import VIEW_LIQUIDITY
from platform_ops.permissions import MANAGE_CONNECTIONS, VIEW_PLATFORM
from platform_ops.rules.following import is_off
from platform_ops.selectors.servers import TIMELINE, ServerHealth, recent_gaps, server_health
from platform_ops.services.connections import ConnectionTerms, ConnectionTest, save_connection, test_connection

REFRESH_SECONDS = 3
SHOWN_GAPS = 20
STRIP_WIDTH = 960
NARROWEST_GAP = 3
EXPORT_COLUMNS = (
    text("server__code", title="Server"),
    text("label", title="State"),
    number("lag_seconds", title="Lag, s", digits=0),
    number("heartbeat_seconds", title="Heartbeat, s ago", digits=0),
    number("deals_today", title="Deals today", digits=0),
    number("breaks", title="Open breaks", digits=0),
    number("open_gaps", title="Open gaps", digits=0),
    moment("sync__last_deal_at", title="Last deal"),
    text("sync__clock_offset_seconds", title="Clock ahead, s"),
    text("sync__message", title="Message"),
)


def register() -> None:
    """Menu entries and the card; called from the desk's screens."""
    register_page("platform_ops", "Server health", ServerHealthPage.url_name(), VIEW_PLATFORM, 10, icon="monitor_heart")
    register_page(
        "platform_ops",
        "Connections",
        "admin:platform_ops_serverconnection_changelist",
        MANAGE_CONNECTIONS,
        101,
        icon="cable",
    )
    register_card(
        "platform.servers", (Role.PLATFORM_OPERATIONS, Role.DEALING, Role.ADMINISTRATOR), servers_card, order=5
    )


class HealthBase(DeskPage):
    """What both addresses of the board have in common."""

    desk, capability = "platform_ops", VIEW_PLATFORM


@register_desk_page
class ServerHealthPage(HealthBase):
    """Every server's state, lag, heartbeat, last deal, clock, gaps and breaks; refreshes itself."""

    slug = "server_health"
    title = "Server health"
    template_name = "platform_ops/server_health.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or with `?export=csv` (or xlsx) its rows as a file."""
        if kind := request.GET.get("export", ""):
            rows = server_health(actor=self.actor)
            return export_response(
                request, name="server-health", columns=EXPORT_COLUMNS, rows=rows, count=len(rows), file_format=kind
            )
        context = {
            "body": render_board(self.actor),
            "data_url": ServerHealthData.url(),
            "refresh_seconds": REFRESH_SECONDS,
        }
        return self.page(context)


@register_desk_page
class ServerHealthData(HealthBase):
    """The board's changing part as JSON."""

    slug = "server_health_data"
    route = "server_health/data/"
    title = "Server health"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """`{"html"}`."""
        response = JsonResponse({"html": render_board(self.actor)})
        response.headers["Cache-Control"] = "no-store"
        return response


def render_board(actor: Actor) -> SafeString:
    """The board's changing part."""
    rows = server_health(actor=actor)
    connected = [row for row in rows if row.connection is not None]
    followed = [row for row in connected if row.connection is not None and row.connection.is_enabled]
    may_manage = holds(actor, MANAGE_CONNECTIONS)
    worst = max((row.lag_seconds or 0 for row in followed), default=None)
    context = {
        "cards": [_card(row, may_manage=may_manage, sees_sessions=holds(actor, VIEW_LIQUIDITY)) for row in connected],
        "unconnected": [row for row in rows if row.connection is None],
        "followed": len(followed),
        "live": sum(row.state == ServerSync.State.LIVE for row in followed),
        "troubled": sum(row.tone == "bad" for row in followed),
        "worst_lag": EMPTY if worst is None else format_age(worst),
        "open_gaps": sum(row.open_gaps for row in rows),
        "breaks": sum(row.breaks for row in rows),
        "deals_today": sum(row.deals_today for row in rows),
        "gaps": [_gap(gap) for gap in recent_gaps(actor=actor, limit=SHOWN_GAPS)],
        "connections_url": reverse("admin:platform_ops_serverconnection_changelist") if may_manage else "",
    }
    return SafeString(render_to_string("platform_ops/parts/server_health.html", context))


def servers_card(actor: Actor) -> Card | None:
    """How many of the connected servers are followed live."""
    rows = [row for row in server_health(actor=actor) if row.connection is not None and row.connection.is_enabled]
    if not rows:
        return None
    live = sum(row.state == ServerSync.State.LIVE for row in rows)
    return Card(
        title="Trading servers",
        figure=f"{live} of {len(rows)} live",
        rows=tuple((row.server.code, row.label) for row in rows[:4]),
        url=ServerHealthPage.url(),
        tone="good" if live == len(rows) else "bad",
    )


def _card(row: ServerHealth, *, may_manage: bool, sees_sessions: bool) -> dict[str, Any]:
    assert row.connection is not None
    sync = row.sync
    offset = None if sync is None or sync.clock_offset_seconds is None else float(sync.clock_offset_seconds)
    return {
        "row": row,
        "tone": row.tone,
        "kind": row.connection.get_kind_display(),
        "url": reverse("admin:platform_ops_serverconnection_change", args=[row.connection.pk]) if may_manage else "",
        "badge": badge_html(row.label, row.tone),
        "message": _message(row),
        "lag": _ago(row.lag_seconds),
        "heartbeat": EMPTY if row.heartbeat_seconds is None else f"{_ago(row.heartbeat_seconds)} ago",
        "last_deal": EMPTY if row.last_deal_seconds is None else f"{_ago(row.last_deal_seconds)} ago",
        "last_deal_at": format_time(sync.last_deal_at) if sync else "",
        "clock": EMPTY if offset is None else _clock(offset),
        "clock_is_off": offset is not None and is_off(timedelta(seconds=offset)),
        "timeline": timeline(row),
        "drop_copy": row.drop_copy,
        "drop_copy_url": reverse("admin:platform_ops_dropcopysession_change", args=[row.drop_copy.pk])
        if row.drop_copy and sees_sessions
        else "",
        "heard": EMPTY if row.drop_copy is None else _since(row.drop_copy.last_received_at, row.at),
        "gap_text": _gap_text(row),
    }


def _message(row: ServerHealth) -> str:
    if row.state == "silent":
        return "No process has said anything about this server. Is sync_servers running?"
    if row.sync is None or not row.sync.message:
        return ""
    again = row.sync.next_try_at
    soon = "" if again is None or again <= row.at else f" Next try in {round((again - row.at).total_seconds())} s."
    return f"{row.sync.message}{soon}" if row.state not in ("live", "catching_up") else ""


def _ago(seconds: int | None) -> str:
    return EMPTY if seconds is None else format_age(seconds)


def _since(moment_: datetime | None, at: datetime) -> str:
    return EMPTY if moment_ is None else f"{format_age(max(0, round((at - moment_).total_seconds())))} ago"


def _clock(offset: float) -> str:
    if abs(offset) < 2:  # servers tell whole seconds
        return "right"
    seconds = round(abs(offset))
    return f"{format_age(round(seconds / 60) * 60 if seconds > 600 else seconds)} {'ahead' if offset > 0 else 'behind'}"


def _gap_text(row: ServerHealth) -> str:
    if row.sync is None or row.sync.cursor_at is None:
        return "nothing read yet"
    if not row.gaps:
        return "no gap"
    refilled = len(row.gaps) - row.open_gaps
    parts = [f"{row.open_gaps} open" if row.open_gaps else "", f"{refilled} refilled" if refilled else ""]
    return f"gaps: {', '.join(part for part in parts if part)}"


def _gap(gap: SyncGap) -> dict[str, Any]:
    badge_text = (
        ("Refilled", "good") if gap.filled_at else ("Open", "bad") if gap.filled_to is None else ("Running", "warn")
    )
    return {
        "row": gap,
        "from_at": format_time(gap.from_at),
        "to_at": format_time(gap.to_at),
        "length": format_age(round((gap.to_at - gap.from_at).total_seconds())),
        "badge": badge_html(*badge_text),
    }


def timeline(row: ServerHealth) -> SafeString:
    """The last day as a strip: followed, gaps that were refilled, gaps that are open."""
    start = row.at - TIMELINE
    begins = start
    if row.connection is not None:
        begins = max(start, row.connection.created_at)
    until = row.sync.cursor_at if row.sync and row.sync.cursor_at else begins
    parts = [("srv-strip-good", begins, min(until, row.at))]
    parts += [("srv-strip-warn" if gap.filled_at else "srv-strip-bad", gap.from_at, gap.to_at) for gap in row.gaps]
    since = row.sync and (row.sync.cursor_at or row.sync.down_since)
    if row.tone == "bad" and since:
        parts.append(("srv-strip-bad", since, row.at))
    drawn = format_html_join(
        "",
        '<rect class="{}" x="{}" y="0" width="{}" height="10"></rect>',
        (
            (css, _at(first, start), max(_at(last, start) - _at(first, start), 0 if "good" in css else NARROWEST_GAP))
            for css, first, last in parts
            if last > start
        ),
    )
    return format_html(
        '<svg viewBox="0 0 {} 10" preserveAspectRatio="none" role="img" aria-label="The last 24 hours: {}">'
        '<rect class="srv-strip-none" x="0" y="0" width="{}" height="10"></rect>{}</svg>',
        STRIP_WIDTH,
        _gap_text(row),
        STRIP_WIDTH,
        drawn,
    )


def _at(moment_: datetime, start: datetime) -> int:
    share = (moment_ - start) / TIMELINE
    return round(min(max(share, 0.0), 1.0) * STRIP_WIDTH)


class ConnectionForm(forms.Form):
    """How a server is reached."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    kind = forms.ChoiceField(choices=ServerConnection.Kind.choices, label="Kind")
    host = forms.CharField(max_length=253, required=False, label="Host", help_text="A name or an address.")
    port = forms.IntegerField(min_value=1, max_value=65_535, required=False, label="Port")
    login = forms.CharField(
        max_length=80,
        required=False,
        label="Login",
        help_text="The manager's login on the server; of a FIX drop copy the user of the logon.",
    )
    password = forms.CharField(
        max_length=200,
        required=False,
        strip=False,
        label="Password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="It is sealed and never shown. Leave it empty to keep the one that stands.",
    )
    options = forms.CharField(
        max_length=4_000,
        required=False,
        label="Options",
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text='JSON, such as {"answer_seconds": 30}. What there is depends on the kind; a FIX drop copy needs '
        '{"provider": "prime-lp", "sender_comp_id": "HOUSE", "target_comp_id": "PRIMELP"}.',
    )
    interval_seconds = forms.IntegerField(min_value=1, max_value=3_600, initial=5, label="Asked every, seconds")
    overlap_seconds = forms.IntegerField(
        min_value=0,
        max_value=86_400,
        initial=300,
        label="Overlap, seconds",
        help_text="So much of what was read is read again each time, for deals that come late.",
    )
    syncs_orders = forms.BooleanField(required=False, initial=True, label="Keep ended orders for execution quality")
    is_enabled = forms.BooleanField(required=False, initial=True, label="Follow this server")
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}), label="Reason")

    def clean_options(self) -> dict[str, Any]:
        """The options as an object."""
        given = self.cleaned_data["options"].strip() or "{}"
        try:
            options = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError("This is not JSON.") from error
        if not isinstance(options, dict):
            raise forms.ValidationError("Options are a JSON object.")
        return options


class SaveConnection(DeskActionView):
    """Sets how a server is reached."""

    capability = MANAGE_CONNECTIONS
    form_class = ConnectionForm
    success_message = "Saved. Test the connection before you rely on it."
    # A page that asks once more would have to carry the password along.
    needs_confirmation = False

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Offers the servers that the actor sees."""
        form = super().make_form(actor, data, files)
        servers = visible_to(TradingServer.objects.all(), actor)
        if self.target is not None:
            servers = servers.filter(pk=self.target.server_id)
        form.fields["server"].queryset = servers  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves it."""
        terms = ConnectionTerms(
            kind=data["kind"],
            host=data["host"],
            port=data["port"],
            login=data["login"],
            password=data["password"] or None,
            options=data["options"],
            is_enabled=data["is_enabled"],
            syncs_orders=data["syncs_orders"],
            interval_seconds=data["interval_seconds"],
            overlap_seconds=data["overlap_seconds"],
        )
        return save_connection(server_id=data["server"].pk, terms=terms, actor=actor, reason=data["reason"])


class AddConnection(SaveConnection):
    """A server that has none yet."""

    slug, title = "add_connection", "Connect a server"
    button = "Connect a server"

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers without a connection."""
        form = super().make_form(actor, data, files)
        field: Any = form.fields["server"]
        field.queryset = field.queryset.filter(connection__isnull=True)
        return form


class EditConnection(SaveConnection):
    """A connection that stands."""

    slug, title = "edit_connection", "Change the connection"

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands, without the password."""
        names = ("kind", "host", "port", "login", "interval_seconds", "overlap_seconds", "syncs_orders", "is_enabled")
        values = {name: getattr(self.target, name) for name in names}
        return {**values, "server": self.target.server_id, "options": json.dumps(self.target.options)}


class TestConnection(DeskActionView):
    """Connects once and reads the clock."""

    slug, title, capability = "test", "Test the connection", MANAGE_CONNECTIONS
    explanation = (
        "Connects to the server, proves who both sides are, and reads its clock. Nothing is changed there. Of a FIX drop copy "
        "only the address is tried: a second logon would end the session that runs."
    )
    needs_confirmation = False
    __test__ = False

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> ConnectionTest:
        """Tests it; a failure is said in the form."""
        outcome = test_connection(server_id=self.target.server_id, actor=actor)
        if not outcome.is_good:
            raise Conflict(outcome.problem, code=outcome.code or "connection_failed")
        return outcome

    def success_text(self, result: ConnectionTest) -> str:
        """What was found."""
        found = f"{self.target.server.code} answers in {result.milliseconds} ms."
        if result.server_time is None or result.offset_seconds is None:
            return found
        return f"{found} Its clock says {format_time(result.server_time)} UTC: {_clock(result.offset_seconds)}."


@admin.register(ServerConnection)
class ServerConnectionAdmin(DeskModelAdmin):
    """Connections; changed only by the actions, tested by a button."""

    view_capability = MANAGE_CONNECTIONS
    list_display = ("server_shown", "kind_shown", "address_shown", "login", "follows", "state_shown", "read_to")
    list_select_related = ("server", "server__sync")
    list_filter = ("kind", "is_enabled")
    search_fields = ("server__code", "host")
    list_actions = (AddConnection,)
    object_actions = (TestConnection, EditConnection)
    exclude = ("password",)
    readonly_fields = ("password_shown",)
    empty_text = "No server is connected yet. Connect one, and its deals come in by themselves."

    server_shown = text_column("server", title="Server", order="server__code")
    kind_shown = text_column("kind", title="Kind", order="kind")
    address_shown = computed_column(lambda row: f"{row.host}:{row.port}" if row.host else EMPTY, title="Address")
    follows = state_column(
        lambda row: "Followed" if row.is_enabled else "Off", title="Follows", tones={"Followed": "good", "Off": "quiet"}
    )
    state_shown = computed_column(
        lambda row: row.server.sync.get_state_display() if hasattr(row.server, "sync") else EMPTY, title="State"
    )
    read_to = computed_column(
        lambda row: format_time(row.server.sync.cursor_at) if hasattr(row.server, "sync") else EMPTY, title="Read to"
    )

    @admin.display(description="Password")
    def password_shown(self, row: ServerConnection) -> str:
        """Whether there is one."""
        return "Set, and never shown" if row.__dict__.get("password") else "None"
