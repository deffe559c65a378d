"""A trader's price complaints: one is written about a recent trade, and the answer is read here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from backoffice.ui.columns import badge, computed, moment, text
from backoffice.ui.portal import PortalView, register_portal_page
from platform_ops.models import PriceComplaint, Trade
from platform_ops.rules.complaints import ComplaintState
from platform_ops.services.complaints import open_complaint

ROLES = (Role.TRADER.value,)
URL_NAME = "portal:price_complaints"
COMPLAIN_WITHIN = timedelta(days=90)
MAX_TRADES = 100
MAX_SHOWN = 100


def _answer(complaint: PriceComplaint) -> Any:
    if complaint.state != ComplaintState.CLOSED:
        return f"Answered by {complaint.due_at:%Y-%m-%d}"
    words = {"reject": "The price stands", "compensate": "Compensated", "cancel": "Trade cancelled"}[complaint.decision]
    if complaint.letter is None:
        return words
    url = reverse("stored_file", args=[complaint.letter.public_id])
    return format_html('{} · <a class="bo-link" href="{}">Letter (PDF)</a>', words, url)


COLUMNS = (
    text("reference", title="Complaint"),
    moment("opened_at", title="Received (UTC)"),
    text("trade__ticket", title="Trade"),
    text("get_disputed_display", title="Price"),
    badge("state_shown", title="State", tones={"Answered": "good", "In work": "info"}),
    computed(_answer, title="Answer"),
)


class TradeChoice(forms.ModelChoiceField):
    """A trade in words."""

    def label_from_instance(self, trade: Any) -> str:
        """When, what, how much."""
        return f"{trade.closed_at:%Y-%m-%d %H:%M} · {trade.server_symbol.name} · {trade.volume_lots:.2f} lots · {trade.ticket}"


class ComplaintForm(forms.Form):
    """What is wrong."""

    trade = TradeChoice(Trade.objects.none(), label="Trade", to_field_name="ticket", empty_label="Choose …")
    disputed = forms.ChoiceField(
        choices=[("closing", "Closing price"), ("opening", "Opening price")], label="Which price"
    )
    claimed_price = forms.DecimalField(required=False, max_digits=20, decimal_places=10, label="The price you expected")
    claim = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 4}), label="What was wrong")


class ComplaintsPage(PortalView):
    """Own complaints and the form for a new one."""

    roles, title, template_name = ROLES, "Price complaints", "platform_ops/portal/complaints.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The complaints and an empty form."""
        return self._context(self._form(None))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """A new complaint."""
        form = self._form(request.POST)
        if not form.is_valid():
            return self.page(self._context(form), status=400)
        data = form.cleaned_data
        try:
            complaint = open_complaint(
                trade_id=data["trade"].pk,
                disputed=data["disputed"],
                claim=data["claim"],
                claimed_price=data["claimed_price"],
                actor=self.actor,
            )
        except DomainError as error:
            form.add_error(None, error.message)
            return self.page(self._context(form), status=error.http_status)
        messages.info(
            request, f"Your complaint {complaint.reference} was received. We answer by {complaint.due_at:%Y-%m-%d}."
        )
        return HttpResponseRedirect(reverse(URL_NAME))

    def _form(self, data: Any) -> ComplaintForm:
        form = ComplaintForm(data)
        recent = visible_to(Trade.objects.filter(is_cancelled=False), self.actor).filter(
            closed_at__gte=clock.now() - COMPLAIN_WITHIN
        )
        newest = list(recent.order_by("-closed_at").values_list("pk", flat=True)[:MAX_TRADES])
        form.fields["trade"].queryset = (  # type: ignore[attr-defined]
            Trade.objects.filter(pk__in=newest).select_related("server_symbol").order_by("-closed_at")
        )
        return form

    def _context(self, form: ComplaintForm) -> dict[str, Any]:
        own = visible_to(PriceComplaint.objects.select_related("trade", "letter"), self.actor)[:MAX_SHOWN]
        complaints = list(own)
        for complaint in complaints:
            complaint.state_shown = "Answered" if complaint.state == ComplaintState.CLOSED else "In work"  # type: ignore[attr-defined]
        return {
            "columns": COLUMNS,
            "table_rows": [[(column, column.html(row)) for column in COLUMNS] for row in complaints],
            "form": form,
        }


def register() -> None:
    """Mounts the page."""
    register_portal_page(
        "platform.price_complaints",
        "Price complaints",
        URL_NAME,
        ROLES,
        45,
        route="price-complaints/",
        view=ComplaintsPage,
    )
