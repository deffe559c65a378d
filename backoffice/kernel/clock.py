"""The one clock.

Every room reads the time here and nowhere else, so that a test can freeze it and no naive time is ever made.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from backoffice.kernel.business_day import business_day_of


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def today_business_day() -> date:
    """The business day that is open now: it closes at the coming 17:00 New York."""
    return business_day_of(now())
