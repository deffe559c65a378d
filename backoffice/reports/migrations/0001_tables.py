"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.db.models.deletion
import pgtrigger.compiler
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ("reports", "0001_initial"),
        ("reports", "0002_signing_keys"),
        ("reports", "0003_document_number"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='SigningKey',
                fields=[
                    ('key_id', models.CharField(help_text="First 16 hex digits of the key's SHA-256.", max_length=16, primary_key=True, serialize=False)),
                    ('public_key', models.BinaryField(help_text='Raw Ed25519 public key.', max_length=32)),
                    ('first_used_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                ],
                options={
                    'ordering': ['-first_used_at'],
                },
            ),
            migrations.CreateModel(
                name='IssuedReport',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('document_number', models.CharField(blank=True, help_text="Its number among the entity's reports, gapless by year.", max_length=60)),
                    ('definition', models.CharField(max_length=60)),
                    ('as_of', models.DateField(help_text='Business day that the report is about.')),
                    ('recorded_until', models.DateTimeField(help_text='What was recorded later is not in it.')),
                    ('format', models.CharField(choices=[('csv', 'CSV'), ('pdf', 'PDF')], max_length=4)),
                    ('stored_path', models.CharField(max_length=255)),
                    ('file_name', models.CharField(max_length=160)),
                    ('size_bytes', models.BigIntegerField()),
                    ('sha256', models.CharField(max_length=64)),
                    ('signature', models.BinaryField(help_text='Detached Ed25519 signature of the bytes.')),
                    ('signing_key_id', models.CharField(max_length=32)),
                    ('row_count', models.IntegerField()),
                    ('rows_digest', models.CharField(max_length=64)),
                    ('issued_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('issued_by', models.CharField(max_length=200)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='issued_reports', to='core.legalentity')),
                    ('issued_by_user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['definition', 'as_of'], name='reports_issued_day'), models.Index(fields=['sha256'], name='reports_issued_sha256')],
                    'constraints': [models.UniqueConstraint(condition=models.Q(('document_number', ''), _negated=True), fields=('entity', 'document_number'), name='reports_issued_number_unique')],
                },
            ),
            migrations.CreateModel(
                name='ReportSchedule',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('definition', models.CharField(max_length=60)),
                    ('format', models.CharField(choices=[('csv', 'CSV'), ('pdf', 'PDF')], max_length=4)),
                    ('is_enabled', models.BooleanField(default=True)),
                    ('last_business_day', models.DateField(blank=True, null=True)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='report_schedules', to='core.legalentity')),
                ],
                options={
                    'ordering': ['entity', 'definition', 'format'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'definition', 'format'), name='reports_schedule_unique')],
                },
            ),
        ]),
        backoffice.core.migration_operations.AddTriggers(
            triggers=[('signingkey', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='8615ff23499c097200acf909f7f65c9299b7aa70', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_327cd', table='reports_signingkey', when='BEFORE'))), ('issuedreport', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='3f24cca1516e695eadb157d206f383baaa2a3ab6', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_3587c', table='reports_issuedreport', when='BEFORE')))],
        ),
    ]
