"""Pictures: measured before they are decoded, then decoded and written anew without anything but their pixels."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

from backoffice.core.file_checks.types import CheckedFile, Refusal
from backoffice.core.files.kinds import JPEG, PNG, WEBP

MAX_SIDE = 20_000
JPEG_QUALITY = 90
_FORMATS = {JPEG: "JPEG", PNG: "PNG", WEBP: "WEBP"}
_SAVE_OPTIONS: dict[str, dict[str, object]] = {
    JPEG: {"quality": JPEG_QUALITY, "optimize": True},
    PNG: {"optimize": False},
    WEBP: {"quality": JPEG_QUALITY, "method": 3},
}
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"
_PNG_END = b"IEND\xaeB`\x82"
_RIFF_HEAD = 8
# What each format can hold without loss of what one sees.
_MODES = {JPEG: ("L", "RGB"), PNG: ("L", "LA", "RGB", "RGBA"), WEBP: ("RGB", "RGBA")}


def rewrite_picture(data: bytes, *, kind: str, max_pixels: int) -> CheckedFile:
    """The picture as its bare pixels, upright. Raises Refusal when it is too big, moves, or cannot be decoded."""
    if not _is_whole(data, kind):
        raise Refusal("picture_damaged", "The picture cannot be read to its end.")
    try:
        with Image.open(BytesIO(data), formats=[_FORMATS[kind]]) as picture:
            _measure(picture, kind, max_pixels)
            upright = ImageOps.exif_transpose(picture)
            bare = _bare(upright, kind)
    except Refusal:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(max_pixels) from None
    except Exception:  # noqa: BLE001 - decoders raise anything on hostile bytes; each of it means the same verdict
        raise Refusal("picture_damaged", "The picture cannot be read to its end.") from None
    target = BytesIO()
    bare.save(target, format=_FORMATS[kind], **_SAVE_OPTIONS[kind])  # type: ignore[arg-type]
    return CheckedFile(data=target.getvalue(), content_type=kind, width=bare.width, height=bare.height)


def _is_whole(data: bytes, kind: str) -> bool:
    """Whether the picture's end is there. The decoder is not asked: the PDF renderer has it forgive cut pictures."""
    if kind == JPEG:
        return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)
    if kind == PNG:
        return _PNG_END in data
    return len(data) >= _RIFF_HEAD + int.from_bytes(data[4:_RIFF_HEAD], "little")


def _measure(picture: Image.Image, kind: str, max_pixels: int) -> None:
    """Only the head of the file was read so far: a bomb is refused before it goes off."""
    width, height = picture.size
    if width < 1 or height < 1:
        raise Refusal("picture_damaged", "The picture has no size.")
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise _too_many_pixels(max_pixels)
    # Telephones write a JPEG with a second, smaller picture behind the first; of that, the first one is kept.
    if kind != JPEG and getattr(picture, "n_frames", 1) > 1:
        raise Refusal("picture_moves", "The picture is animated; a single picture is needed.")


def _bare(picture: Image.Image, kind: str) -> Image.Image:
    """A new picture of the same pixels, without palette, profile, comment, place or preview."""
    allowed = _MODES[kind]
    if picture.mode in allowed:
        pixels = picture
    else:
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
        pixels = picture.convert("RGBA" if has_alpha and "RGBA" in allowed else "RGB")
    bare = Image.new(pixels.mode, pixels.size)
    bare.paste(pixels)
    return bare


def _too_many_pixels(max_pixels: int) -> Refusal:
    return Refusal("too_many_pixels", f"The picture has more than {max_pixels // 1_000_000} million pixels.")
