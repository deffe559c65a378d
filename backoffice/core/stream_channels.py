"""What the ground itself offers to watch: the number of work items that wait for a person."""

from __future__ import annotations

from backoffice.core.measuring.bench import register_suite
from backoffice.core.streams import ChannelKind, Snapshot, register_channel
from backoffice.core.types import Actor
from backoffice.core.work import inbox


def register() -> None:
    """Offers the channels, and the bench of streams. Called once, when the process starts."""
    register_suite("streams", "backoffice.streams.bench.streams")
    # Announcements only say that something changed; the number is read once for each of them.
    register_channel(ChannelKind("desk", may_watch=_own_desk, snapshot=_badge, refreshes=True))


def _own_desk(actor: Actor, key: str) -> bool:
    """Everybody watches their own desk, nobody another's."""
    return actor.is_staff and key == str(actor.user_id)


def _badge(key: str) -> Snapshot | None:
    return Snapshot("badge", {"count": inbox.badge_of_user(int(key))}) if key.isascii() and key.isdigit() else None
