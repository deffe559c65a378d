"""The plan editor at the desk: what is done with a draft, two versions side by side, and the live example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import admin_column, computed, link_column, money_html, number_column
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from ib.admin.forms import rule_terms_of
from ib.admin.plan_forms import (
    MoneyForm,
    NewRankForm,
    RankForm,
    RuleForm,
    WeightForm,
    chain_rows,
    decimal_or_none,
    money_terms_of,
)
from ib.models import Partner, PlanRule, PlanVersion, PlanWeight
from ib.rules.ranks import Condition
from ib.selectors.plan_example import ExampleQuery, ExampleStep, checked_query, example_of
from ib.selectors.plans import RELATED, compare_versions
from ib.services import plan_drafts, plans

MANAGE = "ib.manage_plans"
VIEW = "ib.view_plans"


class OnDraft(DeskActionView):
    """An act on a version that is offered while it is a draft."""

    capability = MANAGE
    needs_confirmation = False

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only on drafts: a published version never changes."""
        return bool(target.state == PlanVersion.State.DRAFT)


class AddRule(OnDraft):
    """Adds a rule to a draft."""

    slug, title = "rule", "Add a rule"
    template_name = "ib/plan_rule.html"
    success_message = "Added."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Everything that a rule may say; accounts' catalogue as far as the actor sees it."""
        return RuleForm.for_version(self.target, data)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds."""
        return plans.add_rule(version_id=self.target.pk, terms=rule_terms_of(data), actor=actor)


class SetMoney(OnDraft):
    """How a draft treats money."""

    slug, title = "money", "Money and limits"
    explanation = "These hold for every rule of the version."
    success_message = "Saved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Filled with what stands."""
        return MoneyForm.for_version(self.target, data)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves."""
        return plans.set_version_terms(version_id=self.target.pk, terms=money_terms_of(data), actor=actor)


class AddRank(OnDraft):
    """Adds a rank to a draft."""

    slug, title = "add-rank", "Add a rank"
    form_class = NewRankForm
    success_message = "Added, above the others. Say next what earns it."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds."""
        return plans.add_rank(version_id=self.target.pk, code=data["code"], name=data["name"], actor=actor)


class OnRanks(OnDraft):
    """An act on the ranks of a draft."""

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only where there are ranks."""
        return super().is_offered(target, actor) and target.ranks.exists()


class SetRank(OnRanks):
    """What earns a rank."""

    slug, title = "rank", "What earns a rank"
    explanation = (
        "A partner who meets all conditions in a month holds the rank from the next month on. What you save replaces"
        " the conditions that stand. The lowest rank needs none: it is everybody's."
    )
    success_message = "Saved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With rows for conditions."""
        return RankForm.for_version(self.target, data)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves."""
        form = RankForm.for_version(self.target, self.request.POST)
        form.is_valid()
        conditions = [
            Condition(
                row["measure"], row["scope"] or "team", row["window"] or "month", row["threshold"], row["currency"]
            )
            for row in form.conditions()
        ]
        return plan_drafts.set_rank(
            version_id=self.target.pk,
            code=data["rank"],
            name=data["name"],
            conditions=conditions,
            keep_months=data["keep_months"] or 0,
            actor=actor,
        )


class _ChooseRank(forms.Form):
    """One of the ranks."""

    rank = forms.ChoiceField()


class RemoveRank(OnRanks):
    """Takes a rank out."""

    slug, title, tone = "remove-rank", "Remove a rank", "danger"
    needs_confirmation = True
    success_message = "Removed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the ranks of the draft."""
        form = _ChooseRank(data)
        form.fields["rank"] = forms.ChoiceField(choices=list(self.target.ranks.values_list("code", "name")))
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which rank goes."""
        return [("Rank", data["rank"]), ("What happens", "Those above move down by one.")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Removes."""
        return plan_drafts.remove_rank(version_id=self.target.pk, code=data["rank"], actor=actor)


