"""The change request of swap rates: checked, previewed in money, applied to the rates and queued for the servers, verified by
what the servers say, reverted to what was.

`apply` and `revert` write rates and queue pushes in one transaction; no server is spoken to in it (`pushing` does that).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone, business_day_of
from backoffice.kernel.errors import Conflict, InvalidInput, MissingRate
from platform_ops.models import AccountGroup, SwapRate, SwapSheet, Symbol, TradingServer
from platform_ops.permissions import APPROVE_SWAPS, MANAGE_SWAPS
from platform_ops.rules.swap_desk import (
    DEFAULT_FLAG_PERCENT,
    MAX_EXPLANATION,
    Rates,
    Weight,
    check_bounds,
    findings,
    is_blocked,
    mode_words,
    reasons_outside,
)
from platform_ops.rules.swap_sheets import plain
from platform_ops.rules.swaps import RateDraft, check_rate, rate_terms, read_rate_terms
from platform_ops.services.swap_desk.figures import NightFigures, night_of
from platform_ops.services.swap_desk.pushes import plan_pushes, plan_reversal, problems_of_pushes
from platform_ops.services.swap_desk.standing import Standing, rates_of
from platform_ops.services.swaps.rates import SWAP_RATES_KIND, RateKey, end_swap_rates, rates_in_force, set_swap_rates

Payload = dict[str, Any]
MAX_RATES = 600
"""As many as a change request can hold."""
MAX_TITLE_SYMBOLS = 3
CHANGE_OF_NIGHT = "A night changes by"


@dataclass(frozen=True, slots=True)
class Proposed:
    """One rate of a payload with its name, what it replaces and its explanation."""

    name: str
    rate: RateDraft
    before: RateDraft | None
    explanation: str


def register() -> None:
    """Registers the kind; called once when the application starts."""
    register_change_kind(
        ChangeKind(
            kind=SWAP_RATES_KIND,
            label="Swap rates",
            desk="platform_ops",
            maker_capability=MANAGE_SWAPS,
            checker_capability=APPROVE_SWAPS,
            title=_title,
            current=_current,
            proposed=_proposed,
            preview=_preview,
            apply=_apply,
            verify=_verify,
            revert=_revert,
            check=_check,
            target=lambda payload: SwapSheet.objects.filter(pk=payload.get("sheet_id") or 0).first(),
            entity_of=lambda payload: None,
            outside_bounds=_outside,
            check_bounds=check_bounds,
            bounds_help="By how many percent a rate may move (change_percent), and a whole night (nightly_cost), without a person.",
        )
    )


def _check(payload: Payload) -> None:
    """A payload by whatever way it came: its figures can be stored, replace what it says, and are explained where needed."""
    moment = _moment(payload)
    proposed = _rows(payload)
    if moment < clock.now() and _rolled_over_since(moment):
        raise Conflict(
            "A night has been charged since these rates were to begin: propose them anew.", code="valid_from_passed"
        )
    standing = Standing(at=max(moment, clock.now()), symbol_ids=[row.rate.symbol_id for row in proposed])
    for row in proposed:
        check_rate(row.rate, name=row.name)
        today = standing.counts((row.rate.symbol_id, row.rate.group_id))
        if (rate_terms(today) if today else None) != (rate_terms(row.before) if row.before else None):
            raise Conflict(f"{row.name} has another rate by now: look at the sheet again.", code="rate_moved")
        if not standing.has_specification(row.rate.symbol_id):
            raise InvalidInput(f"{row.name} has no specification in force.", field="symbol", symbol=row.name)
        suspicious = findings(
            Rates(row.rate.long, row.rate.short, row.rate.mode),
            current=rates_of(today),
            provider=_provider(row.rate),
            expected=None,
            flag_percent=DEFAULT_FLAG_PERCENT,
        )
        if is_blocked(suspicious, row.explanation):
            why = " ".join(finding.message for finding in suspicious if finding.weight is Weight.BLOCK)
            raise InvalidInput(f"{row.name}: {why} Say why it is right.", field="explanations", symbol=row.name)


def _provider(rate: RateDraft) -> Rates | None:
    if rate.lp_long is None or rate.lp_short is None:
        return None
    return Rates(rate.lp_long, rate.lp_short, rate.mode)


def _rolled_over_since(moment: datetime) -> bool:
    """Whether any server's day, or New York's, ended between the moment and now."""
    now = clock.now()
    if business_day_of(moment) != business_day_of(now):
        return True
    zones = set(TradingServer.objects.order_by().values_list("zone", flat=True))
    return any(
        ServerZone.parse(zone).to_local(moment).date() != ServerZone.parse(zone).to_local(now).date() for zone in zones
    )


def _title(payload: Payload) -> str:
    rows = _rows(payload)
    named = ", ".join(row.name for row in rows[:MAX_TITLE_SYMBOLS])
    more = f" and {len(rows) - MAX_TITLE_SYMBOLS:,} more" if len(rows) > MAX_TITLE_SYMBOLS else ""
    return f"Swaps of {named}{more} from {_moment(payload):%Y-%m-%d %H:%M} UTC"


def _current(payload: Payload) -> dict[str, Any]:
    rows = _rows(payload)
    at = max(_moment(payload), clock.now())
    symbol_ids = [row.rate.symbol_id for row in rows]
    standing = Standing(at=at, symbol_ids=symbol_ids)
    words = {row.name: _words(standing.counts((row.rate.symbol_id, row.rate.group_id))) for row in rows}
    planned = SwapRate.objects.filter(symbol_id__in=symbol_ids, validity__startswith__gt=at).order_by("validity", "pk")
    keys = {(row.rate.symbol_id, row.rate.group_id) for row in rows}
    later = [row for row in planned if (row.symbol_id, row.group_id) in keys]
    return {
        **words,
        "Planned for later": ", ".join(f"from {row.validity.lower:%Y-%m-%d %H:%M}" for row in later[:5]) or "none",
    }


def _proposed(payload: Payload) -> dict[str, Any]:
    return {**{row.name: _words(row.rate) for row in _rows(payload)}, "Planned for later": "none"}


def _words(rate: RateDraft | None) -> str:
    if rate is None:
        return "no rate"
    provider = (
        ""
        if rate.lp_long is None or rate.lp_short is None
        else f", provider {plain(rate.lp_long)} / {plain(rate.lp_short)}"
    )
    return f"{plain(rate.long)} / {plain(rate.short)} {mode_words(rate.mode)}{provider}"


def _preview(payload: Payload, actor: Actor) -> Impact:
    """Open positions × the new rates: what a night costs by server, book, client, symbol and whatever else is grouped by."""
    rows = _rows(payload)
    explained = [{"By": "Explained", "Name": row.name, "Why": row.explanation} for row in rows if row.explanation]
    try:
        night = night_of(drafts=[row.rate for row in rows], actor=actor)
    except MissingRate as error:
        return Impact(f"What a night costs is not known: {error.message}", _same_keys(explained), {"Rates": len(rows)})
    table = [
        {"By": label, "Name": name, **_figures(figures)}
        for label, named in night.groupings.items()
        for name, figures in named
    ]
    total = night.total
    many = f"{total.positions:,} open {'position' if total.positions == 1 else 'positions'}"
    summary = (
        f"{many}: a night is {_money(total.now)} {night.currency} for the clients now and {_money(total.then)} then."
        if total.positions
        else "Nothing is open in these symbols: only what is opened from then on is affected."
    )
    return Impact(
        summary,
        _same_keys([*explained, *table]),
        {
            "Rates": len(rows),
            "Open positions": total.positions,
            f"A night now, {night.currency}": _money(total.now),
            f"A night then, {night.currency}": _money(total.then),
            f"{CHANGE_OF_NIGHT}, {night.currency}": _money(total.change),
        },
    )


def _figures(figures: NightFigures) -> dict[str, Any]:
    return {
        "Positions": figures.positions,
        "Lots": _money(figures.lots),
        "Night now": _money(figures.now),
        "Night then": _money(figures.then),
        "Change": _money(figures.change),
    }


def _same_keys(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name, "") for name in names} for row in rows]


def _outside(payload: Payload, impact: Impact, bounds: Mapping[str, Any]) -> list[str]:
    rows = [
        {
            "symbol": name,
            "group": "",
            "mode": rate["mode"],
            "long": rate["long"],
            "short": rate["short"],
            "before": before,
            "explanation": explanation,
        }
        for name, rate, before, explanation in zip(
            payload.get("names") or [f"symbol {rate['symbol_id']}" for rate in payload["rates"]],
            payload["rates"],
            payload["before"],
            payload["explanations"],
            strict=True,
        )
    ]
    moved = next((value for name, value in impact.figures.items() if name.startswith(CHANGE_OF_NIGHT)), None)
    return reasons_outside(rows, bounds, nightly_change=None if moved is None else Decimal(str(moved).replace(",", "")))


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    rows = _rows(payload)
    moment = _moment(payload)
    keys = [(row.rate.symbol_id, row.rate.group_id) for row in rows]
    own = rates_in_force(at=max(moment, clock.now()), keys=keys)
    written = set_swap_rates(
        rates=[row.rate for row in rows],
        valid_from=moment,
        approval=request,
        actor=actor,
        reason=f"{request.reference}: {request.reason}",
    )
    pushes = plan_pushes(change=request, rates=[row.rate for row in rows], due_at=max(moment, clock.now()))
    return {
        "change_id": request.pk,
        "valid_from": moment.isoformat(),
        "rates": payload["rates"],
        "rate_ids": [row.pk for row in written],
        "before": payload["before"],
        "own_before": [rate_terms(own[key]) if key in own else None for key in keys],
        "pushes": pushes,
    }


def _verify(outcome: dict[str, Any]) -> list[str]:
    moment = max(datetime.fromisoformat(outcome["valid_from"]), clock.now())
    wanted = [read_rate_terms(terms) for terms in outcome["rates"]]
    standing = rates_in_force(at=moment, keys=[(rate.symbol_id, rate.group_id) for rate in wanted])
    names = _names(wanted)
    problems = [
        f"{names[rate.symbol_id, rate.group_id]} reads {_words(standing.get((rate.symbol_id, rate.group_id)))}, not {_words(rate)}."
        for rate in wanted
        if standing.get((rate.symbol_id, rate.group_id)) != rate
    ]
    return problems + problems_of_pushes(change_id=outcome["change_id"])


def _revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    """Puts back what was, from now on; what was charged in between stays charged. The servers are told again."""
    began = datetime.fromisoformat(outcome["valid_from"])
    moment = max(began, clock.now())
    wanted = [read_rate_terms(terms) for terms in outcome["rates"]]
    keys: list[RateKey] = [(rate.symbol_id, rate.group_id) for rate in wanted]
    names = _names(wanted)
    standing = set(
        SwapRate.objects.filter(validity__contains=moment, pk__in=outcome["rate_ids"]).values_list(
            "symbol_id", "group_id"
        )
    )
    moved = [names[key] for key in keys if key not in standing]
    if moved:
        raise Conflict(f"{', '.join(moved[:5])}: the rate was changed again since; revert that first.", code="moved_on")
    # The approval was for the change itself; its reversal is carried out in the name of who asked for it.
    acting = Actor.system(f"revert of swap rates by {actor.label}"[:190])
    before = [read_rate_terms(terms) for terms in outcome["own_before"] if terms is not None]
    none_before = [key for key, terms in zip(keys, outcome["own_before"], strict=True) if terms is None]
    if before:
        set_swap_rates(rates=before, valid_from=moment, approval=None, actor=acting, reason=reason)
    if none_before:
        end_swap_rates(keys=none_before, at=moment, approval=None, actor=acting, reason=reason)
    counted = {
        key: None if terms is None else read_rate_terms(terms)
        for key, terms in zip(keys, outcome["before"], strict=True)
    }
    pushes = plan_reversal(change_id=outcome["change_id"], before=counted, due_at=clock.now())
    return {"restored": len(before), "ended": len(none_before), "pushes": pushes, "from": moment.isoformat()}


def _rows(payload: Payload) -> list[Proposed]:
    """The payload's rates with their names. Raises InvalidInput for whatever cannot be read."""
    given = [payload.get(name) for name in ("rates", "before", "explanations")]
    if not all(isinstance(part, list) for part in given) or len({len(part) for part in given}) != 1:  # type: ignore[arg-type]
        raise InvalidInput("Rates, what they replace and their explanations are lists of one length.", field="rates")
    terms, before, explanations = given
    assert isinstance(terms, list) and isinstance(before, list) and isinstance(explanations, list)
    if not 1 <= len(terms) <= MAX_RATES:
        raise InvalidInput(f"One to {MAX_RATES} rates in one request; this has {len(terms)}.", field="rates")
    rates = [_read(row, number) for number, row in enumerate(terms, start=1)]
    names = _names(rates)
    if len({(rate.symbol_id, rate.group_id) for rate in rates}) != len(rates):
        raise InvalidInput("A symbol stands twice in the same group.", field="rates")
    found = []
    for number, (rate, old, text) in enumerate(zip(rates, before, explanations, strict=True), start=1):
        if not isinstance(text, str) or len(text) > MAX_EXPLANATION:
            raise InvalidInput("An explanation is a short text.", field="explanations", row=number)
        name = names.get((rate.symbol_id, rate.group_id))
        if name is None:
            raise InvalidInput("No such symbol or account group.", field="symbol", row=number)
        found.append(Proposed(name, rate, None if old is None else _read(old, number), text))
    return found


