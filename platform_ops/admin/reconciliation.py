"""The comparison with servers on the desk: where each server stands, its breaks, its runs; explained and accepted here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import holds, visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    badge_html,
    computed_column,
    link_column,
    moment_column,
    money_column,
    money_html,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import EMPTY, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingServer
from platform_ops.outer_permissions import ACCEPT_BREAKS, RECONCILE
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.selectors.reconciliation import ServerComparison, server_comparisons
from platform_ops.services.reconciliation import breaks, runs

STATE_TONES = {"open": "bad", "accepted": "warn", "resolved": "good"}
RUN_TONES = {"running": "info", "done": "good", "failed": "bad"}
_State = ReconciliationBreak.State


class ExplanationForm(forms.Form):
    """Why."""

    reason = forms.CharField(max_length=breaks.MAX_REASON, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


class SeveralForm(ExplanationForm):
    """Which breaks, and why."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    kind = forms.ChoiceField(choices=ReconciliationBreak.Kind.choices, label="What differs")
    field_order = ("server", "kind", "reason")


class CompareForm(forms.Form):
    """Which server, and from when on."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), label="Trading server")
    start = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        label="Deals from",
        help_text="Empty: the last three days. Positions and balances are always compared as they stand.",
    )


@register_desk_page
class ReconciliationBoard(DeskPage):
    """Each followed server: when it was last compared, what is open, what was accepted."""

    desk, capability = "platform_ops", VIEW_PLATFORM
    slug, title, route = "reconciliation", "Reconciliation", "reconciliation/"
    template_name = "platform_ops/reconciliation.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The servers, and the breaks that were found last."""
        rows = server_comparisons(actor=actor)
        newest = visible_to(ReconciliationBreak.objects.filter(state=_State.OPEN), actor).select_related("server")
        list_url = reverse("admin:platform_ops_reconciliationbreak_changelist")
        may_run = holds(actor, RECONCILE)
        return {
            "servers": [_board_row(row, list_url) for row in rows],
            "breaks": [(one, _sides(one), money_or_empty(one)) for one in newest.order_by("-first_seen_at", "pk")[:12]],
            "open": sum(row.open for row in rows),
            "accepted": sum(row.accepted for row in rows),
            "compared": sum(row.is_compared for row in rows),
            "list_url": list_url,
            "runs_url": reverse("admin:platform_ops_reconciliationrun_changelist"),
            "compare_url": reverse("admin:platform_ops_reconciliationrun_compare") if may_run else "",
        }


def _board_row(row: ServerComparison, list_url: str) -> dict[str, Any]:
    last = row.last
    return {
        "row": row,
        "badge": badge_html(row.label, row.tone),
        "last_at": format_time(last.started_at) if last else EMPTY,
        "day": last.business_day if last and last.business_day else EMPTY,
        "kinds": [(ReconciliationBreak.Kind(kind).label, count) for kind, count in row.kinds],
        "url": f"{list_url}?server__id__exact={row.server.pk}&state__exact=open",
        "figures": _looked_at(last),
    }


def _looked_at(run: ReconciliationRun | None) -> str:
    if run is None or not run.figures:
        return ""
    parts = [
        f"{run.figures[f'{name}_there']:,} {name}"
        for name in ("accounts", "positions", "deals")
        if f"{name}_there" in run.figures
    ]
    return ", ".join(parts)


class ExplainBreak(DeskActionView):
    """Notes what is known."""

    slug, title, capability = "explain", "Note what is known", RECONCILE
    form_class = ExplanationForm
    needs_confirmation = False
    success_message = "Noted. The difference stays open."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it stands."""
        return bool(target.state != _State.RESOLVED)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What was noted before."""
        return {"reason": self.target.explanation}

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Notes it."""
        return breaks.explain_break(break_id=self.target.pk, explanation=data["reason"], actor=actor)


class AcceptBreak(DeskActionView):
    """Accepts a difference as it stands."""

    slug, title, capability, tone = "accept", "Accept with a reason", ACCEPT_BREAKS, "danger"
    form_class = ExplanationForm
    success_message = "Accepted, until its figures change."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it is open."""
        return bool(target.state == _State.OPEN)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What was noted before."""
        return {"reason": self.target.explanation}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """It blocks nothing any more."""
        return [
            ("Difference", f"{self.target} on {self.target.server}"),
            ("What happens", "It no longer holds the business day, and its work item closes. Nothing is booked."),
            ("Until", "its figures change: then it is open again."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Accepts it."""
        return breaks.accept_break(break_ids=[self.target.pk], reason=data["reason"], actor=actor)


class ReopenBreak(DeskActionView):
    """Takes an acceptance back."""

    slug, title, capability = "reopen", "Take the acceptance back", ACCEPT_BREAKS
    form_class = ExplanationForm
    success_message = "Open again."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it is accepted."""
        return bool(target.state == _State.ACCEPTED)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """It holds the day again."""
        return [
            ("Difference", f"{self.target} on {self.target.server}"),
            ("What happens", "It holds the business day again, and somebody gets a work item."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Opens it."""
        return breaks.reopen_break(break_id=self.target.pk, reason=data["reason"], actor=actor)


