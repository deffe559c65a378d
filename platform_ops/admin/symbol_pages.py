"""The symbol explorer, one symbol with its history, two servers side by side, and the instrument calculator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from django import forms
from django.db.models import Count, Exists, OuterRef, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import holds, visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import DomainError
from backoffice.ui.columns import badge_html, computed, number, state, text
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskPage, DeskTablePage, register_desk_page
from platform_ops.admin.session_drawing import week_drawing
from platform_ops.gateways.types import CalculationMode, TradeMode
from platform_ops.models import (
    AccountGroup,
    GroupSymbolOverride,
    ServerSymbol,
    ServerSymbolTerms,
    Symbol,
    SymbolDrift,
    SymbolGroup,
    SymbolSpec,
    TradingServer,
)
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.specifications import (
    LABELS,
    SERVER_FIELDS,
    TERMS,
    choice_in_words,
    differences,
    plain_value,
    specification_terms,
    value_in_words,
)
from platform_ops.selectors import calculator, sessions
from platform_ops.services.symbol_overrides import own_terms
from platform_ops.types import Side

MAX_SYMBOLS = 5_000
MAX_VERSIONS = 200
DRIFT_STATES = {"Drifts": "warn", "As approved": "good", "Accepted": "info", "Not asked": "quiet"}


class ExplorerForm(forms.Form):
    """Which symbols."""

    q = forms.CharField(required=False, label="Name or code", max_length=60)
    asset_class = forms.ChoiceField(required=False, choices=[("", "All"), *Symbol.AssetClass.choices])
    group = forms.ModelChoiceField(SymbolGroup.objects.order_by("code"), required=False, empty_label="All")
    drift = forms.ChoiceField(
        required=False, label="Servers", choices=[("", "All"), ("drifts", "Drifts"), ("fine", "As approved")]
    )


@register_desk_page
class SymbolExplorer(DeskTablePage):
    """Every symbol with its terms in force, whether it is open, and whether a server drifts."""

    desk, slug, title, capability = "platform_ops", "symbol_explorer", "Symbol explorer", VIEW_PLATFORM
    subtitle = "The terms that are approved now. A symbol opens with its history, its servers and its hours."
    filter_form = ExplorerForm
    empty_text = "No symbol is like that."
    columns = (
        computed(lambda row: _link(row["code"]), title="Symbol"),
        text("name", title="Name"),
        text("group", title="Group"),
        number("digits", title="Digits"),
        number("contract_size", title="Contract size"),
        text("mode", title="Calculation"),
        number("leverage", title="Leverage"),
        number("spread", title="Spread"),
        text("swap_mode", title="Swap in"),
        number("swap_long", title="Long", is_signed=True),
        number("swap_short", title="Short", is_signed=True),
        state(lambda row: row["hours"], title="Now", tones={"Open": "good", "Closed": "quiet", "Halted": "bad"}),
        number("servers", title="Servers"),
        state(lambda row: row["drift"], title="Servers say", tones=DRIFT_STATES),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """The symbols that the filter leaves."""
        found = visible_to(Symbol.objects.select_related("group"), actor).order_by("code")
        if words := filters.get("q"):
            found = found.filter(Q(code__icontains=words) | Q(name__icontains=words))
        if filters.get("asset_class"):
            found = found.filter(asset_class=filters["asset_class"])
        if filters.get("group"):
            found = found.filter(group=filters["group"])
        symbols = list(found[:MAX_SYMBOLS])
        rows = _explorer_rows(symbols, actor)
        wanted = {"drifts": "Drifts", "fine": "As approved"}.get(filters.get("drift") or "")
        return [row for row in rows if wanted is None or row["drift"] == wanted]


def _explorer_rows(symbols: Sequence[Symbol], actor: Actor) -> list[dict[str, Any]]:
    now = clock.now()
    specs = {spec.symbol_id: spec for spec in SymbolSpec.objects.filter(symbol__in=symbols, validity__contains=now)}
    named = visible_to(ServerSymbol.objects.filter(symbol__in=symbols), actor)
    counts = dict(named.values_list("symbol").annotate(n=Count("pk")).order_by())
    drifts: dict[int, set[str]] = defaultdict(set)
    rows = SymbolDrift.objects.filter(server_symbol__in=named).exclude(state=SymbolDrift.State.GONE)
    for symbol_id, drift_state in rows.values_list("server_symbol__symbol_id", "state"):
        drifts[symbol_id].add(drift_state)
    asked = set(
        ServerSymbolTerms.objects.filter(server_symbol__in=named).values_list("server_symbol__symbol_id", flat=True)
    )
    closures = sessions.closures_by_symbol(symbols=symbols, start=now, end=now)
    return [
        _explorer_row(symbol, specs.get(symbol.pk), counts, drifts, asked, closures[symbol.pk], now)
        for symbol in symbols
    ]


def _explorer_row(
    symbol: Symbol, spec: SymbolSpec | None, counts: Any, drifts: Any, asked: Any, closures: Any, now: Any
) -> dict[str, Any]:
    drift = "Drifts" if "open" in drifts[symbol.pk] else "Accepted" if drifts[symbol.pk] else "As approved"
    row: dict[str, Any] = {
        "code": symbol.code,
        "name": symbol.name,
        "group": str(symbol.group),
        "servers": counts.get(symbol.pk, 0),
        "drift": drift if symbol.pk in asked else "Not asked",
        "hours": "",
        **dict.fromkeys(("digits", "contract_size", "leverage", "spread", "swap_long", "swap_short")),
        "mode": "not specified",
        "swap_mode": "",
    }
    if spec is None:
        return row
    is_open = sessions.is_open_by(spec, closures, now)
    return row | {
        "digits": spec.digits,
        "contract_size": spec.contract_size.normalize(),
        "mode": choice_in_words(CalculationMode, spec.calculation_mode),
        "leverage": spec.leverage_maximum,
        "spread": spec.spread_points.normalize(),
        "swap_mode": spec.get_swap_mode_display(),
        "swap_long": spec.swap_long.normalize(),
        "swap_short": spec.swap_short.normalize(),
        "hours": "Halted" if spec.trade_mode == TradeMode.DISABLED else "Open" if is_open else "Closed",
    }


class VersionsForm(forms.Form):
    """Which two versions are compared."""

    older = forms.TypedChoiceField(coerce=int, required=False, label="Compare")
    newer = forms.TypedChoiceField(coerce=int, required=False, label="with")


@register_desk_page
class SymbolPage(DeskPage):
    """One symbol: terms by section, history with the difference of two versions, groups, servers, hours."""

    desk, slug, title, capability = "platform_ops", "symbol_page", "Symbol", VIEW_PLATFORM
    route = "symbols/<str:code>/"
    template_name = "platform_ops/symbols_one.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page."""
        symbol = visible_to(Symbol.objects.select_related("group"), self.actor).filter(code=kwargs["code"]).first()
        if symbol is None:
            raise Http404
        now = clock.now()
        specs = list(SymbolSpec.objects.filter(symbol=symbol).order_by("-validity")[:MAX_VERSIONS])
        standing = next((spec for spec in specs if _holds(spec, now)), None)
        is_open, change = (False, None) if standing is None else sessions.next_change(symbol_id=symbol.pk, at=now)
        context = {
            "symbol": symbol,
            "content_title": symbol.code,
            "title": symbol.code,
            "subtitle": f"{symbol.name} · {symbol.get_asset_class_display()} · {symbol.group} · "
            f"{symbol.base_asset} in {symbol.profit_currency}",
            "standing": standing,
            "is_open": is_open,
            "change_at": change,
            "sections": _sections(standing) if standing else [],
            "versions": [_version(spec, now) for spec in specs],
            "drawing": week_drawing(standing, symbol, now) if standing else "",
            "overrides": _overrides(symbol, self.actor, now),
            "servers": _servers(symbol, standing, self.actor),
            "may_change": holds(self.actor, MANAGE_CATALOGUE),
            "change_url": reverse("admin:platform_ops_symbol_change", args=[symbol.pk]),
            "calculator_url": f"{reverse('admin:platform_ops_calculator')}?symbol={symbol.pk}",
            **self._difference(specs),
        }
        return self.page(context)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the explorer."""
        return [*super().breadcrumbs(), ("Symbol explorer", SymbolExplorer.url())]

    def _difference(self, specs: list[SymbolSpec]) -> dict[str, Any]:
        """The form of two versions, and what differs between them; the two newest if none are named."""
        choices = [(spec.pk, _since(spec)) for spec in specs]
        initial = {"newer": specs[0].pk, "older": specs[1].pk} if len(specs) > 1 else {}
        form = VersionsForm(
            {**initial, **{key: self.request.GET[key] for key in ("older", "newer") if key in self.request.GET}}
        )
        for name in ("older", "newer"):
            form.fields[name].choices = choices  # type: ignore[attr-defined]
        desk_widgets(form)
        by_pk = {spec.pk: spec for spec in specs}
        found: list[tuple[str, str, str]] = []
        if form.is_valid():
            older, newer = (by_pk.get(form.cleaned_data[name] or 0) for name in ("older", "newer"))
            if older and newer:
                found = [
                    (LABELS[name], value_in_words(name, was), value_in_words(name, now))
                    for name, was, now in differences(specification_terms(older), specification_terms(newer))
                ]
        return {"versions_form": form if len(specs) > 1 else None, "difference": found}


class SidesForm(forms.Form):
    """Which two servers."""

    left = forms.ModelChoiceField(TradingServer.objects.none(), required=False)
    right = forms.ModelChoiceField(TradingServer.objects.none(), required=False)
    show = forms.ChoiceField(required=False, choices=[("", "Only what differs"), ("all", "Everything")])
    q = forms.CharField(required=False, label="Symbol", max_length=40)


@register_desk_page
class ServersSideBySide(DeskTablePage):
    """What two servers state of the same symbols, field by field, beside what is approved."""

    desk, slug, title, capability = "platform_ops", "symbol_servers", "Servers side by side", VIEW_PLATFORM
    subtitle = "What each server stated of a symbol when it was last asked, beside the approved value."
    filter_form = SidesForm
    empty_text = "The two servers state the same, or have not been asked for their symbols yet."
    columns = (
        computed(lambda row: _link(row["code"]), title="Symbol"),
        text("label", title="Field"),
        computed(lambda row: row["left"], title="Left", is_numeric=True),
        computed(lambda row: row["right"], title="Right", is_numeric=True),
        computed(lambda row: row["approved"], title="Approved", is_numeric=True),
        state(
            lambda row: row["state"],
            title="State",
            tones={"Left drifts": "warn", "Right drifts": "warn", "Both drift": "bad", "As approved": "good"},
        ),
    )

    def _filter(self) -> forms.Form:
        servers = visible_to(TradingServer.objects.all(), self.actor).order_by("code")
        given = self.request.GET.copy()
        told = Exists(ServerSymbolTerms.objects.filter(server_symbol__server=OuterRef("pk")))
        for name, server in zip(
            ("left", "right"), servers.annotate(told=told).order_by("-told", "code")[:2], strict=False
        ):
            given.setdefault(name, str(server.pk))
        form = SidesForm(given)
        for name in ("left", "right"):
            form.fields[name].queryset = servers  # type: ignore[attr-defined]
        return desk_widgets(form)

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The headings name the servers."""
        named = {title: str(filters.get(title.lower()) or title) for title in ("Left", "Right")}
        return {"columns": [replace(column, title=named.get(column.title, column.title)) for column in self.columns]}

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
        """A row for each field of each symbol that both servers have."""
        if not filters.get("left") or not filters.get("right"):
            return []
        left, right = (_stated(filters[name], filters.get("q") or "") for name in ("left", "right"))
        both = sorted(set(left) & set(right))[:MAX_SYMBOLS]
        specs = {
            spec.symbol_id: spec
            for spec in SymbolSpec.objects.select_related("symbol").filter(
                symbol_id__in=both, validity__contains=clock.now()
            )
        }
        rows = []
        for symbol_id in sorted(specs, key=lambda key: specs[key].symbol.code):
            approved = specification_terms(specs[symbol_id])
            for name in SERVER_FIELDS:
                values = [
                    _comparable(name, side)
                    for side in (left[symbol_id].get(name), right[symbol_id].get(name), approved[name])
                ]
                if filters.get("show") == "all" or values[0] != values[1]:
                    rows.append(_side_row(specs[symbol_id].symbol.code, name, values))
        return rows


