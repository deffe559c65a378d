"""What the risk desk tells others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from backoffice.core.streams import announce

EXPOSURE_CHANNEL = "exposure"
_BOOK = re.compile(r"[A-Za-z0-9_.-]{1,40}")


def exposure_channel(entity_id: int, book: str = "") -> str:
    """The stream of an entity, or of one of its books; empty for a book whose name cannot be part of a channel's."""
    if not book:
        return f"{EXPOSURE_CHANNEL}:{entity_id}"
    return f"{EXPOSURE_CHANNEL}:{entity_id}:{book}" if _BOOK.fullmatch(book) else ""


def exposure_calculated(*, entity_id: int, run_id: int, books: Iterable[str]) -> None:
    """Tells open exposure pages, after the commit, that there is a new calculation at quotes."""
    for channel in (exposure_channel(entity_id, book) for book in ("", *books)):
        if channel:
            announce(channel=channel, event="calculated", data={"run_id": run_id})
