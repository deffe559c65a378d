"""How much of a client's person a partner reads: pure, so that pages, files and endpoints say the same."""

from __future__ import annotations

from enum import StrEnum

from ib.rules.references import mask_email

SHOWN_DIGITS = 3
"""Digits of a login that are left at the level of initials."""


class NameDisplay(StrEnum):
    """What partners read of the clients whom they introduced. A client's number is always shown."""

    FULL = "full"
    INITIALS = "initials"
    HIDDEN = "hidden"


DEFAULT_DISPLAY = NameDisplay.INITIALS
"""Holds for a legal entity that decided nothing."""


def shown_name(name: str, display: NameDisplay) -> str:
    """The name, its initials (`A. K.`), or nothing."""
    if display is NameDisplay.FULL:
        return name
    if display is NameDisplay.HIDDEN:
        return ""
    return " ".join(f"{word[0].upper()}." for word in name.split() if word[0].isalnum())


def shown_email(email: str, display: NameDisplay) -> str:
    """The address, `a***@example.com`, or nothing."""
    if display is NameDisplay.FULL:
        return email
    return mask_email(email) if display is NameDisplay.INITIALS else ""


def shown_login(login: str, display: NameDisplay) -> str:
    """The number of a trading account, its last digits (`•••417`), or nothing."""
    if display is NameDisplay.FULL:
        return login
    if display is NameDisplay.HIDDEN or not login:
        return ""
    return f"•••{login[-SHOWN_DIGITS:]}" if len(login) > SHOWN_DIGITS else "•••"
