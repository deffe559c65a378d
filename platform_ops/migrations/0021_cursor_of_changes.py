"""Following a server keeps a second cursor: up to when its marks of change were read."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("platform_ops", "0020_charges_by_operation"),
    ]

    operations = [
        migrations.AddField(
            model_name="serversync",
            name="changes_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="serversync",
            name="corrected_deals",
            field=models.PositiveBigIntegerField(default=0, help_text="Found by the source's marks of change."),
        ),
    ]
