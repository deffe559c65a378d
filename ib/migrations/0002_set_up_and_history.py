

import backoffice.core.fields
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0003_delivery_and_history'),
        ('crm', '0003_client_reference'),
        ('ib', '0001_initial'),
        ('platform_ops', '0003_sql_functions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AgreementVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ClientReferralVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='ConfigChange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.CharField(help_text='Table that changed.', max_length=63)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='PartnerEdgeVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PartnerVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False)),
                ('reference', models.CharField(help_text='Number shown to people, such as IB-0007.', max_length=20)),
                ('name', models.CharField(max_length=160)),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('country', models.CharField(blank=True, max_length=2)),
                ('currency', backoffice.core.fields.CurrencyField(help_text='Currency in which commissions are booked and paid.', max_length=5)),
                ('status', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended'), ('closed', 'Closed')], default='active', max_length=10)),
                ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PlanHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('code', models.SlugField(db_index=False, max_length=40)),
                ('name', models.CharField(max_length=120)),
                ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PlanRuleHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('kind', models.CharField(choices=[('per_lot', 'Amount per lot')], default='per_lot', max_length=12)),
                ('level', models.PositiveSmallIntegerField()),
                ('amount_per_lot', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PlanVersionHistory',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('number', models.PositiveIntegerField()),
                ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published')], default='draft', max_length=10)),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField(blank=True, null=True)),
                ('published_at', models.DateTimeField(null=True)),
                ('published_by', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='content_key',
            field=models.BinaryField(default=b'', help_text='SHA-256 of everything below.', max_length=32, unique=True),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='reward_digits',
            field=models.PositiveSmallIntegerField(default=0, help_text='Decimal places in which the reward is booked.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='ratecardversion',
            name='currency_pairs',
            field=models.JSONField(default=list, help_text='Pairs [rate currency, reward currency].'),
        ),
        migrations.AddField(
            model_name='ratecardversion',
            name='symbol_groups',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name='settlementbatch',
            name='actor',
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name='settlementbatch',
            name='cause',
            field=models.CharField(blank=True, help_text='What asked for it, such as range, referral:12.', max_length=80),
        ),
        migrations.AddField(
            model_name='settlementbatch',
            name='day',
            field=models.DateField(help_text='The day that was settled, for a settlement of a day.', null=True),
        ),
        migrations.AlterField(
            model_name='commissionline',
            name='fx_rate',
            field=models.DecimalField(decimal_places=24, max_digits=38),
        ),
        migrations.AddIndex(
            model_name='settlementbatch',
            index=models.Index(condition=models.Q(('day__isnull', False)), fields=['day'], name='ib_settlementbatch_day'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'insert\', NEW."id", NEW."plan_id", NEW."validity"); RETURN NULL;', hash='7be63c883f509bef77db611f5ea2ce60547dab8b', operation='INSERT', pgid='pgtrigger_insert_insert_d6d13', table='ib_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'update\', NEW."id", NEW."plan_id", NEW."validity"); RETURN NULL;', hash='d3a7d8c7a01e737739d4a137ffd4d5cc6ae01962', operation='UPDATE', pgid='pgtrigger_update_update_eb080', table='ib_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreement',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (OLD."id", OLD."partner_id", NOW(), \'delete\', OLD."id", OLD."plan_id", OLD."validity"); RETURN NULL;', hash='0734e9052a501dd22fad433f95d9af81be802944', operation='DELETE', pgid='pgtrigger_delete_delete_cc951', table='ib_agreement', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='clientreferral',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT new_values."client_id", new_values."id", new_values."partner_id", NOW(), \'insert\', new_values."id", new_values."validity" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='091641d329a0edad46f444626737bf17a583068a', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_b6caf', referencing='REFERENCING NEW TABLE AS new_values ', table='ib_clientreferral', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='clientreferral',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT new_values."client_id", new_values."id", new_values."partner_id", NOW(), \'update\', new_values."id", new_values."validity" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='1d84b7c284994e772edc78df8775390507f4d9e3', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_07933', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='ib_clientreferral', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='clientreferral',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT old_values."client_id", old_values."id", old_values."partner_id", NOW(), \'delete\', old_values."id", old_values."validity" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='88bd3b0cc6e382552ba8323f548ae36d27c4d1fa', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_bccc3', referencing='REFERENCING OLD TABLE AS old_values ', table='ib_clientreferral', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."name", NOW(), \'insert\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='f48392968f00b35b8ac1dd3fc454b39863a671ff', operation='INSERT', pgid='pgtrigger_insert_insert_c963d', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."name", NOW(), \'update\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='0a64dece4e638ef69c4cdbdab46caccc14b2452f', operation='UPDATE', pgid='pgtrigger_update_update_f4e4c', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (OLD."brand_id", OLD."country", OLD."created_at", OLD."currency", OLD."email", OLD."entity_id", OLD."id", OLD."name", NOW(), \'delete\', OLD."id", OLD."public_id", OLD."reference", OLD."status", OLD."user_id"); RETURN NULL;', hash='8d4a05ce5f196c70d9ea5ea4df929843e9ab6921', operation='DELETE', pgid='pgtrigger_delete_delete_bfa09', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partneredge',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (NEW."child_id", NEW."id", NEW."parent_id", NOW(), \'insert\', NEW."id", NEW."validity"); RETURN NULL;', hash='3063ac94810f67ca040872c69a1e255c8085fa39', operation='INSERT', pgid='pgtrigger_insert_insert_44403', table='ib_partneredge', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partneredge',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (NEW."child_id", NEW."id", NEW."parent_id", NOW(), \'update\', NEW."id", NEW."validity"); RETURN NULL;', hash='a589407ba584d205e1d4a2c90bb962173bbb0baa', operation='UPDATE', pgid='pgtrigger_update_update_1dad1', table='ib_partneredge', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partneredge',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (OLD."child_id", OLD."id", OLD."parent_id", NOW(), \'delete\', OLD."id", OLD."validity"); RETURN NULL;', hash='7f28743d05e5288a9b5b6d0b1e2f70d1f33ea5cf', operation='DELETE', pgid='pgtrigger_delete_delete_5c30e', table='ib_partneredge', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='plan',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."code", NEW."created_at", NEW."entity_id", NEW."id", NEW."name", NOW(), \'insert\', NEW."id"); RETURN NULL;', hash='6b9a220b0128a1f267d3a306d1e096b7d03fbd31', operation='INSERT', pgid='pgtrigger_insert_insert_cd10e', table='ib_plan', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='plan',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."code", NEW."created_at", NEW."entity_id", NEW."id", NEW."name", NOW(), \'update\', NEW."id"); RETURN NULL;', hash='f4fea736fa0cf5bb4192c6aabe288f4c2b72aa7a', operation='UPDATE', pgid='pgtrigger_update_update_de33b', table='ib_plan', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='plan',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (OLD."code", OLD."created_at", OLD."entity_id", OLD."id", OLD."name", NOW(), \'delete\', OLD."id"); RETURN NULL;', hash='07cbc420a3f74e1ddf16edf5ed3d7e666e8c6c11', operation='DELETE', pgid='pgtrigger_delete_delete_29b5e', table='ib_plan', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (NEW."amount_per_lot", NEW."currency", NEW."id", NEW."kind", NEW."level", NOW(), \'insert\', NEW."id", NEW."symbol_group_id", NEW."version_id"); RETURN NULL;', hash='8ce936ed9379ae93948cf8c6ee6c87712ad36eb1', operation='INSERT', pgid='pgtrigger_insert_insert_87079', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (NEW."amount_per_lot", NEW."currency", NEW."id", NEW."kind", NEW."level", NOW(), \'update\', NEW."id", NEW."symbol_group_id", NEW."version_id"); RETURN NULL;', hash='2762d8482e8e8c58100241ec56fdaae33d3f6188', operation='UPDATE', pgid='pgtrigger_update_update_f00e6', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (OLD."amount_per_lot", OLD."currency", OLD."id", OLD."kind", OLD."level", NOW(), \'delete\', OLD."id", OLD."symbol_group_id", OLD."version_id"); RETURN NULL;', hash='f94de61574231eebde2fd624c387f8cbdf3ed5ee', operation='DELETE', pgid='pgtrigger_delete_delete_a4dcd', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (NEW."id", NEW."number", NOW(), \'insert\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."state", NEW."validity"); RETURN NULL;', hash='b0a57b2f4b812dc7986088700d1bcdb97efe4193', operation='INSERT', pgid='pgtrigger_insert_insert_bff63', table='ib_planversion', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (NEW."id", NEW."number", NOW(), \'update\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."state", NEW."validity"); RETURN NULL;', hash='ca54d3ac80a6782e36cc88fafa11f86878ae63c8', operation='UPDATE', pgid='pgtrigger_update_update_74157', table='ib_planversion', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (OLD."id", OLD."number", NOW(), \'delete\', OLD."id", OLD."plan_id", OLD."published_at", OLD."published_by", OLD."state", OLD."validity"); RETURN NULL;', hash='67fe082e65c4a3b320d0dd1019edc168d9d26e56', operation='DELETE', pgid='pgtrigger_delete_delete_505e8', table='ib_planversion', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('seq__gte', 0)), name='ib_line_seq_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('level__gte', 1)), name='ib_line_level_positive'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('base_lots__gte', 0)), name='ib_line_lots_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('fx_rate__gt', 0)), name='ib_line_rate_positive'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('card_entry_id__isnull', False), ('rule_id__isnull', False)), models.Q(('card_entry_id__isnull', True), ('rule_id__isnull', True), ('target', 0)), _connector='OR'), name='ib_line_target_has_rule'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('seq__gt', 0), ('amount', models.F('target')), _connector='OR'), name='ib_line_first_books_target'),
        ),
        migrations.AddConstraint(
            model_name='settlementbatch',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('day__isnull', True), ('ingest_batch__isnull', False), ('purpose', 'ingest')), models.Q(('day__isnull', False), ('ingest_batch__isnull', True), ('purpose', 'range')), _connector='OR'), name='ib_settlementbatch_has_scope'),
        ),
        migrations.AddField(
            model_name='agreementversion',
            name='partner',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='agreementversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.agreement'),
        ),
        migrations.AddField(
            model_name='agreementversion',
            name='plan',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.plan'),
        ),
        migrations.AddField(
            model_name='clientreferralversion',
            name='client',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.client'),
        ),
        migrations.AddField(
            model_name='clientreferralversion',
            name='partner',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='clientreferralversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.clientreferral'),
        ),
        migrations.AddField(
            model_name='partneredgeversion',
            name='child',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partneredgeversion',
            name='parent',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partneredgeversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.partneredge'),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='brand',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.brand'),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='entity',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity'),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='user',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='planhistory',
            name='entity',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity'),
        ),
        migrations.AddField(
            model_name='planhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.plan'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.planrule'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='symbol_group',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='platform_ops.symbolgroup'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='version',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.planversion'),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.planversion'),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='plan',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.plan'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='agreementversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='57ffe7c25eebd4e46bc93dcc5885a5d75330f3db', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_dd3dd', table='ib_agreementversion', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='clientreferralversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='85160083157f757b8f6c88beb502cb6d1204955a', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_17f0c', table='ib_clientreferralversion', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partneredgeversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='c2efb75e535a361f686c56bf484501d80223a200', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_b73cf', table='ib_partneredgeversion', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partnerversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='4316e47f7c0216fdf6594cadeb53c674a3b8e728', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_725e5', table='ib_partnerversion', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planhistory',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='87fd2142dfb848d4db0f5ac177fcbbabce0405e7', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_3ac89', table='ib_planhistory', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrulehistory',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='54ac10c1f366b8f3ce84fbca968ead6808f30528', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_06d2e', table='ib_planrulehistory', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversionhistory',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='212940d62e11308190ae2cfc8bca801aef32f829', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_da139', table='ib_planversionhistory', when='BEFORE')),
        ),
    ]
