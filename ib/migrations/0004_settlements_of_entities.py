
import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ib', '0003_enforcement'),
    ]

    operations = [
        migrations.AddField(
            model_name='settlementbatch',
            name='entity_ids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text='Legal entities whose partners it paid; it is theirs to see.', size=None),
        ),
    ]
