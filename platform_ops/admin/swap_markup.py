"""The mark-up rules on the desk, and the registration of the whole swap desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.access import visible_to
from backoffice.core.files.kinds import CSV, MEGABYTE, XLSX, FilePurpose, register_file_purpose
from backoffice.core.schedule import register_periodic
from backoffice.core.services.jobs import register_runner
from backoffice.core.services.switches import Switch, register_guard
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, moment_column, number_column, text_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from platform_ops.admin.swap_links import history_link
from platform_ops.models import AccountGroup, SwapMarkupRule, Symbol, SymbolGroup
from platform_ops.permissions import MANAGE_SWAPS, VIEW_SWAP_DESK
from platform_ops.services.swap_desk import kind, markup, pushing, work
from platform_ops.services.swap_desk.pushes import PUSH_JOB_KIND
from platform_ops.services.swap_desk.sheets import SHEET_PURPOSE

SECONDS_BETWEEN_PUSHES = 15
_FIELDS = ("symbol", "symbol_group", "account_group")


class RuleForm(forms.Form):
    """A mark-up rule."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), required=False, label="Symbol", empty_label="—")
    symbol_group = forms.ModelChoiceField(
        SymbolGroup.objects.order_by("name"), required=False, label="Or a symbol group", empty_label="—",
        help_text="Neither: all symbols.",
    )  # fmt: skip
    account_group = forms.ModelChoiceField(
        AccountGroup.objects.none(), required=False, label="For an account group", empty_label="Everybody",
        help_text="Accounts of the group get rates of their own.",
    )  # fmt: skip
    kind = forms.ChoiceField(choices=SwapMarkupRule.Kind.choices, label="Mark-up")
    long_value = forms.DecimalField(max_digits=12, decimal_places=4, label="Long", initial=0)
    short_value = forms.DecimalField(max_digits=12, decimal_places=4, label="Short", initial=0)
    flag_percent = forms.DecimalField(
        max_digits=7,
        decimal_places=2,
        initial=10,
        label="Flag above, %",
        help_text="A larger change than this is flagged.",
    )


class _RuleView(DeskActionView):
    form_class = RuleForm
    capability = MANAGE_SWAPS
    needs_confirmation = False

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only groups that the actor sees."""
        form = RuleForm(data, initial=self.initial(actor))
        groups = visible_to(AccountGroup.objects.select_related("server"), actor)
        form.fields["account_group"].queryset = groups  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Writes it."""
        ids = {name: data[name].pk if data[name] else None for name in _FIELDS}
        return markup.set_markup_rule(
            actor=actor,
            rule_id=self.target.pk if self.target else None,
            symbol_id=ids["symbol"],
            symbol_group_id=ids["symbol_group"],
            account_group_id=ids["account_group"],
            kind=data["kind"],
            long_value=data["long_value"],
            short_value=data["short_value"],
            flag_percent=data["flag_percent"],
        )


class AddRule(_RuleView):
    """A further rule."""

    slug, title = "new", "Add a mark-up rule"
    success_message = "The rule shapes sheets that are taken in from now on."


class EditRule(_RuleView):
    """Another figure."""

    slug, title, button = "edit", "Edit the mark-up rule", "Edit"
    success_message = "The rule shapes sheets that are taken in from now on."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What stands."""
        names = (*_FIELDS, "kind", "long_value", "short_value", "flag_percent")
        return {name: getattr(self.target, name) for name in names}


class RemoveRule(DeskActionView):
    """Takes the rule away."""

    slug, title, capability = "remove", "Remove the mark-up rule", MANAGE_SWAPS
    button, tone = "Remove", "danger"
    form_class = ReasonForm
    success_message = "Removed."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What goes."""
        return [("Rule", str(self.target)), ("What happens", "Sheets taken in from now on are not shaped by it.")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Removes it."""
        return markup.remove_markup_rule(rule_id=self.target.pk, actor=actor, reason=data["reason"])

    def success_url(self, result: Any) -> str:
        """The list."""
        self.target = None
        return super().success_url(result)


@admin.register(SwapMarkupRule)
class SwapMarkupRuleAdmin(DeskModelAdmin):
    """What is added to a provider's rates."""

    view_capability = VIEW_SWAP_DESK
    list_display = (
        "subject",
        "accounts",
        "kind_shown",
        "long_shown",
        "short_shown",
        "flag_shown",
        "by_shown",
        "at_shown",
    )
    list_select_related = ("symbol", "symbol_group", "account_group")
    list_filter = ("kind", "symbol_group")
    search_fields = ("symbol__code", "symbol_group__name", "account_group__name")
    list_actions = (AddRule,)
    object_actions = (EditRule, RemoveRule)
    empty_text = "No rule yet: a provider's rates go to clients as they are. Add a rule with the button above."
    fields = (
        "symbol",
        "symbol_group",
        "account_group",
        "kind",
        "long_value",
        "short_value",
        "flag_percent",
        "changed_by",
        "changed_at",
    )

    subject = computed_column(lambda rule: str(rule.symbol or rule.symbol_group or "All symbols"), title="Symbols")
    accounts = computed_column(
        lambda rule: rule.account_group.name if rule.account_group else "everybody", title="Accounts"
    )
    kind_shown = badge_column("kind", title="Mark-up")
    long_shown = number_column("long_value", title="Long")
    short_shown = number_column("short_value", title="Short")
    flag_shown = number_column("flag_percent", title="Flag above, %")
    by_shown = text_column("changed_by", title="Changed by")
    at_shown = moment_column("changed_at", title="At")

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


def register() -> None:
    """The desk's kind of change, files, job, tick, work and pages; called once when the application starts."""
    from platform_ops.admin import swap_desk, swap_impact, swap_rates  # noqa: F401 - importing registers the pages

    kind.register()
    work.register()
    register_file_purpose(
        FilePurpose(
            purpose=SHEET_PURPOSE,
            label="Swap sheet of a liquidity provider",
            content_types=frozenset({CSV, XLSX}),
            view_capability=VIEW_SWAP_DESK,
            upload_capability=MANAGE_SWAPS,
            max_bytes=2 * MEGABYTE,
            max_expanded_bytes=20 * MEGABYTE,
        )
    )
    register_runner(PUSH_JOB_KIND, pushing.run_push_job)
    register_periodic("platform.swap_pushes", "platform_ops.tasks.push_due_swaps", SECONDS_BETWEEN_PUSHES)
    register_guard("platform_ops.services.swap_desk.pushing.push_server", Switch.SERVER_PUSHES)
    for page, title, order, icon in (
        (swap_desk.SwapDeskPage, "Swap desk", 76, "nights_stay"),
        (swap_rates.SwapRatesPage, "Swap rates", 77, "percent"),
        (swap_rates.SwapPushesPage, "Swaps on the servers", 79, "sync_alt"),
    ):
        register_page("platform_ops", title, page.url_name(), VIEW_SWAP_DESK, order, icon=icon)
    register_page(
        "platform_ops",
        "Swap mark-up",
        "admin:platform_ops_swapmarkuprule_changelist",
        VIEW_SWAP_DESK,
        78,
        icon="calculate",
    )
    register_panel(
        "core.ChangeRequest",
        "swap_pushes",
        "On the servers",
        swap_rates.pushes_panel,
        order=15,
        capability=VIEW_SWAP_DESK,
    )
    register_panel("platform_ops.Symbol", "swaps", "Swaps", lambda symbol, actor: history_link(symbol), order=60)
