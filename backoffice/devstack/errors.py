"""The one error that the embedded stack raises: a plain sentence for the person at the terminal."""

from __future__ import annotations


class DevstackError(Exception):
    """Something that a person can act on; its text is printed as it is, without a traceback."""
