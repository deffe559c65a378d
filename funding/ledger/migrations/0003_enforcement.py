"""The rules of the books, kept by the database itself, whatever code writes.

SQLSTATEs of refusals begin with 23L, so drivers report them as integrity errors; `funding/ledger/database.py` turns
them into domain errors. Functions name their schema path so that a temporary table cannot stand in for a real one.
"""

from django.db import migrations

from funding.ledger.migrations import _enforcement


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_rules_of_rows")]

    operations = _enforcement.OPERATIONS
