"""Swaps: rollovers and their lines, breaks, charges, dividends."""

from __future__ import annotations

from datetime import date
from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.access import get_visible
from backoffice.kernel.errors import NotFound
from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import (
    DividendEvent,
    SwapBreak,
    SwapCharge,
    SwapLine,
    SwapRun,
    Symbol,
    TradingServer,
)
from platform_ops.permissions import (
    ACCEPT_SWAP_BREAKS,
    APPROVE_DIVIDENDS,
    MANAGE_SWAPS,
    RUN_ROLLOVER,
    VIEW_PLATFORM,
)
from platform_ops.rules.swap_words import explain
from platform_ops.services.swaps import dividends, proof, rollover
from platform_ops.services.swaps.checks import term_of_row


class SwapRunSerializer(serializers.ModelSerializer[SwapRun]):
    """One pass over a server's day, with the money that it booked."""

    server = code_of("server.code")
    figures = serializers.DictField(read_only=True)

    class Meta:
        model = SwapRun
        fields = ["id", "server", "day", "number", "cut_at", "mode", "positions", "lines", "figures", "created_at"]
        read_only_fields = fields


class RunRolloverSerializer(StrictSerializer):
    """Which day of which server."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    day = serializers.DateField()


class SwapRunFilter(filters.FilterSet):
    """Which runs."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = SwapRun
        fields = ["day"]


class SwapRunViewSet(ScopedReadOnlyViewSet):
    """Rollovers."""

    capability = VIEW_PLATFORM
    queryset = SwapRun.objects.select_related("server")
    serializer_class = SwapRunSerializer
    lookup_value_converter = "int"
    filterset_class = SwapRunFilter

    @use_case(
        capability=RUN_ROLLOVER,
        input=RunRolloverSerializer,
        output=SwapRunSerializer,
        apart=True,
        operation_id="swap_runs_run",
        description="Computes a server's day, or books what has changed since; a repeat that finds nothing writes nothing.",
    )
    def create(self, call: Call) -> Any:
        """The run."""
        return rollover.run_rollover(server_id=call.data["server"].pk, day=call.data["day"], actor=call.actor)


class SwapLineSerializer(serializers.ModelSerializer[SwapLine]):
    """The swap of a position for a day, and how it was computed."""

    reference = serializers.SerializerMethodField()
    account = code_of("account.login")
    symbol = code_of("term.server_symbol.name")
    currency = code_of("term.currency")
    side = serializers.SerializerMethodField()
    nights = serializers.DecimalField(source="term.nights", max_digits=8, decimal_places=2, read_only=True)
    formula = serializers.SerializerMethodField()

    class Meta:
        model = SwapLine
        fields = [
            "reference", "day", "account", "position_ticket", "seq", "symbol", "side", "volume_lots", "nights", "swap",
            "dividend", "fee", "currency", "cause", "formula",
        ]  # fmt: skip
        read_only_fields = fields

    def get_reference(self, line: SwapLine) -> str:
        """The parts of the key."""
        return f"{line.day:%Y%m%d}-{line.account_id}-{line.position_ticket}-{line.seq}"

    def get_side(self, line: SwapLine) -> str:
        """Buy or sell."""
        return "buy" if line.term.side > 0 else "sell"

    def get_formula(self, line: SwapLine) -> str:
        """With the numbers put in."""
        return explain(term_of_row(line.term), lots=line.volume_lots, open_price=line.open_price, cause=line.cause)


class SwapLineFilter(filters.FilterSet):
    """Which lines."""

    server = filters.CharFilter(field_name="account__server__code")
    account = filters.CharFilter(field_name="account__login")

    class Meta:
        model = SwapLine
        fields = ["day", "position_ticket", "cause"]


class SwapLineViewSet(ScopedReadOnlyViewSet):
    """Swap lines, the newest day first."""

    capability = VIEW_PLATFORM
    queryset = SwapLine.objects.select_related("account", "term__server_symbol")
    serializer_class = SwapLineSerializer
    page_ordering = ("-day", "account_id", "position_ticket", "seq")
    lookup_field = "reference"
    filterset_class = SwapLineFilter

    def get_object(self) -> SwapLine:
        """By its reference, which joins the key's parts."""
        try:
            day, account_id, ticket, seq = self.kwargs["reference"].split("-")
            key = (date.fromisoformat(day), int(account_id), int(ticket), int(seq))
        except ValueError:
            raise NotFound("No such line.") from None
        return get_visible(self.get_queryset(), self.actor, pk=key)


