"""Everything on which periods rest is marked by triggers, whoever changes it."""

from django.db import migrations

from ib.migrations import _period_marks


class Migration(migrations.Migration):
    dependencies = [("ib", "0008_plans_as_sentences"), ("platform_ops", "0001_tables")]

    operations = _period_marks.OPERATIONS
