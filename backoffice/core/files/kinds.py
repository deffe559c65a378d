"""What files are for: each purpose says what it takes, how much of it, who may see it and how long it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backoffice.kernel.errors import Misconfigured
from backoffice.kernel.registry import Registry

MEGABYTE = 1024 * 1024
MAX_PIXELS = 40_000_000
JPEG, PNG, WEBP, PDF = "image/jpeg", "image/png", "image/webp", "application/pdf"
CSV, GZIP, ZIP = "text/csv", "application/gzip", "application/zip"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
IMAGES = frozenset({JPEG, PNG, WEBP})
DOCUMENTS = IMAGES | {PDF}
# The endings that each kind of content may be called by; the first is what a handed out file gets.
ENDINGS: dict[str, tuple[str, ...]] = {
    JPEG: (".jpg", ".jpeg", ".jpe", ".jfif"),
    PNG: (".png",),
    WEBP: (".webp",),
    PDF: (".pdf",),
    CSV: (".csv", ".txt"),
    XLSX: (".xlsx",),
    GZIP: (".gz",),
    ZIP: (".zip",),
}


@dataclass(frozen=True, slots=True)
class FilePurpose:
    """A use of files. *retain_days* None keeps them until somebody erases them; capabilities are declared by the desk.

    *max_pixels* bounds width times height of a picture; *max_expanded_bytes* what a packed file unpacks to.
    """

    purpose: str
    label: str
    content_types: frozenset[str]
    view_capability: str
    upload_capability: str = ""
    max_bytes: int = 10 * MEGABYTE
    max_pixels: int = MAX_PIXELS
    max_expanded_bytes: int = 100 * MEGABYTE
    retain_days: int | None = None

    @property
    def endings(self) -> str:
        """What a file field accepts, for browsers: `.jpg,.jpeg,.pdf`."""
        return ",".join(ending for kind in sorted(self.content_types) for ending in ENDINGS[kind])


_purposes: Registry[FilePurpose] = Registry("file purposes")


def register_file_purpose(purpose: FilePurpose) -> None:
    """Makes a purpose known. Raises Misconfigured for contents that nobody here can check."""
    unknown = purpose.content_types - ENDINGS.keys()
    if unknown or not purpose.content_types:
        raise Misconfigured(f"Nobody can check {sorted(unknown)} for {purpose.purpose}.", purpose=purpose.purpose)
    _purposes.register(purpose.purpose, purpose)


def file_purpose(purpose: str) -> FilePurpose:
    """The registered purpose. Raises Misconfigured for an unknown one."""
    return _purposes.get(purpose)


def file_purposes() -> Iterable[FilePurpose]:
    """Every registered purpose."""
    return [purpose for _, purpose in _purposes.items()]
