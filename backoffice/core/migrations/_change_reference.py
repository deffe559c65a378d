"""The numbers of change requests."""

from django.db import migrations

OPERATIONS = [
    migrations.RunSQL("CREATE SEQUENCE core_change_reference AS bigint", "DROP SEQUENCE core_change_reference"),
]