def _side_row(code: str, name: str, values: list[Any]) -> dict[str, Any]:
    left, right, approved = values
    states = {(True, True): "As approved", (False, True): "Left drifts", (True, False): "Right drifts"}
    return {
        "code": code,
        "label": LABELS[name],
        "left": value_in_words(name, left),
        "right": value_in_words(name, right),
        "approved": value_in_words(name, approved),
        "state": states.get((left == approved, right == approved), "Both drift"),
    }


class CalculatorForm(forms.Form):
    """What is asked."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"))
    group = forms.ModelChoiceField(
        AccountGroup.objects.none(), required=False, empty_label="The symbol's own terms", label="Group of accounts"
    )
    side = forms.TypedChoiceField(coerce=int, choices=[(1, "Buy"), (-1, "Sell")], initial=1)
    lots = forms.DecimalField(min_value=Decimal("0.00000001"), max_value=Decimal(100_000), initial=1, max_digits=16)
    open_price = forms.DecimalField(min_value=Decimal(0), max_digits=20, label="Opened at", required=False)
    close_price = forms.DecimalField(min_value=Decimal(0), max_digits=20, label="Closed at", required=False)
    account_currency = forms.CharField(max_length=5, initial="USD")
    leverage = forms.IntegerField(min_value=1, max_value=10_000, initial=100)

    def clean_account_currency(self) -> str:
        """A known one."""
        try:
            return Currency.of(self.cleaned_data["account_currency"]).code
        except DomainError as error:
            raise forms.ValidationError(error.message) from error


@register_desk_page
class InstrumentCalculator(DeskPage):
    """Profit, margin, pip, point and spread of a volume, with each formula and the numbers put in."""

    desk, slug, title, capability = "platform_ops", "calculator", "Instrument calculator", VIEW_PLATFORM
    subtitle = "The rules that the back office itself computes by. R(x, d) rounds to d decimals, halves away from zero."
    template_name = "platform_ops/symbols_calculator.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form, and the answers once a symbol is chosen."""
        form = CalculatorForm(self._given() or None, initial={"account_currency": "USD"})
        form.fields["group"].queryset = visible_to(AccountGroup.objects.all(), self.actor).order_by("name")  # type: ignore[attr-defined]
        desk_widgets(form)
        context: dict[str, Any] = {"form": form, "answers": [], "problem": ""}
        if form.is_bound and form.is_valid():
            try:
                terms, answers = calculator.answers(self._question(form.cleaned_data))
                context |= {"answers": answers, "mode": choice_in_words(CalculationMode, terms.calculation_mode)}
            except DomainError as error:
                context["problem"] = error.message
        return self.page(context)

    def _given(self) -> dict[str, Any]:
        """What the address says, with the last price and the usual values for what it leaves out."""
        given = self.request.GET.dict()
        if not given.get("symbol", "").isdigit():
            return given
        usual = {"side": "1", "lots": "1", "account_currency": "USD", "leverage": "100"}
        if quote := calculator.quote_of(int(given["symbol"])):
            is_sell = given.get("side") == "-1"
            first, second = (quote.bid, quote.ask) if is_sell else (quote.ask, quote.bid)
            usual |= {"open_price": plain_value(first), "close_price": plain_value(second)}
        return usual | {name: value for name, value in given.items() if value}

    @staticmethod
    def _question(data: Mapping[str, Any]) -> calculator.Question:
        opened = data["open_price"] if data["open_price"] is not None else Decimal(0)
        return calculator.Question(
            symbol_id=data["symbol"].pk,
            group_id=data["group"].pk if data["group"] else None,
            side=Side(data["side"]),
            lots=data["lots"],
            open_price=opened,
            close_price=data["close_price"] if data["close_price"] is not None else opened,
            account_currency=data["account_currency"],
            leverage=data["leverage"],
            at=clock.now(),
        )


