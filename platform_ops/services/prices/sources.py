"""Sources of prices: who sends, in which order they count, and a restart of what the filter remembers of one."""

from __future__ import annotations

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import PriceFeed, PriceSource, SymbolPriceState
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.price_filter import MAXIMUM_SOURCES

_FIELDS = ("name", "priority", "is_enabled", "silence_seconds", "storm_ticks")
MAXIMUM_SECONDS = 86_400
MAXIMUM_STORM = 1_000_000


@transaction.atomic
def set_source(
    *,
    code: str,
    name: str,
    priority: int,
    actor: Actor,
    reason: str,
    is_enabled: bool = True,
    silence_seconds: int = 60,
    storm_ticks: int = 500,
) -> PriceSource:
    """Sets up a source, or changes one. Raises InvalidInput for figures that cannot be, Conflict above 16 sources."""
    authorise(actor, MANAGE_CATALOGUE)
    for field, value, most in (
        ("priority", priority, 32_767),
        ("silence_seconds", silence_seconds, MAXIMUM_SECONDS),
        ("storm_ticks", storm_ticks, MAXIMUM_STORM),
    ):
        if not (0 if field == "priority" else 1) <= value <= most:
            raise InvalidInput(f"{field} lies between 1 and {most:,}.", field=field, value=value)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    values = {
        "name": name, "priority": priority, "is_enabled": is_enabled, "silence_seconds": silence_seconds,
        "storm_ticks": storm_ticks,
    }  # fmt: skip
    source = PriceSource.objects.select_for_update().filter(code=code).first()
    before = {field: getattr(source, field) for field in _FIELDS} if source else {}
    if before == values and source is not None:
        return source
    if source is None and PriceSource.objects.count() >= MAXIMUM_SOURCES:
        raise Conflict(f"At most {MAXIMUM_SOURCES} sources.", code="too_many_sources")
    source, _ = PriceSource.objects.update_or_create(code=code, defaults=values)
    audit.record(
        actor=actor, action="platform.set_price_source", target=source, reason=reason,
        changes={"before": before, "after": values},
    )  # fmt: skip
    return source


@transaction.atomic
def restart_feed(*, feed_id: int, actor: Actor, reason: str) -> PriceFeed:
    """Has the filter forget what it accepted of a feed: its next tick passes the levels, as after a restart.

    For a feed whose last accepted price was the wrong one, so that every right one is beyond the discard level.
    """
    authorise(actor, MANAGE_CATALOGUE)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    feed = PriceFeed.objects.filter(pk=feed_id).select_related("symbol", "source").first()
    if feed is None:
        raise NotFound("No such feed.", feed_id=feed_id)
    state = SymbolPriceState.objects.select_for_update().filter(symbol=feed.symbol).first()
    forgotten = (state.sources if state else {}).pop(str(feed.source_id), {})
    if state is not None:
        state.save(update_fields=["sources"])
    PriceFeed.objects.filter(pk=feed.pk).update(rejected_in_a_row=0)
    audit.record(
        actor=actor, action="platform.restart_price_feed", target=feed.symbol, reason=reason,
        changes={"source": feed.source.code, "forgotten": forgotten},
    )  # fmt: skip
    feed.refresh_from_db()
    return feed
