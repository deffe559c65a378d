"""PDF documents: a whole structure, no password, and nothing in it that acts.

Two looks, because readers differ: through the document's own table of objects, and over the raw bytes for what that
table does not list. What a document may not hold is refused, not removed: a signed document stays as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject

from backoffice.core.file_checks.types import Refusal

MAX_OBJECTS = 50_000
MAX_PAGES = 500
MAX_DEPTH = 40
TAIL_BYTES = 1024
_HEADER = b"%PDF-"
_END = b"%%EOF"
# Names that act when the document is opened or clicked, with what they are called in the refusal.
_ACTIVE = {
    "/JavaScript": ("pdf_has_script", "scripts"),
    "/JS": ("pdf_has_script", "scripts"),
    "/Launch": ("pdf_launches", "a command to start programs"),
    "/EmbeddedFile": ("pdf_embeds_files", "embedded files"),
    "/EmbeddedFiles": ("pdf_embeds_files", "embedded files"),
    "/EF": ("pdf_embeds_files", "embedded files"),
    "/FileAttachment": ("pdf_embeds_files", "attached files"),
    "/RichMedia": ("pdf_has_media", "embedded media"),
    "/Movie": ("pdf_has_media", "embedded media"),
    "/Sound": ("pdf_has_media", "embedded media"),
    "/XFA": ("pdf_has_form_program", "a form with a program of its own"),
    "/SubmitForm": ("pdf_sends_data", "a form that sends data"),
    "/ImportData": ("pdf_sends_data", "a form that loads data"),
    "/GoToE": ("pdf_embeds_files", "embedded files"),
}
# Names that are long enough not to appear by chance in packed bytes.
_RAW_NAMES = {
    name: _ACTIVE[name]
    for name in [
        "/JavaScript",
        "/Launch",
        "/EmbeddedFile",
        "/EmbeddedFiles",
        "/FileAttachment",
        "/RichMedia",
        "/SubmitForm",
        "/ImportData",
    ]
}
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")
_NAME_END = re.compile(rb"[\s/<>\[\]()%]")


def check_pdf(data: bytes) -> None:
    """Raises Refusal unless the document is whole, open and passive."""
    if not data.startswith(_HEADER) or _END not in data[-TAIL_BYTES:]:
        raise Refusal("pdf_damaged", "The document is cut short, or something is glued to it.")
    if data[data.rindex(_END) + len(_END) :].strip(b"\r\n \t\0"):
        raise Refusal("pdf_damaged", "Something is glued to the end of the document.")
    _refuse_raw_names(data)
    try:
        reader = PdfReader(BytesIO(data), strict=False)
        if reader.is_encrypted:
            raise Refusal("pdf_locked", "The document is protected by a password.")
        pages = len(reader.pages)
        for item in _objects(reader):
            _refuse_active(item)
    except Refusal:
        raise
    except Exception:  # noqa: BLE001 - parsers raise anything on hostile bytes; each of it means the same verdict
        raise Refusal("pdf_damaged", "The document cannot be read.") from None
    if not 1 <= pages <= MAX_PAGES:
        raise Refusal("pdf_pages", f"The document has no page, or more than {MAX_PAGES}.")


def _refuse_raw_names(data: bytes) -> None:
    plain = _ESCAPED.sub(lambda match: bytes([int(match[1], 16)]), data)
    for name, verdict in _RAW_NAMES.items():
        start, wanted = 0, name.encode()
        while (found := plain.find(wanted, start)) >= 0:
            start = found + len(wanted)
            if _NAME_END.match(plain, start):
                raise _active(verdict)


def _objects(reader: PdfReader) -> Iterator[Any]:
    """Every object that the document lists, and its trailer."""
    numbers = {number for table in reader.xref.values() for number in table} | set(reader.xref_objStm)
    if len(numbers) > MAX_OBJECTS:
        raise Refusal("pdf_too_many_objects", "The document is unusually complicated.")
    yield reader.trailer
    for number in sorted(numbers):
        generation = next((key for key, table in reader.xref.items() if number in table), 0)
        yield reader.get_object(IndirectObject(number, generation, reader))


def _refuse_active(item: Any, depth: int = 0) -> None:
    """Looks through an object without following references: what is referred to is in the list itself."""
    if depth > MAX_DEPTH:
        raise Refusal("pdf_too_deep", "The document is unusually complicated.")
    if isinstance(item, DictionaryObject):
        for key in item:
            if key in _ACTIVE:
                raise _active(_ACTIVE[key])
            value = item.raw_get(key)
            if key in ("/S", "/Type", "/Subtype") and str(value) in _ACTIVE:
                raise _active(_ACTIVE[str(value)])
            _refuse_active(value, depth + 1)
    elif isinstance(item, ArrayObject):
        for value in list.__iter__(item):
            _refuse_active(value, depth + 1)


def _active(verdict: tuple[str, str]) -> Refusal:
    code, what = verdict
    return Refusal(code, f"The document holds {what}; print it anew as a plain PDF.")
