"""The files of a take-over package: their columns, keys, references and rules, declared once.

The reader, the checks, the documentation (`docs/formats/migration.md`) and the example package all follow from here.
Values are checked by `backoffice.migration.values`; nothing here touches the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from typing import Any

from backoffice.kernel.errors import InvalidInput
from platform_ops.rules.sessions import read_week
from platform_ops.rules.specifications import TERMS, Term, TermKind, check_specification
from platform_ops.services.catalogue import Specification
from platform_ops.services.specifications import read_specification

Row = dict[str, str]
Complaint = tuple[str, str, str, str]
"""(field, code, message, how to mend it)"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how its values are written (`type` names a reader of `values`), and what they mean."""

    name: str
    type: str
    meaning: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    longest: int = 160
    currency: str = ""
    """For amounts: the column that holds the currency, whose digits bound the amount's."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Columns that together name a row of another file, or something that the back office has already."""

    columns: tuple[str, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds: one row for each of its things."""

    name: str
    title: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    references: tuple[Reference, ...] = ()
    dated_by: tuple[str, ...] = ()
    """Rows that agree in these columns must not overlap in time (`valid_from`, `valid_to`)."""
    total: tuple[tuple[str, ...], str] | None = None
    """Control total of the manifest: the sum of these columns by the currency column."""
    rule: Callable[[Row], Iterable[Complaint]] | None = None
    """A check over the whole row, asked only for rows whose values are all right."""
    updates: str = ""
    """What a later package may change, in words."""

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


def _period(row: Row) -> Iterable[Complaint]:
    if row["valid_from"] and row["valid_to"] and row["valid_to"] <= row["valid_from"]:
        yield (
            "valid_to",
            "period_backwards",
            "The validity ends before or when it begins.",
            "Write a later end, or leave it empty for an open end.",
        )


def _edge(row: Row) -> Iterable[Complaint]:
    yield from _period(row)
    if row["partner"] == row["parent"]:
        yield (
            "parent",
            "partner_under_itself",
            "A partner cannot stand under itself.",
            "Name the partner above, or leave the row out: a partner without a row stands at the top.",
        )


def _rule(row: Row) -> Iterable[Complaint]:
    if not 1 <= int(row["level"]) <= 100:
        yield "level", "out_of_bounds", "A level lies between 1 and 100.", "1 is the partner who introduced the client."


NOT_NEGATIVE = frozenset({"client_wallet", "partner_payable", "partner_wallet", "trading_credit"})
OPENING_OWNERS: dict[str, tuple[str, ...]] = {
    "client_wallet": ("client",),
    "trading_account": ("server", "login"),
    "trading_credit": ("server", "login"),
    "partner_accrued": ("partner",),
    "partner_payable": ("partner",),
    "partner_wallet": ("partner",),
    "bank": (),
    "psp": (),
}


def _opening(row: Row) -> Iterable[Complaint]:
    owner = OPENING_OWNERS[row["account_kind"]]
    for name in ("client", "server", "login", "partner"):
        if name in owner and not row[name]:
            yield (
                name,
                "missing_value",
                f"An opening balance of {row['account_kind']} names its {name}.",
                "Fill the column.",
            )
        if name not in owner and row[name]:
            yield (
                name,
                "not_its_owner",
                f"A balance of {row['account_kind']} has no {name}.",
                "Leave the column empty, or choose another account_kind.",
            )
    if row["account_kind"] in NOT_NEGATIVE and row["amount"].startswith("-"):
        yield (
            "amount",
            "negative_not_allowed",
            f"A {row['account_kind']} cannot be below zero.",
            "What a client owes is settled before the take-over, or taken over on the trading account.",
        )
    if not row["amount"].strip("-0."):
        yield "amount", "zero_opening", "An opening balance of nothing says nothing.", "Leave the row out."


def _deal(row: Row) -> Iterable[Complaint]:
    if row["kind"] in ("buy", "sell", "buy_canceled", "sell_canceled"):
        for name in ("entry", "symbol", "price", "position"):
            if not row[name] or row[name] == "0":
                yield name, "missing_value", f"A trade names its {name}.", "Fill the column."


def _term_column(term: Term) -> Column:
    """The column of a term: choices by their names, weekday numbers and sessions as people write them."""
    meaning = term.help or f"{term.label}."
    default = _TERM_DEFAULTS.get(term.name)
    if term.kind is TermKind.CHOICE:
        assert term.choices is not None
        choices = tuple(item.name.lower() for item in term.choices)
        return Column(term.name, "choice", meaning, choices=choices, default=term.choices(default or 0).name.lower())
    if term.kind is TermKind.FLAG:
        return Column(term.name, "boolean", meaning, default="no")
    if term.kind is TermKind.CURRENCY:
        return Column(term.name, "currency", meaning, required=True)
    if term.kind is TermKind.ZONE:
        return Column(term.name, "zone", meaning, default="EET_US")
    if term.kind is TermKind.MULTIPLIERS:
        return Column(term.name, "text", meaning, default="0, 1, 1, 3, 1, 1, 0")
    if term.kind is TermKind.SESSIONS:
        return Column(term.name, "text", f"{meaning or term.label}, such as Mon-Fri 00:00-24:00; Sun 22:05-24:00.",
                      default="Mon-Fri 00:00-24:00", longest=400)  # fmt: skip
    if term.kind in (TermKind.DAY, TermKind.TEXT):
        return Column(term.name, "text", meaning, longest=20)
    if term.kind is TermKind.WHOLE:
        return Column(term.name, "integer", meaning, default="" if term.is_optional else str(default or 0))
    kind = _POSITIVE if term.is_above_zero else "decimal"
    return Column(term.name, kind, meaning, default=str(default or 0))


_TERM_DEFAULTS: dict[str, Any] = {
    given.name: given.default for given in fields(Specification) if given.default is not MISSING
}


def specification_values(row: Row) -> dict[str, Any]:
    """The terms of a row of `symbol_specs` as plain data. Raises InvalidInput, naming the field."""
    values: dict[str, Any] = {}
    for term in TERMS:
        text = row.get(term.name) or ""
        if term.kind is TermKind.CHOICE:
            assert term.choices is not None
            values[term.name] = int(term.choices[text.upper()])
        elif term.kind is TermKind.FLAG:
            values[term.name] = text == "yes"
        elif term.kind is TermKind.WHOLE:
            values[term.name] = int(text) if text else None
        elif term.kind is TermKind.MULTIPLIERS:
            values[term.name] = [nights.strip() for nights in text.split(",")]
        elif term.kind is TermKind.SESSIONS:
            values[term.name] = read_week(text, field=term.name)
        else:
            values[term.name] = text
    return values


def _specification(row: Row) -> Iterable[Complaint]:
    yield from _symbol(row)
    try:
        check_specification(read_specification(specification_values(row)))
    except InvalidInput as error:
        yield (
            str(error.details.get("field", "symbol")), "out_of_bounds", error.message, "Check the value.",
        )  # fmt: skip


def _symbol(row: Row) -> Iterable[Complaint]:
    if row["lots_maximum"] and Decimal(row["lots_minimum"]) > Decimal(row["lots_maximum"]):
        yield "lots_minimum", "out_of_bounds", "The smallest volume is above the largest.", "Exchange the two."
    yield from _period(row)


_FROM = Column("valid_from", "moment", "First moment at which the row counts.", required=True)
_TO = Column("valid_to", "moment", "First moment at which it no longer counts; empty: until further notice.")
_NAME = Column("name", "text", "Name that people read.", required=True)
_CURRENCY = Column("currency", "currency", "ISO 4217 code in capitals.", required=True)
_SERVER = Column("server", "code", "Code of a trading server.", required=True, longest=40)
_LOGIN = Column("login", "login", "Account number on its server.", required=True, longest=32)
_BRAND = Column("brand", "code", "Code of a brand of the entity; may be empty if it has one.", longest=32)
_EMAIL = Column("email", "email", "E-mail address.", longest=254)
_COUNTRY = Column("country", "country", "ISO 3166 code, two capital letters.")
_POSITIVE = "positive"

SYMBOL_GROUPS = Content(
    "symbol_groups",
    "Symbol groups",
    (Column("code", "code", "What plans and symbols call the group.", required=True, longest=40), _NAME),
    ("code",),
    updates="name",
)
SYMBOLS = Content(
    "symbols",
    "Symbols of the house",
    (
        Column("code", "symbol", "The house's own name, such as EURUSD.", required=True, longest=32),
        Column("name", "text", "Name that people read.", longest=120),
        Column(
            "asset_class",
            "choice",
            "Kind of asset.",
            required=True,
            choices=("forex", "metal", "energy", "index", "share", "crypto"),
        ),
        Column("group", "code", "Code of a symbol group.", required=True, longest=40),
        Column("base_asset", "symbol", "Currency or asset of a lot.", required=True, longest=16),
        Column("profit_currency", "currency", "Currency in which profit is counted.", required=True),
    ),
    ("code",),
    (Reference(("group",), "symbol_groups"),),
    updates="name",
)
TERM_COLUMNS = tuple(_term_column(term) for term in TERMS if term.name not in ("digits", "contract_size", "pip_size"))
SYMBOL_SPECS = Content(
    "symbol_specs",
    "Dated specifications of symbols",
    (
        Column("symbol", "symbol", "Code of a symbol.", required=True, longest=32),
        _FROM,
        _TO,
        Column("digits", "integer", "Decimal places of its price.", required=True),
        Column("contract_size", _POSITIVE, "Units in a lot.", required=True),
        Column("pip_size", _POSITIVE, "Price of one pip.", required=True),
        *TERM_COLUMNS,
    ),
    ("symbol", "valid_from"),
    (Reference(("symbol",), "symbols"),),
    dated_by=("symbol",),
    rule=_specification,
)
SERVERS = Content(
    "servers",
    "Trading servers",
    (
        Column("code", "code", "What other files call the server.", required=True, longest=40),
        _NAME,
        Column("platform", "choice", "Whose rules it follows.", required=True, choices=("mt4", "mt5", "other")),
        Column("zone", "zone", "Its clock: EET_US, EET_EU, UTC or FIXED+03:00.", required=True, longest=20),
    ),
    ("code",),
    updates="name",
)
SERVER_SYMBOLS = Content(
    "server_symbols",
    "What servers call the symbols",
    (
        _SERVER,
        Column("name", "symbol", "The server's name, such as EURUSD.m.", required=True, longest=40),
        Column("symbol", "symbol", "The house's symbol; empty: not matched yet.", longest=32),
    ),
    ("server", "name"),
    (Reference(("server",), "servers"), Reference(("symbol",), "symbols")),
    updates="symbol, while it is empty",
)
ACCOUNT_TYPES = Content(
    "account_types",
    "Account types of the catalogue",
    (Column("code", "code", "What other files call the type.", required=True, longest=40), _NAME),
    ("code",),
    updates="name",
)
ACCOUNT_GROUPS = Content(
    "account_groups",
    "Groups on servers",
    (
        _SERVER,
        Column("name", "group", "Name on the server, such as real\\standard-usd.", required=True, longest=120),
        Column("account_type", "code", "Code of an account type.", longest=40),
        _CURRENCY,
    ),
    ("server", "name"),
    (Reference(("server",), "servers"), Reference(("account_type",), "account_types")),
    updates="account_type",
)
CLIENTS = Content(
    "clients",
    "Clients",
    (
        Column("external_id", "identifier", "The client's number in the system you leave.", required=True),
        _BRAND,
        Column("full_name", "text", "Name.", required=True),
        _EMAIL,
        Column("phone", "phone", "Telephone number.", longest=32),
        _COUNTRY,
        Column("language", "language", "Language code.", default="en", longest=10),
        Column(
            "stage",
            "choice",
            "How far they have come.",
            required=True,
            choices=("lead", "registered", "verified", "funded", "active", "dormant", "closed"),
        ),
        Column("registered_at", "moment", "When they registered."),
        Column("team", "text", "Name of a team of the entity.", longest=80),
        Column("owner", "email", "E-mail address of the member of staff who looks after them.", longest=254),
    ),
    ("external_id",),
    (Reference(("brand",), "brands"), Reference(("team",), "teams"), Reference(("owner",), "staff")),
    updates="everything but external_id, brand and registered_at",
)
PARTNERS = Content(
    "partners",
    "Introducing brokers",
    (
        Column("external_id", "identifier", "The partner's number in the system you leave.", required=True),
        _BRAND,
        _NAME,
        _EMAIL,
        _COUNTRY,
        Column("currency", "currency", "Currency in which commission is booked and paid.", required=True),
        Column("status", "choice", "State.", choices=("active", "suspended", "closed"), default="active"),
    ),
    ("external_id",),
    (Reference(("brand",), "brands"),),
    updates="name, email, country, status (a closed partner stays closed)",
)
PARTNER_EDGES = Content(
    "partner_edges",
    "The dated partner tree",
    (
        Column("partner", "identifier", "external_id of the partner below.", required=True),
        Column("parent", "identifier", "external_id of the partner directly above.", required=True),
        _FROM,
        _TO,
    ),
    ("partner", "valid_from"),
    (Reference(("partner",), "partners"), Reference(("parent",), "partners")),
    dated_by=("partner",),
    rule=_edge,
)
CLIENT_REFERRALS = Content(
    "client_referrals",
    "Which partner introduced a client, and when that counts",
    (
        Column("client", "identifier", "external_id of the client.", required=True),
        Column("partner", "identifier", "external_id of the partner.", required=True),
        _FROM,
        _TO,
    ),
    ("client", "valid_from"),
    (Reference(("client",), "clients"), Reference(("partner",), "partners")),
    dated_by=("client",),
    rule=_period,
)
PLANS = Content(
    "plans",
    "Commission plans",
    (Column("code", "code", "What other files call the plan.", required=True, longest=40), _NAME),
    ("code",),
    updates="name",
)
PLAN_VERSIONS = Content(
    "plan_versions",
    "Published versions of plans",
    (
        Column("plan", "code", "Code of a plan.", required=True, longest=40),
        Column("number", "integer", "Number of the version, from 1.", required=True),
        _FROM,
        _TO,
    ),
    ("plan", "number"),
    (Reference(("plan",), "plans"),),
    dated_by=("plan",),
    rule=_period,
)
PLAN_RULES = Content(
    "plan_rules",
    "Rules of plan versions",
    (
        Column("plan", "code", "Code of a plan.", required=True, longest=40),
        Column("number", "integer", "Number of the version.", required=True),
        Column("symbol_group", "code", "Code of a symbol group; empty: every group.", longest=40),
        Column("level", "integer", "1: the partner who introduced the client, 2: the one above, …", required=True),
        Column("amount_per_lot", "not_negative", "Amount for one lot.", required=True),
        Column("currency", "currency", "Currency of the amount.", required=True),
    ),
    ("plan", "number", "symbol_group", "level"),
    (Reference(("plan", "number"), "plan_versions"), Reference(("symbol_group",), "symbol_groups")),
    rule=_rule,
)
AGREEMENTS = Content(
    "agreements",
    "Which plan binds a partner, and when",
    (
        Column("partner", "identifier", "external_id of the partner.", required=True),
        Column("plan", "code", "Code of the plan; the version valid at a trade's time counts.", required=True),
        _FROM,
        _TO,
    ),
    ("partner", "valid_from"),
    (Reference(("partner",), "partners"), Reference(("plan",), "plans")),
    dated_by=("partner",),
    rule=_period,
)
ACCOUNTS = Content(
    "accounts",
    "Trading accounts",
    (
        _SERVER,
        _LOGIN,
        Column("client", "identifier", "external_id of its client; empty: it waits to be assigned."),
        Column("group", "group", "Name of its group on the server.", longest=120),
        Column("account_type", "code", "Code of an account type; empty: that of the group.", longest=40),
        Column("name", "text", "Name on the server."),
        _CURRENCY,
        Column("leverage", "integer", "100 for 1:100."),
        Column("position_mode", "choice", "How positions are kept.", choices=("hedging", "netting"), default="hedging"),
        Column("status", "choice", "State.", choices=("active", "read_only", "closed"), default="active"),
        Column("is_demo", "boolean", "Whether it is a demo account: yes or no.", default="no"),
        Column("opened_at", "moment", "When it was opened.", required=True),
    ),
    ("server", "login"),
    (
        Reference(("server",), "servers"),
        Reference(("client",), "clients"),
        Reference(("server", "group"), "account_groups"),
        Reference(("account_type",), "account_types"),
    ),
    updates="client (while it is empty), group, account_type, name, leverage, status",
)
ACCOUNT_DIMENSIONS = Content(
    "account_dimensions",
    "Dated qualities of accounts, such as the A or B book",
    (
        _SERVER,
        _LOGIN,
        Column("dimension", "code", "Such as book.", required=True, longest=40),
        Column("value", "text", "Such as A.", required=True),
        _FROM,
        _TO,
    ),
    ("server", "login", "dimension", "valid_from"),
    (Reference(("server", "login"), "accounts"),),
    dated_by=("server", "login", "dimension"),
    rule=_period,
)
OPENING_BALANCES = Content(
    "opening_balances",
    "Opening balances",
    (
        Column("account_kind", "choice", "Whose money it is.", required=True, choices=tuple(OPENING_OWNERS)),
        Column("client", "identifier", "external_id, for client_wallet."),
        Column("server", "code", "For trading_account and trading_credit.", longest=40),
        Column("login", "login", "For trading_account and trading_credit.", longest=32),
        Column("partner", "identifier", "external_id, for the partner kinds."),
        _CURRENCY,
        Column(
            "amount",
            "amount",
            "Balance from its owner's side; a bank balance is what the house holds.",
            required=True,
            currency="currency",
        ),
        Column("business_day", "day", "Business day in whose books it stands, at its beginning.", required=True),
    ),
    ("account_kind", "client", "server", "login", "partner", "currency"),
    (
        Reference(("client",), "clients"),
        Reference(("server", "login"), "accounts"),
        Reference(("partner",), "partners"),
    ),
    total=(("amount",), "currency"),
    rule=_opening,
)
DEAL_KINDS = (
    "buy",
    "sell",
    "balance",
    "credit",
    "charge",
    "correction",
    "bonus",
    "commission",
    "commission_daily",
    "commission_monthly",
    "agent_daily",
    "agent_monthly",
    "interest",
    "buy_canceled",
    "sell_canceled",
    "dividend",
    "dividend_franked",
    "tax",
    "agent",
    "so_compensation",
    "so_credit_compensation",
)
DEAL_ENTRIES = ("in", "out", "inout", "out_by")
_MONEY = "decimal"
DEALS = Content(
    "deals",
    "Deals of many accounts",
    (
        _SERVER,
        _LOGIN,
        Column("currency", "currency", "Currency of the account.", required=True),
        Column("ticket", "ticket", "Name of the deal on its server.", required=True),
        Column("leg", "integer", "1 is the closing of an MT4 ticket, else 0.", default="0"),
        Column("kind", "choice", "What it is.", required=True, choices=DEAL_KINDS),
        Column("entry", "choice", "Trades only, and required there.", choices=DEAL_ENTRIES),
        Column("position", "ticket", "Ticket of its position; required for trades.", default="0"),
        Column("order", "ticket", "Ticket of its order.", default="0"),
        Column("symbol", "symbol", "As the server names it; required for trades.", longest=40),
        Column("volume_lots", "not_negative", "Volume in lots.", default="0"),
        Column("price", _POSITIVE, "Price; required for trades."),
        Column("time", "moment", "When it was done.", required=True),
        Column("profit", _MONEY, "In the account's currency.", default="0"),
        Column("swap", _MONEY, "In the account's currency.", default="0"),
        Column("commission", _MONEY, "Costs are negative.", default="0"),
        Column("fee", _MONEY, "Costs are negative.", default="0"),
        Column("comment", "text", "The server's comment.", longest=255),
        Column("open_price", _POSITIVE, "On closing trades: weighted price of the opening."),
        Column("open_time", "moment", "On closing trades: when the position was opened."),
    ),
    ("server", "ticket", "leg"),
    (Reference(("server", "login"), "accounts"),),
    total=(("profit", "swap", "commission", "fee"), "currency"),
    rule=_deal,
)

CONTENTS: dict[str, Content] = {
    content.name: content
    for content in (
        SYMBOL_GROUPS,
        SYMBOLS,
        SYMBOL_SPECS,
        SERVERS,
        SERVER_SYMBOLS,
        ACCOUNT_TYPES,
        ACCOUNT_GROUPS,
        CLIENTS,
        PARTNERS,
        PARTNER_EDGES,
        CLIENT_REFERRALS,
        PLANS,
        PLAN_VERSIONS,
        PLAN_RULES,
        AGREEMENTS,
        ACCOUNTS,
        ACCOUNT_DIMENSIONS,
        DEALS,
        OPENING_BALANCES,
    )
}
"""Every content in the order in which files are applied: what a row refers to comes before it."""
