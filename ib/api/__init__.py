"""Partners and commissions over HTTP, for staff and for a partner's own eyes."""

from __future__ import annotations


def register() -> None:
    """Puts the desk's endpoints on the API. Called once, when the process starts."""
    from ib.api import commissions, disputes, own, partners, plans, requests, statements, topics

    for part in (partners, plans, requests, commissions, statements, disputes, own, topics):
        part.register()
