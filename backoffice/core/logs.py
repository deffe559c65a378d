"""Structured logs on standard error."""

from __future__ import annotations

import logging
from typing import Any


def configure(config: dict[str, Any]) -> None:
    """Sends every log to standard error in the configured format and level."""
    logging.basicConfig(level=config["level"])
