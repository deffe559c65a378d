"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that may be kept, as it may be kept; *width* and *height* in pixels for a picture."""

    data: bytes
    content_type: str
    width: int | None = None
    height: int | None = None


class Refusal(Exception):  # noqa: N818 - it is a verdict, not a mistake
    """Why a file is not accepted: a stable code, and a sentence for the person who gave it."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason
