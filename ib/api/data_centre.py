"""The data centre over HTTP: for systems of the house and for partners' own, by the same reads as the pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import AmountField, entity_field
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView, StrictSerializer, use_case
from ib.api.requests import ChangeSerializer
from ib.models.name_policies import NameDisplayChoice
from ib.selectors.data_centre import activity, expected, figures, partners, people
from ib.selectors.data_centre.people import Show
from ib.selectors.data_centre.viewpoint import VIEW, Dimension, Filters, Viewpoint, own_viewpoint, staff_viewpoint
from ib.services import name_policies

OWN = "ib.view_own_commissions"
MOST = 1_000


class FiltersSerializer(StrictSerializer):
    """Which business days, both included, and what is left out."""

    from_day = serializers.DateField()
    to_day = serializers.DateField()
    level = serializers.IntegerField(min_value=1, max_value=100, required=False, allow_null=True, default=None)
    country = serializers.CharField(max_length=2, required=False, allow_blank=True, default="")
    campaign = serializers.CharField(max_length=160, required=False, allow_blank=True, default="")
    symbol_group = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, allow_null=True, default=None
    )


class WhoseSerializer(StrictSerializer):
    """From whose place it is looked: a partner's by its reference, else the whole house."""

    partner = serializers.CharField(max_length=20, required=False, allow_blank=True, default="")
    entity = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, allow_null=True, default=None, help_text="Its number."
    )


class BySerializer(StrictSerializer):
    """Broken down by what."""

    by = serializers.ChoiceField(
        choices=[(item.value, item.value) for item in Dimension], required=False, allow_blank=True, default=""
    )


class ShowSerializer(StrictSerializer):
    """Which clients."""

    show = serializers.ChoiceField(choices=[(item.value, item.value) for item in Show], default=Show.ALL.value)


class ClientOnlySerializer(StrictSerializer):
    """Of one client only, by number."""

    client = serializers.CharField(max_length=20, required=False, allow_blank=True, default="")


def _amount(**more: Any) -> AmountField:
    return AmountField(max_digits=60, decimal_places=8, **more)


class FiguresSerializer(serializers.Serializer[Any]):
    """Figures of the days. Null where the filters cannot tell a figure apart; money in the currency of the row."""

    key = serializers.CharField(allow_blank=True)
    label = serializers.CharField(allow_blank=True)  # type: ignore[assignment]  # a field of that name
    registered = serializers.IntegerField(allow_null=True)
    accounts = serializers.IntegerField(allow_null=True)
    verified = serializers.IntegerField(allow_null=True)
    first_deposits = serializers.IntegerField(allow_null=True)
    deposits = _amount(allow_null=True)
    withdrawals = _amount(allow_null=True)
    returned = _amount(allow_null=True)
    traders = serializers.IntegerField()
    trades = serializers.IntegerField()
    lots = _amount()
    notional = _amount()
    on_trades = _amount()
    by_period = _amount()
    goodwill = _amount()
    commission = _amount()
    currency = serializers.CharField()
    unvalued = serializers.IntegerField()


class BreakdownSerializer(serializers.Serializer[Any]):
    """The whole and its rows."""

    total = FiguresSerializer()
    rows = FiguresSerializer(many=True)


class IntroducedClientSerializer(serializers.Serializer[Any]):
    """A client, with what the caller may read of the person, and what they did in the days."""

    reference = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    email = serializers.CharField(allow_blank=True)
    country = serializers.CharField(allow_blank=True)
    campaign = serializers.CharField(allow_blank=True)
    level = serializers.IntegerField()
    introducer = serializers.CharField()
    joined = serializers.DateField()
    accounts = serializers.IntegerField()
    verified = serializers.DateField(allow_null=True)
    first_deposit = serializers.DateField(allow_null=True)
    first_trade = serializers.DateField(allow_null=True)
    last_trade = serializers.DateField(allow_null=True)
    deposits = _amount()
    withdrawals = _amount()
    trades = serializers.IntegerField()
    lots = _amount()
    commission = _amount()
    currency = serializers.CharField()