class SetWeight(OnDraft):
    """By how much volume counts."""

    slug, title = "weight", "Set a weight"
    explanation = "Choose a symbol group or an account group, not both."
    success_message = "Saved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the groups of the entity."""
        return WeightForm.for_version(self.target, data)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves."""
        return plans.set_weight(
            version_id=self.target.pk,
            weight=data["weight"],
            symbol_group_id=data["symbol_group"].pk if data["symbol_group"] else None,
            account_group_id=data["account_group"].pk if data["account_group"] else None,
            actor=actor,
        )


class RemoveWeight(OnDraft):
    """Volume counts whole again."""

    slug, title, tone = "remove-weight", "Remove a weight", "danger"
    needs_confirmation = True
    success_message = "Removed."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only where there are weights."""
        return super().is_offered(target, actor) and target.weights.exists()

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the weights of the draft."""
        form = forms.Form(data)
        rows = PlanWeight.objects.filter(version=self.target).select_related("symbol_group", "account_group")
        form.fields["weight"] = forms.ModelChoiceField(rows)
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which weight goes."""
        return [("Weight", str(data["weight"]))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Removes."""
        return plan_drafts.remove_weight(weight_id=data["weight"].pk, actor=actor)


class CopyVersion(DeskActionView):
    """Begins the draft anew as a copy of a published version."""

    slug, title, capability = "copy", "Draft a copy of this version", MANAGE
    explanation = "A published version never changes. A draft with everything it says is made; edit and publish that."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only on published versions."""
        return bool(target.state == PlanVersion.State.PUBLISHED)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes of a draft that stands."""
        draft = PlanVersion.objects.filter(plan_id=self.target.plan_id, state=PlanVersion.State.DRAFT).first()
        kept = f"What stands in {draft} is replaced." if draft is not None else "A new draft begins."
        return [("Copied", str(self.target)), ("What happens", kept)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Copies."""
        return plan_drafts.draft_copy(version_id=self.target.pk, actor=actor)

    def success_url(self, result: Any) -> str:
        """To the draft."""
        return reverse("admin:ib_planversion_change", args=[result.pk])


class OnDraftRule(DeskActionView):
    """An act on a rule of a draft; afterwards back to the version."""

    capability = MANAGE
    needs_confirmation = False

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only on rules of drafts."""
        return bool(target.version.state == PlanVersion.State.DRAFT)

    def success_url(self, result: Any) -> str:
        """To the version."""
        return reverse("admin:ib_planversion_change", args=[self.target.version_id])


class EditRule(OnDraftRule):
    """Changes everything that a rule says."""

    slug, title = "edit", "Edit the rule"
    template_name = "ib/plan_rule.html"
    success_message = "Saved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Filled with what it says."""
        return RuleForm.for_version(self.target.version, data, rule=self.target)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves."""
        return plan_drafts.edit_rule(rule_id=self.target.pk, terms=rule_terms_of(data), actor=actor)


class MoveRule(OnDraftRule):
    """Puts a rule in another place of its part."""

    slug, title = "move", "Move the rule"
    explanation = "The first rule of a part that matches is the one that pays."
    success_message = "Moved."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the places that there are."""
        form = forms.Form(data)
        rules = PlanRule.objects.filter(version_id=self.target.version_id, component=self.target.component)
        ordered = list(rules.order_by("position").values_list("pk", flat=True))
        form.fields["place"] = forms.TypedChoiceField(
            choices=[(number, f"{number}") for number in range(1, len(ordered) + 1)],
            coerce=int,
            initial=ordered.index(self.target.pk) + 1 if self.target.pk in ordered else 1,
            label="Place",
        )
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Moves."""
        return plan_drafts.move_rule(rule_id=self.target.pk, place=data["place"], actor=actor)


class RemoveRule(OnDraftRule):
    """Takes a rule out of a draft."""

    slug, title, tone = "remove", "Remove the rule", "danger"
    needs_confirmation = True
    success_message = "Removed."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which rule goes."""
        return [("Rule", str(self.target))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Removes."""
        return plans.remove_rule(rule_id=self.target.pk, actor=actor)


@admin.register(PlanRule)
class PlanRuleAdmin(DeskModelAdmin):
    """Every rule of every plan, as a sentence."""

    view_capability = VIEW
    list_display = ("rule_shown", "version_shown", "component", "position_shown")
    list_select_related = ("version__plan", *RELATED)
    list_filter = ("version__plan", "version__state", "basis", "distribution")
    search_fields = ("version__plan__name", "version__plan__code", "component", "rank")
    object_actions = (EditRule, MoveRule, RemoveRule)
    empty_text = "No rule yet. Add one on the page of a draft."

    rule_shown = admin_column(computed(str, title="Rule"))
    version_shown = link_column("version", title="Version")
    position_shown = number_column("position", title="Position", digits=0)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the tiers, which the sentence names."""
        return super().get_queryset(request).prefetch_related("tiers")  # type: ignore[no-any-return]


class _CompareForm(forms.Form):
    """With which version to compare."""

    with_version = forms.ModelChoiceField(
        PlanVersion.objects.none(), required=False, label="Compare with", empty_label="The version before"
    )


class VersionPage(DeskPage):
    """A page about one version of a plan."""

    desk, capability = "ib", VIEW

    def version(self, actor: Actor) -> PlanVersion:
        """The version of the address, read through the door."""
        rows = visible_to(PlanVersion.objects.select_related("plan"), actor)
        found = rows.filter(pk=self.kwargs["version_id"]).first()
        if found is None:
            raise Http404
        return found

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the version."""
        version_id = self.kwargs["version_id"]
        return [
            *super().breadcrumbs(),
            ("Plan versions", reverse("admin:ib_planversion_changelist")),
            ("Version", reverse("admin:ib_planversion_change", args=[version_id])),
        ]


@register_desk_page
class ComparePage(VersionPage):
    """Two versions side by side, rule by rule."""

    slug, title = "plan_diff", "Compare versions"
    route = "plan-diff/<int:version_id>/"
    template_name = "ib/plan_diff.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The comparison with the version before, or the one that was chosen."""
        version = self.version(actor)
        form = _CompareForm(self.request.GET or None)
        choices: Any = form.fields["with_version"]
        others = PlanVersion.objects.filter(plan_id=version.plan_id).exclude(pk=version.pk)
        choices.queryset = visible_to(others, actor)
        chosen = form.cleaned_data["with_version"] if form.is_valid() else None
        diff = compare_versions(actor=actor, version_id=version.pk, with_id=chosen.pk if chosen else None)
        return {"form": desk_widgets(form), "diff": diff, "subtitle": str(version)}


def _rows_of(model: str) -> Any:
    return apps.get_model("platform_ops", model)._default_manager.all()


class ExampleForm(forms.Form):
    """An imagined trade and an imagined chain of partners."""

    symbol: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Symbol")
    side = forms.ChoiceField(choices=[("buy", "Buy"), ("sell", "Sell")], label="Side")
    lots = forms.DecimalField(min_value=0, label="Lots")
    open_price = forms.DecimalField(min_value=0, label="Opened at")
    close_price = forms.DecimalField(min_value=0, label="Closed at")
    spread_points = forms.DecimalField(
        min_value=0, required=False, label="Spread, points", help_text="Empty: not known."
    )
    markup_points = forms.DecimalField(required=False, label="Mark-up, points", help_text="At each end.")
    commission = forms.DecimalField(required=False, label="Commission", help_text="Of the client, for both ends.")
    currency = forms.CharField(max_length=5, label="Account currency")
    held_seconds = forms.IntegerField(min_value=0, label="Held, seconds")
    reward_currency = forms.CharField(max_length=5, label="Partners' currency")
    country = forms.CharField(max_length=2, required=False, label="Client's country")
    account_type: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, required=False, label="Account type")
    account_group: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, required=False, label="Account group")
    campaign = forms.CharField(max_length=160, required=False, label="Campaign")
    measure_before = forms.DecimalField(min_value=0, required=False, label="Tiers counted before")
    partner = forms.CharField(
        max_length=20,
        required=False,
        label="A real partner",
        help_text="Such as IB-0007: the chain above it as it is now.",
    )
    chain = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}),
        required=False,
        label="Or a chain",
        help_text="A line each, from the introducer up: rank, agreed rate. “silver, 5”, “gold, 40 %”, or “-” for neither.",
    )


