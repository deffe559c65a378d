"""The inbox: three views of what waits, filters, many items at once, and the figure in the header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import Truncator

from backoffice.core.access import authorise, holds
from backoffice.core.models import Severity, WorkDelivery, WorkItem
from backoffice.core.services import work_items
from backoffice.core.services.work_delivery import is_muted_now
from backoffice.core.types import STAFF_ROLES, Actor
from backoffice.core.work.inbox import Tab, badge_count, counts_for, delivery_of, items_for, kinds_for
from backoffice.desk.admin.inbox import SEVERITY_TONES, STATE_TONES, WORK, kind_label
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from backoffice.ui.columns import badge_html
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import format_age, format_time
from backoffice.ui.forms import desk_widgets
from backoffice.ui.navigation import register_page, register_section
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page

VIEW = "core.view_inbox"
PAGE_SIZE = 50
COUNT_LIMIT = 10_000
CARD_ROWS = 5
CARD_TITLE_LENGTH = 60
_STATES = [("", "Any state"), ("open", "Open"), ("taken", "In progress"), ("closed", "Closed")]


class InboxFilter(forms.Form):
    """What is shown of a view. Every field may be empty."""

    kind = forms.ChoiceField(required=False, label="Kind")
    severity = forms.TypedChoiceField(
        required=False,
        label="Severity",
        coerce=int,
        empty_value=None,
        choices=[("", "Any"), *((str(value), label) for value, label in Severity.choices)],
    )
    state = forms.ChoiceField(required=False, label="State", choices=_STATES)
    only = forms.ChoiceField(
        required=False,
        label="Only",
        choices=[("", "Everything"), ("overdue", "Overdue"), ("free", "Nobody's"), ("muted", "Muted")],
    )


@register_desk_page
class InboxPage(DeskPage):
    """What waits for the viewer and their desks."""

    desk, slug, title, capability = "work", "inbox", "Inbox", VIEW
    template_name = "desk/work/inbox.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """One view, filtered, in the order in which it should be worked on."""
        tab = self._tab()
        form = InboxFilter(self.request.GET or None)
        form.fields["kind"].choices = [("", "Any kind"), *self._kinds(actor)]  # type: ignore[attr-defined]
        filters = form.cleaned_data if form.is_bound and form.is_valid() else {}
        rows = _filtered(items_for(actor, tab), filters)
        order = ("closed_at", "-severity", "due_at", "id")
        ordered = rows.order_by(F("closed_at").desc(nulls_first=True), *order[1:])
        page = Paginator(ordered[:COUNT_LIMIT], PAGE_SIZE).get_page(self.request.GET.get("page"))
        query = self.request.GET.copy()
        query.pop("page", None)
        counts = counts_for(actor)
        return {
            "tab": tab.value,
            "tabs": [
                (Tab.MINE.value, "Mine", counts.mine),
                (Tab.DESKS.value, "My desks", counts.desks),
                (Tab.ALL.value, "All", None),
            ],
            "overdue": counts.overdue,
            "muted": counts.muted,
            "rows": [_shown(item, actor) for item in page.object_list],
            "page_obj": page,
            "filter_form": desk_widgets(form),
            "is_filtered": any(value not in ("", None) for value in filters.values()),
            "query": query.urlencode(),
            "may_work": holds(actor, WORK),
            "empty_text": _EMPTY[tab],
            "muted_url": f"{self.url()}?tab=all&only=muted",
            "overdue_url": f"{self.url()}?tab=desks&only=overdue",
            "mutes_url": reverse("admin:core_workitemmute_changelist"),
            "search_url": reverse("admin:core_workitem_changelist"),
            "settings_url": DeliverySettings.url(),
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Takes or closes the chosen items, each in its own transaction, and says which were refused."""
        authorise(self.actor, WORK)
        chosen = [int(text) for text in request.POST.getlist("items") if text.isascii() and text.isdigit()]
        chosen = [number for number in chosen if number < 2**63]
        if not chosen:
            messages.warning(request, "Choose an item first.")
        else:
            self._act(request, chosen)
        back = request.POST.get("back", "")
        is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith(self.url())
        return HttpResponseRedirect(back if is_ours else self.url())

    def _act(self, request: HttpRequest, chosen: list[int]) -> None:
        verb = request.POST.get("act", "")
        try:
            if verb == "close":
                done, refused = work_items.close_items(
                    item_ids=chosen, resolution=request.POST.get("resolution", ""), actor=self.actor
                )
            else:
                done, refused = work_items.take_items(item_ids=chosen, actor=self.actor)
        except DomainError as error:
            messages.error(request, error.message)
            return
        if done:
            noun = "item" if done == 1 else "items"
            messages.success(request, f"{done:,} {noun} {'closed' if verb == 'close' else 'taken'}.")
        for text in refused[:10]:
            messages.error(request, text)

    def _tab(self) -> Tab:
        wanted = self.request.GET.get("tab", "")
        return Tab(wanted) if wanted in set(Tab) else Tab.DESKS

    def _kinds(self, actor: Actor) -> list[tuple[str, str]]:
        return [(kind.kind, kind.label) for kind in kinds_for(actor)]


