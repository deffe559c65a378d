"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.fields
import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.db.models.deletion
import pgtrigger.compiler
from django.conf import settings
from django.db import migrations, models
from crm.migrations import _client_reference



class Migration(migrations.Migration):

    replaces = [
        ("crm", "0001_initial"),
        ("crm", "0002_client_history"),
        ("crm", "0003_client_reference"),
    ]

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('core', '0001_tables'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='Client',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('reference', models.CharField(help_text='Number shown to people, such as C-000123.', max_length=20, unique=True)),
                    ('full_name', models.CharField(max_length=160)),
                    ('email', models.EmailField(blank=True, max_length=254)),
                    ('phone', models.CharField(blank=True, max_length=32)),
                    ('country', models.CharField(blank=True, max_length=2)),
                    ('language', models.CharField(default='en', max_length=10)),
                    ('stage', models.CharField(choices=[('lead', 'Lead'), ('registered', 'Registered'), ('verified', 'Verified'), ('funded', 'Funded'), ('active', 'Active'), ('dormant', 'Dormant'), ('closed', 'Closed')], default='lead', max_length=12)),
                    ('registered_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('brand', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clients', to='core.brand')),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='clients', to='core.legalentity')),
                    ('owner', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='owned_clients', to=settings.AUTH_USER_MODEL)),
                    ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='clients', to='core.team')),
                    ('user', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='client', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['reference'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('stage__in', ['lead', 'registered', 'verified', 'funded', 'active', 'dormant', 'closed'])), name='crm_client_stage_known')],
                },
            ),
            migrations.CreateModel(
                name='ClientFact',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('fact', models.CharField(max_length=60)),
                    ('value', models.JSONField()),
                    ('as_of', models.DateTimeField(default=backoffice.kernel.clock.now)),
                    ('client', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='facts', to='crm.client')),
                ],
                options={
                    'ordering': ['client', 'fact'],
                    'constraints': [models.UniqueConstraint(fields=('client', 'fact'), name='crm_clientfact_unique')],
                },
            ),
            migrations.CreateModel(
                name='ClientUserObjectPermission',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('content_object', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='crm.client')),
                    ('permission', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='auth.permission')),
                    ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'abstract': False,
                    'unique_together': {('user', 'permission', 'content_object')},
                },
            ),
            migrations.CreateModel(
                name='ClientVersion',
                fields=[
                    ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                    ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                    ('pgh_label', models.TextField(help_text='The event label.')),
                    ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                    ('id', models.BigIntegerField()),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False)),
                    ('reference', models.CharField(help_text='Number shown to people, such as C-000123.', max_length=20)),
                    ('full_name', models.CharField(max_length=160)),
                    ('email', models.EmailField(blank=True, max_length=254)),
                    ('phone', models.CharField(blank=True, max_length=32)),
                    ('country', models.CharField(blank=True, max_length=2)),
                    ('language', models.CharField(default='en', max_length=10)),
                    ('stage', models.CharField(choices=[('lead', 'Lead'), ('registered', 'Registered'), ('verified', 'Verified'), ('funded', 'Funded'), ('active', 'Active'), ('dormant', 'Dormant'), ('closed', 'Closed')], default='lead', max_length=12)),
                    ('registered_at', models.DateTimeField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('brand', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.brand')),
                    ('entity', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity')),
                    ('owner', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL)),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='crm.client')),
                    ('team', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.team')),
                    ('user', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'abstract': False,
                },
            ),
        ]),
        backoffice.core.migration_operations.AddTriggers(
            triggers=[('client', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "crm_clientversion" ("brand_id", "country", "created_at", "email", "entity_id", "full_name", "id", "language", "owner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "public_id", "reference", "registered_at", "stage", "team_id", "user_id") SELECT new_values."brand_id", new_values."country", new_values."created_at", new_values."email", new_values."entity_id", new_values."full_name", new_values."id", new_values."language", new_values."owner_id", NOW(), \'insert\', new_values."id", new_values."phone", new_values."public_id", new_values."reference", new_values."registered_at", new_values."stage", new_values."team_id", new_values."user_id" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='69fbb481ab9032662bccf96153bcfd34adf7e1ad', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_e69b9', referencing='REFERENCING NEW TABLE AS new_values ', table='crm_client', when='AFTER'))), ('client', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "crm_clientversion" ("brand_id", "country", "created_at", "email", "entity_id", "full_name", "id", "language", "owner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "public_id", "reference", "registered_at", "stage", "team_id", "user_id") SELECT new_values."brand_id", new_values."country", new_values."created_at", new_values."email", new_values."entity_id", new_values."full_name", new_values."id", new_values."language", new_values."owner_id", NOW(), \'update\', new_values."id", new_values."phone", new_values."public_id", new_values."reference", new_values."registered_at", new_values."stage", new_values."team_id", new_values."user_id" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='649320990aad0e9284064db19bd75e1a63169b53', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_3d780', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='crm_client', when='AFTER'))), ('client', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "crm_clientversion" ("brand_id", "country", "created_at", "email", "entity_id", "full_name", "id", "language", "owner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "public_id", "reference", "registered_at", "stage", "team_id", "user_id") SELECT old_values."brand_id", old_values."country", old_values."created_at", old_values."email", old_values."entity_id", old_values."full_name", old_values."id", old_values."language", old_values."owner_id", NOW(), \'delete\', old_values."id", old_values."phone", old_values."public_id", old_values."reference", old_values."registered_at", old_values."stage", old_values."team_id", old_values."user_id" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='ba717928a8ee35451705bd017103449f09b21b94', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_03d6e', referencing='REFERENCING OLD TABLE AS old_values ', table='crm_client', when='AFTER'))), ('clientversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='b7e6ed0e7831e4a60cc2014a995fb3cec9c669b0', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_2f555', table='crm_clientversion', when='BEFORE')))],
        ),
        *_client_reference.OPERATIONS,
    ]
