"""A push of the swap of a group says whether the group followed the symbol before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("platform_ops", "0021_cursor_of_changes"),
    ]

    operations = [
        migrations.AddField(
            model_name="swappush",
            name="follows",
            field=models.BooleanField(default=False),
        ),
    ]
