"""The bytes of a text file as text, when the file does not say how it was written.

MetaTrader 4 saves statements in the Windows code page of the computer and declares none. Only comments and names
hold other than ASCII, so a wrong guess may spoil a comment and can never touch a number: undecodable bytes are
carried through parsing one by one and only then decoded, cell by cell, with a replacement character where needed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from backoffice.kernel.errors import InvalidInput

CHINESE = "gb18030"
CYRILLIC = "cp1251"
GUESS_SAMPLE_BYTES = 1_000_000

_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")
_ESCAPED_NBSP = "\udca0"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode_text(data: bytes) -> tuple[str, Callable[[str], str]]:
    """The text, and a function that finishes a cell of it (a no-op unless the code page had to be guessed).

    Raises InvalidInput for a file that contradicts its own byte order mark.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding), str
            except UnicodeDecodeError:
                raise InvalidInput(
                    f"The file says it is {encoding} text and is not.", row=None, field="file", value=None
                ) from None
    try:
        return data.decode("utf-8"), str
    except UnicodeDecodeError:
        encoding = guess_code_page(data)
        return data.decode("ascii", "surrogateescape"), lambda text: finish_text(text, encoding)


def guess_code_page(data: bytes) -> str:
    """Chinese or Cyrillic, the two that statements without a charset are seen in.

    Cyrillic letters all lie from 0xC0 up; of Chinese byte pairs about a third of the bytes lie below.
    """
    high = [byte for byte in data[:GUESS_SAMPLE_BYTES] if byte >= 0x80 and byte != 0xA0]
    low_letters = sum(byte < 0xC0 and byte not in (0xA8, 0xB8) for byte in high)
    return CHINESE if low_letters * 10 > len(high) else CYRILLIC


def finish_text(text: str, encoding: str) -> str:
    """Decode the bytes that were carried through as escapes; what cannot be decoded becomes U+FFFD."""
    plain = text.replace(_ESCAPED_NBSP, " ")
    if _ESCAPED_BYTES.search(plain) is None:
        return plain
    try:
        return text.encode("ascii", "surrogateescape").decode(encoding, "replace")
    except UnicodeEncodeError:  # real non-ASCII stands beside the escapes, so decode run by run
        return _ESCAPED_BYTES.sub(
            lambda run: run.group().encode("ascii", "surrogateescape").decode(encoding, "replace"), text
        )
