"""Screens of prices."""


def register() -> None:
    """Menu entries."""
