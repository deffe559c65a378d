"""The rate card: compiled when the set-up changed, pinned by every settlement.

Triggers mark every change of tree, agreements, plan versions and rules, whoever makes it. The next settlement (or
`compile_rate_card`) compiles, and enqueues the settlement of exactly the days that the change touches.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.types import Actor
from backoffice.kernel.errors import Retryable
from ib.engine import booking
from ib.engine import card as sql
from ib.engine.card.building import CardFacts, build_card, facts_of
from ib.locks import SETTLEMENT_LOCK_TIMEOUT_MS, limit_waiting, lock_card_compilation
from ib.models import ConfigChange, RateCardVersion
from ib.services.shards import days_of_accounts, enqueue_days

ATTEMPTS_TO_PIN = 5
TRADES_OF_A_CHANGE = 10
"""Trades that a changed (direct partner, symbol group) is taken to concern, to choose how the days are looked for."""


def compile_rate_card(*, actor: Actor) -> RateCardVersion:
    """Compiles the card anew and makes it the active one; an equal card stays the version that it is.

    Days with trades that the difference touches are enqueued for settlement in the same transaction.
    """
    authorise(actor, "ib.settle_commissions")
    with transaction.atomic():
        limit_waiting(SETTLEMENT_LOCK_TIMEOUT_MS)
        lock_card_compilation()
        active = RateCardVersion.objects.filter(is_active=True).first()
        return _compile(active=active, actor=actor)


def ensure_current_card(*, actor: Actor) -> RateCardVersion:
    """The active version, compiled first if the set-up changed since."""
    active = RateCardVersion.objects.filter(is_active=True).first()
    if active is not None and not is_outdated(active):
        return active
    return compile_rate_card(actor=actor)


def pin_current_card(*, actor: Actor) -> RateCardVersion | None:
    """Holds the active version until the caller's transaction ends; None if it is out of date and must be compiled."""
    for _ in range(ATTEMPTS_TO_PIN):
        # FOR SHARE waits for a compilation that is about to replace the row, and then no longer finds it active.
        found = list(RateCardVersion.objects.raw("SELECT * FROM ib_ratecardversion WHERE is_active FOR SHARE"))
        if found:
            return None if is_outdated(found[0]) else found[0]
        if not RateCardVersion.objects.filter(is_active=True).exists():
            return None
    raise Retryable("The rate card changes all the time; try again.", code="rate_card_busy")


def is_outdated(version: RateCardVersion) -> bool:
    """Whether the set-up changed since the version was compiled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM ib_configchange)"
            " OR %s::bigint[] IS DISTINCT FROM ARRAY(SELECT id FROM platform_ops_symbolgroup ORDER BY id)",
            [version.symbol_groups],
        )
        return bool(cursor.fetchone()[0])


def facts_of_card(version: RateCardVersion, *, trades: tuple[str, Mapping[str, Any]] | None = None) -> CardFacts:
    """What a statement over the card must know; for the money of some trades only, if a condition on `t` names them."""
    return facts_of(pairs=version.currency_pairs, symbols=version.symbols, traits=version.traits, trades=trades)


def _compile(*, active: RateCardVersion | None, actor: Actor) -> RateCardVersion:
    # The marks go first: a change that commits after this statement leaves its mark, so it cannot be overlooked.
    ConfigChange.objects.all().delete()
    built = build_card()
    if active is not None and (active.digest, active.traits) == (built.digest, built.traits):
        active.symbol_groups, active.symbols = built.groups, built.symbols
        RateCardVersion.objects.filter(pk=active.pk).update(symbol_groups=built.groups, symbols=built.symbols)
        version = active
    else:
        version = RateCardVersion(
            digest=built.digest,
            entries=built.entries,
            symbol_groups=built.groups,
            symbols=built.symbols,
            traits=built.traits,
            currency_pairs=built.pairs,
            is_active=True,
        )
        _activate(version=version, active=active)
        enqueue_days(days=_affected_days(), cause=f"card:{version.pk}", actor=actor)
    if built.changed_accounts:
        days = days_of_accounts(account_ids=built.changed_accounts)
        enqueue_days(days=days, cause="account_class", actor=actor)
    return version


def _activate(*, version: RateCardVersion, active: RateCardVersion | None) -> None:
    """Waits here for running settlements, which hold the old version; only then do entries change."""
    if active is not None:
        RateCardVersion.objects.filter(pk=active.pk).update(is_active=False)
    version.save(force_insert=True)
    with connection.cursor() as cursor:
        cursor.execute(sql.CREATE_CHANGED)
        cursor.execute(sql.SET_ASIDE)
        cursor.execute(sql.TAKE_OVER)
        cursor.execute("ANALYZE ib_ratecardentry")


def _affected_days() -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE ib_card_changed")
        cursor.execute("SELECT count(*) FROM ib_card_changed")
        booking.pin_plan(cursor.fetchone()[0] * TRADES_OF_A_CHANGE)
        cursor.execute(sql.AFFECTED_DAYS)
        days = [row[0] for row in cursor.fetchall()]
    booking.free_plan()
    return days
