"""What the database itself enforces: daily partitions, lines and published plans that never change, marks of change."""

from django.db import migrations

from ib.migrations import _enforcement


class Migration(migrations.Migration):
    dependencies = [("ib", "0002_set_up_and_history"), ("platform_ops", "0003_sql_functions")]

    operations = _enforcement.OPERATIONS
