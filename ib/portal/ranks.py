"""A partner's own rank, what is missing to the next one, and the rates given to those directly below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
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
from backoffice.ui.columns import computed, text
from backoffice.ui.formats import format_decimal
from backoffice.ui.portal import Panel, PortalTablePage, PortalView, register_home_panel, register_portal_page
from ib import selectors
from ib.models import NegotiatedRate, Partner, PartnerEdge
from ib.selectors.ranks import evaluations_of, rank_history, rank_progress
from ib.services import negotiated_rates

ROLES = (Role.IB.value,)
HISTORY = 50


class RankPage(PortalView):
    """The rank held, what is missing to the next one, and how it came about."""

    roles, title, template_name = ROLES, "Rank", "ib/portal/rank.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """As of now."""
        partner = selectors.own_partner(actor=actor)
        progress = rank_progress(actor=actor, partner=partner)
        return {
            "progress": progress,
            "missing": [
                {
                    "text": item.text,
                    "reached": format_decimal(item.reached),
                    "needed": format_decimal(item.needed),
                    "left": format_decimal(item.left),
                    "currency": item.currency,
                    "percent": item.percent,
                }
                for item in (progress.missing if progress else ())
            ],
            "held": rank_history(actor=actor, partner=partner)[:HISTORY],
            "months": evaluations_of(actor=actor, partner=partner),
        }


def rate_words(row: NegotiatedRate | None) -> str:
    """A rate as the partner reads it."""
    if row is None:
        return "By the plan"
    if row.rate is not None:
        return format_decimal(row.rate)
    return f"{format_decimal(row.allocation_percent or Decimal(0))} % of your rate"


class RatesPage(PortalTablePage):
    """Those directly below, with the rate that each has."""

    roles, title = ROLES, "Rates of sub-partners"
    intro = "What those directly below you get out of your own rate. Open one to change it from now on."
    empty_text = "Nobody stands directly below you."
    columns = (
        computed(lambda row: _link(row["partner"]), title="Sub-partner"),
        text("rate", title="Rate"),
        text("by", title="Agreed by"),
        text("since", title="Since"),
    )

    def rows(self, actor: Actor) -> Sequence[Any]:
        """One row each, in a constant number of statements."""
        own = selectors.own_partner(actor=actor)
        now = clock.now()
        edges = PartnerEdge.objects.filter(parent=own, validity__contains=now).select_related("child")
        children = [edge.child for edge in edges.order_by("child__reference")]
        agreed = {
            row.partner_id: row
            for row in NegotiatedRate.objects.filter(
                partner__in=children, component="main", validity__contains=now
            ).select_related("set_by")
        }
        return [_row(child, agreed.get(child.pk), own) for child in children]


def _row(child: Partner, row: NegotiatedRate | None, own: Partner) -> dict[str, Any]:
    by = "" if row is None else "You" if row.set_by_id == own.pk else "Your broker"
    since = f"{row.validity.lower:%Y-%m-%d}" if row is not None and row.validity.lower is not None else ""
    return {"partner": child, "rate": rate_words(row), "by": by, "since": since}


def _link(partner: Partner) -> Any:
    url = reverse("portal:ib_sub_rate", args=[partner.reference])
    return format_html('<a class="bo-link" href="{}">{}</a>', url, selectors.name_for_partners(partner))


class RateForm(forms.Form):
    """A rate, or a part of the own rate."""

    rate = forms.DecimalField(required=False, min_value=0, max_digits=24, decimal_places=8, label="Rate")
    allocation_percent = forms.DecimalField(
        required=False, min_value=0, max_value=100, max_digits=7, decimal_places=4, label="Or percent of your rate"
    )
    component = forms.ChoiceField(label="Part of the plan")


class SubRatePage(PortalView):
    """One sub-partner's rate: tried out first, then set from now on."""

    roles, template_name = ROLES, "ib/portal/sub_rate.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        own, child = self._both()
        return self.page(self._context(own, child, self._form(own, child)))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Shows what it would come to, or sets it."""
        own, child = self._both()
        form = self._form(own, child, request.POST)
        if not form.is_valid():
            return self.page(self._context(own, child, form), status=400)
        given = {name: form.cleaned_data[name] for name in ("rate", "allocation_percent", "component")}
        try:
            if request.POST.get("act") == "set":
                negotiated_rates.set_sub_partner_rate(partner_id=child.pk, actor=self.actor, **given)
                messages.success(request, f"From now on {child.reference} has this rate.")
                return HttpResponseRedirect(reverse("portal:ib_sub_rate", args=[child.reference]))
            negotiated_rates.check_sub_partner_rate(own=own, child=child, at=clock.now(), **given)
            shown = negotiated_rates.shared_rates(own=own, child=child, at=clock.now(), **given)
        except DomainError as error:
            field = str(error.details.get("field", ""))
            form.add_error(field if field in form.fields else None, error.message)
            return self.page(self._context(own, child, form), status=error.http_status)
        return self.page({**self._context(own, child, form), "example": shown, "is_tried": True})

    def _both(self) -> tuple[Partner, Partner]:
        own = selectors.own_partner(actor=self.actor)
        child = negotiated_rates.visible_child(actor=self.actor, reference=self.kwargs["reference"])
        return own, child

    def _form(self, own: Partner, child: Partner, data: Any = None) -> RateForm:
        form = RateForm(data)
        names = negotiated_rates.components_of(own=own, child=child, at=clock.now()) or ["main"]
        form.fields["component"] = forms.ChoiceField(
            choices=[(name, name) for name in names], initial=names[0], label="Part of the plan"
        )
        return form

    def _context(self, own: Partner, child: Partner, form: RateForm) -> dict[str, Any]:
        now = clock.now()
        component = str(form["component"].value() or "main")
        standing = negotiated_rates.rate_in_force(child, component, now)
        history = visible_to(NegotiatedRate.objects.filter(partner=child, set_by=own), self.actor)
        return {
            "title": f"Rate of {selectors.name_for_partners(child)}",
            "child": child,
            "form": form,
            "standing": rate_words(standing),
            "by_desk": standing is not None and standing.set_by_id != own.pk,
            "example": negotiated_rates.shared_rates(
                own=own, child=child, at=now, component=component, is_proposed=False
            ),
            "is_tried": False,
            "history": [
                (rate_words(row), row.component, row.validity) for row in history.order_by("-validity")[:HISTORY]
            ],
        }


def rank_panel(actor: Actor) -> Panel | None:
    """The rank and what is missing to the next one; nothing where the plan has none."""
    partner = selectors.partner_of_login(actor=actor)
    progress = rank_progress(actor=actor, partner=partner) if partner is not None else None
    if progress is None:
        return None
    nearest = next((item for item in progress.missing if item.left), None)
    note = f"To {progress.next_name}: {nearest.text}, {nearest.percent} % reached." if nearest is not None else ""
    return Panel(title="Your rank", figure=progress.held_name.capitalize(), note=note, url=reverse("portal:ib_rank"))


def register() -> None:
    """Adds the pages and the panel."""
    register_home_panel("ib.rank", ROLES, rank_panel, 15)
    register_portal_page("ib.rank", "Rank", "portal:ib_rank", ROLES, 45, route="rank/", view=RankPage)
    register_portal_page(
        "ib.sub_rates", "Sub-partner rates", "portal:ib_sub_rates", ROLES, 52, route="partners/rates/", view=RatesPage
    )
    # Without roles the page stands in no menu; its view asks for the role itself.
    register_portal_page(
        "ib.sub_rate", "Rate", "portal:ib_sub_rate", (), 53, route="partners/rates/<str:reference>/", view=SubRatePage
    )