EXAMPLE = {
    "side": "buy",
    "lots": "1",
    "currency": "USD",
    "reward_currency": "USD",
    "held_seconds": "3600",
    "commission": "0",
    "chain": "-\n-\n-",
}


@register_desk_page
class ExamplePage(VersionPage):
    """What a trade would pay to everybody, by the engine's own functions; nothing is stored."""

    slug, title = "plan_example", "Example of a trade"
    route = "plan-example/<int:version_id>/"
    template_name = "ib/plan_example.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The form, and what came of it."""
        version = self.version(actor)
        form = self._form(version)
        context: dict[str, Any] = {"subtitle": str(version), "form": form, "result": None}
        if form.is_bound and form.is_valid():
            try:
                result = example_of(actor=actor, query=_query(actor, version, form.cleaned_data))
            except DomainError as error:
                name = str(error.details.get("field", ""))
                form.add_error(name if name in form.fields else None, error.message)
                context["problem"] = error.message
            else:
                context |= {
                    "result": result,
                    "lines": [_shown(line) for line in result.lines],
                    "revenue": money_html(result.revenue, result.revenue_currency)
                    if result.revenue is not None
                    else "not known",
                }
        context["form"] = desk_widgets(form)
        return context

    def _form(self, version: PlanVersion) -> ExampleForm:
        form = ExampleForm(self.request.GET if "symbol" in self.request.GET else None, initial=EXAMPLE)
        choices: Any = form.fields
        choices["symbol"].queryset = _rows_of("Symbol").order_by("code")
        choices["account_type"].queryset = _rows_of("AccountType").filter(entity_id=version.plan.entity_id)
        choices["account_group"].queryset = _rows_of("AccountGroup").filter(server__entity_id=version.plan.entity_id)
        return form


