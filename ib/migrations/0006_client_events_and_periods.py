"""What other desks tell about clients, and what partners earn by the period."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import backoffice.core.fields
import backoffice.kernel.clock
import backoffice.kernel.ids
from backoffice.core.migration_operations import at_once


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_tables'),
        ('crm', '0001_tables'),
        ('ib', '0001_tables'),
    ]

    operations = at_once([
        migrations.CreateModel(
            name='ClientEvent',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                ('kind', models.CharField(choices=[('registered', 'Registered'), ('kyc_verified', 'Identity verified'), ('deposit', 'Deposit'), ('withdrawal', 'Withdrawal'), ('chargeback', 'Chargeback'), ('refund', 'Refund of a deposit'), ('bonus', 'Bonus'), ('fee', 'Fee borne by the broker'), ('payment_cost', 'Cost of payment'), ('royalty', 'Royalty or licence cost'), ('fraud', 'Fraud')], max_length=14)),
                ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24, null=True)),
                ('currency', backoffice.core.fields.CurrencyField(blank=True, max_length=5)),
                ('at', models.DateTimeField()),
                ('day', models.DateField(help_text='Business day of `at`.')),
                ('disputed_from', models.DateTimeField(null=True)),
                ('source', models.SlugField(db_index=False, help_text='System that told it, such as funding.', max_length=40)),
                ('reference', models.CharField(help_text="The source's own number of the fact.", max_length=120)),
                ('note', models.CharField(blank=True, max_length=300)),
                ('recorded_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                ('recorded_by', models.CharField(max_length=200)),
                ('client', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.client')),
                ('entity', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.legalentity')),
                ('reverses', models.OneToOneField(help_text='The fact it takes out.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='ib.clientevent')),
            ],
            options={
                'ordering': ['-at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='CpaClaim',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('component', models.CharField(max_length=40)),
                ('level', models.SmallIntegerField()),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('qualified', 'Qualified'), ('expired', 'Expired'), ('declined', 'Declined'), ('clawed_back', 'Taken back')], max_length=12)),
                ('first_deposit_at', models.DateTimeField()),
                ('first_deposit', backoffice.core.fields.AmountField(decimal_places=8, help_text="In the rule's currency.", max_digits=24)),
                ('qualified_at', models.DateTimeField(null=True)),
                ('expires_at', models.DateTimeField(null=True)),
                ('reward', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                ('missing', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), default=list, help_text='What is waited for, in words.', size=None)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('declined_at', models.DateTimeField(null=True)),
                ('declined_by', models.CharField(blank=True, max_length=200)),
                ('declined_reason', models.CharField(blank=True, max_length=300)),
                ('updated_at', models.DateTimeField(default=backoffice.kernel.clock.now)),
                ('client', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.client')),
                ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cpa_claims', to='ib.partner')),
                ('rule', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ib.planrule')),
            ],
            options={
                'ordering': ['-first_deposit_at', 'client'],
            },
        ),
        migrations.CreateModel(
            name='PeriodLine',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                ('kind', models.CharField(choices=[('cpa', 'Reward for a client'), ('active_client', 'Active client'), ('net_revenue', 'Share of net revenue'), ('override', 'Override on partners below'), ('carry_over', 'Losses carried'), ('clawback', 'Taken back')], max_length=14)),
                ('subject_type', models.CharField(choices=[('client', 'Client'), ('partner', 'Partner'), ('event', 'Event'), ('plan', 'Plan')], max_length=8)),
                ('subject_id', models.BigIntegerField()),
                ('period', models.DateField(help_text='First day of the period.')),
                ('seq', models.SmallIntegerField()),
                ('level', models.SmallIntegerField(null=True)),
                ('earned_at', models.DateTimeField(help_text='When the reward was earned, or the loss arose.', null=True)),
                ('quantity', models.DecimalField(decimal_places=18, max_digits=38)),
                ('measure', models.DecimalField(decimal_places=18, max_digits=38, null=True)),
                ('rate', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24, null=True)),
                ('rate_currency', backoffice.core.fields.CurrencyField(blank=True, max_length=5)),
                ('fx_rate', models.DecimalField(decimal_places=24, default=1, max_digits=38)),
                ('fx_date', models.DateField(null=True)),
                ('decimals', models.SmallIntegerField()),
                ('rounding', models.CharField(max_length=9)),
                ('target', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                ('day', models.DateField(help_text='Business day that the line belongs to.')),
                ('booked_day', models.DateField(help_text='Business day of the ledger entry.')),
                ('facts_digest', models.CharField(help_text='SHA-256 of everything that the target follows from.', max_length=64)),
                ('cause_event', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ib.clientevent')),
                ('partner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='period_lines', to='ib.partner')),
                ('rule', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ib.planrule')),
            ],
            options={
                'ordering': ['-period', 'partner', 'kind', 'subject_id', 'seq'],
            },
        ),
        migrations.CreateModel(
            name='PeriodLinePart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.SmallIntegerField()),
                ('code', models.CharField(max_length=20)),
                ('subject_id', models.BigIntegerField(help_text='Partner below or rule that the part is of.', null=True)),
                ('original', models.DecimalField(decimal_places=18, max_digits=38)),
                ('currency', backoffice.core.fields.CurrencyField(blank=True, max_length=5)),
                ('amount', models.DecimalField(decimal_places=18, max_digits=38)),
                ('count', models.IntegerField(default=0)),
                ('unknown', models.IntegerField(default=0)),
                ('line', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='parts', to='ib.periodline')),
            ],
            options={
                'ordering': ['line', 'position'],
            },
        ),
        migrations.CreateModel(
            name='PeriodMark',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('source', models.CharField(help_text='Table or event that changed.', max_length=63)),
                ('client_id', models.BigIntegerField(null=True)),
                ('partner_id', models.BigIntegerField(null=True)),
                ('day', models.DateField()),
                ('is_spread', models.BooleanField(db_default=False, default=False)),
                ('problem', models.CharField(blank=True, db_default='', default='', max_length=200)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(condition=models.Q(('is_spread', True)), fields=['partner_id'], name='ib_periodmark_due')],
                'constraints': [models.CheckConstraint(condition=models.Q(('client_id__isnull', False), ('partner_id__isnull', False), _connector='XOR'), name='ib_periodmark_of_one')],
            },
        ),
        migrations.CreateModel(
            name='PeriodSettlement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('from_period', models.DateField()),
                ('to_period', models.DateField()),
                ('cause', models.CharField(help_text='What asked for it, such as ib_clientevent or day:2026-03-31.', max_length=80)),
                ('actor', models.CharField(max_length=200)),
                ('lines', models.IntegerField()),
                ('booked', backoffice.core.fields.AmountField(decimal_places=8, help_text='Sum of the lines.', max_digits=24)),
                ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='period_settlements', to='ib.partner')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='periodline',
            name='settlement',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='period_lines', to='ib.periodsettlement'),
        ),
        migrations.CreateModel(
            name='CarryBalance',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('period', models.DateField()),
                ('scope', models.CharField(max_length=8)),
                ('opening', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('lapsed', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('result', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('set_off', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('carried', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('forgiven', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('closing', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                ('vintages', models.JSONField(default=list)),
                ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                ('updated_at', models.DateTimeField(default=backoffice.kernel.clock.now)),
                ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='carry_balances', to='ib.partner')),
                ('plan', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ib.plan')),
            ],
            options={
                'ordering': ['-period', 'partner', 'plan'],
                'constraints': [models.UniqueConstraint(fields=('partner', 'plan', 'period', 'currency'), name='ib_carrybalance_unique', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('carried__gte', 0), ('closing__lte', 0), ('forgiven__gte', 0), ('lapsed__lte', 0), ('opening__lte', 0), ('set_off__gte', 0)), name='ib_carrybalance_signs'), models.CheckConstraint(condition=models.Q(('closing', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('opening'), '-', models.F('lapsed')), '+', models.F('set_off')), '-', models.F('carried')))), name='ib_carrybalance_adds_up')],
            },
        ),
        migrations.AddIndex(
            model_name='clientevent',
            index=models.Index(fields=['client', 'kind', 'at'], name='ib_clientevent_client'),
        ),
        migrations.AddIndex(
            model_name='clientevent',
            index=models.Index(fields=['entity', '-at'], name='ib_clientevent_entity'),
        ),
        migrations.AddConstraint(
            model_name='clientevent',
            constraint=models.UniqueConstraint(fields=('source', 'reference'), name='ib_clientevent_told_once'),
        ),
        migrations.AddConstraint(
            model_name='clientevent',
            constraint=models.CheckConstraint(condition=models.Q(('reference', ''), _negated=True), name='ib_clientevent_has_reference'),
        ),
        migrations.AddConstraint(
            model_name='clientevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('amount__gt', 0), ('kind__in', ['deposit', 'withdrawal', 'chargeback', 'refund', 'bonus', 'fee', 'payment_cost', 'royalty']), models.Q(('currency', ''), _negated=True)), models.Q(('amount__isnull', True), ('currency', ''), ('kind__in', ['registered', 'kyc_verified', 'fraud'])), _connector='OR'), name='ib_clientevent_money'),
        ),
        migrations.AddConstraint(
            model_name='clientevent',
            constraint=models.CheckConstraint(condition=models.Q(('disputed_from__isnull', True), models.Q(('disputed_from__lte', models.F('at')), ('kind', 'chargeback')), _connector='OR'), name='ib_clientevent_dispute_begins_before'),
        ),
        migrations.AddConstraint(
            model_name='clientevent',
            constraint=models.CheckConstraint(condition=models.Q(('reverses', models.F('id')), _negated=True), name='ib_clientevent_not_own_reversal'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='clientevent',
            trigger=pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='fe167d650371ffc7b7d1121696204f665925d5d7', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_b7fcb', table='ib_clientevent', when='BEFORE')),
        ),
        migrations.AddIndex(
            model_name='cpaclaim',
            index=models.Index(fields=['partner', 'state'], name='ib_cpaclaim_partner'),
        ),
        migrations.AddConstraint(
            model_name='cpaclaim',
            constraint=models.UniqueConstraint(fields=('client', 'component', 'level'), name='ib_cpaclaim_once_for_ever'),
        ),
        migrations.AddConstraint(
            model_name='cpaclaim',
            constraint=models.CheckConstraint(condition=models.Q(('declined_at__isnull', True), models.Q(('declined_reason', ''), _negated=True), _connector='OR'), name='ib_cpaclaim_declined_with_reason'),
        ),
        migrations.AddConstraint(
            model_name='cpaclaim',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['qualified', 'clawed_back']), _negated=True), ('qualified_at__isnull', False), _connector='OR'), name='ib_cpaclaim_qualified_when'),
        ),
        migrations.AddConstraint(
            model_name='periodlinepart',
            constraint=models.UniqueConstraint(fields=('line', 'position'), name='ib_periodlinepart_unique'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='periodlinepart',
            trigger=pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='7d042106a6d3fe396a95e0ca97aa8427c7715271', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_eef3a', table='ib_periodlinepart', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='periodsettlement',
            trigger=pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='48815362c9d09b746afbc05124bf40880b2ad2c1', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_46a43', table='ib_periodsettlement', when='BEFORE')),
        ),
        migrations.AddIndex(
            model_name='periodline',
            index=models.Index(fields=['period', 'partner'], name='ib_periodline_period'),
        ),
        migrations.AddIndex(
            model_name='periodline',
            index=models.Index(condition=models.Q(('subject_type', 'client')), fields=['subject_id'], name='ib_periodline_client'),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.UniqueConstraint(fields=('partner', 'kind', 'rule', 'subject_type', 'subject_id', 'period', 'currency', 'seq'), name='ib_periodline_unique', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.CheckConstraint(condition=models.Q(('seq__gte', 0)), name='ib_periodline_seq_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.CheckConstraint(condition=models.Q(('fx_rate__gt', 0)), name='ib_periodline_rate_positive'),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.CheckConstraint(condition=models.Q(('period__day', 1)), name='ib_periodline_period_starts_month'),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.CheckConstraint(condition=models.Q(('seq__gt', 0), ('amount', models.F('target')), _connector='OR'), name='ib_periodline_first_is_target'),
        ),
        migrations.AddConstraint(
            model_name='periodline',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'clawback'), _negated=True), models.Q(('cause_event__isnull', False), ('target__lte', 0)), _connector='OR'), name='ib_periodline_clawback_has_cause'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='periodline',
            trigger=pgtrigger.compiler.Trigger(name='never_changes', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';", hash='de61fd643e16f7d597a86cb56567650856615043', level='STATEMENT', operation='UPDATE OR DELETE OR TRUNCATE', pgid='pgtrigger_never_changes_b92bb', table='ib_periodline', when='BEFORE')),
        ),
    ])
