"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ("marketing", "0001_initial"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='Campaign',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('code', models.SlugField(max_length=40, unique=True)),
                    ('name', models.CharField(max_length=120)),
                    ('channel', models.CharField(blank=True, max_length=40)),
                    ('starts_on', models.DateField()),
                    ('ends_on', models.DateField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('brand', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='campaigns', to='core.brand')),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='campaigns', to='core.legalentity')),
                ],
                options={
                    'ordering': ['-starts_on', 'code'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('ends_on__isnull', True), ('ends_on__gte', models.F('starts_on')), _connector='OR'), name='marketing_campaign_dates_in_order')],
                },
            ),
        ]),
    ]
