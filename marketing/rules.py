"""Pure decisions about campaigns."""

from __future__ import annotations

import re
from datetime import date

from backoffice.kernel.errors import InvalidInput

CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
LONGEST_CODE = 40


def checked_code(code: str) -> str:
    """A campaign code as it is written on accounts: small letters, digits, hyphens. Raises `InvalidInput` otherwise."""
    code = code.strip().lower()
    if len(code) > LONGEST_CODE or not CODE.fullmatch(code):
        raise InvalidInput(
            f"A campaign code has at most {LONGEST_CODE} small letters, digits and single hyphens.",
            field="code",
            value=code,
        )
    return code


def check_dates(*, starts_on: date, ends_on: date | None) -> None:
    """Raises `InvalidInput` for a campaign that ends before it starts."""
    if ends_on is not None and ends_on < starts_on:
        raise InvalidInput("A campaign cannot end before it starts.", field="ends_on", value=str(ends_on))


def is_running(*, starts_on: date, ends_on: date | None, day: date) -> bool:
    """Whether a campaign runs on a business day; its last day counts."""
    return starts_on <= day and (ends_on is None or day <= ends_on)