class ThroughSerializer(serializers.Serializer[Any]):
    """Clients of a partner below, as a sum."""

    introducer = serializers.CharField()
    clients = serializers.IntegerField()
    deposits = _amount()
    withdrawals = _amount()
    trades = serializers.IntegerField()
    lots = _amount()
    commission = _amount()
    currency = serializers.CharField()


class ClientListSerializer(serializers.Serializer[Any]):
    """Clients one by one, and those of partners below as sums."""

    clients = IntroducedClientSerializer(many=True)
    through = ThroughSerializer(many=True)


class FunnelStepSerializer(serializers.Serializer[Any]):
    """How many of those who registered in the days came so far."""

    show = serializers.CharField()
    title = serializers.CharField()
    clients = serializers.IntegerField()
    median_days = serializers.IntegerField(allow_null=True)


class CohortMonthSerializer(serializers.Serializer[Any]):
    """A month of a cohort."""

    month = serializers.DateField()
    active = serializers.IntegerField()
    commission = _amount()


class CohortSerializer(serializers.Serializer[Any]):
    """Clients who registered in a month, and what became of them."""

    month = serializers.DateField()
    clients = serializers.IntegerField()
    deposited = serializers.IntegerField()
    months = CohortMonthSerializer(many=True)
    commission = _amount()
    currency = serializers.CharField()


class LeagueRowSerializer(serializers.Serializer[Any]):
    """A partner in the league."""

    place = serializers.IntegerField()
    reference = serializers.CharField()
    name = serializers.CharField()
    status = serializers.CharField()
    level = serializers.IntegerField()
    clients = serializers.IntegerField()
    registered = serializers.IntegerField()
    active = serializers.IntegerField()
    trades = serializers.IntegerField()
    lots = _amount()
    lots_before = _amount()
    trend = serializers.DecimalField(max_digits=30, decimal_places=0, allow_null=True)
    commission = _amount()
    currency = serializers.CharField()


class TradeRowSerializer(serializers.Serializer[Any]):
    """A trade of a client, or of one who came through a partner below, with what it earned the viewpoint."""

    trade_id = serializers.IntegerField()
    day = serializers.DateField()
    closed_at = serializers.DateTimeField()
    ticket = serializers.IntegerField()
    client = serializers.CharField()
    level = serializers.IntegerField()
    symbol = serializers.CharField()
    symbol_group = serializers.CharField()
    side = serializers.CharField()
    lots = _amount()
    commission = _amount()
    currency = serializers.CharField()


class PaymentRowSerializer(serializers.Serializer[Any]):
    """Money that a client paid in or took out."""

    day = serializers.DateField()
    client = serializers.CharField()
    kind = serializers.CharField()
    amount = _amount()
    currency = serializers.CharField()
    worth = _amount(allow_null=True)
    worth_currency = serializers.CharField()


class ExpectedPartSerializer(serializers.Serializer[Any]):
    """A kind of commission of the open month."""

    title = serializers.CharField()
    expected = _amount()
    booked = _amount()
    difference = _amount()
    currency = serializers.CharField()
    is_open = serializers.BooleanField()


class ExpectationSerializer(serializers.Serializer[Any]):
    """What the open month is worth by now, against what is booked."""

    month = serializers.DateField()
    until = serializers.DateField()
    parts = ExpectedPartSerializer(many=True)
    is_outdated = serializers.BooleanField()
    problem = serializers.CharField(allow_blank=True)


@dataclass(frozen=True, slots=True)
class Read:
    """A read of the data centre: its name, what it takes beside the days, what it gives, and whether as a list."""

    name: str
    summary: str
    read: Callable[[Viewpoint, Filters, dict[str, Any]], Any]
    output: Any
    more: Sequence[type[StrictSerializer]] = ()
    has_days: bool = True