class AcceptSeveral(DeskActionView):
    """Accepts all open differences of one kind on a server: accounts that were archived together, say."""

    slug, title, capability, tone = "accept-several", "Accept several", ACCEPT_BREAKS, "danger"
    form_class = SeveralForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees."""
        form = SeveralForm(data)
        form.fields["server"].queryset = visible_to(TradingServer.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many, and how much."""
        found = _of_kind(actor, data)
        amounts = found.values("currency").annotate(total=Sum("amount")).order_by("currency")
        told = ", ".join(f"{row['total']:,.2f} {row['currency']}" for row in amounts if row["total"] is not None)
        count = found.count()
        if not count:
            raise InvalidInput("No open difference of this kind is there.", field="kind")
        return [
            ("Differences", f"{count:,} on {data['server']}"),
            ("Server less books", told or EMPTY),
            ("What happens", "They no longer hold the business day, and their work items close. Nothing is booked."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Accepts them."""
        wanted = list(_of_kind(actor, data).values_list("pk", flat=True)[: breaks.MAX_AT_ONCE])
        return breaks.accept_break(break_ids=wanted, reason=data["reason"], actor=actor)

    def success_text(self, result: Any) -> str:
        """How many."""
        return f"{len(result):,} differences are accepted, until their figures change."


def _of_kind(actor: Actor, data: Mapping[str, Any]) -> Any:
    found = ReconciliationBreak.objects.filter(server=data["server"], kind=data["kind"], state=_State.OPEN)
    return visible_to(found, actor)


class CompareServer(DeskActionView):
    """Has a server compared now."""

    slug, title, capability = "compare", "Compare a server now", RECONCILE
    form_class = CompareForm
    needs_confirmation = False
    success_message = "The comparison begins as soon as a worker is free."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees and that can be asked."""
        form = CompareForm(data)
        servers = TradingServer.objects.filter(connection__isnull=False)
        form.fields["server"].queryset = visible_to(servers, actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Queues it."""
        start = data["start"]
        return runs.request_reconciliation(
            server_id=data["server"].pk,
            actor=actor,
            from_time=None if start is None else datetime.combine(start, time.min, tzinfo=UTC),
        )

    def success_url(self, result: Any) -> str:
        """The board shows it."""
        return ReconciliationBoard.url()


def money_or_empty(one: ReconciliationBreak) -> SafeString | str:
    """How much the server has more than the books."""
    return EMPTY if one.amount is None else money_html(one.amount, one.currency)


def _sides(one: ReconciliationBreak) -> tuple[str, str]:
    """What each side says, as short as it goes."""
    return _short(one.ours, one.fields_differing), _short(one.theirs, one.fields_differing)


def _short(told: Mapping[str, str], fields: Sequence[str]) -> str:
    if not told:
        return "nothing"
    names = [name for name in fields if name in told] or [
        name for name in ("symbol", "side", "kind", "volume_lots", "price", "balance", "profit") if told.get(name)
    ]
    return ", ".join(f"{name.replace('_', ' ')} {_shown(told[name])}" for name in names[:4])


def _shown(value: str) -> str:
    """A figure with its thousands apart; everything else as it is."""
    whole, dot, decimals = value.partition(".")
    is_figure = bool(dot) and whole.removeprefix("-").isdigit() and decimals.isdigit()
    return f"{int(whole):,}{dot}{decimals}" if is_figure and whole not in ("-0", "0") else value


@admin.register(ReconciliationBreak)
class ReconciliationBreakAdmin(DeskModelAdmin):
    """Every difference: open, accepted, gone."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "what",
        "server_shown",
        "account_shown",
        "ticket_shown",
        "ours_shown",
        "theirs_shown",
        "amount_shown",
        "state_shown",
        "first_shown",
        "times_seen",
    )
    list_select_related = ("server", "account", "accepted_by")
    list_filter = ("state", "kind", "server", "first_seen_at")
    search_fields = ("login", "ticket", "explanation", "cause")
    object_actions = (AcceptBreak, ExplainBreak, ReopenBreak)
    list_actions = (AcceptSeveral,)
    empty_text = "No difference. Every server that was compared agrees with the books."
    fields: ClassVar[tuple[str, ...]] = (
        "kind",
        "server",
        "account",
        "login",
        "ticket_shown",
        "state",
        "amount_shown",
        "cause",
        "explanation",
        "accepted_by",
        "accepted_at",
        "first_seen_at",
        "last_seen_at",
        "times_seen",
        "resolved_at",
    )

    what = computed_column(lambda one: one.get_kind_display(), title="What differs", order="kind")
    server_shown = text_column("server", title="Server", order="server__code")
    account_shown = link_column("account", title="Account", label="login", order="login")
    ticket_shown = computed_column(lambda one: str(one.ticket) if one.ticket else "", title="Ticket", order="ticket")
    ours_shown = computed_column(lambda one: _sides(one)[0], title="Here")
    theirs_shown = computed_column(lambda one: _sides(one)[1], title="On the server")
    amount_shown = money_column("amount", currency="currency", title="Server less books", order="amount")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    first_shown = moment_column("first_seen_at", title="Since", order="first_seen_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


@admin.register(ReconciliationRun)
class ReconciliationRunAdmin(DeskModelAdmin):
    """Every comparison that was made."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "server_shown",
        "business_day",
        "state_shown",
        "started_shown",
        "breaks_open",
        "breaks_new",
        "breaks_resolved",
        "problem",
    )
    list_select_related = ("server",)
    list_filter = ("state", "server", "business_day")
    search_fields = ("server__code", "problem")
    list_actions = (CompareServer,)
    empty_text = "No server has been compared yet. Compare one with the button above, or wait for the night."
    fields: ClassVar[tuple[str, ...]] = (
        "server",
        "business_day",
        "state",
        "window_from",
        "window_to",
        "started_at",
        "finished_at",
        "started_by",
        "breaks_open",
        "breaks_new",
        "breaks_resolved",
        "problem",
    )

    server_shown = text_column("server", title="Server", order="server__code")
    state_shown = badge_column("state", title="State", tones=RUN_TONES, order="state")
    started_shown = moment_column("started_at", title="Started", order="id")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


def both_sides_panel(one: ReconciliationBreak, actor: Actor) -> SafeString | str:
    """Field by field: here, on the server, and which of them differ."""
    names = [*one.ours, *(name for name in one.theirs if name not in one.ours)]
    differing = set(one.fields_differing) or {
        name for name in names if one.ours.get(name, "") != one.theirs.get(name, "")
    }
    rows = format_html_join(
        "",
        '<tr><td>{}</td><td class="bo-num">{}</td><td class="bo-num">{}</td><td>{}</td></tr>',
        (
            (
                name.replace("_", " ").capitalize(),
                _shown(one.ours.get(name, "")) or EMPTY,
                _shown(one.theirs.get(name, "")) or EMPTY,
                badge_html("differs", "bad") if name in differing else "",
            )
            for name in names
        ),
    )
    return format_html(
        '<table class="bo-table"><thead><tr><th scope="col">Field</th><th scope="col">Here</th>'
        '<th scope="col">On the server</th><th scope="col"><span class="bo-visually-hidden">Verdict</span></th></tr></thead>'
        "<tbody>{}</tbody></table>",
        rows,
    )


def run_figures_panel(run: ReconciliationRun, actor: Actor) -> SafeString | str:
    """What was looked at."""
    if not run.figures:
        return ""
    rows: list[tuple[str, str]] = []
    for name, value in run.figures.items():
        if name == "tables" and isinstance(value, Mapping):
            rows += [(f"Deals in {table}", f"{count:,}") for table, count in value.get("tables", {}).items()]
            rows.append(("Deals that no yearly table has", f"{value.get('missing_from_years', 0):,}"))
        elif name == "by_kind" and isinstance(value, Mapping):
            rows += [(ReconciliationBreak.Kind(kind).label, f"{count:,}") for kind, count in value.items()]
        elif isinstance(value, list):
            rows.append((name.replace("_", " ").capitalize(), ", ".join(value) or "all was told"))
        else:
            rows.append((name.replace("_", " ").capitalize(), f"{value:,}"))
    return format_html(
        '<dl class="bo-facts">{}</dl>',
        format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows),
    )


def reconciliation_card(actor: Actor) -> Card | None:
    """Open differences of the actor's servers."""
    rows = [row for row in server_comparisons(actor=actor) if row.last is not None]
    if not rows:
        return None
    waiting = sum(row.open for row in rows)
    return Card(
        title="Reconciliation",
        figure=f"{waiting:,} open",
        rows=tuple((row.server.code, f"{row.open:,} open") for row in rows[:4]),
        url=ReconciliationBoard.url(),
        tone="bad" if waiting else "good",
    )


def register() -> None:
    """Menu entries, panels and the card; called from the desk's screens."""
    register_page(
        "platform_ops", "Reconciliation", ReconciliationBoard.url_name(), VIEW_PLATFORM, 12, icon="difference"
    )
    register_page(
        "platform_ops",
        "Breaks",
        "admin:platform_ops_reconciliationbreak_changelist",
        VIEW_PLATFORM,
        13,
        icon="rule",
    )
    register_panel("platform_ops.ReconciliationBreak", "sides", "Both sides", both_sides_panel, order=10)
    register_panel("platform_ops.ReconciliationRun", "figures", "What was compared", run_figures_panel, order=10)
    register_card(
        "platform.reconciliation",
        (Role.PLATFORM_OPERATIONS, Role.FINANCE, Role.ADMINISTRATOR),
        reconciliation_card,
        order=6,
    )
