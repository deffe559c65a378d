"""What is wrong with the feeds now: silent ones, feeds that are mostly rejected, storms. The work items of prices.

Read from the rows that the intake keeps of each feed, by the sweep and by `verify_books`; an item closes only after its
condition has stayed away for a while, so that a feed that flickers is one item.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from backoffice.core.models import Severity
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import PriceFeed, PriceSource
from platform_ops.rules.price_filter import Verdict
from platform_ops.services.prices.sessions import Boundaries, boundaries_by_symbol, opened_since

SILENT_FEED = "platform.silent_feed"
REJECTED_FEED = "platform.rejected_feed"
TICK_STORM = "platform.tick_storm"

FORGOTTEN_AFTER = timedelta(days=7)
"""A feed that said nothing for so long is no longer expected to."""
MAXIMUM_SEPARATE = 10
"""Above this many silent symbols of a source, one item stands for the source."""
REJECTED_IN_A_ROW = 20
MINUTE_TICKS = 50
MINUTE_SHARE = 5
"""A feed is mostly rejected when one in so many of its ticks of the minute was, of at least fifty."""
RECENT = timedelta(minutes=2)


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, administrator, dealing = (
        Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value, Role.DEALING.value,
    )  # fmt: skip
    for kind, label, conditions, severity, clears in (
        (SILENT_FEED, "Silent price feed", silent_feeds, Severity.HIGH, 120),
        (REJECTED_FEED, "Feed mostly rejected", rejected_feeds, Severity.HIGH, 300),
        (TICK_STORM, "Tick storm", storms, Severity.NORMAL, 300),
    ):
        register_work_kind(
            WorkKind(
                kind=kind,
                label=label,
                desk="platform_ops",
                roles=(operations, dealing, administrator),
                due_hours=1,
                severity=severity,
                clears_after_seconds=clears,
                escalate_after_hours=1,
                escalate_to_roles=(administrator,),
                action_label="Open the feed",
                conditions=conditions,
                closes_by_hand=False,
            )
        )


def silent_feeds(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Feeds of switched-on sources that said nothing for their source's time although their market is open."""
    now = clock.now()
    silent: dict[PriceSource, list[tuple[PriceFeed, Any]]] = {}
    spoken: set[int] = set()
    feeds = list(_feeds(now))
    hours = boundaries_by_symbol(symbols=list({feed.symbol for feed in feeds}), start=now, end=now)
    for feed in feeds:
        opened = opened_since(hours[feed.symbol_id], now)
        if opened is None:
            continue
        since = max(feed.last_received_at, opened) + timedelta(seconds=feed.source.silence_seconds)
        if since > now:
            spoken.add(feed.source_id)
        else:
            silent.setdefault(feed.source, []).append((feed, since))
    found = []
    for source, own in silent.items():
        if len(own) > MAXIMUM_SEPARATE or (source.pk not in spoken and len(own) > 1):
            found.append(_silent_source(source, own, whole=source.pk not in spoken))
        else:
            found += [_silent_feed(feed, since) for feed, since in own]
    return _wanted(found, group_keys)


def rejected_feeds(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Feeds of which the last ticks, or too large a share of the minute's, were rejected."""
    now = clock.now()
    return _wanted(
        [
            WorkCondition(
                group_key=_key(feed),
                title=f"{feed.symbol} from {feed.source}: {_rejections(feed)}",
                evidence={
                    "symbol": feed.symbol.code,
                    "source": feed.source.code,
                    "rejected_in_a_row": feed.rejected_in_a_row,
                    "rejected_of_the_minute": f"{feed.minute_rejected} of {feed.minute_ticks}",
                    "last_verdict": Verdict(feed.last_verdict).words,
                    "last_good_price": f"{feed.bid} / {feed.ask}",
                    "consequence": "The next source makes the price; without one, the last good price stays.",
                },
                target=feed,
                since=feed.last_received_at,
            )
            for feed in _feeds(now)
            if feed.last_received_at > now - FORGOTTEN_AFTER and _is_mostly_rejected(feed)
        ],
        group_keys,
    )


def storms(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Feeds that sent more than their source's bound in the minute just now."""
    now = clock.now()
    return _wanted(
        [
            WorkCondition(
                group_key=_key(feed),
                title=f"{feed.symbol} from {feed.source} storms: {feed.minute_ticks:,} ticks in a minute",
                evidence={
                    "symbol": feed.symbol.code,
                    "source": feed.source.code,
                    "ticks_of_the_minute": feed.minute_ticks,
                    "bound_of_a_second": feed.source.storm_ticks,
                    "consequence": "Ticks are taken in whole; the store and the intake carry the load.",
                },
                target=feed,
                since=feed.last_received_at,
            )
            for feed in _feeds(now)
            if feed.minute > now - RECENT and feed.minute_ticks > feed.source.storm_ticks * 60
        ],
        group_keys,
    )


def is_silent(feed: PriceFeed, boundaries: Boundaries) -> bool:
    """Whether the feed should have spoken by now; the boundaries are those of its symbol's sessions."""
    now = clock.now()
    opened = opened_since(boundaries, now)
    if opened is None:
        return False
    return max(feed.last_received_at, opened) + timedelta(seconds=feed.source.silence_seconds) <= now


def _is_mostly_rejected(feed: PriceFeed) -> bool:
    return feed.rejected_in_a_row >= REJECTED_IN_A_ROW or (
        feed.minute_ticks >= MINUTE_TICKS and feed.minute_rejected * MINUTE_SHARE >= feed.minute_ticks
    )


def _rejections(feed: PriceFeed) -> str:
    if feed.rejected_in_a_row >= REJECTED_IN_A_ROW:
        return f"the last {feed.rejected_in_a_row:,} ticks were rejected"
    return f"{feed.minute_rejected:,} of {feed.minute_ticks:,} ticks in a minute were rejected"


def _feeds(now: Any) -> Iterable[PriceFeed]:
    return (
        PriceFeed.objects.filter(source__is_enabled=True, last_received_at__gt=now - FORGOTTEN_AFTER)
        .select_related("symbol", "source")
        .order_by("source__priority", "symbol__code")
    )


def _silent_feed(feed: PriceFeed, since: Any) -> WorkCondition:
    return WorkCondition(
        group_key=_key(feed),
        title=f"{feed.symbol} from {feed.source} is silent",
        evidence={
            "symbol": feed.symbol.code,
            "source": feed.source.code,
            "last_tick": feed.last_tick_at.isoformat(),
            "last_received": feed.last_received_at.isoformat(),
            "last_good_price": f"{feed.bid} / {feed.ask}",
            "silence_seconds": feed.source.silence_seconds,
        },
        target=feed,
        since=since,
    )


def _silent_source(source: PriceSource, feeds: list[tuple[PriceFeed, Any]], *, whole: bool) -> WorkCondition:
    codes = sorted(feed.symbol.code for feed, _ in feeds)
    return WorkCondition(
        group_key=f"{source.code}:*",
        title=f"{source} is silent" if whole else f"{source} is silent in {len(codes)} symbols",
        evidence={
            "source": source.code,
            "symbols": len(codes),
            "examples": codes[:20],
            "last_received": max(feed.last_received_at for feed, _ in feeds).isoformat(),
        },
        target=source,
        severity=Severity.HIGH,
        since=min(since for _, since in feeds),
    )


def _key(feed: PriceFeed) -> str:
    return f"{feed.source.code}:{feed.symbol.code}"


def _wanted(conditions: list[WorkCondition], group_keys: list[str] | None) -> list[WorkCondition]:
    return conditions if group_keys is None else [each for each in conditions if each.group_key in set(group_keys)]