def _read(terms: Any, number: int) -> RateDraft:
    try:
        rate = read_rate_terms(terms)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise InvalidInput("This is no swap rate.", field="rates", row=number) from error
    if rate_terms(rate) != dict(terms):
        raise InvalidInput("Write figures without trailing zeros, as they are read back.", field="rates", row=number)
    return rate


def _names(rates: Sequence[RateDraft]) -> dict[RateKey, str]:
    symbols = dict(Symbol.objects.filter(pk__in={rate.symbol_id for rate in rates}).values_list("pk", "code"))
    groups = {
        group.pk: f"{group.name} on {group.server.code}"
        for group in AccountGroup.objects.filter(
            pk__in={rate.group_id for rate in rates if rate.group_id}
        ).select_related("server")
    }
    found: dict[RateKey, str] = {}
    for rate in rates:
        if rate.symbol_id not in symbols or (rate.group_id is not None and rate.group_id not in groups):
            continue
        suffix = f" for {groups[rate.group_id]}" if rate.group_id is not None else ""
        found[rate.symbol_id, rate.group_id] = f"{symbols[rate.symbol_id]}{suffix}"
    return found


def _moment(payload: Payload) -> datetime:
    try:
        moment = datetime.fromisoformat(str(payload.get("valid_from")))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field="valid_from") from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="valid_from")
    return moment


def _money(amount: Decimal) -> str:
    return f"{round(amount, 2):,.2f}"


__all__ = ["SWAP_RATES_KIND", "register"]