def _link(code: str) -> str:
    return format_html('<a class="bo-link" href="{}">{}</a>', SymbolPage.url(code=code), code)


def _holds(spec: SymbolSpec, moment: Any) -> bool:
    lower, upper = spec.validity.lower, spec.validity.upper
    return (lower is None or lower <= moment) and (upper is None or moment < upper)


def _since(spec: SymbolSpec) -> str:
    return f"from {spec.validity.lower:%Y-%m-%d %H:%M}" if spec.validity.lower else "from the beginning"


def _version(spec: SymbolSpec, now: Any) -> dict[str, Any]:
    lower = spec.validity.lower
    words = "in force" if _holds(spec, now) else "planned" if lower and lower > now else "past"
    tones = {"in force": "good", "planned": "info", "past": "quiet"}
    return {"spec": spec, "state": badge_html(words.capitalize(), tones[words])}


def _sections(spec: SymbolSpec) -> list[tuple[str, list[tuple[str, str]]]]:
    plain = specification_terms(spec)
    sections: dict[str, list[tuple[str, str]]] = {}
    for term in TERMS:
        words = value_in_words(term.name, plain[term.name])
        sections.setdefault(term.section, []).append((term.label, words))
    return list(sections.items())


def _overrides(symbol: Symbol, actor: Actor, now: Any) -> list[dict[str, Any]]:
    rows = visible_to(GroupSymbolOverride.objects.select_related("group__server"), actor).filter(symbol=symbol)
    return [
        {
            "group": row.group,
            "from": row.validity.lower,
            "until": row.validity.upper,
            "terms": [(LABELS[name], value_in_words(name, value)) for name, value in own_terms(row).items()],
        }
        for row in rows.order_by("group__name", "-validity")[:MAX_VERSIONS]
    ]


