"""The numbers of change requests."""

from django.db import migrations


class Migration(migrations.Migration):
    replaces = [
        ("core", "0010_change_requests"),
    ]

    dependencies = [("core", "0001_tables")]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE core_change_reference AS bigint", "DROP SEQUENCE core_change_reference"),
    ]