_EMPTY = {
    Tab.MINE: "Nothing is yours. Take something from “My desks” with the key t.",
    Tab.DESKS: "Nothing waits for your desks.",
    Tab.ALL: "Nothing matches.",
}


def _filtered(items: QuerySet[WorkItem], filters: Mapping[str, Any]) -> QuerySet[WorkItem]:
    if filters.get("kind"):
        items = items.filter(kind=filters["kind"])
    if filters.get("severity"):
        items = items.filter(severity=filters["severity"])
    if filters.get("state"):
        items = items.filter(state=filters["state"])
    only = filters.get("only")
    if only == "overdue":
        items = items.filter(due_at__lt=clock.now()).exclude(state=WorkItem.State.CLOSED)
    elif only == "free":
        items = items.filter(state=WorkItem.State.OPEN)
    elif only == "muted":
        items = items.filter(is_muted_now()).exclude(state=WorkItem.State.CLOSED)
    return items


def _shown(item: WorkItem, actor: Actor) -> dict[str, Any]:
    """An item as a row of the inbox."""
    now = clock.now()
    is_open = not item.is_closed
    seconds = int((item.due_at - now).total_seconds())
    return {
        "item": item,
        "url": reverse("admin:core_workitem_change", args=[item.pk]),
        "kind": kind_label(item.kind),
        "severity": badge_html(item.get_severity_display(), SEVERITY_TONES[Severity(item.severity)]),
        "state": badge_html(item.get_state_display(), STATE_TONES[item.state]),
        "due": f"in {format_age(seconds)}" if seconds >= 0 else f"{format_age(-seconds)} ago",
        "due_at": format_time(item.due_at),
        "is_overdue": is_open and seconds < 0,
        "age": format_age(int((now - item.opened_at).total_seconds())),
        "is_open": is_open,
        "is_mine": item.owner_id == actor.user_id,
    }


@register_desk_page
class InboxState(DeskPage):
    """The figure of the header, for the page that is open already."""

    desk, slug, title, route, capability = "work", "inbox-state", "State of the inbox", "inbox/state/", VIEW

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How many items wait for the viewer."""
        return JsonResponse({"waiting": badge_count(self.actor)})


class DeliveryForm(forms.ModelForm):
    """How a person wants to be told."""

    class Meta:
        model = WorkDelivery
        fields = ("plays_sound", "mail_from")
        labels = {"plays_sound": "Play a sound in the desk when something new waits for me"}

    mail_from = forms.TypedChoiceField(
        required=False,
        label="Send me mail from this severity on",
        coerce=int,
        empty_value=None,
        choices=[("", "Never"), *((str(value), label) for value, label in Severity.choices)],
    )


@register_desk_page
class DeliverySettings(DeskActionView):
    """How the viewer hears of new items."""

    desk, slug, title, button, capability = "work", "delivery", "How I am told", "Save", VIEW
    form_class = DeliveryForm  # type: ignore[assignment]  # a form of the model, made in make_form
    needs_confirmation = False
    explanation = (
        "The figure in the header is always there. An item reaches you once, and once more if it is escalated."
    )
    success_message = "Saved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """What the viewer set before."""
        form: Any = DeliveryForm(data, files, instance=delivery_of(actor))
        return form  # type: ignore[no-any-return]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Keeps it."""
        return work_items.set_delivery(actor=actor, plays_sound=data["plays_sound"], mail_from=data["mail_from"])

    def success_url(self, result: Any) -> str:
        """Back to the inbox."""
        return InboxPage.url()


def work_card(actor: Actor) -> Card | None:
    """What waits for the viewer, the most urgent first."""
    if not holds(actor, VIEW):
        return None
    counts = counts_for(actor)
    urgent = items_for(actor, Tab.DESKS).order_by("-severity", "due_at", "id")[:CARD_ROWS]
    rows: Sequence[Any] = [
        (
            Truncator(item.title).chars(CARD_TITLE_LENGTH),
            badge_html(item.get_severity_display(), SEVERITY_TONES[Severity(item.severity)]),
        )
        for item in urgent
    ]
    return Card(
        title="Waits for you and your desks",
        figure=f"{counts.desks:,}",
        note=f"{counts.overdue:,} overdue, {counts.mine:,} yours, {counts.muted:,} muted",
        rows=rows,
        width=2,
        url=InboxPage.url(),
        tone="bad" if counts.overdue else "warn" if counts.desks else "good",
    )


def register() -> None:
    """Adds the pages to the menu; called once when the application starts."""
    register_section("work", "Work", "inbox", 5)
    register_page("work", "Inbox", InboxPage.url_name(), VIEW, 10, icon="inbox")
    register_page("work", "All items", "admin:core_workitem_changelist", VIEW, 20, icon="list_alt")
    register_page("work", "Mutes", "admin:core_workitemmute_changelist", VIEW, 30, icon="notifications_off")
    register_card("work.inbox", sorted(STAFF_ROLES), work_card, order=1)