READS = (
    Read(
        "figures",
        "Openings, deposits, trading and commission of the days, in all and broken down.",
        lambda view, filters, more: figures.figures(view, filters, Dimension(more["by"]) if more["by"] else None),
        BreakdownSerializer,
        (BySerializer,),
    ),
    Read(
        "clients",
        f"Clients of a list, at most {people.MAXIMUM_CLIENTS}.",
        lambda view, filters, more: {
            "clients": people.client_rows(view, filters, Show(more["show"])),
            "through": people.clients_through(view, filters, Show(more["show"])),
        },
        ClientListSerializer,
        (ShowSerializer,),
    ),
    Read(
        "funnel",
        "How far those came who registered in the days.",
        lambda view, filters, more: people.funnel(view, filters),
        FunnelStepSerializer(many=True),
    ),
    Read(
        "cohorts",
        "Clients by month of registration, over the year that ends with the days.",
        lambda view, filters, more: people.cohorts(view, filters),
        CohortSerializer(many=True),
    ),
    Read(
        "partners",
        "The league of partners.",
        lambda view, filters, more: partners.league(view, filters),
        LeagueRowSerializer(many=True),
    ),
    Read(
        "trades",
        f"Trades of the days, the newest {MOST}.",
        lambda view, filters, more: activity.trades(view, filters, client=more["client"], limit=MOST),
        TradeRowSerializer(many=True),
        (ClientOnlySerializer,),
    ),
    Read(
        "payments",
        f"Deposits and withdrawals of the days, the newest {MOST}.",
        lambda view, filters, more: activity.payments(view, filters, client=more["client"]),
        PaymentRowSerializer(many=True),
        (ClientOnlySerializer,),
    ),
    Read(
        "expected",
        "What the open month is worth by now, by the engine's own target, against what is booked.",
        lambda view, filters, more: expected.expected_month(view),
        ExpectationSerializer,
        has_days=False,
    ),
)


def _filters(given: dict[str, Any]) -> Filters:
    return Filters(
        from_day=given["from_day"],
        to_day=given["to_day"],
        level=given["level"],
        country=given["country"],
        campaign=given["campaign"],
        symbol_group_id=given["symbol_group"],
    )


def _view(item: Read, *, is_own: bool) -> type[ApiView]:
    """The endpoint of a read, for a partner's own or for staff."""
    prefix = "own_data_centre" if is_own else "data_centre"
    bases = (*item.more, *((FiltersSerializer,) if item.has_days else ()), *(() if is_own else (WhoseSerializer,)))
    title = "".join(word.capitalize() for word in f"{prefix}_{item.name}".split("_"))
    query = type(f"{title}QuerySerializer", bases, {"__doc__": item.summary}) if bases else None

    def get(self: ApiView, request: Request) -> Response:
        given = self.parameters() if query is not None else {}
        if is_own:
            view = own_viewpoint(actor=self.actor)
        else:
            view = staff_viewpoint(actor=self.actor, partner=given["partner"], entity_id=given["entity"])
        filters = _filters(given) if item.has_days else None
        found = item.read(view, filters, given)  # type: ignore[arg-type]  # only what has days looks at them
        many = getattr(item.output, "many", False)
        serializer = item.output.child.__class__ if many else item.output
        return Response(serializer(found, many=many).data)

    described = extend_schema(operation_id=f"{prefix}_{item.name}", description=item.summary, responses=item.output)(
        get
    )
    return type(
        f"{title}View",
        (ApiView,),
        {"__doc__": item.summary, "capability": OWN if is_own else VIEW, "query": query, "get": described},
    )


class NamePolicyRequestSerializer(StrictSerializer):
    """What partners of an entity are to read of their clients, from a day on."""

    entity = entity_field()
    display = serializers.ChoiceField(choices=NameDisplayChoice.choices)
    valid_from = serializers.DateField()
    reason = serializers.CharField(max_length=500)


class RequestNamePolicyView(ApiView):
    """Asking for another policy of names."""

    @use_case(
        capability=name_policies.MAKER,
        input=NamePolicyRequestSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="name_policies_request",
        description="Asks for what partners read of their clients; another person approves it at the desk.",
    )
    def post(self, call: Any) -> Any:
        """The request."""
        given = dict(call.data)
        return name_policies.request_name_policy(entity_id=given.pop("entity").pk, actor=call.actor, **given)


def register() -> None:
    """Puts the data centre on the API."""
    for item in READS:
        register_endpoint(f"own/data-centre/{item.name}/", _view(item, is_own=True), f"own-data-centre-{item.name}")
        register_endpoint(f"data-centre/{item.name}/", _view(item, is_own=False), f"data-centre-{item.name}")
    register_endpoint("name-policies/request/", RequestNamePolicyView, "name-policies-request")
