"""Named collections that higher rooms fill and lower rooms read.

A lower room owns a `Registry`; the rooms above register into it while the process starts. That is how a desk
becomes visible below without being imported there.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from backoffice.kernel.errors import Misconfigured, NotFound

Item = TypeVar("Item")


class Registry(Generic[Item]):
    """Items by key, in the order of registration."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._items: dict[str, Item] = {}

    def register(self, key: str, item: Item) -> Item:
        """Add an item and return it. Raises Misconfigured when the key is empty or taken."""
        if not key:
            raise Misconfigured(f"An item of {self.name} needs a key.", registry=self.name)
        if key in self._items:
            raise Misconfigured(f"{self.name} already has {key!r}.", registry=self.name, key=key)
        self._items[key] = item
        return item

    def get(self, key: str) -> Item:
        """The item of a key. Raises NotFound when nobody registered it."""
        try:
            return self._items[key]
        except KeyError:
            raise NotFound(f"{self.name} has no {key!r}.", registry=self.name, key=key) from None

    def items(self) -> list[tuple[str, Item]]:
        """Pairs of key and item, in the order of registration."""
        return list(self._items.items())

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __len__(self) -> int:
        return len(self._items)
