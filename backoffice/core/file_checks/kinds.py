"""What a file is, by its content. Names and what browsers claim are not asked."""

from __future__ import annotations

import re
from io import BytesIO
from zipfile import BadZipFile, ZipFile

import filetype

from backoffice.core.files.kinds import CSV, XLSX, ZIP

UNKNOWN = "application/octet-stream"
HEAD_BYTES = 8192
_SAME = {"image/apng": "image/png"}
# Letters that no text file has: programs and packed data do.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]")
# Text that a browser or a viewer would run rather than show.
_ACTIVE_TEXT = re.compile(
    r"<\s*(!doctype|html|head|body|svg|script|iframe|\?xml|\?php|!--|xsl|math)|^\s*[#]!|%!PS|%PDF-|^\s*\{\\rtf",
    re.IGNORECASE,
)


def detect(data: bytes) -> str:
    """The content type, `text/csv` for plain text, `application/octet-stream` for what is nothing we know."""
    guess = filetype.guess(data[:HEAD_BYTES])
    if guess is not None:
        mime = _SAME.get(str(guess.mime), str(guess.mime))
        return _packed_kind(data) if mime in (ZIP, XLSX) or "openxmlformats" in mime else mime
    return CSV if _is_harmless_text(data) else UNKNOWN


def _packed_kind(data: bytes) -> str:
    try:
        with ZipFile(BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (BadZipFile, ValueError, OSError):
        return UNKNOWN
    return XLSX if {"[Content_Types].xml", "xl/workbook.xml"} <= names else ZIP


def _is_harmless_text(data: bytes) -> bool:
    """Whether these are letters in a known encoding, and no markup or script."""
    is_wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        if is_wide:
            return False
        text = data.decode("latin-1")
    return _CONTROL.search(text) is None and _ACTIVE_TEXT.search(text[:HEAD_BYTES]) is None
