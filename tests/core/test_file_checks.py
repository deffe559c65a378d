"""What may be kept of a file: by its content, bounded before it is decoded, and without what hides in it."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib

import pytest
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, TextStringObject

from backoffice.core.file_checks import CheckedFile, Refusal, inspect
from backoffice.core.files.kinds import CSV, GZIP, JPEG, PDF, PNG, WEBP, XLSX, ZIP, FilePurpose

ANY = FilePurpose(
    "test.any",
    "Any",
    frozenset({JPEG, PNG, WEBP, PDF, CSV, XLSX, GZIP, ZIP}),
    "core.view_files",
    max_pixels=1_000_000,
    max_expanded_bytes=2_000_000,
)
DOCUMENTS = FilePurpose("test.documents", "Documents", frozenset({JPEG, PNG, WEBP, PDF}), "core.view_files")


def picture(kind: str = "JPEG", size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "red" if mode in ("RGB", "RGBA", "P") else 1).save(out, kind, **options)  # type: ignore[arg-type]
    return out.getvalue()


def document(change: object = None) -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    if callable(change):
        change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def archive(entries: dict[str, bytes], **options: object) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return out.getvalue()


def refused(data: bytes, name: str = "", purpose: FilePurpose = ANY) -> str:
    with pytest.raises(Refusal) as refusal:
        inspect(data, file_name=name, purpose=purpose)
    assert refusal.value.reason.endswith(".")
    return refusal.value.code


def kept(data: bytes, name: str = "", purpose: FilePurpose = ANY) -> CheckedFile:
    return inspect(data, file_name=name, purpose=purpose)


def with_place() -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Telephone maker"
    exif[0x0112] = 6  # lies on its side
    exif.get_ifd(0x8825).update({1: "N", 2: (34.0, 40.0, 30.0), 3: "E", 4: (33.0, 2.0, 38.0)})
    return picture(exif=exif, comment=b"<script>alert(1)</script>")


def test_place_and_maker_are_gone_and_the_picture_stands_upright() -> None:
    data = with_place()
    given = Image.open(io.BytesIO(data)).getexif()
    assert given.get_ifd(0x8825)[2] == (34.0, 40.0, 30.0)

    checked = kept(data, "Holiday.JPG")

    written = Image.open(io.BytesIO(checked.data))
    assert dict(written.getexif()) == {}
    assert written.info.get("comment") is None
    assert (checked.width, checked.height) == (40, 60)
    assert b"Telephone" not in checked.data
    assert b"script" not in checked.data


@pytest.mark.parametrize(("kind", "mime"), [("JPEG", JPEG), ("PNG", PNG), ("WEBP", WEBP)])
def test_a_picture_is_known_by_its_content(kind: str, mime: str) -> None:
    checked = kept(picture(kind))

    assert (checked.content_type, checked.width, checked.height) == (mime, 60, 40)


def test_a_png_keeps_transparency_and_loses_its_texts() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "<html><script>alert(1)</script></html>")
    out = io.BytesIO()
    Image.new("RGBA", (4, 4), (255, 0, 0, 10)).save(out, "PNG", pnginfo=info)

    checked = kept(out.getvalue())

    written = Image.open(io.BytesIO(checked.data))
    assert written.mode == "RGBA"
    assert written.getpixel((0, 0)) == (255, 0, 0, 10)
    assert b"script" not in checked.data


def test_a_picture_with_an_archive_behind_it_loses_the_archive() -> None:
    """A file that is a picture to one reader and a program to another."""
    double = picture() + archive({"Evil.class": b"\xca\xfe\xba\xbe"})
    assert zipfile.is_zipfile(io.BytesIO(double))

    checked = kept(double, "cute.jpg")

    assert not zipfile.is_zipfile(io.BytesIO(checked.data))
    assert b"Evil" not in checked.data


def bomb_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack("!I", len(body)) + kind + body + struct.pack("!I", zlib.crc32(kind + body))

    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(1_001, 1_000), (30_000, 30), (12_000, 9_000), (60_000, 60_000)])
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self))

    assert refused(bomb_png(*size)) == "too_many_pixels"
    assert decoded == []


def test_animated_pictures_are_refused() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("PNG", "WEBP"):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
        assert refused(out.getvalue()) == "picture_moves"


@pytest.mark.parametrize("is_forgiving", [True, False])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_cut_short_is_refused(kind: str, is_forgiving: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where another library told the decoder to forgive, as the PDF renderer does."""
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", is_forgiving)
    whole = picture(kind, size=(400, 400))

    assert refused(whole[: len(whole) // 2]) == "picture_damaged"
    assert refused(whole[:-14]) == "picture_damaged"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>",
        b"<!DOCTYPE html><html><body>x</body></html>",
        b"a,b\n<script>alert(1)</script>,2\n",
        "<html>".encode("utf-16"),
        b"%!PS-Adobe-3.0",
        b"#!/bin/sh\nrm -rf /",
        b"MZ\x90\x00\x03\x00\x00\x00",
        b"\x7fELF\x02\x01\x01",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x00\x01\x02\x03\x04",
        b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01",
    ],
)
def test_what_runs_or_is_unknown_is_refused(data: bytes) -> None:
    assert refused(data) == "content_not_accepted"


