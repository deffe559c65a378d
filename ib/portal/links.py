"""A partner's links: where they are shown, what came of them, a picture to print; and the address that everybody follows."""

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

from backoffice.core.access import get_visible, visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import DomainError
from backoffice.ui.charts import bar_chart
from backoffice.ui.columns import computed, moment, number, state, text
from backoffice.ui.exports import export_response
from backoffice.ui.portal import PortalTablePage, PortalView, register_portal_page
from ib import selectors
from ib.models import PartnerLink
from ib.portal.public import PublicView
from ib.selectors.brands import brand_of_partner
from ib.selectors.links import LinkFigures, figures_of_links, qr_picture
from ib.services import links

ROLES = (Role.IB.value,)
DAYS_SHOWN = 14


def link_address(code: str, portal: str) -> str:
    """The address that a partner gives to people."""
    return f"{portal}{reverse('portal:ib_go', args=[code])}"


def _code(row: LinkFigures) -> Any:
    url = reverse("portal:ib_link", args=[row.link.public_id])
    return format_html('<a class="bo-link" href="{}">{}</a>', url, row.link.code)


COLUMNS = (
    computed(_code, title="Code"),
    text("link__campaign", title="Campaign"),
    state(lambda row: "Active" if row.link.is_active else "Ended", title="State", tones={"Active": "good", "Ended": "quiet"}),
    number("clicks", title="Clicks", digits=0),
    number("visitors", title="Visitors", digits=0),
    number("clients", title="Clients", digits=0),
    moment("link__created_at", title="Since"),
)  # fmt: skip
EXPORT_COLUMNS = (
    text("link__code", title="Code"),
    text("link__campaign", title="Campaign"),
    text("link__landing_path", title="Leads to"),
    number("clicks", title="Clicks"),
    number("visitors", title="Visitors"),
    number("clients", title="Clients"),
    moment("link__created_at", title="Since"),
    moment("link__ended_at", title="Ended"),
)


class LinkForm(forms.Form):
    """A further link."""

    campaign = forms.CharField(label="Campaign", max_length=80, help_text="What you call it, such as Newsletter May.")
    landing_path = forms.CharField(
        label="Leads to", max_length=200, initial="/", help_text="A path on our site, such as /open-account."
    )
    code = forms.CharField(
        label="Code", max_length=32, required=False, help_text="Leave it empty and we draw one for you."
    )


class LinksPage(PortalTablePage):
    """All links of the partner with their figures, a form for another one, and the same as a file."""

    roles, title, template_name = ROLES, "Links", "ib/portal/links.html"
    columns = COLUMNS
    empty_text = "You have no link yet. Make your first one below and show it where your clients are."

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") in {"csv", "xlsx"}:
            rows = self.rows(self.actor)
            return export_response(
                request, name="links", columns=EXPORT_COLUMNS, rows=rows, count=len(rows),
                file_format=request.GET["export"],
            )  # fmt: skip
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Makes a link."""
        form = LinkForm(request.POST)
        partner = selectors.own_partner(actor=self.actor)
        if not form.is_valid():
            return self.page({**self.context(self.actor), "form": form}, status=400)
        try:
            link = links.create_link(partner_id=partner.pk, actor=self.actor, **form.cleaned_data)
        except DomainError as error:
            name = str(error.details.get("field", ""))
            form.add_error(name if name in form.fields else None, error.message)
            return self.page({**self.context(self.actor), "form": form}, status=error.http_status)
        messages.success(request, f"Your link {link.code} counts from now on.")
        return HttpResponseRedirect(reverse("portal:ib_link", args=[link.public_id]))

    def rows(self, actor: Actor) -> Sequence[LinkFigures]:
        """The newest first."""
        return figures_of_links(actor=actor, partner=selectors.own_partner(actor=actor))

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """With the form."""
        return {**super().context(actor), "form": LinkForm()}


class LinkPage(PortalView):
    """One link: its address to copy, its picture, its figures by day."""

    roles, template_name = ROLES, "ib/portal/link.html"

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Ends the link."""
        link = self._link()
        links.end_link(link_id=link.pk, actor=self.actor)
        messages.success(request, f"{link.code} counts no more.")
        return HttpResponseRedirect(request.path)

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """Everything about it."""
        link = self._link()
        brand = brand_of_partner(link.partner)
        address = link_address(link.code, links.portal_of(brand))
        figures = figures_of_links(actor=actor, partner=link.partner, link_id=link.pk)[0]
        days = list(reversed(list(visible_to(link.days.all(), actor)[:DAYS_SHOWN])))
        return {
            "title": f"Link {link.code}",
            "link": link,
            "address": address,
            "leads_to": links.landing_address(link, brand),
            "picture": qr_picture(address),
            "figures": figures,
            "days": days,
            "chart": bar_chart(
                [(day.day.isoformat(), Decimal(day.clicks)) for day in days],
                title="Clicks by day",
                unit="clicks",
                digits=0,
            )
            if days
            else "",
        }

    def _link(self) -> PartnerLink:
        own = PartnerLink.objects.filter(partner=selectors.own_partner(actor=self.actor)).select_related("partner")
        return get_visible(own, self.actor, public_id=self.kwargs["public_id"])


class GoPage(PublicView):
    """The address that a partner gives to people: counts, and leads on to the brand's own site."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Leads on."""
        target = links.follow_link(
            code=self.kwargs["code"],
            address=self.address,
            browser=request.headers.get("User-Agent", ""),
            brand_id=self.brand.brand_id if self.brand is not None else None,
        )
        return HttpResponseRedirect(target)


def register() -> None:
    """Adds the pages."""
    register_portal_page("ib.links", "Links", "portal:ib_links", ROLES, 45, route="links/", view=LinksPage)
    # Without roles the pages stand in no menu; the first asks for the role itself, the second is for everybody.
    register_portal_page("ib.link", "Link", "portal:ib_link", (), 46, route="links/<uuid:public_id>/", view=LinkPage)
    register_portal_page("ib.go", "Follow a link", "portal:ib_go", (), 47, route="go/<str:code>/", view=GoPage)
