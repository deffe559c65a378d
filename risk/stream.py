"""The exposure page's live stream: each calculation at quotes is shown to whoever watches the entity or one of its books.

A calculation only says that it happened (`events.exposure_calculated`); the page's changing part is read and drawn once
for all who watch it, by the streams' process, and not at all when nobody does.
"""

from __future__ import annotations

from backoffice.core.access import holds
from backoffice.core.streams import ChannelKind, Snapshot, register_channel
from backoffice.core.types import Actor
from risk import selectors
from risk.admin import age_seconds, render_exposure
from risk.events import EXPOSURE_CHANNEL

SYSTEM = Actor.system("exposure stream")


def register() -> None:
    """Offers the channels `exposure:<entity id>` and `exposure:<entity id>:<book>`. Called once, at the start."""
    register_channel(ChannelKind(EXPOSURE_CHANNEL, may_watch=may_watch, snapshot=snapshot, refreshes=True))


def may_watch(actor: Actor, key: str) -> bool:
    """Who may open the page, for the legal entities that they work for."""
    entity_id, _ = _parts(key)
    return entity_id in actor.entity_ids and holds(actor, "risk.view_exposure")


def snapshot(key: str) -> Snapshot | None:
    """The page's changing part after the last calculation, and how old it is; None when there is none yet."""
    entity_id, book = _parts(key)
    run = selectors.latest_run(actor=SYSTEM, entity_id=entity_id) if entity_id else None
    if run is None:
        return None
    table = selectors.exposure_of(run=run, book=book)
    data = {"html": str(render_exposure(table)), "age_seconds": age_seconds(table)}
    return Snapshot("exposure", data, position=run.pk)


def _parts(key: str) -> tuple[int, str]:
    """The entity and the book of a channel's key; entity 0 for what is no key."""
    number, _, book = key.partition(":")
    return (int(number), book) if number.isascii() and number.isdigit() and len(number) < 19 else (0, "")
