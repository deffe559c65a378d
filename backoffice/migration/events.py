"""The events of this room."""

from __future__ import annotations

PACKAGE_APPLIED = "migration.package_applied"
"""A take-over package was applied; payload: package_id. One event for the whole package: a client who was taken over is
not greeted as a new one."""
