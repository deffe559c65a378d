"""Statements at the desk: what waits for approval, what was paid or carried, and the terms that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import get_visible, visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed_column,
    link_column,
    moment_column,
    money_column,
    money_html,
    number_column,
    object_link,
    state_column,
    text_column,
)
from backoffice.ui.formats import format_amount, format_day
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from ib.admin.forms import day_field
from ib.admin.payouts import PayStatement, WhichStatementsForm
from ib.admin.tables import table
from ib.models import CommissionStatement, Partner, PayoutTerms
from ib.models.statements import StatementPeriod
from ib.portal.statements import LINE_COLUMNS
from ib.selectors.statement_lines import StatementLine, statement_lines
from ib.services import payout_terms, statements
from ib.services.statement_approvals import (
    MOST_AT_ONCE,
    BulkApproval,
    approvable_by,
    approve_statements,
    needs_one_person,
)
from ib.statement_rules import PART_TITLES, needs_nobody

APPROVE = "ib.approve_statements"
WAITING = (CommissionStatement.State.IN_REVIEW, CommissionStatement.State.CONFIRMED)
TONES = {
    "In review": "warn",
    "Confirmed by one": "warn",
    "Approved": "good",
    "Carried to the next": "quiet",
    "Withheld": "bad",
}
PANEL_ROWS = 12
SHOWN_IN_SUMMARY = 8


def state_of(statement: CommissionStatement) -> str:
    """The state in words; a withheld one says so first."""
    return "Withheld" if statement.is_withheld else statement.get_state_display()


class ApproveStatement(DeskActionView):
    """Confirms a statement, or approves what another person confirmed."""

    slug, title, button, capability = "approve", "Approve", "Approve", APPROVE
    success_message = "Noted."

    @classmethod
    def is_offered(cls, target: CommissionStatement, actor: Actor) -> bool:
        """While it waits, and not to the person who confirmed it."""
        if target.state not in WAITING or target.is_withheld:
            return False
        return target.confirmed_by_id is None or target.confirmed_by_id != actor.user_id

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes payable, and who has to look at it yet."""
        statement: CommissionStatement = self.target
        alone = needs_nobody(statement.total, automatic_up_to=statement.terms.automatic_up_to)
        first = statement.confirmed_by or "nobody yet"
        then = (
            "It becomes payable at once."
            if alone or statement.confirmed_by_id is not None
            else "You confirm it; it becomes payable when another person approves it too."
        )
        return [
            ("Partner", str(statement.partner)),
            ("Days", f"{statement.from_day} to {statement.to_day}"),
            ("Total", f"{statement.total.normalize():f} {statement.currency}"),
            ("Confirmed by", first),
            ("What happens", then),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """One step; a second press of the same person is refused by the use case."""
        return statements.approve_statement(statement_id=self.target.pk, actor=actor)

    def success_text(self, result: CommissionStatement) -> str:
        """Which step it was."""
        if result.state == CommissionStatement.State.CONFIRMED:
            return "Confirmed. Another person approves it."
        return f"Approved: {result.payable} {result.currency} is payable from {format_day(result.payable_from)}."


class WithholdStatement(DeskActionView):
    """Keeps a statement from being approved."""

    slug, title, capability, tone = "withhold", "Withhold", APPROVE, "danger"
    form_class = ReasonForm
    explanation = "It waits until somebody lets it go; other partners are not held up."
    success_message = "Withheld."

    @classmethod
    def is_offered(cls, target: CommissionStatement, actor: Actor) -> bool:
        """While it waits."""
        return target.state in WAITING and not target.is_withheld

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, and why."""
        return [("Statement", str(self.target)), ("What happens", self.explanation), ("Reason", data["reason"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Withholds."""
        return statements.withhold_statement(statement_id=self.target.pk, reason=data["reason"], actor=actor)


class LetGoStatement(WithholdStatement):
    """Ends the withholding."""

    slug, title, tone = "let-go", "Let go", ""
    explanation = "It waits for approval again."
    success_message = "It waits for approval again."

    @classmethod
    def is_offered(cls, target: CommissionStatement, actor: Actor) -> bool:
        """While it is withheld."""
        return target.is_withheld

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Lets go."""
        return statements.let_go_statement(statement_id=self.target.pk, reason=data["reason"], actor=actor)


class RunStatements(DeskActionView):
    """Closes and approves now what the schedule would within minutes."""

    slug, title, button, capability = "run", "Close and approve now", "Run", "ib.settle_commissions"
    explanation = (
        "Makes the statements of every period whose books are closed, and approves what the terms approve by themselves. "
        "Running it again does nothing more."
    )

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is done."""
        return [("What happens", self.explanation)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Runs."""
        return statements.run_statements(actor=actor)

    def success_text(self, result: Mapping[str, statements.RunResult]) -> str:
        """How many, and whom it could not do."""
        problems = {**result["closed"].problems, **result["approved"].problems}
        text = f"{len(result['closed'].done)} closed, {len(result['approved'].done)} approved."
        return f"{text} {len(problems)} wait: {next(iter(problems.values()))}" if problems else text


class ApproveManyForm(WhichStatementsForm):
    """Which statements, also by their last day."""

    through = day_field("Through", required=False, help_text="Statements that end on this day or before; empty: all.")

    field_order = ("entity", "currency", "through", "most")


class ApproveMany(DeskActionView):
    """One step for everything that waits for this person, after a summary."""

    slug, title, button, capability = "approve-many", "Approve what waits", "Approve what waits", APPROVE
    explanation = (
        "Each statement is approved by itself. One that cannot be, of a suspended partner for instance, waits."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the actor's legal entities."""
        entities = visible_to(LegalEntity.objects.all(), actor)
        form = ApproveManyForm(data, initial={"as_of": clock.now(), "entity": entities.first()})
        form.fields["entity"].queryset = entities  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many, how much by currency, which step it is for them, and the largest."""
        found = _approvable(actor, data)
        if not found.exists():
            raise Conflict("No statement waits for you: what you confirmed waits for another person.")
        ids = _first_of(found)
        taken = CommissionStatement.objects.filter(pk__in=ids)
        sums = taken.values("currency").annotate(sum=Sum("total"), count=Count("pk")).order_by("currency")
        payable = taken.filter(needs_one_person()).count()
        largest = taken.select_related("partner").order_by("-total", "pk")[:SHOWN_IN_SUMMARY]
        left = found.count() - len(ids)
        return [
            ("Statements", f"{len(ids)}" + (f", and {left} more after these" if left else "")),
            *((f"In {row['currency']}", format_amount(row["sum"], row["currency"])) for row in sums),
            ("Payable by your approval", str(payable)),
            *([("Confirmed by you, then another person", str(len(ids) - payable))] if payable < len(ids) else []),
            *((f"{item.partner}", format_amount(item.total, item.currency)) for item in largest),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Those of the summary; what was closed since is not among them."""
        return approve_statements(statement_ids=_first_of(_approvable(actor, data)), actor=actor)

    def success_text(self, result: BulkApproval) -> str:
        """How many, and whom it could not do."""
        text = f"{len(result.approved)} approved."
        if result.confirmed:
            text += f" {len(result.confirmed)} confirmed: another person approves them."
        if not result.problems:
            return text
        name, reason = next(iter(result.problems.items()))
        return f"{text} {len(result.problems)} wait: {name}: {reason}"


def _approvable(actor: Actor, data: Mapping[str, Any]) -> QuerySet[Any]:
    rows = visible_to(CommissionStatement.objects.filter(partner__entity=data["entity"]), actor)
    found = approvable_by(rows, user_id=actor.user_id)
    if data.get("as_of"):
        found = found.filter(closed_at__lte=data["as_of"])
    if data.get("currency"):
        found = found.filter(currency=data["currency"].strip().upper())
    if data.get("through"):
        found = found.filter(to_day__lte=data["through"])
    if data.get("most") is not None:
        found = found.filter(total__lte=data["most"])
    return found


def _first_of(found: QuerySet[Any]) -> list[int]:
    return list(found.order_by("pk").values_list("pk", flat=True)[:MOST_AT_ONCE])


class StateFilter(admin.SimpleListFilter):
    """Where a statement stands."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Those that wait first."""
        return [("waiting", "Waits for approval"), ("withheld", "Withheld"), *CommissionStatement.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By state."""
        match self.value():
            case None:
                return queryset
            case "waiting":
                return queryset.filter(state__in=WAITING, is_withheld=False)
            case "withheld":
                return queryset.filter(is_withheld=True)
            case state:
                return queryset.filter(state=state)


@admin.register(CommissionStatement)
class CommissionStatementAdmin(DeskModelAdmin):
    """What each partner earned in a period, and what became of it."""

    view_capability = "ib.view_statements"
    list_display = (
        "partner_shown",
        "number",
        "from_shown",
        "to_shown",
        "state_shown",
        "carried_shown",
        "earned_shown",
        "held_shown",
        "total_shown",
        "payable_shown",
        "review_shown",
        "problem",
    )
    list_select_related = ("partner",)
    list_filter = (StateFilter, "currency", "to_day", "terms__period")
    search_fields = ("partner__reference", "partner__name")
    exclude = ("parts", "confirmed_by_id", "approved_by_id")
    object_actions = (ApproveStatement, PayStatement, WithholdStatement, LetGoStatement)
    list_actions = (RunStatements, ApproveMany)
    empty_text = "No statement yet: the first is made when the books of a period with commission are closed."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    from_shown = moment_column("from_day", title="From", order="from_day")
    to_shown = moment_column("to_day", title="Through", order="to_day")
    state_shown = state_column(state_of, title="State", tones=TONES, order="state")
    carried_shown = money_column("carried_in", currency="currency", title="Carried in", order="carried_in")
    earned_shown = money_column("earned", currency="currency", title="Earned", order="earned")
    held_shown = money_column("held", currency="currency", title="Held", order="held")
    total_shown = money_column("total", currency="currency", title="Total", order="total")
    payable_shown = money_column("payable", currency="currency", title="Payable", order="payable")
    review_shown = moment_column("review_until", title="Review until", order="review_until")


@register_desk_page
class StatementLines(DeskTablePage):
    """Every line that a statement counts, and what has none: the rows add up to what was earned."""

    desk, slug, title, route = "ib", "statement_lines", "Lines of a statement", "statements/<int:statement_id>/lines/"
    capability = "ib.view_statements"
    columns = LINE_COLUMNS
    empty_text = "Nothing was earned in these days."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[StatementLine]:
        """In the order in which they were booked."""
        rows = CommissionStatement.objects.select_related("partner")
        return statement_lines(actor=actor, statement=get_visible(rows, actor, pk=self.kwargs["statement_id"]))

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """Of which statement, and its sum."""
        rows = CommissionStatement.objects.select_related("partner")
        statement = get_visible(rows, actor, pk=self.kwargs["statement_id"])
        return {
            "summary": [
                ("Statement", object_link(statement, f"{statement.partner} {statement.number}")),
                ("Days", f"{statement.from_day} to {statement.to_day}"),
                ("Earned", money_html(statement.earned, statement.currency)),
            ]
        }


class ProposeTerms(DeskActionView):
    """Asks for payout terms."""

    slug, title, button, capability = "propose", "Propose terms", "Propose", payout_terms.MAKER
    explanation = "Another person approves them; until then what is in force stays."
    success_message = "Handed in for approval."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With what the actor sees."""
        form = PayoutTermsForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        form.fields["partner"].queryset = visible_to(Partner.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is proposed."""
        limit = data["automatic_up_to"]
        return [
            ("Whose", str(data["partner"] or data["entity"])),
            ("From", str(data["valid_from"])),
            ("Statements", StatementPeriod(data["period"]).label),
            ("Review and hold", f"{data['review_days']} and {data['hold_days']} days"),
            ("Minimum payout", str(data["minimum_payout"])),
            ("Approved without a person up to", "never" if limit is None else str(limit)),
            ("Payment in parts", "yes" if data["allows_partial"] else "no"),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Hands the change request in."""
        return payout_terms.request_payout_terms(
            entity_id=data["entity"].pk,
            partner_id=data["partner"].pk if data["partner"] else None,
            valid_from=data["valid_from"],
            period=data["period"],
            review_days=data["review_days"],
            hold_days=data["hold_days"],
            minimum_payout=data["minimum_payout"],
            automatic_up_to=data["automatic_up_to"],
            allows_partial=data["allows_partial"],
            actor=actor,
            reason=data["reason"],
        )


class PayoutTermsForm(forms.Form):
    """Terms of an entity, or of one partner."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(
        None, required=False, empty_label="Every partner without terms of their own"
    )
    valid_from = day_field("From")
    period = forms.ChoiceField(label="Statements", choices=StatementPeriod.choices, initial=StatementPeriod.MONTHLY)
    review_days = forms.IntegerField(min_value=0, max_value=366, initial=5)
    hold_days = forms.IntegerField(min_value=0, max_value=366, initial=0)
    minimum_payout = forms.DecimalField(min_value=Decimal(0), max_digits=24, decimal_places=8, initial=Decimal(50))
    automatic_up_to = forms.DecimalField(
        label="Approved without a person up to",
        required=False,
        min_value=Decimal(0),
        max_digits=24,
        decimal_places=8,
        help_text="Empty: two people approve every statement.",
    )
    allows_partial = forms.BooleanField(label="A statement may be paid in parts", required=False)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


@admin.register(PayoutTerms)
class PayoutTermsAdmin(DeskModelAdmin):
    """When statements close and what they pay, by entity and by partner."""

    view_capability = "ib.view_statements"
    list_display = (
        "whose_shown",
        "from_shown",
        "to_shown",
        "period",
        "review_shown",
        "hold_shown",
        "minimum_payout",
        "limit_shown",
        "approved_by",
    )
    list_select_related = ("entity", "partner")
    list_filter = ("entity", "period")
    search_fields = ("partner__reference", "partner__name", "entity__name")
    list_actions = (ProposeTerms,)
    empty_text = "No terms yet: without them no statement is made."

    whose_shown = computed_column(lambda terms: str(terms.partner or terms.entity), title="Whose")
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")
    review_shown = number_column("review_days", title="Days of review", digits=0, order="review_days")
    hold_shown = number_column("hold_days", title="Days on hold", digits=0, order="hold_days")
    limit_shown = computed_column(
        lambda terms: "never" if terms.automatic_up_to is None else f"{terms.automatic_up_to.normalize():f}",
        title="Without a person up to",
    )


def register_panels() -> None:
    """What stands on a partner's page and on a statement's."""
    register_panel("ib.Partner", "statements", "Statements", _of_partner, order=35, capability="ib.view_statements")
    register_panel(
        "ib.CommissionStatement", "sums", "How the total comes about", _sums, order=10, capability="ib.view_statements"
    )


def _of_partner(partner: Partner, actor: Actor) -> SafeString:
    found = CommissionStatement.objects.filter(partner=partner).order_by("-number")[:PANEL_ROWS]
    rows = [
        [
            object_link(item, f"{item.from_day} to {item.to_day}"),
            state_of(item),
            money_html(item.total, item.currency),
            money_html(item.payable, item.currency) if item.payable is not None else "",
        ]
        for item in found
    ]
    return table(["Days", "State", "Total", "Payable"], rows, numeric_from=2, empty="No statement yet.")


def _sums(statement: CommissionStatement, actor: Actor) -> SafeString:
    rows = [["Carried from earlier statements", money_html(statement.carried_in, statement.currency)]]
    rows += [
        [PART_TITLES.get(source, source), money_html(Decimal(amount), statement.currency)]
        for source, amount in statement.parts
    ]
    rows += [
        ["Held, because it is looked into", money_html(-statement.held, statement.currency)],
        ["Held before and released", money_html(statement.released, statement.currency)],
        ["Total", money_html(statement.total, statement.currency)],
    ]
    lines = format_html(
        '<p><a class="bo-link" href="{}">Every line that it counts</a></p>',
        StatementLines.url(statement_id=statement.pk),
    )
    return table(["From", "Amount"], rows, numeric_from=1) + lines