def _servers(symbol: Symbol, standing: SymbolSpec | None, actor: Actor) -> list[dict[str, Any]]:
    """What each server calls the symbol, what it stated last, and what drifts."""
    found = []
    named = visible_to(ServerSymbol.objects.select_related("server", "stated_terms"), actor).filter(symbol=symbol)
    for row in named.order_by("server__code", "name"):
        stated = getattr(row, "stated_terms", None)
        drifts: list[dict[str, Any]] = [
            {
                "row": drift,
                "label": LABELS[drift.field],
                "approved": value_in_words(drift.field, drift.approved),
                "stated": value_in_words(drift.field, drift.stated),
            }
            for drift in row.drifts.exclude(state=SymbolDrift.State.GONE).order_by("field")
        ]
        found.append(
            {
                "row": row,
                "stated": stated,
                "drifts": drifts,
                "has_open": any(drift["row"].state == SymbolDrift.State.OPEN for drift in drifts),
            }
        )
    return found


def _stated(server: TradingServer, words: str) -> dict[int, dict[str, Any]]:
    """What a server stated by symbol; of two names of one symbol the first counts."""
    rows = ServerSymbolTerms.objects.select_related("server_symbol").filter(
        server_symbol__server=server, server_symbol__symbol__isnull=False
    )
    if words:
        rows = rows.filter(server_symbol__symbol__code__icontains=words)
    found: dict[int, dict[str, Any]] = {}
    for row in rows.order_by("server_symbol__name"):
        if row.server_symbol.symbol_id is not None:
            found.setdefault(row.server_symbol.symbol_id, row.terms)
    return found


def _comparable(name: str, value: Any) -> Any:
    if name == "spread_points" and value is not None:
        return plain_value(Decimal(str(value)))
    return value
