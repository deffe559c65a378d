"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.fields
import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.db.models.deletion
import django.db.models.expressions
import pgtrigger.compiler
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ("funding", "0001_initial"),
        ("funding", "0002_runs_and_books"),
        ("funding", "0003_finance_own_tables"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
        ('ledger', '0001_tables'),
        ('platform_ops', '0001_tables'),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='ExternalAccount',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('kind', models.CharField(choices=[('bank', 'Bank'), ('psp', 'Payment provider'), ('liquidity_provider', 'Liquidity provider')], max_length=20)),
                    ('name', models.CharField(max_length=120)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('watched_from', models.DateField(help_text='The first business day whose balance is compared.')),
                    ('closed_on', models.DateField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('bank_account', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='external_account', to='core.entitybankaccount')),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='external_accounts', to='core.legalentity')),
                    ('ledger_account', models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='external_account', to='ledger.ledgeraccount')),
                ],
                options={
                    'ordering': ['entity', 'kind', 'name'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'name'), name='funding_external_name_unique'), models.CheckConstraint(condition=models.Q(('kind', 'bank'), ('bank_account__isnull', True), _connector='OR'), name='funding_external_bank_account_of_bank'), models.CheckConstraint(condition=models.Q(('closed_on__isnull', True), ('closed_on__gte', models.F('watched_from')), _connector='OR'), name='funding_external_closed_after')],
                },
            ),
            migrations.CreateModel(
                name='BalanceStatement',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('business_day', models.DateField()),
                    ('revision', models.PositiveIntegerField(default=1)),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('source', models.CharField(choices=[('manual', 'Entered by hand'), ('csv', 'Uploaded file'), ('api', 'Interface')], max_length=8)),
                    ('note', models.CharField(blank=True, max_length=255)),
                    ('entered_by', models.CharField(max_length=200)),
                    ('entered_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='statements', to='funding.externalaccount')),
                ],
                options={
                    'ordering': ['-business_day', 'account', '-revision'],
                    'constraints': [models.UniqueConstraint(fields=('account', 'business_day', 'revision'), name='funding_statement_revision_unique')],
                },
            ),
            migrations.CreateModel(
                name='ExternalAccountVersion',
                fields=[
                    ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                    ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                    ('pgh_label', models.TextField(help_text='The event label.')),
                    ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                    ('id', models.BigIntegerField()),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False)),
                    ('kind', models.CharField(choices=[('bank', 'Bank'), ('psp', 'Payment provider'), ('liquidity_provider', 'Liquidity provider')], max_length=20)),
                    ('name', models.CharField(max_length=120)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('watched_from', models.DateField(help_text='The first business day whose balance is compared.')),
                    ('closed_on', models.DateField(blank=True, null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('bank_account', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.entitybankaccount')),
                    ('entity', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity')),
                    ('ledger_account', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ledger.ledgeraccount')),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='funding.externalaccount')),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='ManualJournal',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('reference', models.CharField(max_length=60)),
                    ('business_day', models.DateField()),
                    ('description', models.CharField(max_length=200)),
                    ('reason', models.TextField()),
                    ('made_by', models.CharField(max_length=200)),
                    ('approved_by', models.CharField(max_length=200)),
                    ('change_request_id', models.BigIntegerField(null=True)),
                    ('attachments', models.JSONField(default=list, help_text='Public ids of the files that belong to it.')),
                    ('booked_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='manual_journals', to='core.legalentity')),
                    ('entry', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='manual_journal', to='ledger.journalentry')),
                    ('reverses', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='funding.manualjournal')),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'reference'), name='funding_journal_reference_unique'), models.CheckConstraint(condition=models.Q(('approved_by', models.F('made_by')), _negated=True), name='funding_journal_by_two_people'), models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='funding_journal_reason')],
                },
            ),
            migrations.CreateModel(
                name='Reconciliation',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('ledger_balance', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('difference', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('items', models.JSONField(default=list)),
                    ('note', models.TextField(blank=True)),
                    ('reconciled_by', models.CharField(max_length=200)),
                    ('reconciled_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('statement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reconciliations', to='funding.balancestatement')),
                ],
                options={
                    'ordering': ['-id'],
                },
            ),
            migrations.CreateModel(
                name='RevaluationRun',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('business_day', models.DateField()),
                    ('base_currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('actor', models.CharField(max_length=200)),
                    ('made_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='revaluations', to='core.legalentity')),
                    ('entry', models.OneToOneField(help_text='None: nothing moved.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='revaluation', to='ledger.journalentry')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['entity', 'business_day'], name='funding_revaluation_day')],
                },
            ),
            migrations.CreateModel(
                name='RevaluedPosition',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('kind', models.CharField(max_length=24)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('account', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='revalued_position', to='ledger.ledgeraccount')),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='revalued_positions', to='core.legalentity')),
                ],
                options={
                    'ordering': ['entity', 'kind', 'currency', 'account'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'kind', 'currency', 'account'), name='funding_position_unique', nulls_distinct=False)],
                },
            ),
            migrations.CreateModel(
                name='RevaluationLine',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('balance', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('cost', models.DecimalField(decimal_places=20, max_digits=40)),
                    ('value', models.DecimalField(decimal_places=20, max_digits=40)),
                    ('rate', models.DecimalField(decimal_places=20, max_digits=40)),
                    ('rate_source', models.CharField(max_length=60)),
                    ('rate_day', models.DateField(help_text='The day on which the rate was fixed.')),
                    ('target', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('booked_before', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='funding.revaluationrun')),
                    ('position', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='funding.revaluedposition')),
                ],
                options={
                    'ordering': ['run', 'position'],
                    'constraints': [models.UniqueConstraint(fields=('run', 'position'), name='funding_revaluationline_unique'), models.CheckConstraint(condition=models.Q(('amount', django.db.models.expressions.CombinedExpression(models.F('target'), '-', models.F('booked_before')))), name='funding_revaluationline_difference'), models.CheckConstraint(condition=models.Q(('rate__gt', 0)), name='funding_revaluationline_rate')],
                },
            ),
            migrations.CreateModel(
                name='TradingResultRun',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('business_day', models.DateField()),
                    ('actor', models.CharField(max_length=200)),
                    ('started_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('server', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.tradingserver')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['server', 'business_day'], name='funding_resultrun_day')],
                },
            ),
            migrations.CreateModel(
                name='TradingResultLine',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('business_day', models.DateField()),
                    ('component', models.CharField(choices=[('profit', 'Realised profit and loss'), ('swap', 'Swap'), ('commission', 'Commission'), ('fee', 'Fees and taxes'), ('deposit', 'Deposits and withdrawals'), ('credit', 'Credit'), ('bonus', 'Bonus'), ('agent', 'Agent commission paid on the server'), ('dividend', 'Dividends'), ('interest', 'Interest'), ('correction', 'Corrections and compensation'), ('opening', 'Opening balance'), ('opening_credit', 'Opening credit')], max_length=16)),
                    ('book', models.CharField(blank=True, max_length=1)),
                    ('seq', models.PositiveIntegerField()),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, to='platform_ops.tradingaccount')),
                    ('entry', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='trading_result_lines', to='ledger.journalentry')),
                    ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='funding.tradingresultrun')),
                ],
                options={
                    'ordering': ['business_day', 'account', 'component', 'seq'],
                    'constraints': [models.UniqueConstraint(fields=('account', 'business_day', 'component', 'seq'), name='funding_resultline_unique'), models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='funding_resultline_not_zero'), models.CheckConstraint(condition=models.Q(models.Q(('book__in', ['A', 'B']), ('component__in', ['profit', 'dividend'])), models.Q(models.Q(('component__in', ['profit', 'dividend']), _negated=True), ('book', '')), _connector='OR'), name='funding_resultline_book')],
                },
            ),
            migrations.CreateModel(
                name='BookedBatch',
                fields=[
                    ('batch', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='+', serialize=False, to='platform_ops.ingestbatch')),
                    ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='batches', to='funding.tradingresultrun')),
                ],
            ),
            migrations.CreateModel(
                name='DifferenceItem',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('description', models.CharField(max_length=255)),
                    ('reference', models.CharField(blank=True, max_length=120)),
                    ('entered_by', models.CharField(max_length=200)),
                    ('entered_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                    ('withdrawn_by', models.CharField(blank=True, max_length=200)),
                    ('statement', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='items', to='funding.balancestatement')),
                ],
                options={
                    'ordering': ['statement', 'id'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='funding_differenceitem_not_zero')],
                },
            ),
        ]),
        backoffice.core.migration_operations.AddTriggers(
            triggers=[('differenceitem', pgtrigger.compiler.Trigger(name='item_stays', sql=pgtrigger.compiler.UpsertTriggerSql(func="\nIF OLD.withdrawn_at IS NOT NULL OR NEW.withdrawn_at IS NULL OR\n   (NEW.id, NEW.statement_id, NEW.amount, NEW.description, NEW.reference, NEW.entered_by, NEW.entered_at)\n   IS DISTINCT FROM\n   (OLD.id, OLD.statement_id, OLD.amount, OLD.description, OLD.reference, OLD.entered_by, OLD.entered_at)\nTHEN\n    RAISE EXCEPTION 'an explanation is only ever withdrawn' USING ERRCODE = 'BO001';\nEND IF;\nRETURN NEW;\n", hash='2ff2486fd10588d76597e6a1a164fd3506a42c7e', operation='UPDATE', pgid='pgtrigger_item_stays_382c4', table='funding_differenceitem', when='BEFORE'))), ('differenceitem', pgtrigger.compiler.Trigger(name='items_remain', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='18725d91e2ccc3bbb03d157bbc00b59d2cfdd9de', operation='DELETE', pgid='pgtrigger_items_remain_9fbbd', table='funding_differenceitem', when='BEFORE'))), ('externalaccount', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "funding_externalaccountversion" ("bank_account_id", "closed_on", "created_at", "currency", "entity_id", "id", "kind", "ledger_account_id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "watched_from") VALUES (NEW."bank_account_id", NEW."closed_on", NEW."created_at", NEW."currency", NEW."entity_id", NEW."id", NEW."kind", NEW."ledger_account_id", NEW."name", NOW(), \'insert\', NEW."id", NEW."public_id", NEW."watched_from"); RETURN NULL;', hash='30b5d228aa8a6b1e2a1f52b2032103a874784a7e', operation='INSERT', pgid='pgtrigger_insert_insert_abe37', table='funding_externalaccount', when='AFTER'))), ('externalaccount', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "funding_externalaccountversion" ("bank_account_id", "closed_on", "created_at", "currency", "entity_id", "id", "kind", "ledger_account_id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "watched_from") VALUES (NEW."bank_account_id", NEW."closed_on", NEW."created_at", NEW."currency", NEW."entity_id", NEW."id", NEW."kind", NEW."ledger_account_id", NEW."name", NOW(), \'update\', NEW."id", NEW."public_id", NEW."watched_from"); RETURN NULL;', hash='402176f4b8e596d3c4b338187e5f04c4b33280f2', operation='UPDATE', pgid='pgtrigger_update_update_4e6f9', table='funding_externalaccount', when='AFTER'))), ('externalaccount', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "funding_externalaccountversion" ("bank_account_id", "closed_on", "created_at", "currency", "entity_id", "id", "kind", "ledger_account_id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "watched_from") VALUES (OLD."bank_account_id", OLD."closed_on", OLD."created_at", OLD."currency", OLD."entity_id", OLD."id", OLD."kind", OLD."ledger_account_id", OLD."name", NOW(), \'delete\', OLD."id", OLD."public_id", OLD."watched_from"); RETURN NULL;', hash='d883b3a7770036fcaced8aefc0902b23a7352afa', operation='DELETE', pgid='pgtrigger_delete_delete_fb601', table='funding_externalaccount', when='AFTER'))), ('balancestatement', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='06381397de083b1423c156e8715a0dcc38aac918', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_5398c', table='funding_balancestatement', when='BEFORE'))), ('externalaccountversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='bd84d0bc05f9c7141a402863589a675d2f906ad6', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_912f8', table='funding_externalaccountversion', when='BEFORE'))), ('manualjournal', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='fec3bd40d404621d383a6f35c80953aaaeed2e40', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_fb507', table='funding_manualjournal', when='BEFORE'))), ('reconciliation', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='0555541da9ed74d99558ac9471b23038d76f1fa8', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_540f7', table='funding_reconciliation', when='BEFORE'))), ('revaluationrun', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='a9ac024fd5cb8968d01e9671ca615876803ec451', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_a5e42', table='funding_revaluationrun', when='BEFORE'))), ('revaluationline', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='c40535d361123a086b740c27bd9590d89f0092f9', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_95a57', table='funding_revaluationline', when='BEFORE'))), ('tradingresultrun', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='b45e8a2b81aae19c32638c4a7e65be6f0ed95722', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_46377', table='funding_tradingresultrun', when='BEFORE'))), ('tradingresultline', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='bec74b4f9bba7e74e74dba0fa9c0d9fe04a81804', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_70970', table='funding_tradingresultline', when='BEFORE'))), ('bookedbatch', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='bf75b3a877993f97b213926ec79bf8a037147da3', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_6b4d3', table='funding_bookedbatch', when='BEFORE')))],
        ),
    ]
