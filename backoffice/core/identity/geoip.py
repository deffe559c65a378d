"""The country of an address, from a local database file in the MaxMind DB format. Nothing here asks the network.

The format is a binary tree over the bits of the address whose leaves point into a section of typed values; see the
MaxMind DB file format specification 2.0. Only what a country needs is read: maps, strings, pointers and numbers.
"""

from __future__ import annotations

import ipaddress
import mmap
from functools import lru_cache
from pathlib import Path
from typing import Any

from backoffice.kernel.errors import Misconfigured

METADATA_MARKER = b"\xab\xcd\xefMaxMind.com"
METADATA_SEARCHED_BYTES = 128 * 1024
DATA_SEPARATOR_BYTES = 16
MAX_DEPTH = 16
_POINTER, _STRING, _DOUBLE, _BYTES, _UINT16, _UINT32, _MAP = 1, 2, 3, 4, 5, 6, 7
_EXTENDED_INT32, _UINT64, _UINT128, _ARRAY, _BOOLEAN, _FLOAT = 8, 9, 10, 11, 14, 15
_NUMBERS = frozenset({_UINT16, _UINT32, _EXTENDED_INT32, _UINT64, _UINT128})


class CountryFile:
    """An open database file. `country_of` takes microseconds and no memory of its own."""

    def __init__(self, path: Path) -> None:
        """Maps the file; raises Misconfigured when it is not in the format."""
        with path.open("rb") as handle:
            self._data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        start = self._data.rfind(METADATA_MARKER, max(0, len(self._data) - METADATA_SEARCHED_BYTES))
        if start < 0:
            raise Misconfigured("The country database is not in the MaxMind DB format.", file=path.name)
        self._section = start + len(METADATA_MARKER)
        metadata, _ = self._value(self._section, MAX_DEPTH)
        self._node_count = int(metadata["node_count"])
        self._record_bits = int(metadata["record_size"])
        self._version = int(metadata["ip_version"])
        if self._record_bits not in {24, 28, 32}:
            raise Misconfigured("The country database has an unknown record size.", file=path.name)
        self._node_bytes = self._record_bits // 4
        self._section = self._node_count * self._node_bytes + DATA_SEPARATOR_BYTES

    def country_of(self, address: str) -> str:
        """The ISO code of an address's country; empty when the file does not know it or it is no address."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return ""
        if parsed.version == 6 and self._version == 4:
            return ""
        width = 128 if self._version == 6 else 32
        node, bits = 0, int(parsed)
        for place in range(width - 1, -1, -1):
            node = self._child(node, bits >> place & 1)
            if node >= self._node_count:
                break
        if node <= self._node_count:
            return ""
        record, _ = self._value(self._section + node - self._node_count - DATA_SEPARATOR_BYTES, MAX_DEPTH)
        return _code_in(record)

    def _child(self, node: int, side: int) -> int:
        """The left (0) or right (1) record of a node."""
        start = node * self._node_bytes
        chunk = self._data[start : start + self._node_bytes]
        if self._record_bits != 28:
            half = self._node_bytes // 2
            return int.from_bytes(chunk[side * half : side * half + half], "big")
        high = chunk[3] >> 4 if side == 0 else chunk[3] & 0x0F
        low = chunk[:3] if side == 0 else chunk[4:]
        return high << 24 | int.from_bytes(low, "big")

    def _value(self, at: int, depth: int) -> tuple[Any, int]:
        """The value that starts at a byte, and where the next one starts."""
        if depth == 0:
            raise Misconfigured("The country database is nested too deeply.")
        control = self._data[at]
        at += 1
        kind = control >> 5
        if kind == _POINTER:
            return self._pointed(control, at, depth)
        if kind == 0:
            kind = self._data[at] + 7
            at += 1
        size, at = self._size(control & 0x1F, at)
        if kind == _MAP:
            found: dict[str, Any] = {}
            for _ in range(size):
                key, at = self._value(at, depth - 1)
                found[key], at = self._value(at, depth - 1)
            return found, at
        if kind == _ARRAY:
            items = []
            for _ in range(size):
                item, at = self._value(at, depth - 1)
                items.append(item)
            return items, at
        if kind == _BOOLEAN:
            return bool(size), at
        chunk = self._data[at : at + size]
        if kind == _STRING:
            return chunk.decode("utf-8", "replace"), at + size
        return (int.from_bytes(chunk, "big") if kind in _NUMBERS else chunk), at + size

    def _size(self, size: int, at: int) -> tuple[int, int]:
        if size < 29:
            return size, at
        extra = size - 28
        base = {1: 29, 2: 285, 3: 65_821}[extra]
        return base + int.from_bytes(self._data[at : at + extra], "big"), at + extra

    def _pointed(self, control: int, at: int, depth: int) -> tuple[Any, int]:
        extra = (control >> 3 & 3) + 1
        bits = int.from_bytes(self._data[at : at + extra], "big")
        if extra < 4:
            bits += (control & 7) << 8 * extra
            bits += {1: 0, 2: 2_048, 3: 526_336}[extra]
        value, _ = self._value(self._section + bits, depth - 1)
        return value, at + extra


def _code_in(record: Any) -> str:
    """The country of a record of the usual layouts: where it lies, else where it is registered."""
    if not isinstance(record, dict):
        return ""
    for key in ("country", "registered_country"):
        part = record.get(key)
        code = part.get("iso_code", "") if isinstance(part, dict) else part
        if isinstance(code, str) and len(code) == 2 and code.isalpha():
            return code.upper()
    return ""


@lru_cache(maxsize=4)
def country_file(path: str) -> CountryFile:
    """The file at a path, opened once for each process."""
    return CountryFile(Path(path))
