"""What people do with symbols: import specifications, naming rules, a group's own terms, drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from backoffice.core.access import authorise, visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link_column, moment_column, state_column, text_column
from backoffice.ui.forms import ReasonForm, desk_widgets
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from platform_ops.admin.term_forms import form_values, term_facts, term_fieldsets, term_form_field
from platform_ops.models import (
    AccountGroup,
    GroupSymbolOverride,
    SpecificationImport,
    Symbol,
    SymbolDrift,
    SymbolNameRule,
    TradingServer,
)
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.specifications import BY_NAME, GROUP_FIELDS, LABELS, value_in_words
from platform_ops.rules.symbol_names import NameRule
from platform_ops.services import specification_imports, symbol_drift, symbol_names, symbol_overrides

MAX_ROWS_SHOWN = 500


def _servers(actor: Actor) -> Any:
    return visible_to(TradingServer.objects.all(), actor).order_by("code")


# ---------------------------------------------------------------------------------------------------- files


class SpecificationFileForm(forms.Form):
    """The file, and whose naming rules read it."""

    file = forms.FileField(help_text="MetaTrader 4 or 5 (JSON), Dukascopy (JSON) or OANDA (CSV); at most 5 MB.")
    server = forms.ModelChoiceField(TradingServer.objects.none(), required=False, empty_label="The house's own rules")


@register_desk_page
class ImportSpecifications(DeskActionView):
    """Reads a file of specifications; nothing changes by that."""

    desk, slug, title, capability = "platform_ops", "specification_import", "Import specifications", MANAGE_CATALOGUE
    button, form_class, needs_confirmation = "Read the file", SpecificationFileForm, False
    template_name = "platform_ops/upload.html"
    explanation = "The file is read and compared with what is approved. What it would change you propose from there."
    success_message = "Read. Choose what is to be proposed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the servers that the actor may see."""
        form = super().make_form(actor, data, files)
        form.fields["server"].queryset = _servers(actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Reads it."""
        return specification_imports.import_specifications(
            data=data["file"].read(specification_imports.MAX_READ),
            file_name=data["file"].name,
            actor=actor,
            server_id=data["server"].pk if data["server"] else None,
        )

    def success_url(self, result: Any) -> str:
        """To what was read."""
        return SpecificationFilePage.url(public_id=result.public_id)


@register_desk_page
class SpecificationFilePage(DeskPage):
    """What was read of a file: a row a symbol, what it would change, what is wrong; chosen rows are proposed."""

    desk, slug, title, capability = "platform_ops", "specification_file", "Specifications of a file", MANAGE_CATALOGUE
    route = "specification-files/<uuid:public_id>/"
    template_name = "platform_ops/symbols_file.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The rows, those that change something first."""
        kept = self._kept(kwargs["public_id"])
        order = {"problem": 0, "changes": 1, "unknown": 2, "same": 3}
        rows = sorted(
            ({**row, "kind": _kind(row)} for row in kept.rows), key=lambda row: (order[row["kind"]], row["name"])
        )
        shown = [
            {**row, "words": [
                (LABELS[name], value_in_words(name, was), value_in_words(name, now))
                for name, (was, now) in row["changes"].items()
            ]}
            for row in rows[:MAX_ROWS_SHOWN]
        ]  # fmt: skip
        counts = {kind: sum(row["kind"] == kind for row in rows) for kind in order}
        context = {
            "kept": kept, "rows": shown, "counts": counts, "hidden": len(rows) - len(shown), "content_title": kept.file_name,
            "subtitle": f"{kept.format.replace('_', ' ')}, {len(rows):,} symbols, read by {kept.imported_by}",
        }  # fmt: skip
        return self.page(context)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Drafts a change request for each chosen row."""
        kept = self._kept(kwargs["public_id"])
        numbers = [int(text) for text in request.POST.getlist("row") if text.isdigit()]
        try:
            asked, refused = specification_imports.propose(
                import_id=kept.pk,
                rows=numbers,
                actor=self.actor,
                reason=request.POST.get("reason", "").strip()[:300] or "From a file of specifications",
            )
        except DomainError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(request.path)
        for name, why in refused[:10]:
            messages.warning(request, f"{name}: {why}")
        if asked:
            messages.success(request, f"{len(asked)} change requests drafted. Look at each, and hand it in.")
            return HttpResponseRedirect(reverse("admin:core_changerequest_changelist"))
        return HttpResponseRedirect(request.path)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the import."""
        return [*super().breadcrumbs(), ("Import specifications", ImportSpecifications.url())]

    @staticmethod
    def _kept(public_id: Any) -> SpecificationImport:
        kept = SpecificationImport.objects.filter(public_id=public_id).first()
        if kept is None:
            raise Http404
        return kept


def _kind(row: Mapping[str, Any]) -> str:
    if row["problem"]:
        return "problem"
    if not row["code"]:
        return "unknown"
    return "changes" if row["changes"] else "same"


# ---------------------------------------------------------------------------------------------------- names


class NameRuleForm(forms.Form):
    """A rule to try and to save, and names to try it on."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), required=False, empty_label="Every server")
    position = forms.IntegerField(min_value=1, max_value=10_000, initial=10)
    kind = forms.ChoiceField(choices=SymbolNameRule.Kind.choices)
    pattern = forms.CharField(max_length=40, strip=True, required=False, label="Characters")
    replacement = forms.CharField(max_length=40, required=False)
    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), required=False, label="Symbol, for another name")
    names = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 3}), max_length=20_000,
        label="Names to try", help_text="One a line; none: all that the server uses.",
    )  # fmt: skip


@register_desk_page
class SymbolNames(DeskPage):
    """Naming rules in their order, a rule to try on real names before it is saved, and what all of them make of names."""

    desk, slug, title, capability = "platform_ops", "symbol_names", "Naming rules", VIEW_PLATFORM
    subtitle = "How servers' names of symbols are read. A server's own rules come first, then those of every server, then the house's."
    template_name = "platform_ops/symbols_names.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The rules, and a trial when one is asked for."""
        form = self._form(request.GET if "try" in request.GET else None)
        trials, problem = [], ""
        if form.is_bound and form.is_valid():
            try:
                trials = self._trials(form.cleaned_data)
            except DomainError as error:
                problem = error.message
        return self._show(form, trials, problem)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Saves the rule, or takes one away."""
        authorise(self.actor, MANAGE_CATALOGUE)
        try:
            if "remove" in request.POST:
                text = request.POST["remove"]
                symbol_names.remove_rule(
                    rule_id=int(text) if text.isdigit() else 0, actor=self.actor, reason="On the desk"
                )
                messages.success(request, "The rule is gone. Names that it mapped stay mapped.")
                return HttpResponseRedirect(request.path)
            form = self._form(request.POST)
            if form.is_valid():
                data = form.cleaned_data
                symbol_names.add_rule(
                    server_id=data["server"].pk if data["server"] else None,
                    position=data["position"],
                    rule=_rule(data),
                    actor=self.actor,
                )
                messages.success(request, "Saved. It reads names that come from now on, and those that wait.")
                return HttpResponseRedirect(request.path)
        except DomainError as error:
            return self._show(self._form(request.POST), [], error.message, status=error.http_status)
        return self._show(form, [], "", status=400)

    def _form(self, data: Any) -> forms.Form:
        form = NameRuleForm(data)
        form.fields["server"].queryset = _servers(self.actor)  # type: ignore[attr-defined]
        return desk_widgets(form)

    def _trials(self, data: Mapping[str, Any]) -> list[symbol_names.NameTrial]:
        names = [name.strip() for name in data["names"].splitlines() if name.strip()]
        return symbol_names.try_names(
            server_id=data["server"].pk if data["server"] else None,
            names=names,
            draft=_rule(data) if data["pattern"] else None,
            actor=self.actor,
        )

    def _show(self, form: forms.Form, trials: Sequence[Any], problem: str, status: int = 200) -> HttpResponse:
        rules = visible_to(SymbolNameRule.objects.select_related("server", "symbol"), self.actor)
        context = {
            "form": form,
            "trials": trials,
            "is_tried": "try" in self.request.GET,
            "found": sum(bool(trial.code) for trial in trials),
            "problem": problem,
            "rules": rules.order_by("server__code", "position"),
        }
        return self.page(context, status=status)


def _rule(data: Mapping[str, Any]) -> NameRule:
    return NameRule(data["kind"], data["pattern"], data["replacement"], data["symbol"].code if data["symbol"] else "")


# ---------------------------------------------------------------------------------------------------- groups


class GroupTermsForm(forms.Form):
    """What a group trades a symbol by; empty fields are as the symbol has them."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"))
    group = forms.ModelChoiceField(AccountGroup.objects.none(), label="Group of accounts")
    valid_from = forms.DateTimeField(
        label="From (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in GROUP_FIELDS:
            self.fields[name] = term_form_field(BY_NAME[name], is_override=True)
        self.order_fields(["symbol", "group", "valid_from", *GROUP_FIELDS, "reason"])

    def clean_valid_from(self) -> Any:
        """In UTC."""
        return self.cleaned_data["valid_from"].replace(tzinfo=UTC)


@register_desk_page
class GroupTerms(DeskActionView):
    """Asks for a group's own terms of a symbol."""

    desk, slug, title, capability = "platform_ops", "group_terms", "Terms of a group", MANAGE_CATALOGUE
    button, form_class = "Ask for these terms", GroupTermsForm
    explanation = "Empty fields are as the symbol has them; all empty: the group has no terms of its own any more."
    success_message = "Asked. Another person approves it, after a look at the open positions."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The group's terms that stand, where the address names symbol and group."""
        soon = (clock.now() + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
        values: dict[str, Any] = {"valid_from": soon}
        symbol, group = (self.request.GET.get(name, "") for name in ("symbol", "group"))
        if symbol.isdigit():
            values["symbol"] = int(symbol)
        if symbol.isdigit() and group.isdigit():
            standing = symbol_overrides.standing_terms(group_id=int(group), symbol_id=int(symbol), moment=soon)
            values |= {"group": int(group), **form_values(standing)}
        return values

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the groups that the actor may see."""
        form = super().make_form(actor, data, files)
        form.fields["group"].queryset = visible_to(AccountGroup.objects.all(), actor).order_by("name")  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What the group trades by then."""
        terms = _own(data)
        symbol_overrides.check_override(
            group_id=data["group"].pk, symbol_id=data["symbol"].pk, terms=terms, moment=data["valid_from"]
        )
        return [
            ("Symbol and group", f"{data['symbol']} for {data['group']}"),
            ("From", f"{data['valid_from']:%Y-%m-%d %H:%M} UTC, until further notice"),
            *((LABELS[name], value_in_words(name, value)) for name, value in terms.items()),
            *([] if terms else [("Own terms", "none: the group trades as the symbol says")]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts and hands in the change request."""
        return symbol_overrides.request_override(
            group_id=data["group"].pk, symbol_id=data["symbol"].pk, terms=_own(data), valid_from=data["valid_from"],
            actor=actor, reason=data["reason"],
        )  # fmt: skip

    def success_url(self, result: Any) -> str:
        """To the request."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


def _own(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in GROUP_FIELDS if data.get(name) is not None and data[name] != ""}


class AskForGroupTerms(DeskActionView):
    """Leads to the form."""

    slug, title, button, capability = "ask", "Give a group its own terms", "Give a group terms", MANAGE_CATALOGUE

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Empty."""
        return HttpResponseRedirect(GroupTerms.url())


class ChangeGroupTerms(DeskActionView):
    """Leads to the form with what stands."""

    slug, title, button, capability = "edit", "Change the group's terms", "Change terms", MANAGE_CATALOGUE

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Filled in."""
        query = urlencode({"symbol": self.target.symbol_id, "group": self.target.group_id})
        return HttpResponseRedirect(f"{GroupTerms.url()}?{query}")


@admin.register(GroupSymbolOverride)
class GroupSymbolOverrideAdmin(term_facts(GROUP_FIELDS), DeskModelAdmin):  # type: ignore[misc] # from the table of terms
    """Terms that groups have of their own."""

    view_capability = VIEW_PLATFORM
    list_display = ("symbol_shown", "group_shown", "from_shown", "until_shown", "terms_shown")
    list_select_related = ("symbol", "group__server")
    list_filter = ("group__server", "symbol__group")
    search_fields = ("symbol__code", "group__name")
    list_actions = (AskForGroupTerms,)
    object_actions = (ChangeGroupTerms,)
    fieldsets = ((None, {"fields": ("symbol", "group", "validity")}), *term_fieldsets(GROUP_FIELDS))
    empty_text = "Every group trades by the symbols' own terms."

    symbol_shown = link_column("symbol", title="Symbol", order="symbol__code")
    group_shown = text_column("group", title="Group", order="group__name")
    from_shown = moment_column("validity__lower", title="From", order="validity")
    until_shown = moment_column("validity__upper", title="Until")

    @admin.display(description="Own terms")
    def terms_shown(self, row: GroupSymbolOverride) -> str:
        """What is different."""
        terms = symbol_overrides.own_terms(row)
        return " · ".join(f"{LABELS[name]}: {value_in_words(name, value)}" for name, value in terms.items())


# ---------------------------------------------------------------------------------------------------- drift


class ServerForm(forms.Form):
    """Which server is asked."""

    server = forms.ModelChoiceField(TradingServer.objects.none())


@register_desk_page
class LookAtServer(DeskActionView):
    """Asks a server for its symbols and compares them with what is approved."""

    desk, slug, title, capability = "platform_ops", "look_at_symbols", "Compare a server's symbols", MANAGE_CATALOGUE
    button, form_class, needs_confirmation = "Ask the server", ServerForm, False
    explanation = "The server is asked for all its symbols. What differs from the approved specifications is listed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the servers that the actor may see."""
        form = super().make_form(actor, data, files)
        form.fields["server"].queryset = _servers(actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Asks and compares."""
        return symbol_drift.look_at_server(server_id=data["server"].pk, actor=actor)

    def success_text(self, result: Any) -> str:
        """What was found."""
        return (
            f"{result['symbols']:,} symbols: {result['drifting']:,} drift, {result['refused']:,} cannot be traded by."
        )

    def success_url(self, result: Any) -> str:
        """To what drifts."""
        return reverse("admin:platform_ops_symboldrift_changelist")


class AcceptDrift(DeskActionView):
    """Lets a difference stand."""

    slug, title, button, capability = "accept", "Accept the difference", "Accept", MANAGE_CATALOGUE
    form_class = ReasonForm

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it is open."""
        return bool(target.state == SymbolDrift.State.OPEN)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What stays different."""
        return _both(self.target)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Accepts it."""
        return symbol_drift.accept_drift(drift_id=self.target.pk, actor=actor, reason=data["reason"])


class RepairDrift(AcceptDrift):
    """Tells the server the approved values, once another person approved that."""

    slug, title, button = "repair", "Put the server right", "Put the server right"
    success_message = "Asked. Once another person approved it, the server is told and looked at again."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """All that is open of the symbol goes in one request."""
        return [
            *_all_open(self.target),
            ("What happens", "A change request asks to tell the server the approved values."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts and hands in the change request."""
        return symbol_drift.request_repair(
            server_symbol_id=self.target.server_symbol_id, actor=actor, reason=data["reason"]
        )

    def success_url(self, result: Any) -> str:
        """To the request."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


class AdoptDrift(RepairDrift):
    """The specification follows the server, once another person approved that."""

    slug, title, button = "adopt", "Let the specification follow the server", "Follow the server"
    success_message = "Asked. Once another person approved it, the specification is what the server states."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The specification of the symbol changes, for every server."""
        return [
            *_all_open(self.target),
            ("What happens", "A change request asks to make what the server states the approved specification."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts and hands in the change request."""
        return symbol_drift.request_adoption(
            server_symbol_id=self.target.server_symbol_id, actor=actor, reason=data["reason"]
        )


def _both(drift: SymbolDrift) -> list[tuple[str, str]]:
    return [
        ("Symbol", str(drift.server_symbol)),
        (f"{LABELS[drift.field]}, approved", value_in_words(drift.field, drift.approved)),
        (f"{LABELS[drift.field]}, on the server", value_in_words(drift.field, drift.stated)),
    ]


def _all_open(drift: SymbolDrift) -> list[tuple[str, str]]:
    rows = SymbolDrift.objects.filter(server_symbol=drift.server_symbol, state=SymbolDrift.State.OPEN).order_by("field")
    return [
        ("Symbol", str(drift.server_symbol)),
        *(
            (
                LABELS[row.field],
                f"approved {value_in_words(row.field, row.approved)}, server {value_in_words(row.field, row.stated)}",
            )
            for row in rows
        ),
    ]


class AskServer(DeskActionView):
    """Leads to the comparison."""

    slug, title, button, capability = "look", "Compare with a server", "Compare with a server", MANAGE_CATALOGUE

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form."""
        return HttpResponseRedirect(LookAtServer.url())


@admin.register(SymbolDrift)
class SymbolDriftAdmin(DeskModelAdmin):
    """Where servers state symbols otherwise than approved."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "name_shown",
        "server_shown",
        "field_shown",
        "approved_shown",
        "stated_shown",
        "state_shown",
        "first_shown",
        "last_shown",
    )
    list_select_related = ("server_symbol__server", "server_symbol__symbol")
    list_filter = ("state", "server_symbol__server", "field")
    search_fields = ("server_symbol__name", "server_symbol__symbol__code")
    ordering = ("-last_seen_at",)
    object_actions = (RepairDrift, AdoptDrift, AcceptDrift)
    fields = (
        "server_symbol", "field_shown", "approved_shown", "stated_shown", "state", "first_seen_at", "last_seen_at", "settled_at",
        "reason",
    )  # fmt: skip
    list_actions = (AskServer,)
    empty_text = "No server drifts, or none has been asked for its symbols yet."

    name_shown = text_column("server_symbol__name", title="Name", order="server_symbol__name")
    server_shown = text_column("server_symbol__server", title="Server")
    state_shown = state_column(
        lambda row: row.get_state_display(), title="State", tones={"Open": "warn", "Accepted": "info", "Gone": "good"}
    )
    first_shown = moment_column("first_seen_at", title="First seen", order="first_seen_at")
    last_shown = moment_column("last_seen_at", title="Last seen", order="last_seen_at")

    @admin.display(description="Field", ordering="field")
    def field_shown(self, row: SymbolDrift) -> str:
        """In words."""
        return LABELS[row.field]

    @admin.display(description="Approved")
    def approved_shown(self, row: SymbolDrift) -> str:
        """In words."""
        return value_in_words(row.field, row.approved)

    @admin.display(description="On the server")
    def stated_shown(self, row: SymbolDrift) -> str:
        """In words."""
        return value_in_words(row.field, row.stated)
