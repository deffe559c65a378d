"""Draws the box that tells how to get into the running demo."""

from __future__ import annotations

from collections.abc import Sequence

from backoffice.devstack.codes import LoginRow

NO_CODE = "none needed"


def draw_box(lines: Sequence[str]) -> str:
    """*lines* inside a frame as wide as the longest of them; an empty line becomes a rule."""
    width = max((len(line) for line in lines), default=0)
    rule = "─" * (width + 2)
    inside = [f"│ {line.ljust(width)} │" if line else f"├{rule}┤" for line in lines]
    return "\n".join([f"┌{rule}┐", *inside, f"└{rule}┘"])


def demo_box(*, url: str, rows: Sequence[LoginRow]) -> str:
    """The whole message: addresses, one login per role with password and current code, and how to stop."""
    lines = ["Broker back office: the demo is running (not for production)", ""]
    lines += [f"Log in    {url}/", f"Ready     {url}/readyz", ""]
    lines += _table(rows) if rows else ["This database has no demo logins."]
    lines += [
        "",
        "A code lasts 30 seconds and works once. A fresh one:",
        "  .venv/bin/python manage.py devstack code USER",
        "Ctrl-C stops everything; `make demo` goes on with the same data; `make demo-reset` starts over.",
    ]
    return draw_box(lines)


def _table(rows: Sequence[LoginRow]) -> list[str]:
    head = LoginRow("Role", "Login", "Password", "Code now")
    titles = max(len(row.title) for row in (head, *rows))
    logins = max(len(row.email) for row in (head, *rows))
    passwords = max(len(row.password) for row in (head, *rows))
    return [
        f"{row.title.ljust(titles)}  {row.email.ljust(logins)}  {row.password.ljust(passwords)}  {row.code or NO_CODE}"
        for row in (head, *rows)
    ]
