"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.core.serializers.json
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ("migration", "0001_initial"),
        ("migration", "0002_a_package_is_given_first"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='MigrationPackage',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('form', models.CharField(choices=[('takeover', 'Take-over'), ('broker', 'Whole broker')], max_length=8)),
                    ('file_name', models.CharField(max_length=255)),
                    ('stored_path', models.CharField(blank=True, max_length=255)),
                    ('size_bytes', models.BigIntegerField(default=0)),
                    ('digest', models.CharField(help_text='SHA-256 of the manifest, which holds those of the files.', max_length=64)),
                    ('state', models.CharField(choices=[('given', 'Being checked'), ('refused', 'Refused'), ('checked', 'Checked'), ('queued', 'Queued'), ('applied', 'Applied'), ('failed', 'Failed')], max_length=8)),
                    ('report', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                    ('rows', models.IntegerField(default=0)),
                    ('problems', models.IntegerField(default=0)),
                    ('attempt', models.PositiveIntegerField(default=0)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('checked_at', models.DateTimeField(null=True)),
                    ('finished_at', models.DateTimeField(null=True)),
                    ('confirmed_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                    ('entity', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='migration_packages', to='core.legalentity')),
                    ('given_by', models.ForeignKey(help_text='Empty: a command.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('confirmed_by__isnull', True), models.Q(('confirmed_by', models.F('given_by')), _negated=True), _connector='OR'), name='migration_package_four_eyes'), models.CheckConstraint(condition=models.Q(('form', 'broker'), ('entity__isnull', False), ('state', 'refused'), _connector='OR'), name='migration_package_has_entity'), models.UniqueConstraint(condition=models.Q(('form', 'takeover'), ('state__in', ['queued', 'applied'])), fields=('entity', 'digest'), name='migration_package_applied_once')],
                },
            ),
            migrations.CreateModel(
                name='MigrationKey',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('content', models.CharField(max_length=24)),
                    ('external_id', models.CharField(max_length=200)),
                    ('object_id', models.BigIntegerField()),
                    ('facts', models.JSONField(default=dict, help_text='What a repeat must say again: amount and day of an opening.')),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.legalentity')),
                    ('package', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='keys', to='migration.migrationpackage')),
                ],
                options={
                    'ordering': ['id'],
                    'indexes': [models.Index(fields=['content', 'object_id'], name='migration_key_object')],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'content', 'external_id'), name='migration_key_unique')],
                },
            ),
        ]),
    ]
