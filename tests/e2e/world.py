"""A small broker for the browser: people of every door, and a little of what they look at."""

from __future__ import annotations

PASSWORD = "quite-long-and-only-for-tests-7"