def test_a_name_that_promises_something_else_is_refused() -> None:
    assert refused(picture("PNG"), "scan.jpg") == "name_and_content_differ"
    assert refused(document(), "invoice.pdf.exe") == "name_and_content_differ"
    assert refused(picture(), "photo.html") == "name_and_content_differ"


def test_the_purpose_says_what_is_taken() -> None:
    assert refused(b"a;b\n1;2\n", purpose=DOCUMENTS) == "content_not_accepted"
    assert refused(b"", purpose=DOCUMENTS) == "empty_file"
    assert refused(b"x" * (DOCUMENTS.max_bytes + 1), purpose=DOCUMENTS) == "too_large"


def test_a_plain_document_is_kept_as_it_is() -> None:
    data = document()

    assert kept(data, "Contract.PDF") == CheckedFile(data=data, content_type=PDF)


def _script(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("x()")})
    names = DictionaryObject({NameObject("/Names"): ArrayObject([TextStringObject("a"), writer._add_object(action)])})
    writer._root_object[NameObject("/Names")] = DictionaryObject({NameObject("/JavaScript"): names})


def _launch(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): NameObject("/Launch"), NameObject("/F"): TextStringObject("cmd.exe")})
    writer._root_object[NameObject("/OpenAction")] = action


def _attachment(writer: PdfWriter) -> None:
    writer.add_attachment("evil.exe", b"MZ")


def _form_program(writer: PdfWriter) -> None:
    form = DictionaryObject({NameObject("/XFA"): TextStringObject("<xdp/>")})
    writer._root_object[NameObject("/AcroForm")] = writer._add_object(form)


def _deep_script(writer: PdfWriter) -> None:
    action = DictionaryObject({NameObject("/S"): NameObject("/JavaScript"), NameObject("/JS"): TextStringObject("x()")})
    writer.pages[0][NameObject("/AA")] = DictionaryObject({NameObject("/O"): writer._add_object(action)})


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_script, "pdf_has_script"),
        (_deep_script, "pdf_has_script"),
        (_launch, "pdf_launches"),
        (_attachment, "pdf_embeds_files"),
        (_form_program, "pdf_has_form_program"),
        (lambda writer: writer.encrypt("secret"), "pdf_locked"),
    ],
)
def test_a_document_that_acts_or_is_locked_is_refused(change: object, code: str) -> None:
    assert refused(document(change)) == code


def test_a_script_under_a_disguised_name_is_found() -> None:
    disguised = document(_deep_script).replace(b"/JavaScript", b"/J#61vaScript")

    assert refused(disguised) == "pdf_has_script"


@pytest.mark.parametrize(
    "data",
    [
        document()[:-20],
        b"%PDF-1.7\n%%EOF\n",
        document() + archive({"a.txt": b"a"}),
        document() + b"<script>alert(1)</script>",
        b"junk" + document(),
    ],
)
def test_a_damaged_or_double_document_is_refused(data: bytes) -> None:
    assert refused(data) in ("pdf_damaged", "content_not_accepted")


WORKBOOK = {"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}


def test_workbooks_pass_without_macros_only() -> None:
    assert kept(archive(WORKBOOK), "book.xlsx").content_type == XLSX
    assert refused(archive({**WORKBOOK, "xl/vbaProject.bin": b"x"}), "book.xlsx") == "workbook_has_macros"
    assert refused(archive({**WORKBOOK, "xl/embeddings/a.bin": b"x"}), "book.xlsx") == "workbook_has_objects"


def test_archives_that_unpack_to_far_more_are_refused() -> None:
    assert refused(archive({"a.txt": b"\0" * 3_000_000})) == "unpacks_too_large"
    assert refused(gzip.compress(b"\0" * 3_000_000)) == "unpacks_too_large"
    assert refused(archive({**WORKBOOK, "xl/sheet.xml": b" " * 3_000_000}), "b.xlsx") == "unpacks_too_large"


def test_an_archive_that_lies_about_its_size_is_refused() -> None:
    data = bytearray(archive({"a.txt": b"\0" * 3_000_000}))
    # The size in the central directory: what readers believe.
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", 10)

    assert refused(bytes(data)) in ("archive_damaged", "unpacks_too_large")


def test_archives_that_hide_or_escape_are_refused() -> None:
    assert refused(archive({"../../etc/passwd": b"x"})) == "archive_escapes"
    assert refused(archive({"inner.zip": archive({"a": b"a"})})) == "archive_in_archive"
    assert refused(archive({f"{number}": b"" for number in range(2_001)})) == "too_many_entries"
    assert kept(archive({"a.txt": b"hello"})).content_type == ZIP
    assert kept(gzip.compress(b"hello")).content_type == GZIP
    assert refused(gzip.compress(b"hello" * 1000)[:-10]) == "archive_damaged"


def test_plain_rows_are_text_in_any_usual_encoding() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        assert kept("Größe;Preis\n1;2\n".encode(encoding), "deals.csv").content_type == CSV
