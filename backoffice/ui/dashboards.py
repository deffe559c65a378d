"""Cards of the desk's first page. Each desk registers its own; a person sees those of their roles.

    register_card("risk.exposure", ("dealing", "administrator"), exposure_card, order=10)

    def exposure_card(actor: Actor) -> Card | None:
        return Card(title="Net exposure", figure=format_amount(total, "USD"), note="at 14:05:10",
                    url=reverse("admin:risk_exposure"), chart=bar_chart(points, title="Exposure by symbol"))

`render(actor)` reads through selectors with the actor and returns None when there is nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backoffice.core.types import Actor
from backoffice.kernel.errors import Misconfigured

TABLE_ROW_LIMIT = 8


@dataclass(frozen=True, slots=True)
class Card:
    """What a card shows.

    `figure` is formatted text, `delta` the change beside it with its `delta_tone` (good, bad, warn, info, quiet). `chart` is SVG
    from `backoffice.ui.charts`. `headings` and `rows` make a small table (cells are text or safe HTML; at most
    TABLE_ROW_LIMIT rows are shown; the first column is left-aligned, others right). `width` is 1, 2 or 4 of four columns.
    """

    title: str
    figure: str = ""
    delta: str = ""
    delta_tone: str = "quiet"
    note: str = ""
    url: str = ""
    chart: str = ""
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=tuple)
    width: int = 1
    tone: str = ""

    @property
    def shown_rows(self) -> Sequence[Sequence[str]]:
        """The rows within the bound."""
        return list(self.rows)[:TABLE_ROW_LIMIT]


@dataclass(frozen=True, slots=True)
class CardSource:
    """A registered card."""

    key: str
    roles: frozenset[str]
    render: Callable[[Actor], Card | None]
    order: int


_cards: dict[str, CardSource] = {}


def register_card(key: str, roles: Sequence[str], render: Callable[[Actor], Card | None], order: int = 100) -> None:
    """Adds a card to the first page of the given roles."""
    source = CardSource(key, frozenset(str(role) for role in roles), render, order)
    if _cards.setdefault(key, source) != source:
        raise Misconfigured(f"The card {key} is registered twice.", key=key)


def cards_for(actor: Actor) -> list[Card]:
    """The cards of the actor's roles that have something to say, in order."""
    cards = []
    for source in sorted(_cards.values(), key=lambda item: item.order):
        if actor.roles & source.roles:
            card = source.render(actor)
            if card is not None:
                cards.append(card)
    return cards
