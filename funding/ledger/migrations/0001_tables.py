"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.fields
import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.expressions
import pgtrigger.compiler
from decimal import Decimal
from django.db import migrations, models
from funding.ledger.migrations import _enforcement
from funding.ledger.migrations import _days_opened_again



class Migration(migrations.Migration):

    replaces = [
        ("ledger", "0001_initial"),
        ("ledger", "0002_rules_of_rows"),
        ("ledger", "0003_enforcement"),
        ("ledger", "0004_periods_and_own_accounts"),
        ("ledger", "0005_days_opened_again"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='LedgerAccount',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('kind', models.CharField(choices=[('bank', 'Bank'), ('psp', 'Payment provider'), ('liquidity_provider', 'Liquidity provider'), ('client_receivable', 'Client receivable'), ('suspense', 'Suspense: money on its way'), ('client_liability', 'Client money on a trading account'), ('client_credit', 'Client credit on a trading account'), ('client_wallet', 'Client wallet'), ('partner_accrued', 'Partner commission accrued'), ('partner_payable', 'Partner commission payable'), ('partner_wallet', 'Partner wallet'), ('opening_equity', 'Opening balances taken over'), ('capital', 'Own funds'), ('house_book_a', 'House result, A book'), ('house_book_b', 'House result, B book'), ('swap_income', 'Swaps and interest'), ('commission_income', 'Trading commission charged'), ('fee_income', 'Fees and charges'), ('commission_expense', 'Partner commission'), ('bonus_expense', 'Bonuses and credit given'), ('compensation_expense', 'Compensation and corrections'), ('bank_charges', 'Bank and provider charges'), ('rounding', 'Rounding'), ('fx_position', 'Currency position'), ('fx_revaluation', 'Revaluation of foreign balances'), ('unrealised_fx', 'Exchange gains and losses, unrealised')], max_length=24)),
                    ('account_class', models.CharField(choices=[('asset', 'Asset'), ('liability', 'Liability'), ('equity', 'Equity'), ('income', 'Income'), ('expense', 'Expense')], max_length=10)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('owner_type', models.CharField(blank=True, help_text='Such as trading_account, client, partner, bank.', max_length=24)),
                    ('owner_id', models.BigIntegerField(default=0)),
                    ('name', models.CharField(max_length=160)),
                    ('is_debit_normal', models.BooleanField()),
                    ('is_frozen', models.BooleanField(default=False, help_text='A frozen account takes no debit until it is released.')),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='ledger_accounts', to='core.legalentity')),
                ],
                options={
                    'ordering': ['entity', 'kind', 'currency', 'owner_type', 'owner_id'],
                    'indexes': [models.Index(fields=['owner_type', 'owner_id'], name='ledger_account_owner')],
                    'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('account_class', 'asset'), ('is_debit_normal', True), ('kind__in', ['bank', 'client_receivable', 'fx_revaluation', 'liquidity_provider', 'psp', 'suspense'])), models.Q(('account_class', 'liability'), ('is_debit_normal', False), ('kind__in', ['client_credit', 'client_liability', 'client_wallet', 'partner_accrued', 'partner_payable', 'partner_wallet'])), models.Q(('account_class', 'equity'), ('is_debit_normal', False), ('kind__in', ['capital', 'fx_position', 'opening_equity'])), models.Q(('account_class', 'income'), ('is_debit_normal', False), ('kind__in', ['commission_income', 'fee_income', 'house_book_a', 'house_book_b', 'swap_income', 'unrealised_fx'])), models.Q(('account_class', 'expense'), ('is_debit_normal', True), ('kind__in', ['bank_charges', 'bonus_expense', 'commission_expense', 'compensation_expense', 'rounding'])), _connector='OR'), name='ledger_account_follows_chart'), models.CheckConstraint(condition=models.Q(models.Q(('owner_id', 0), ('owner_type', '')), models.Q(models.Q(('owner_type', ''), _negated=True), ('owner_id__gt', 0)), _connector='OR'), name='ledger_account_owner_whole'), models.UniqueConstraint(fields=('entity', 'kind', 'currency', 'owner_type', 'owner_id'), name='ledger_account_unique')],
                },
            ),
            migrations.CreateModel(
                name='ClosedDay',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('business_day', models.DateField()),
                    ('closed_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('closed_by', models.CharField(max_length=200)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='closed_days', to='core.legalentity')),
                ],
                options={
                    'ordering': ['-business_day'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'business_day'), name='ledger_closedday_unique')],
                },
            ),
            migrations.CreateModel(
                name='PeriodReopening',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('from_day', models.DateField()),
                    ('through_day', models.DateField()),
                    ('reason', models.TextField()),
                    ('requested_by', models.CharField(max_length=200)),
                    ('approved_by', models.CharField(max_length=200)),
                    ('change_request_id', models.BigIntegerField(null=True)),
                    ('opened_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('reclosed_at', models.DateTimeField(null=True)),
                    ('reclosed_by', models.CharField(blank=True, max_length=200)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='period_reopenings', to='core.legalentity')),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('from_day__lte', models.F('through_day'))), name='ledger_reopening_days_in_order'), models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='ledger_reopening_reason'), models.CheckConstraint(condition=models.Q(('approved_by', models.F('requested_by')), _negated=True), name='ledger_reopening_by_two_people'), django.contrib.postgres.constraints.ExclusionConstraint(condition=models.Q(('reclosed_at__isnull', True)), expressions=[('entity', '='), (models.Func('from_day', 'through_day', models.Value('[]'), function='daterange', output_field=django.contrib.postgres.fields.ranges.DateRangeField()), '&&')], name='ledger_reopening_once_at_a_time')],
                },
            ),
            migrations.CreateModel(
                name='JournalEntry',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('kind', models.CharField(choices=[('deposit', 'Deposit'), ('withdrawal', 'Withdrawal'), ('transfer', 'Transfer'), ('balance_operation', 'Balance operation'), ('trading_result', 'Trading result'), ('commission', 'Commission'), ('adjustment', 'Adjustment'), ('reversal', 'Reversal'), ('manual', 'Manual journal'), ('revaluation', 'Currency revaluation')], max_length=20)),
                    ('business_day', models.DateField()),
                    ('refers_to_day', models.DateField(help_text='The closed day that an adjustment concerns.', null=True)),
                    ('description', models.CharField(max_length=255)),
                    ('idempotency_key', models.CharField(max_length=160, unique=True)),
                    ('input_hash', models.BinaryField(max_length=32)),
                    ('reason', models.TextField(blank=True)),
                    ('actor', models.CharField(max_length=200)),
                    ('source_type', models.CharField(blank=True, max_length=40)),
                    ('source_id', models.BigIntegerField(null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('made_in', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='journal_entries', to='core.legalentity')),
                    ('reverses', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='ledger.journalentry')),
                    ('reopening', models.ForeignKey(blank=True, help_text='Set where the entry stands in days that were closed and opened again.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='ledger.periodreopening')),
                ],
                options={
                    'verbose_name_plural': 'journal entries',
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['entity', 'business_day'], name='ledger_entry_day'), models.Index(fields=['source_type', 'source_id'], name='ledger_entry_source')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('idempotency_key', ''), _negated=True), name='ledger_entry_has_key'), models.CheckConstraint(condition=models.Q(('reverses__isnull', True), models.Q(('reason', ''), _negated=True), _connector='OR'), name='ledger_entry_reversal_reason'), models.CheckConstraint(condition=models.Q(('refers_to_day__isnull', True), ('refers_to_day__lt', models.F('business_day')), _connector='OR'), name='ledger_entry_refers_back')],
                },
            ),
            migrations.CreateModel(
                name='Hold',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('state', models.CharField(choices=[('pending', 'Pending'), ('posted', 'Posted'), ('voided', 'Voided'), ('expired', 'Expired')], default='pending', max_length=8)),
                    ('idempotency_key', models.CharField(max_length=160, unique=True)),
                    ('input_hash', models.BinaryField(max_length=32)),
                    ('reason', models.CharField(max_length=255)),
                    ('expires_at', models.DateTimeField(null=True)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('finished_at', models.DateTimeField(null=True)),
                    ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='ledger.ledgeraccount')),
                    ('entry', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='ledger.journalentry')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(condition=models.Q(('state', 'pending')), fields=['account'], name='ledger_hold_pending'), models.Index(condition=models.Q(('state', 'pending')), fields=['expires_at'], name='ledger_hold_due')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('amount__lt', Decimal('10000000000000000'))), name='ledger_hold_amount_positive'), models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'posted', 'voided', 'expired'])), name='ledger_hold_state_known'), models.CheckConstraint(condition=models.Q(models.Q(('state', 'posted'), _negated=True), ('entry__isnull', False), _connector='OR'), name='ledger_hold_posted_by')],
                },
            ),
            migrations.CreateModel(
                name='ClosedMonth',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('month', models.DateField(help_text='Its first calendar day.')),
                    ('through_day', models.DateField(help_text='Its last business day.')),
                    ('checklist', models.JSONField(default=list)),
                    ('figures', models.JSONField(default=list)),
                    ('figures_sha256', models.CharField(max_length=64)),
                    ('closed_by', models.CharField(max_length=200)),
                    ('closed_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='closed_months', to='core.legalentity')),
                    ('reopened_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='months', to='ledger.periodreopening')),
                ],
                options={
                    'ordering': ['-month', '-id'],
                    'constraints': [models.UniqueConstraint(condition=models.Q(('reopened_by__isnull', True)), fields=('entity', 'month'), name='ledger_closedmonth_unique')],
                },
            ),
            migrations.CreateModel(
                name='Posting',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('side', models.CharField(choices=[('D', 'Debit'), ('C', 'Credit')], max_length=1)),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='postings', to='ledger.ledgeraccount')),
                    ('entry', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='postings', to='ledger.journalentry')),
                ],
                options={
                    'ordering': ['id'],
                    'indexes': [models.Index(fields=['account', 'id'], name='ledger_posting_account')],
                    'constraints': [models.UniqueConstraint(fields=('entry', 'account'), name='ledger_posting_once_per_account'), models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('amount__lt', Decimal('10000000000000000'))), name='ledger_posting_amount_positive'), models.CheckConstraint(condition=models.Q(('side__in', ['D', 'C'])), name='ledger_posting_side_known')],
                },
            ),
            migrations.CreateModel(
                name='AccountBalance',
                fields=[
                    ('account', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, primary_key=True, related_name='balance', serialize=False, to='ledger.ledgeraccount')),
                    ('balance', backoffice.core.fields.AmountField(decimal_places=8, default=0, max_digits=24)),
                    ('held', backoffice.core.fields.AmountField(decimal_places=8, default=0, max_digits=24)),
                    ('floor', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24, null=True)),
                    ('debits', backoffice.core.fields.AmountField(decimal_places=8, default=0, max_digits=24)),
                    ('credits', backoffice.core.fields.AmountField(decimal_places=8, default=0, max_digits=24)),
                    ('version', models.BigIntegerField(default=0)),
                ],
                options={
                    'constraints': [models.CheckConstraint(condition=models.Q(('floor__isnull', True), ('balance__gte', django.db.models.expressions.CombinedExpression(models.F('floor'), '+', models.F('held'))), _connector='OR'), name='ledger_balance_floor'), models.CheckConstraint(condition=models.Q(('held__gte', 0)), name='ledger_balance_held_not_negative')],
                },
            ),
        ]),
        backoffice.core.migration_operations.AddTriggers(
            triggers=[('closedday', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='cd5ba4d04088c3399a99b2d79576439580e511fb', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_7640f', table='ledger_closedday', when='BEFORE'))), ('periodreopening', pgtrigger.compiler.Trigger(name='reopening_stays', sql=pgtrigger.compiler.UpsertTriggerSql(func="\nPERFORM pg_advisory_xact_lock(ledger_books_lock_key(NEW.entity_id));\nIF TG_OP = 'INSERT' THEN\n    IF NEW.reclosed_at IS NOT NULL THEN\n        RAISE EXCEPTION 'a re-opening begins open' USING ERRCODE = 'BO001';\n    END IF;\n    IF NOT EXISTS (\n        SELECT FROM ledger_closedday WHERE entity_id = NEW.entity_id AND business_day >= NEW.through_day\n    ) THEN\n        RAISE EXCEPTION 'the books of entity % are not closed through %', NEW.entity_id, NEW.through_day\n            USING ERRCODE = '23L11';\n    END IF;\n    RETURN NEW;\nEND IF;\nIF OLD.reclosed_at IS NOT NULL OR NEW.reclosed_at IS NULL OR\n   (NEW.id, NEW.entity_id, NEW.from_day, NEW.through_day, NEW.reason, NEW.requested_by, NEW.approved_by,\n    NEW.change_request_id, NEW.opened_at)\n   IS DISTINCT FROM\n   (OLD.id, OLD.entity_id, OLD.from_day, OLD.through_day, OLD.reason, OLD.requested_by, OLD.approved_by,\n    OLD.change_request_id, OLD.opened_at)\nTHEN\n    RAISE EXCEPTION 'a re-opening is only ever closed again' USING ERRCODE = 'BO001';\nEND IF;\nRETURN NEW;\n", hash='c324c6ad2c164258afb9c37f2f277be4428badb2', operation='INSERT OR UPDATE', pgid='pgtrigger_reopening_stays_d4192', table='ledger_periodreopening', when='BEFORE'))), ('periodreopening', pgtrigger.compiler.Trigger(name='reopenings_remain', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='f6216fa13290b1e3372bee8daf7318f4a220316d', operation='DELETE', pgid='pgtrigger_reopenings_remain_25809', table='ledger_periodreopening', when='BEFORE'))), ('journalentry', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='0317c4759e4234ef8472a261c03451e0167a7846', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_382e4', table='ledger_journalentry', when='BEFORE'))), ('closedmonth', pgtrigger.compiler.Trigger(name='month_stays', sql=pgtrigger.compiler.UpsertTriggerSql(func="\nIF TG_OP = 'INSERT' THEN\n    IF NEW.reopened_by_id IS NOT NULL THEN\n        RAISE EXCEPTION 'a month begins closed' USING ERRCODE = 'BO001';\n    END IF;\n    RETURN NEW;\nEND IF;\nIF OLD.reopened_by_id IS NOT NULL OR NEW.reopened_by_id IS NULL OR\n   (NEW.id, NEW.entity_id, NEW.month, NEW.through_day, NEW.checklist, NEW.figures, NEW.figures_sha256, NEW.closed_by,\n    NEW.closed_at)\n   IS DISTINCT FROM\n   (OLD.id, OLD.entity_id, OLD.month, OLD.through_day, OLD.checklist, OLD.figures, OLD.figures_sha256, OLD.closed_by,\n    OLD.closed_at)\nTHEN\n    RAISE EXCEPTION 'a closed month is only ever opened again' USING ERRCODE = 'BO001';\nEND IF;\nRETURN NEW;\n", hash='7c23d51d9fc0154496811b29926384331c4b15f5', operation='INSERT OR UPDATE', pgid='pgtrigger_month_stays_77e09', table='ledger_closedmonth', when='BEFORE'))), ('closedmonth', pgtrigger.compiler.Trigger(name='months_remain', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='3b8495260e70632ffd1ed9f42f88358d69f8c972', operation='DELETE', pgid='pgtrigger_months_remain_43174', table='ledger_closedmonth', when='BEFORE'))), ('posting', pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='565f49d4b37376f14fabc17eff0d2cfcf9b14eda', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_0e9d9', table='ledger_posting', when='BEFORE')))],
        ),
        *_enforcement.OPERATIONS,
        *_days_opened_again.OPERATIONS,
    ]
