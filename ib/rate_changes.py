"""Changes of one partner that need four eyes: a rank for a time that has begun, a rate that the desk agrees on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.change_effects import card_problems, impact_of, settle_again
from ib.models import NegotiatedRate, Partner
from ib.permissions import APPROVE_CHANGES
from ib.rules import plain
from ib.services import agreed_rates, rank_rows, ranks
from ib.services.validity import cut_off, from_on
from ib.services.what_if import compare_set_ups

Payload = dict[str, Any]


def register() -> None:
    """Registers the kinds. Called once, when the process starts."""
    _register(
        kind=ranks.PARTNER_RANK,
        label="Rank of a partner",
        title=_rank_title,
        current=_rank_before,
        proposed=_rank_after,
        preview=_preview_rank,
        apply=_give_rank,
        verify=_verify_rank,
        revert=_rank_back,
        check=_check_rank,
    )
    _register(
        kind=agreed_rates.AGREED_RATE,
        label="Agreed rate of a partner",
        title=_rate_title,
        current=_rate_before,
        proposed=_rate_after,
        preview=_preview_rate,
        apply=_agree_rate,
        verify=_verify_rate,
        revert=_rate_back,
        check=_check_rate,
    )


def _register(**functions: Any) -> None:
    register_change_kind(
        ChangeKind(
            desk="ib",
            maker_capability="ib.manage_partners",
            checker_capability=APPROVE_CHANGES,
            target=lambda payload: _partner(payload),
            entity_of=lambda payload: _partner(payload).entity_id,
            **functions,
        )
    )


# Rank


def _check_rank(payload: Payload) -> None:
    agreed_rates.check_rank(
        partner_id=_partner(payload).pk,
        rank=str(payload.get("rank", "")),
        valid_from=_moment(payload, "valid_from"),
        until=_moment(payload, "until") if payload.get("until") else None,
        is_automatic=bool(payload.get("is_automatic")),
    )


def _rank_title(payload: Payload) -> str:
    rank = payload["rank"] or "no rank"
    until = f" until {_moment(payload, 'until'):%Y-%m-%d}" if payload.get("until") else ""
    return f"{_partner(payload).reference}: {rank} from {_moment(payload, 'valid_from'):%Y-%m-%d}{until}"


def _rank_before(payload: Payload) -> dict[str, Any]:
    standing = rank_rows.rank_at(_partner(payload).pk, _moment(payload, "valid_from"))
    if standing is None:
        return {"Rank": "none", "Given": "", "Until": ""}
    end = standing.validity.upper
    return {
        "Rank": standing.rank,
        "Given": standing.get_source_display(),
        "Until": f"{end:%Y-%m-%d}" if end else "further notice",
    }


def _rank_after(payload: Payload) -> dict[str, Any]:
    automatic = payload.get("is_automatic")
    return {
        "Rank": payload["rank"] or "none",
        "Given": "By the rules of the plan" if automatic else "By hand",
        "Until": f"{_moment(payload, 'until'):%Y-%m-%d}" if payload.get("until") else "further notice",
    }


def _preview_rank(payload: Payload, actor: Actor) -> Impact:
    partner = _partner(payload)
    until = _moment(payload, "until") if payload.get("until") else None

    def change(moment: datetime) -> None:
        if until is None or moment < until:
            write = rank_rows.write_automatic if payload.get("is_automatic") else rank_rows.write_by_hand
            end = {"end": until} if payload.get("is_automatic") else {"until": until}
            write(partner_id=partner.pk, rank=payload["rank"], start=moment, reason="preview", **end)  # type: ignore[operator]

    return impact_of(compare_set_ups(change=change, valid_from=_moment(payload, "valid_from")), "this rank")


def _give_rank(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    partner = _partner(payload)
    before = rank_rows.ranks_of(partner.pk)
    agreed_rates.give_rank(
        partner_id=partner.pk,
        rank=payload["rank"],
        valid_from=_moment(payload, "valid_from"),
        until=_moment(payload, "until") if payload.get("until") else None,
        is_automatic=bool(payload.get("is_automatic")),
        reason=f"{request.reference}: {request.reason}",
        actor=actor,
        approval=request,
    )
    return {
        "partner_id": partner.pk,
        "rank": payload["rank"],
        "valid_from": payload["valid_from"],
        "before": before,
        "after": rank_rows.ranks_of(partner.pk),
        **settle_again(),
    }


def _verify_rank(outcome: dict[str, Any]) -> list[str]:
    standing = rank_rows.rank_at(outcome["partner_id"], datetime.fromisoformat(outcome["valid_from"]))
    held = standing.rank if standing is not None else ""
    problems = [] if held == outcome["rank"] else ["The partner holds another rank."]
    return problems + card_problems(outcome)


def _rank_back(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    if rank_rows.ranks_of(outcome["partner_id"]) != outcome["after"]:
        raise Conflict("The partner's ranks changed again since; revert that first.", code="moved_on")
    rank_rows.restore(outcome["partner_id"], outcome["before"])
    return settle_again()


# Agreed rate


def _check_rate(payload: Payload) -> None:
    rate, percent = _amounts(payload)
    agreed_rates.check_agreed(rate=rate, allocation_percent=percent)
    _moment(payload, "valid_from")
    _partner(payload)


def _rate_title(payload: Payload) -> str:
    moment = _moment(payload, "valid_from")
    return f"{_partner(payload).reference}: {_rate_after(payload)['Rate']} from {moment:%Y-%m-%d}"


def _rate_before(payload: Payload) -> dict[str, Any]:
    standing = NegotiatedRate.objects.filter(
        partner=_partner(payload), component=payload["component"], validity__contains=_moment(payload, "valid_from")
    ).first()
    if standing is None:
        return {"Rate": "the plan's"}
    return {"Rate": _words(standing.rate, standing.allocation_percent)}


def _rate_after(payload: Payload) -> dict[str, Any]:
    return {"Rate": _words(*_amounts(payload))}


def _words(rate: Decimal | None, percent: Decimal | None) -> str:
    return plain(rate) if rate is not None else f"{plain(percent or Decimal(0))} % of the rate above"


def _preview_rate(payload: Payload, actor: Actor) -> Impact:
    partner = _partner(payload)
    rate, percent = _amounts(payload)

    def change(moment: datetime) -> None:
        cut_off(NegotiatedRate.objects.filter(partner=partner, component=payload["component"]), moment)
        NegotiatedRate.objects.create(
            partner=partner,
            component=payload["component"],
            rate=rate,
            allocation_percent=percent,
            validity=from_on(moment),
        )

    return impact_of(compare_set_ups(change=change, valid_from=_moment(payload, "valid_from")), "this rate")


def _agree_rate(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    partner = _partner(payload)
    rate, percent = _amounts(payload)
    before = _rates_of(partner.pk, payload["component"])
    agreed_rates.agree_rate(
        partner_id=partner.pk,
        component=payload["component"],
        rate=rate,
        allocation_percent=percent,
        valid_from=_moment(payload, "valid_from"),
        reason=f"{request.reference}: {request.reason}",
        actor=actor,
        approval=request,
    )
    return {
        "partner_id": partner.pk,
        "component": payload["component"],
        "rate": payload.get("rate"),
        "allocation_percent": payload.get("allocation_percent"),
        "valid_from": payload["valid_from"],
        "before": before,
        "after": _rates_of(partner.pk, payload["component"]),
        **settle_again(),
    }


def _verify_rate(outcome: dict[str, Any]) -> list[str]:
    standing = NegotiatedRate.objects.filter(
        partner_id=outcome["partner_id"],
        component=outcome["component"],
        validity__contains=datetime.fromisoformat(outcome["valid_from"]),
    ).first()
    held = (standing.rate, standing.allocation_percent) if standing is not None else (None, None)
    problems = [] if held == _amounts(outcome) else ["The partner has another rate."]
    return problems + card_problems(outcome)


def _rate_back(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    rows = NegotiatedRate.objects.filter(partner_id=outcome["partner_id"], component=outcome["component"])
    if _rates_of(outcome["partner_id"], outcome["component"]) != outcome["after"]:
        raise Conflict("The partner's rate changed again since; revert that first.", code="moved_on")
    moment = datetime.fromisoformat(outcome["valid_from"])
    cut_off(rows, moment)
    for row in outcome["before"]:
        start = datetime.fromisoformat(row["from"]) if row["from"] else None
        end = datetime.fromisoformat(row["to"]) if row["to"] else None
        if end is not None and end <= moment:
            continue
        rows.filter(validity__startswith=start).delete()
        NegotiatedRate.objects.create(
            partner_id=outcome["partner_id"],
            component=outcome["component"],
            rate=_decimal(row["rate"]),
            allocation_percent=_decimal(row["percent"]),
            set_by_id=row["set_by"],
            validity=type(from_on(moment))(start, end),
        )
    return settle_again()


def _rates_of(partner_id: int, component: str) -> list[dict[str, Any]]:
    return [
        {
            "rate": plain(row.rate) if row.rate is not None else None,
            "percent": plain(row.allocation_percent) if row.allocation_percent is not None else None,
            "set_by": row.set_by_id,
            "from": row.validity.lower.isoformat() if row.validity.lower else None,
            "to": row.validity.upper.isoformat() if row.validity.upper else None,
        }
        for row in NegotiatedRate.objects.filter(partner_id=partner_id, component=component).order_by("validity")
    ]


def _amounts(payload: Payload) -> tuple[Decimal | None, Decimal | None]:
    return _decimal(payload.get("rate")), _decimal(payload.get("allocation_percent"))


def _decimal(text: Any) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(str(text))
    except ArithmeticError as error:
        raise InvalidInput("This is no amount.", field="rate", value=str(text)) from error


def _partner(payload: Payload) -> Partner:
    found = Partner.objects.filter(pk=payload.get("partner_id") or 0).first()
    if found is None:
        raise InvalidInput("No such partner.", field="partner_id")
    return found


def _moment(payload: Payload, name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(payload.get(name)))
    except ValueError as error:
        raise InvalidInput("This is no moment.", field=name) from error
    if moment.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field=name)
    return moment
