"""Which part of all pairs of address and caller a run asks for: a fixed share, or all of them with ADDRESSES_FULL=1."""

from __future__ import annotations

import os
from zlib import crc32

WRITE = bool(os.environ.get("ADDRESSES_WRITE"))
FULL = WRITE or bool(os.environ.get("ADDRESSES_FULL"))
SHARE = 12
"""One of so many pairs is asked for when not all are."""


def asked(*pair: str, share: int = SHARE) -> bool:
    """Whether this pair of address and caller is in this run's share."""
    return FULL or crc32(" ".join(pair).encode()) % share == 0
