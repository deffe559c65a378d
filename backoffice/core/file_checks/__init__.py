"""Looks into files that somebody gave us: what they are by their content, and whether they may be kept.

    checked = inspect(data, file_name="passport.jpg", purpose=file_purpose("crm.client_document"))

What is returned may be handed out: a picture is decoded and written anew, so nothing that was hidden in the original
(place, comment, a second file glued to its end) is in it. Everything else is refused with a reason for people.
"""

from __future__ import annotations

from pathlib import PurePath

from backoffice.core.file_checks.kinds import detect
from backoffice.core.file_checks.packed import check_gzip, check_workbook, check_zip
from backoffice.core.file_checks.pdf import check_pdf
from backoffice.core.file_checks.pictures import rewrite_picture
from backoffice.core.file_checks.types import CheckedFile, Refusal
from backoffice.core.files.kinds import CSV, ENDINGS, GZIP, IMAGES, PDF, XLSX, ZIP, FilePurpose

__all__ = ["CheckedFile", "Refusal", "inspect"]


def inspect(data: bytes, *, file_name: str, purpose: FilePurpose) -> CheckedFile:
    """The file as it may be kept. Raises Refusal with a code and a reason."""
    if not data:
        raise Refusal("empty_file", "The file is empty.")
    if len(data) > purpose.max_bytes:
        raise Refusal("too_large", f"The file is larger than {purpose.max_bytes // 2**20} MB.")
    kind = detect(data)
    if kind not in purpose.content_types:
        raise Refusal("content_not_accepted", _not_accepted(kind, purpose))
    ending = PurePath(file_name).suffix.lower()
    if ending and ending not in ENDINGS[kind]:
        raise Refusal("name_and_content_differ", f"The name ends in {ending[:12]}, but the content is {_called(kind)}.")
    if kind in IMAGES:
        return rewrite_picture(data, kind=kind, max_pixels=purpose.max_pixels)
    if kind == PDF:
        check_pdf(data)
    elif kind == XLSX:
        check_workbook(data, max_bytes=purpose.max_expanded_bytes)
    elif kind == ZIP:
        check_zip(data, max_bytes=purpose.max_expanded_bytes)
    elif kind == GZIP:
        check_gzip(data, max_bytes=purpose.max_expanded_bytes)
    return CheckedFile(data=data, content_type=kind)


def _called(kind: str) -> str:
    names = {PDF: "a PDF document", XLSX: "an Excel workbook", CSV: "plain text", ZIP: "a ZIP archive"}
    return names.get(kind) or f"a {kind.rpartition('/')[2].upper()} file"


def _not_accepted(kind: str, purpose: FilePurpose) -> str:
    accepted = ", ".join(sorted(ENDINGS[each][0].lstrip(".").upper() for each in purpose.content_types))
    found = f"This is {_called(kind)}. " if kind in ENDINGS else ""
    return f"{found}Accepted are: {accepted}."
