"""The locks of platform operations, written once so that their order is one order everywhere."""

from __future__ import annotations

from django.db import connection

from platform_ops.models import BusinessDay

LOCK_TIMEOUT_MILLISECONDS = 3000


def lock_business_day(business_day_id: int) -> BusinessDay:
    """The business day, locked until the transaction ends; waits at most three seconds for another holder."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
    return BusinessDay.objects.select_for_update(of=("self",)).select_related("server", "entity").get(pk=business_day_id)
