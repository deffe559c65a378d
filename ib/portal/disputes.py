"""A partner's disputes: opened from a line or from a trade that paid nothing, talked about, and read to the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import content_disposition_header

from backoffice.core.files.kinds import file_purpose
from backoffice.core.models import StoredFile
from backoffice.core.services.files import read_upload
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.ui.columns import badge, computed, moment, money, money_html, number, state, text
from backoffice.ui.exports import export_response
from backoffice.ui.formats import format_amount
from backoffice.ui.portal import Panel, PortalTablePage, PortalView, register_home_panel, register_portal_page
from ib import selectors
from ib.dispute_rules import (
    ANSWER_DAYS,
    CAUSES_OF_SUBJECT,
    DUE_HOURS,
    DisputeDecision,
    DisputeState,
    DisputeStep,
    DisputeSubject,
)
from ib.models import Dispute, DisputeEvent
from ib.portal.pages import PeriodMixin
from ib.selectors import disputed
from ib.selectors import disputes as dispute_selectors
from ib.services import disputes
from ib.services.disputes import opening
from ib.services.disputes.letters import FILE_PURPOSE

ROLES = (Role.IB.value,)
MAX_FILES_AT_ONCE = 5
UNPAID_DAYS = 30
TONES = {
    "Received": "info",
    "In work": "info",
    "Waits for your answer": "warn",
    "Being corrected": "info",
    "Goodwill is being approved": "info",
    "Corrected": "good",
    "Goodwill": "good",
    "The amount stands": "quiet",
    "Withdrawn": "quiet",
}


STEP_WORDS: dict[str, str] = {
    DisputeStep.OPENED: "You disputed it",
    DisputeStep.TAKEN: "Somebody looks into it",
    DisputeStep.ASKED: "Our question",
    DisputeStep.ANSWERED: "Your answer",
    DisputeStep.APPEALED: "Your appeal",
}


def state_shown(dispute: Dispute) -> str:
    """Where it stands, as its partner reads it."""
    if dispute.state == DisputeState.CLOSED:
        return str(dispute.get_decision_display())
    if dispute.state == DisputeState.ASKED:
        return "Waits for your answer"
    if dispute.state == DisputeState.CORRECTING and dispute.decision == DisputeDecision.GOODWILL:
        return "Goodwill is being approved"
    return str(dispute.get_state_display())


def due_shown(dispute: Dispute) -> str:
    """Until when something happens, and who has to do it."""
    match dispute.state:
        case DisputeState.CLOSED:
            return ""
        case DisputeState.ASKED:
            return f"Your answer by {dispute.answer_until:%Y-%m-%d}; our clock stands still"
        case DisputeState.CORRECTING:
            return "The difference is booked when everything is settled again"
        case _:
            return f"{dispute.due_at:%Y-%m-%d %H:%M} UTC"


def about_shown(dispute: Dispute) -> str:
    """What the dispute is about, as people call it."""
    return f"Trade {dispute.ticket}" if dispute.subject == DisputeSubject.UNPAID_TRADE else dispute.subject_reference


def subject_url(dispute: Dispute) -> str:
    """The page of what is disputed."""
    if dispute.subject == DisputeSubject.UNPAID_TRADE:
        return reverse("portal:ib_unpaid_trade", args=[dispute.trade_id])
    name = "portal:ib_period_line" if dispute.subject == DisputeSubject.PERIOD_LINE else "portal:ib_line"
    return reverse(name, args=[dispute.subject_reference])


def _reference(dispute: Dispute) -> Any:
    url = reverse("portal:ib_dispute", args=[dispute.public_id])
    return format_html('<a class="bo-link" href="{}">{}</a>', url, dispute.reference)


LIST_COLUMNS = (
    computed(_reference, title="Dispute"),
    computed(about_shown, title="About"),
    computed(lambda dispute: dispute.get_cause_display(), title="What is wrong"),
    state(state_shown, title="State", tones=TONES),
    computed(due_shown, title="Due"),
    money("amount", currency="currency", title="Amount"),
    money("delta", currency="currency", title="Booked for it"),
)
EXPORT_COLUMNS = (
    text("reference", title="Dispute"),
    moment("opened_at", title="Opened (UTC)"),
    computed(about_shown, title="About"),
    computed(lambda dispute: dispute.get_cause_display(), title="What is wrong"),
    computed(state_shown, title="State"),
    moment("due_at", title="Due (UTC)"),
    number("amount", title="Amount"),
    number("delta", title="Booked for it"),
    text("currency", title="Currency"),
)


class DisputesPage(PortalTablePage):
    """Own disputes, and as a file."""

    roles, title, template_name = ROLES, "Disputes", "ib/portal/disputes.html"
    columns = LIST_COLUMNS
    empty_text = (
        "You have disputed nothing. Open a commission line to read how it came about; there you can dispute it."
    )

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or the file."""
        if request.GET.get("export") in {"csv", "xlsx"}:
            rows = list(self.rows(self.actor))
            return export_response(
                request, name="disputes", columns=EXPORT_COLUMNS, rows=rows, count=len(rows),
                file_format=request.GET["export"],
            )  # fmt: skip
        return super().get(request, *args, **kwargs)

    def rows(self, actor: Actor) -> Any:
        """The newest first."""
        return dispute_selectors.own_disputes(actor=actor, partner=selectors.own_partner(actor=actor))

    def summary(self, actor: Actor) -> Sequence[tuple[str, str]]:
        """What is held meanwhile."""
        partner = selectors.own_partner(actor=actor)
        held = dispute_selectors.held_of_partner(actor=actor, partner=partner)
        return [("Held until decided", money_html(held, partner.currency))] if held else []