def _shown(line: Any) -> dict[str, Any]:
    return {
        "partner": line.partner,
        "level": line.level,
        "component": line.component,
        "rule": line.rule,
        "excluded": line.excluded,
        "steps": line.steps,
        "shown": money_html(line.amount, line.currency),
    }


def _query(actor: Actor, version: PlanVersion, data: Mapping[str, Any]) -> ExampleQuery:
    partner_id = None
    if data["partner"]:
        rows = visible_to(Partner.objects.all(), actor)
        partner_id = rows.filter(reference__iexact=data["partner"].strip()).values_list("pk", flat=True).first()
        if partner_id is None:
            raise InvalidInput("No partner that you see has this reference.", field="partner")
    query = ExampleQuery(
        version_id=version.pk,
        symbol_id=data["symbol"].pk,
        side=data["side"],
        lots=data["lots"],
        open_price=data["open_price"],
        close_price=data["close_price"],
        spread_points=data["spread_points"],
        markup_points=data["markup_points"],
        commission=data["commission"] or Decimal(0),
        currency=data["currency"].upper(),
        reward_currency=data["reward_currency"].upper(),
        held_seconds=data["held_seconds"],
        country=data["country"].upper(),
        campaign=data["campaign"],
        account_type_id=data["account_type"].pk if data["account_type"] else None,
        account_group_id=data["account_group"].pk if data["account_group"] else None,
        measure_before=data["measure_before"] or Decimal(0),
        chain=tuple(_step(row) for row in chain_rows(data["chain"])) or (ExampleStep(),),
        partner_id=partner_id,
    )
    return checked_query(query)


def _step(row: Sequence[str]) -> ExampleStep:
    rank = "" if row[0] in {"-", ""} else row[0]
    agreed = row[1] if len(row) > 1 else ""
    if agreed.endswith("%"):
        return ExampleStep(rank, None, decimal_or_none(agreed.removesuffix("%"), field="chain"))
    return ExampleStep(rank, decimal_or_none(agreed, field="chain"))
