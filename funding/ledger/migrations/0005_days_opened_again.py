"""Days that were closed and opened again take entries, and every such entry carries the mark of its re-opening."""

from django.db import migrations

from funding.ledger.migrations import _days_opened_again


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_periods_and_own_accounts")]

    operations = _days_opened_again.OPERATIONS