class MultipleFiles(forms.ClearableFileInput):
    """A field that takes several files."""

    allow_multiple_selected = True


class FilesField(forms.FileField):
    """None or several files, each within the bound of the purpose."""

    widget = MultipleFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """All of them."""
        given = [item for item in data if item] if isinstance(data, list | tuple) else [data] if data else []
        if len(given) > MAX_FILES_AT_ONCE:
            raise forms.ValidationError(f"At most {MAX_FILES_AT_ONCE} files at once.")
        return [super(FilesField, self).clean(item, initial) for item in given]


class DisputeForm(forms.Form):
    """What is wrong."""

    cause = forms.ChoiceField(label="What is wrong?")
    claimed_amount = forms.DecimalField(
        required=False, label="What you expected", max_digits=24, decimal_places=8, min_value=Decimal(0)
    )
    claim = forms.CharField(
        max_length=4000, label="In your words", widget=forms.Textarea(attrs={"rows": 5}),
        help_text="Say what you expected and why.",
    )  # fmt: skip
    proof = FilesField(required=False, label="Files", help_text="Pictures or PDF, up to five.")

    def __init__(self, *args: Any, kind: DisputeSubject, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        causes = CAUSES_OF_SUBJECT[kind]
        choices = [(cause.value, f"{cause.label} (we decide within {DUE_HOURS[cause]} hours)") for cause in causes]
        self.fields["cause"].choices = [("", "Choose …"), *choices]  # type: ignore[attr-defined]
        self.fields["claimed_amount"].label = f"What you expected, in {currency}"
        self.fields["proof"].widget.attrs.update(accept=file_purpose(FILE_PURPOSE).endings)


class NewDisputePage(PortalView):
    """The form for a dispute about a line or an unpaid trade."""

    roles, title, template_name = ROLES, "Dispute a commission", "ib/portal/dispute_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The empty form; where a dispute is open already, that one."""
        standing = dispute_selectors.open_dispute_about(actor=self.actor, reference=self.kwargs["subject"])
        if standing is not None and standing.is_open:
            return HttpResponseRedirect(reverse("portal:ib_dispute", args=[standing.public_id]))
        return self.page(self._context(self._form(None)))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Opens it, then keeps the files."""
        form = self._form(request.POST)
        if not form.is_valid():
            return self.page(self._context(form), status=400)
        data = form.cleaned_data
        try:
            dispute = disputes.open_dispute(
                subject=self.kwargs["subject"],
                cause=data["cause"],
                claim=data["claim"],
                claimed_amount=data["claimed_amount"] or None,
                actor=self.actor,
            )
        except DomainError as error:
            _refuse(form, error)
            return self.page(self._context(form), status=error.http_status)
        messages.success(request, f"Your dispute {dispute.reference} was received.")
        keep_files(request, dispute, data["proof"], self.actor)
        return HttpResponseRedirect(reverse("portal:ib_dispute", args=[dispute.public_id]))

    def _form(self, data: Any) -> DisputeForm:
        self.found = opening.find_subject(subject=self.kwargs["subject"], actor=self.actor)
        self.partner = selectors.own_partner(actor=self.actor)
        files = self.request.FILES if data is not None else None
        initial = {"cause": "not_paid"} if self.found.kind is DisputeSubject.UNPAID_TRADE else {}
        return DisputeForm(data, files, kind=self.found.kind, currency=self.partner.currency, initial=initial)

    def _context(self, form: DisputeForm) -> dict[str, Any]:
        is_unpaid = self.found.kind is DisputeSubject.UNPAID_TRADE
        return {
            "form": form,
            "about": f"Trade {self.found.ticket}" if is_unpaid else f"Line {self.found.reference}",
            "amount": money_html(self.found.amount, self.partner.currency),
            "is_held": self.found.amount > 0,
        }


def _refuse(form: DisputeForm, error: DomainError) -> None:
    """Puts a refusal to the field that it names."""
    field = str(error.details.get("field", ""))
    form.add_error(field if field in form.fields else None, error.message)


class DisputePage(PortalView):
    """One dispute: what was said, what was kept, what came of it."""

    roles, template_name = ROLES, "ib/portal/dispute.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """Everything that is the partner's to read."""
        dispute = dispute_selectors.find_dispute(actor=actor, public_id=self.kwargs["public_id"])
        return dispute_context(dispute, actor)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """An answer, a message, files, the withdrawal or the appeal."""
        dispute = dispute_selectors.find_dispute(actor=self.actor, public_id=self.kwargs["public_id"])
        act = request.POST.get("act", "")
        words = request.POST.get("text", "")
        try:
            said = _act(dispute, act, words, self.actor)
            given = FilesField(required=False).clean(request.FILES.getlist("files"))
        except forms.ValidationError as error:
            return self.page({**dispute_context(dispute, self.actor), "problem": error.messages[0]}, status=400)
        except DomainError as error:
            context = {**dispute_context(dispute, self.actor), "problem": error.message, "words": words}
            return self.page(context, status=error.http_status)
        if said:
            messages.success(request, said)
        keep_files(request, dispute, given, self.actor)
        return HttpResponseRedirect(reverse("portal:ib_dispute", args=[dispute.public_id]))


def _act(dispute: Dispute, act: str, words: str, actor: Actor) -> str:
    match act:
        case "answer":
            disputes.answer_question(dispute_id=dispute.pk, answer=words, actor=actor)
            return "Thank you for your answer."
        case "write":
            disputes.write_message(dispute_id=dispute.pk, text=words, actor=actor)
            return "Your message was sent."
        case "files":
            return ""
        case "withdraw":
            disputes.withdraw_dispute(dispute_id=dispute.pk, actor=actor, reason=words)
            return "Your dispute is withdrawn."
        case "appeal":
            disputes.appeal_dispute(dispute_id=dispute.pk, text=words, actor=actor)
            return "Your appeal was received; somebody else decides."
        case _:
            raise InvalidInput("Choose what to do.", field="act")


def dispute_context(dispute: Dispute, actor: Actor) -> dict[str, Any]:
    """What a dispute's page shows."""
    currency = dispute.currency
    later = dispute_selectors.later_lines(actor=actor, dispute=dispute)
    events = dispute_selectors.timeline(actor=actor, dispute=dispute)
    return {
        "title": f"Dispute {dispute.reference}",
        "dispute": dispute,
        "about": about_shown(dispute),
        "subject_url": subject_url(dispute),
        "state": state_shown(dispute),
        "tone": TONES[state_shown(dispute)],
        "due": due_shown(dispute),
        "amount": money_html(dispute.amount, currency),
        "claimed": money_html(dispute.claimed_amount, currency) if dispute.claimed_amount is not None else "",
        "delta": money_html(dispute.delta, currency) if dispute.delta is not None else "",
        "is_held": dispute.hold is not None and dispute.hold.released_at is None,
        "is_approved_already": _is_approved_already(dispute),
        "before": money_html(dispute.booked_before, currency),
        "now": money_html(dispute_selectors.booked_now(actor=actor, dispute=dispute), currency),
        "goodwill": [
            (made.reference, made.booked_day, money_html(made.amount, made.currency))
            for made in dispute_selectors.adjustments_of(actor=actor, dispute=dispute)
        ],
        "later": [
            (
                line.reference,
                line.booked_day,
                line.why,
                money_html(line.target, currency),
                money_html(line.amount, currency),
            )
            for line in later
        ],
        "events": [(STEP_WORDS.get(event.step, event.get_step_display()), event, who(event)) for event in events],
        "question": next((event.text for event in reversed(events) if event.step == DisputeStep.ASKED), ""),
        "evidence": dispute_selectors.evidence_of(actor=actor, dispute=dispute),
        "files": dispute_selectors.files_of(actor=actor, dispute=dispute),
        "accept": file_purpose(FILE_PURPOSE).endings,
        "may_withdraw": dispute.state in {DisputeState.RECEIVED, DisputeState.IN_WORK, DisputeState.ASKED},
        "may_appeal": dispute_selectors.may_appeal(dispute),
        "answer_days": ANSWER_DAYS,
    }


def _is_approved_already(dispute: Dispute) -> bool:
    """Whether the line was approved before anybody doubted it: no statement leaves it out any more, only payouts do."""
    hold = dispute.hold
    return hold is not None and hold.released_at is None and dispute_selectors.was_approved_before(hold)


def who(event: DisputeEvent) -> str:
    """Who did it, as the partner reads it: people of the desk are not named."""
    return "You" if event.is_by_partner else "Partner desk"


def keep_files(request: HttpRequest, dispute: Dispute, given: Sequence[Any], actor: Actor) -> None:
    """Keeps the files that came with a form; one that is refused is said, the others are kept."""
    for upload in given:
        try:
            stored = disputes.add_file(
                dispute_id=dispute.pk,
                data=read_upload(upload, purpose=FILE_PURPOSE),
                file_name=upload.name,
                actor=actor,
            )
        except DomainError as error:
            messages.error(request, f"{upload.name}: {error.message}")
            continue
        if stored.state == StoredFile.State.REFUSED:
            messages.error(request, f"{upload.name} was not taken: {stored.reason}")


class EvidencePage(PortalView):
    """The evidence as it was kept, as JSON."""

    roles = ROLES

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bytes of the digest."""
        dispute = dispute_selectors.find_dispute(actor=self.actor, public_id=self.kwargs["public_id"])
        return evidence_response(dispute, self.actor, self.kwargs["number"], audience="partner")


def evidence_response(dispute: Dispute, actor: Actor, number: int, *, audience: str) -> HttpResponse:
    """A kept pack as a file. Raises NotFound for one that the actor does not see."""
    evidence = dispute_selectors.find_evidence(actor=actor, dispute=dispute, number=number, audience=audience)
    response = HttpResponse(evidence.body.encode(), content_type="application/json")
    name = f"{dispute.reference}-{number}-{audience}.json"
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["Cache-Control"] = "private, no-store"
    return response


def _unpaid_link(row: Mapping[str, Any]) -> Any:
    url = reverse("portal:ib_unpaid_trade", args=[row["trade_id"]])
    return format_html('<a class="bo-link" href="{}">Why?</a>', url)


class UnpaidTradesPage(PeriodMixin, PortalTablePage):
    """Trades of own clients that paid nothing."""

    roles, title, template_name = ROLES, "Trades without commission", "ib/portal/unpaid.html"
    intro = "Trades of clients whom you introduced for which you have no commission line. Open one to read why."
    columns = (
        moment("day", title="Business day"),
        text("ticket", title="Trade"),
        text("client", title="Client"),
        text("symbol", title="Symbol"),
        number("lots", title="Lots", digits=2),
        badge("state", title="Trade", tones={"Cancelled": "quiet", "Closed": "info"}),
        computed(_unpaid_link, title="Why not"),
    )
    empty_text = "Every trade of your clients in these days has a commission line."

    def rows(self, actor: Actor) -> Sequence[Any]:
        """The newest first."""
        from_day, to_day = self.period()
        found = disputed.unpaid_trades(
            actor=actor, partner=selectors.own_partner(actor=actor), from_day=from_day, to_day=to_day
        )
        return [{**row, "state": "Cancelled" if row["is_cancelled"] else "Closed"} for row in found]

    def period(self) -> tuple[date, date]:
        """At most three months."""
        from_day, to_day = super().period()
        return max(from_day, to_day - timedelta(days=disputed.LONGEST_UNPAID_DAYS)), to_day

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """With the period."""
        from_day, to_day = self.period()
        return {**super().context(actor), **self.period_context(), "query": f"from_day={from_day}&to_day={to_day}"}


class UnpaidTradePage(PortalView):
    """Why one trade paid nothing."""

    roles, title, template_name = ROLES, "Trade without commission", "ib/portal/unpaid_trade.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The trade and the reason, worked out just now."""
        partner = selectors.own_partner(actor=actor)
        trade, why = disputed.explain_unpaid_trade(actor=actor, partner=partner, trade_id=self.kwargs["trade_id"])
        reference = f"{opening.UNPAID_PREFIX}{trade['trade_id']}"
        return {
            "title": f"Trade {trade['ticket']}",
            "trade": trade,
            "why": why,
            "subject": reference,
            "dispute": dispute_selectors.open_dispute_about(actor=actor, reference=reference),
        }


def disputes_panel(actor: Actor) -> Panel | None:
    """Open disputes on the first page; nothing while there is none."""
    partner = selectors.partner_of_login(actor=actor)
    if partner is None:
        return None
    mine = dispute_selectors.own_disputes(actor=actor, partner=partner).exclude(state=DisputeState.CLOSED)
    rows = list(mine[:5])
    if not rows:
        return None
    return Panel(
        title="Your open disputes",
        columns=(LIST_COLUMNS[0], LIST_COLUMNS[3], LIST_COLUMNS[4]),
        rows=rows,
        url=reverse("portal:ib_disputes"),
        note=f"{format_amount(dispute_selectors.held_of_partner(actor=actor, partner=partner), partner.currency)}"
        " held until decided.",
    )


def register() -> None:
    """Adds the pages; those without roles stand in no menu, their views ask for the role themselves."""
    register_home_panel("ib.disputes", ROLES, disputes_panel, 25)
    register_portal_page(
        "ib.disputes", "Disputes", "portal:ib_disputes", ROLES, 37, route="commission/disputes/", view=DisputesPage
    )
    hidden = (
        ("unpaid_trades", "Trades without commission", "commission/unpaid/", UnpaidTradesPage),
        ("new_dispute", "New dispute", "commission/disputes/new/<str:subject>/", NewDisputePage),
        ("dispute", "Dispute", "commission/disputes/<uuid:public_id>/", DisputePage),
        ("dispute_evidence", "Evidence", "commission/disputes/<uuid:public_id>/evidence/<int:number>/", EvidencePage),
        ("unpaid_trade", "Trade without commission", "commission/unpaid/<int:trade_id>/", UnpaidTradePage),
    )
    for name, title, route, view in hidden:
        register_portal_page(f"ib.{name}", title, f"portal:ib_{name}", (), 39, route=route, view=view)