class SwapBreakSerializer(serializers.ModelSerializer[SwapBreak]):
    """A position whose swap on the server is not what is due."""

    server = code_of("account.server.code")
    account = code_of("account.login")
    symbol = code_of("server_symbol.name")

    class Meta:
        model = SwapBreak
        fields = [
            "id", "server", "account", "position_ticket", "symbol", "first_day", "day", "nights", "ours", "theirs", "currency",
            "state", "reason", "decided_by",
        ]  # fmt: skip
        read_only_fields = fields


class SwapBreakViewSet(ScopedReadOnlyViewSet):
    """Differences between what servers charged and what is due."""

    capability = VIEW_PLATFORM
    queryset = SwapBreak.objects.select_related("account__server", "server_symbol")
    serializer_class = SwapBreakSerializer
    lookup_value_converter = "int"
    filterset_fields = ["state", "position_ticket"]

    @use_case(
        capability=ACCEPT_SWAP_BREAKS,
        input=ReasonSerializer,
        output=SwapBreakSerializer,
        route="accept",
        operation_id="swap_breaks_accept",
        description="Leaves a difference as it is; should it change, it opens again.",
    )
    def accept(self, call: Call) -> Any:
        """The difference, accepted."""
        return proof.accept_swap_break(break_id=call.target.pk, actor=call.actor, **call.data)


class SwapChargeSerializer(serializers.ModelSerializer[SwapCharge]):
    """What we charged an account."""

    account = code_of("account.login")
    operation = serializers.CharField(
        source="operation.reference", default=None, allow_null=True, help_text="Of the operation that carries it out."
    )

    class Meta:
        model = SwapCharge
        fields = [
            "id", "reference", "account", "day", "kind", "amount", "currency", "state", "operation", "deal_ticket", "problem",
        ]  # fmt: skip
        read_only_fields = fields


class SwapChargeViewSet(ScopedReadOnlyViewSet):
    """Charges of swaps and fees."""

    capability = VIEW_PLATFORM
    queryset = SwapCharge.objects.select_related("account", "operation")
    serializer_class = SwapChargeSerializer
    lookup_value_converter = "int"
    filterset_fields = ["state", "day"]


class DividendSerializer(serializers.ModelSerializer[DividendEvent]):
    """A dividend, from the clients' side."""

    symbol = code_of("symbol.code")

    class Meta:
        model = DividendEvent
        fields = [
            "id", "symbol", "ex_date", "unit", "amount_long", "amount_short", "state", "note", "proposed_by", "decided_by",
        ]  # fmt: skip
        read_only_fields = fields


class ProposeDividendSerializer(StrictSerializer):
    """A dividend to be approved by another person."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    ex_date = serializers.DateField()
    unit = serializers.ChoiceField(choices=DividendEvent.Unit.choices, default=DividendEvent.Unit.PRICE.value)
    amount_long = serializers.DecimalField(max_digits=20, decimal_places=8)
    amount_short = serializers.DecimalField(max_digits=20, decimal_places=8, required=False)
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)


class DividendViewSet(ScopedReadOnlyViewSet):
    """Dividends."""

    capability = VIEW_PLATFORM
    queryset = DividendEvent.objects.select_related("symbol")
    serializer_class = DividendSerializer
    lookup_value_converter = "int"
    filterset_fields = ["state", "ex_date"]

    @use_case(
        capability=MANAGE_SWAPS,
        input=ProposeDividendSerializer,
        output=DividendSerializer,
        status=201,
        operation_id="dividends_propose",
        description="Writes a dividend down; it counts once another person has approved it.",
    )
    def create(self, call: Call) -> Any:
        """The dividend, waiting."""
        values = dict(call.data)
        return dividends.propose_dividend(symbol_id=values.pop("symbol").pk, actor=call.actor, **values)

    @use_case(
        capability=APPROVE_DIVIDENDS,
        input=ReasonSerializer,
        output=DividendSerializer,
        route="approve",
        operation_id="dividends_approve",
        description="Lets a dividend count; not by who proposed it.",
    )
    def approve(self, call: Call) -> Any:
        """The dividend, approved."""
        return dividends.approve_dividend(event_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=APPROVE_DIVIDENDS,
        input=ReasonSerializer,
        output=DividendSerializer,
        route="reject",
        operation_id="dividends_reject",
        description="Lets a dividend not count, or no longer.",
    )
    def reject(self, call: Call) -> Any:
        """The dividend, rejected."""
        return dividends.reject_dividend(event_id=call.target.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts swaps on the API."""
    register_router("swap-runs", SwapRunViewSet, "swap-run")
    register_router("swap-lines", SwapLineViewSet, "swap-line")
    register_router("swap-breaks", SwapBreakViewSet, "swap-break")
    register_router("swap-charges", SwapChargeViewSet, "swap-charge")
    register_router("dividends", DividendViewSet, "dividend")
