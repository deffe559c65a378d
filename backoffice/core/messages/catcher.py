"""Where mails go when no provider is set: a folder that only this process can read, one file per mail.

A mail that is sent twice under the same message number stands there once. The desk shows the folder to administrators.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage as ParsedMail
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from backoffice.kernel.errors import NotFound

BACKEND = "backoffice.core.messages.catcher.CatcherBackend"
NUMBER_HEADER = "X-Message-Number"
MAX_SHOWN = 200
MAX_KEPT = 5_000
MAX_MAIL_BYTES = 20 * 1024 * 1024
_NUMBER = re.compile(r"[0-9a-f-]{8,36}")


@dataclass(frozen=True, slots=True)
class CaughtMail:
    """A mail in the folder."""

    number: str
    caught_at: datetime
    sender: str
    to: str
    subject: str
    headers: list[tuple[str, str]]
    text: str
    html: str


class CatcherBackend(BaseEmailBackend):
    """Writes each mail as `<message number>.eml`."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Writes them all; returns how many."""
        folder = mail_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for mail in email_messages:
            number = str(mail.extra_headers.get(NUMBER_HEADER, "")) or secrets.token_hex(16)
            unfinished = folder / f".unfinished-{secrets.token_hex(8)}"
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(mail.message().as_bytes())
            unfinished.replace(folder / f"{number}.eml")
        _forget_old(folder)
        return len(email_messages)


def is_catching() -> bool:
    """Whether mails end in the folder instead of leaving."""
    return bool(settings.EMAIL_BACKEND == BACKEND)


def mail_folder() -> Path:
    """The folder."""
    return Path(settings.EMAIL_FILE_PATH)


def _newest(folder: Path) -> list[Path]:
    files = [path for path in folder.glob("*.eml") if _NUMBER.fullmatch(path.stem)]
    return sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _forget_old(folder: Path) -> None:
    for path in _newest(folder)[MAX_KEPT:]:
        path.unlink(missing_ok=True)


def caught_mails() -> list[CaughtMail]:
    """The newest mails of the folder."""
    folder = mail_folder()
    return [_read(path) for path in _newest(folder)[:MAX_SHOWN]] if folder.is_dir() else []


def caught_mail(number: str) -> CaughtMail:
    """One mail. Raises NotFound."""
    path = mail_folder() / f"{number}.eml"
    if not _NUMBER.fullmatch(number) or not path.is_file():
        raise NotFound("No such mail.")
    return _read(path)


def _read(path: Path) -> CaughtMail:
    with path.open("rb") as file:
        parsed = message_from_bytes(file.read(MAX_MAIL_BYTES), _class=ParsedMail, policy=policy.default)
    return CaughtMail(
        number=path.stem,
        caught_at=datetime.fromtimestamp(path.stat().st_mtime, tz=UTC),
        sender=str(parsed.get("From", "")),
        to=str(parsed.get("To", "")),
        subject=str(parsed.get("Subject", "")),
        headers=[(name, str(value)) for name, value in parsed.items()],
        text=_part(parsed, "plain"),
        html=_part(parsed, "html"),
    )


def _part(parsed: ParsedMail, kind: str) -> str:
    part = parsed.get_body(preferencelist=(kind,))
    return str(part.get_content()) if part is not None else ""
