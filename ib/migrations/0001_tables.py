"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.fields
import backoffice.core.migration_operations
import backoffice.kernel.clock
import backoffice.kernel.ids
import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
from django.conf import settings
from django.db import migrations, models
from ib.migrations import _enforcement



class Migration(migrations.Migration):

    replaces = [
        ("ib", "0001_initial"),
        ("ib", "0002_set_up_and_history"),
        ("ib", "0003_enforcement"),
        ("ib", "0004_settlements_of_entities"),
        ("ib", "0005_trades_set_aside"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
        ('crm', '0001_tables'),
        ('platform_ops', '0001_tables'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
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
                name='CommissionLine',
                fields=[
                    ('pk', models.CompositePrimaryKey('partner_id', 'trade_id', 'seq', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                    ('partner_id', models.BigIntegerField()),
                    ('trade_id', models.BigIntegerField()),
                    ('seq', models.SmallIntegerField()),
                    ('day', models.DateField()),
                    ('batch_id', models.BigIntegerField()),
                    ('card_entry_id', models.BigIntegerField(null=True)),
                    ('rule_id', models.BigIntegerField(null=True)),
                    ('level', models.SmallIntegerField()),
                    ('base_lots', backoffice.core.fields.LotsField(decimal_places=8, max_digits=20)),
                    ('amount_per_lot', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('rate_currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('fx_rate', models.DecimalField(decimal_places=24, max_digits=38)),
                    ('fx_date', models.DateField(null=True)),
                    ('target', backoffice.core.fields.AmountField(decimal_places=8, help_text="What the trade is worth to the partner by this line's rule.", max_digits=24)),
                    ('amount', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('booked_day', models.DateField(help_text='Business day of the ledger entry.')),
                ],
                options={
                    'ordering': ['partner_id', 'day', 'trade_id', 'seq'],
                    'constraints': [models.CheckConstraint(condition=models.Q(('seq__gte', 0)), name='ib_line_seq_not_negative'), models.CheckConstraint(condition=models.Q(('level__gte', 1)), name='ib_line_level_positive'), models.CheckConstraint(condition=models.Q(('base_lots__gte', 0)), name='ib_line_lots_not_negative'), models.CheckConstraint(condition=models.Q(('fx_rate__gt', 0)), name='ib_line_rate_positive'), models.CheckConstraint(condition=models.Q(models.Q(('card_entry_id__isnull', False), ('rule_id__isnull', False)), models.Q(('card_entry_id__isnull', True), ('rule_id__isnull', True), ('target', 0)), _connector='OR'), name='ib_line_target_has_rule'), models.CheckConstraint(condition=models.Q(('seq__gt', 0), ('amount', models.F('target')), _connector='OR'), name='ib_line_first_books_target')],
                },
            ),
            migrations.CreateModel(
                name='Partner',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('public_id', models.UUIDField(default=backoffice.kernel.ids.uuid7, editable=False, unique=True)),
                    ('reference', models.CharField(help_text='Number shown to people, such as IB-0007.', max_length=20, unique=True)),
                    ('name', models.CharField(max_length=160)),
                    ('email', models.EmailField(blank=True, max_length=254)),
                    ('country', models.CharField(blank=True, max_length=2)),
                    ('currency', backoffice.core.fields.CurrencyField(help_text='Currency in which commissions are booked and paid.', max_length=5)),
                    ('status', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended'), ('closed', 'Closed')], default='active', max_length=10)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('brand', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='partners', to='core.brand')),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='partners', to='core.legalentity')),
                    ('user', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='partner', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'ordering': ['reference'],
                },
            ),
            migrations.CreateModel(
                name='ClientReferral',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                    ('client', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='referrals', to='crm.client')),
                    ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='referrals', to='ib.partner')),
                ],
                options={
                    'ordering': ['client', 'validity'],
                    'constraints': [django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('client', '='), ('validity', '&&')], name='ib_referral_no_overlap'), models.CheckConstraint(condition=models.Q(('validity__isempty', False)), name='ib_referral_not_empty')],
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
                    ('client', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.client')),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.clientreferral')),
                    ('partner', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner')),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='PartnerEdge',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                    ('child', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='parent_edges', to='ib.partner')),
                    ('parent', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='child_edges', to='ib.partner')),
                ],
                options={
                    'ordering': ['child', 'validity'],
                    'constraints': [django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('child', '='), ('validity', '&&')], name='ib_edge_no_overlap'), models.CheckConstraint(condition=models.Q(('child', models.F('parent')), _negated=True), name='ib_edge_not_own_parent'), models.CheckConstraint(condition=models.Q(('validity__isempty', False)), name='ib_edge_not_empty')],
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
                    ('child', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner')),
                    ('parent', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner')),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.partneredge')),
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
                    ('brand', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.brand')),
                    ('entity', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity')),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.partner')),
                    ('user', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to=settings.AUTH_USER_MODEL)),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='Plan',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('code', models.SlugField(max_length=40)),
                    ('name', models.CharField(max_length=120)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='plans', to='core.legalentity')),
                ],
                options={
                    'ordering': ['entity', 'code'],
                    'constraints': [models.UniqueConstraint(fields=('entity', 'code'), name='ib_plan_code_unique')],
                },
            ),
            migrations.CreateModel(
                name='Agreement',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                    ('partner', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='agreements', to='ib.partner')),
                    ('plan', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='agreements', to='ib.plan')),
                ],
                options={
                    'ordering': ['partner', 'validity'],
                    'constraints': [django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('partner', '='), ('validity', '&&')], name='ib_agreement_no_overlap'), models.CheckConstraint(condition=models.Q(('validity__isempty', False)), name='ib_agreement_not_empty')],
                },
            ),
            migrations.CreateModel(
                name='AgreementVersion',
                fields=[
                    ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                    ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                    ('pgh_label', models.TextField(help_text='The event label.')),
                    ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                    ('id', models.BigIntegerField()),
                    ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.agreement')),
                    ('partner', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner')),
                    ('plan', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.plan')),
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
                    ('entity', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='core.legalentity')),
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.plan')),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='PlanVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('number', models.PositiveIntegerField()),
                    ('state', models.CharField(choices=[('draft', 'Draft'), ('published', 'Published')], default='draft', max_length=10)),
                    ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField(blank=True, null=True)),
                    ('published_at', models.DateTimeField(null=True)),
                    ('published_by', models.CharField(blank=True, max_length=200)),
                    ('plan', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='ib.plan')),
                ],
                options={
                    'ordering': ['plan', '-number'],
                    'constraints': [models.UniqueConstraint(fields=('plan', 'number'), name='ib_planversion_number_unique'), django.contrib.postgres.constraints.ExclusionConstraint(condition=models.Q(('state', 'published')), expressions=[('plan', '='), ('validity', '&&')], name='ib_planversion_no_overlap'), models.CheckConstraint(condition=models.Q(models.Q(('published_at__isnull', True), ('state', 'draft')), models.Q(('published_at__isnull', False), ('state', 'published'), ('validity__isnull', False)), _connector='OR'), name='ib_planversion_published_is_dated')],
                },
            ),
            migrations.CreateModel(
                name='PlanRule',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('kind', models.CharField(choices=[('per_lot', 'Amount per lot')], default='per_lot', max_length=12)),
                    ('level', models.PositiveSmallIntegerField()),
                    ('amount_per_lot', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('symbol_group', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to='platform_ops.symbolgroup')),
                    ('version', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='rules', to='ib.planversion')),
                ],
                options={
                    'ordering': ['version', 'level', 'symbol_group'],
                    'constraints': [models.UniqueConstraint(fields=('version', 'level', 'symbol_group'), name='ib_planrule_unique', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('level__gte', 1)), name='ib_planrule_level_positive'), models.CheckConstraint(condition=models.Q(('amount_per_lot__gte', 0)), name='ib_planrule_amount_not_negative')],
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
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.planrule')),
                    ('symbol_group', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='platform_ops.symbolgroup')),
                    ('version', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.planversion')),
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
                    ('pgh_obj', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.planversion')),
                    ('plan', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.plan')),
                ],
                options={
                    'abstract': False,
                },
            ),
            migrations.CreateModel(
                name='QuarantinedTrade',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('trade_batch_id', models.BigIntegerField(help_text='The batch that last changed the trade when it was set aside.')),
                    ('day', models.DateField(help_text='Business day on which it could not be settled.')),
                    ('ticket', models.BigIntegerField()),
                    ('entity_id', models.BigIntegerField(help_text='Legal entity of the trading server.')),
                    ('error', models.CharField(help_text='Kind of the refusal, such as DataError or a code.', max_length=80)),
                    ('reason', models.TextField(help_text='What the books said.')),
                    ('cause', models.CharField(blank=True, help_text='The settlement in which it was found.', max_length=80)),
                    ('attempts', models.IntegerField(default=1, help_text='How often it was set aside.')),
                    ('quarantined_at', models.DateTimeField(default=backoffice.kernel.clock.now)),
                    ('released_at', models.DateTimeField(null=True)),
                    ('released_by', models.CharField(blank=True, max_length=200)),
                    ('release_reason', models.TextField(blank=True)),
                    ('trade', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.trade')),
                ],
                options={
                    'ordering': ['-quarantined_at', '-id'],
                    'indexes': [models.Index(condition=models.Q(('released_at__isnull', True)), fields=['day'], name='ib_quarantinedtrade_held')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('reason', ''), _negated=True), name='ib_quarantinedtrade_has_reason'), models.CheckConstraint(condition=models.Q(('released_at__isnull', True), models.Q(('release_reason', ''), _negated=True), _connector='OR'), name='ib_quarantinedtrade_release_reason')],
                },
            ),
            migrations.CreateModel(
                name='RateCardEntry',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('content_key', models.BinaryField(help_text='SHA-256 of everything below.', max_length=32, unique=True)),
                    ('direct_partner_id', models.BigIntegerField()),
                    ('symbol_group_id', models.BigIntegerField()),
                    ('beneficiary_id', models.BigIntegerField()),
                    ('level', models.PositiveSmallIntegerField()),
                    ('path', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
                    ('rule_id', models.BigIntegerField()),
                    ('amount_per_lot', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
                    ('rate_currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('reward_currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('reward_digits', models.PositiveSmallIntegerField(help_text='Decimal places in which the reward is booked.')),
                    ('valid_from', models.DateTimeField(null=True)),
                    ('valid_to', models.DateTimeField(null=True)),
                    ('is_current', models.BooleanField(default=True)),
                ],
                options={
                    'ordering': ['id'],
                    'indexes': [models.Index(condition=models.Q(('is_current', True)), fields=['direct_partner_id', 'symbol_group_id'], name='ib_ratecard_lookup')],
                },
            ),
            migrations.CreateModel(
                name='RateCardVersion',
                fields=[
                    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                    ('digest', models.CharField(max_length=64)),
                    ('entries', models.IntegerField()),
                    ('symbol_groups', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, size=None)),
                    ('currency_pairs', models.JSONField(default=list, help_text='Pairs [rate currency, reward currency].')),
                    ('compiled_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('is_active', models.BooleanField(default=False)),
                ],
                options={
                    'ordering': ['-id'],
                    'constraints': [models.UniqueConstraint(condition=models.Q(('is_active', True)), fields=('is_active',), name='ib_ratecard_one_active')],
                },
            ),
            migrations.CreateModel(
                name='SettlementBatch',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('purpose', models.CharField(choices=[('ingest', 'Accrual of an ingest batch'), ('range', 'Settlement of a day')], max_length=8)),
                    ('scope_key', models.CharField(max_length=80)),
                    ('day', models.DateField(help_text='The day that was settled, for a settlement of a day.', null=True)),
                    ('cause', models.CharField(blank=True, help_text='What asked for it, such as range, referral:12.', max_length=80)),
                    ('actor', models.CharField(blank=True, max_length=200)),
                    ('trades', models.IntegerField(default=0)),
                    ('lines', models.IntegerField(default=0)),
                    ('booked', models.JSONField(default=dict, help_text='Sum of the lines by currency, as decimal text.')),
                    ('line_digest', models.CharField(blank=True, max_length=64)),
                    ('entity_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text='Legal entities whose partners it paid; it is theirs to see.', size=None)),
                    ('created_at', models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
                    ('card', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='ib.ratecardversion')),
                    ('ingest_batch', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='platform_ops.ingestbatch')),
                ],
                options={
                    'verbose_name_plural': 'settlement batches',
                    'ordering': ['-id'],
                    'indexes': [models.Index(condition=models.Q(('day__isnull', False)), fields=['day'], name='ib_settlementbatch_day')],
                    'constraints': [models.UniqueConstraint(fields=('purpose', 'scope_key'), name='ib_settlementbatch_scope_unique'), models.CheckConstraint(condition=models.Q(models.Q(('day__isnull', True), ('ingest_batch__isnull', False), ('purpose', 'ingest')), models.Q(('day__isnull', False), ('ingest_batch__isnull', True), ('purpose', 'range')), _connector='OR'), name='ib_settlementbatch_has_scope')],
                },
            ),
        ]),
        backoffice.core.migration_operations.AddTriggers(
            triggers=[('partner', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."name", NOW(), \'insert\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='f48392968f00b35b8ac1dd3fc454b39863a671ff', operation='INSERT', pgid='pgtrigger_insert_insert_c963d', table='ib_partner', when='AFTER'))), ('partner', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."name", NOW(), \'update\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='0a64dece4e638ef69c4cdbdab46caccc14b2452f', operation='UPDATE', pgid='pgtrigger_update_update_f4e4c', table='ib_partner', when='AFTER'))), ('partner', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "country", "created_at", "currency", "email", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (OLD."brand_id", OLD."country", OLD."created_at", OLD."currency", OLD."email", OLD."entity_id", OLD."id", OLD."name", NOW(), \'delete\', OLD."id", OLD."public_id", OLD."reference", OLD."status", OLD."user_id"); RETURN NULL;', hash='8d4a05ce5f196c70d9ea5ea4df929843e9ab6921', operation='DELETE', pgid='pgtrigger_delete_delete_bfa09', table='ib_partner', when='AFTER'))), ('clientreferralversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='85160083157f757b8f6c88beb502cb6d1204955a', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_17f0c', table='ib_clientreferralversion', when='BEFORE'))), ('clientreferral', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT new_values."client_id", new_values."id", new_values."partner_id", NOW(), \'insert\', new_values."id", new_values."validity" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='091641d329a0edad46f444626737bf17a583068a', level='STATEMENT', operation='INSERT', pgid='pgtrigger_insert_insert_b6caf', referencing='REFERENCING NEW TABLE AS new_values ', table='ib_clientreferral', when='AFTER'))), ('clientreferral', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT new_values."client_id", new_values."id", new_values."partner_id", NOW(), \'update\', new_values."id", new_values."validity" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values.* IS DISTINCT FROM new_values.*) ) AS new_values, _pgh_attached_context; RETURN NULL;', hash='1d84b7c284994e772edc78df8775390507f4d9e3', level='STATEMENT', operation='UPDATE', pgid='pgtrigger_update_update_07933', referencing='REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ', table='ib_clientreferral', when='AFTER'))), ('clientreferral', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "ib_clientreferralversion" ("client_id", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") SELECT old_values."client_id", old_values."id", old_values."partner_id", NOW(), \'delete\', old_values."id", old_values."validity" FROM ( SELECT old_values.* FROM old_values  ) AS old_values, _pgh_attached_context; RETURN NULL;', hash='88bd3b0cc6e382552ba8323f548ae36d27c4d1fa', level='STATEMENT', operation='DELETE', pgid='pgtrigger_delete_delete_bccc3', referencing='REFERENCING OLD TABLE AS old_values ', table='ib_clientreferral', when='AFTER'))), ('partneredge', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (NEW."child_id", NEW."id", NEW."parent_id", NOW(), \'insert\', NEW."id", NEW."validity"); RETURN NULL;', hash='3063ac94810f67ca040872c69a1e255c8085fa39', operation='INSERT', pgid='pgtrigger_insert_insert_44403', table='ib_partneredge', when='AFTER'))), ('partneredge', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (NEW."child_id", NEW."id", NEW."parent_id", NOW(), \'update\', NEW."id", NEW."validity"); RETURN NULL;', hash='a589407ba584d205e1d4a2c90bb962173bbb0baa', operation='UPDATE', pgid='pgtrigger_update_update_1dad1', table='ib_partneredge', when='AFTER'))), ('partneredge', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partneredgeversion" ("child_id", "id", "parent_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "validity") VALUES (OLD."child_id", OLD."id", OLD."parent_id", NOW(), \'delete\', OLD."id", OLD."validity"); RETURN NULL;', hash='7f28743d05e5288a9b5b6d0b1e2f70d1f33ea5cf', operation='DELETE', pgid='pgtrigger_delete_delete_5c30e', table='ib_partneredge', when='AFTER'))), ('partneredgeversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='c2efb75e535a361f686c56bf484501d80223a200', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_b73cf', table='ib_partneredgeversion', when='BEFORE'))), ('partnerversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='4316e47f7c0216fdf6594cadeb53c674a3b8e728', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_725e5', table='ib_partnerversion', when='BEFORE'))), ('plan', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."code", NEW."created_at", NEW."entity_id", NEW."id", NEW."name", NOW(), \'insert\', NEW."id"); RETURN NULL;', hash='6b9a220b0128a1f267d3a306d1e096b7d03fbd31', operation='INSERT', pgid='pgtrigger_insert_insert_cd10e', table='ib_plan', when='AFTER'))), ('plan', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (NEW."code", NEW."created_at", NEW."entity_id", NEW."id", NEW."name", NOW(), \'update\', NEW."id"); RETURN NULL;', hash='f4fea736fa0cf5bb4192c6aabe288f4c2b72aa7a', operation='UPDATE', pgid='pgtrigger_update_update_de33b', table='ib_plan', when='AFTER'))), ('plan', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planhistory" ("code", "created_at", "entity_id", "id", "name", "pgh_created_at", "pgh_label", "pgh_obj_id") VALUES (OLD."code", OLD."created_at", OLD."entity_id", OLD."id", OLD."name", NOW(), \'delete\', OLD."id"); RETURN NULL;', hash='07cbc420a3f74e1ddf16edf5ed3d7e666e8c6c11', operation='DELETE', pgid='pgtrigger_delete_delete_29b5e', table='ib_plan', when='AFTER'))), ('agreementversion', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='57ffe7c25eebd4e46bc93dcc5885a5d75330f3db', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_dd3dd', table='ib_agreementversion', when='BEFORE'))), ('agreement', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'insert\', NEW."id", NEW."plan_id", NEW."validity"); RETURN NULL;', hash='7be63c883f509bef77db611f5ea2ce60547dab8b', operation='INSERT', pgid='pgtrigger_insert_insert_d6d13', table='ib_agreement', when='AFTER'))), ('agreement', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'update\', NEW."id", NEW."plan_id", NEW."validity"); RETURN NULL;', hash='d3a7d8c7a01e737739d4a137ffd4d5cc6ae01962', operation='UPDATE', pgid='pgtrigger_update_update_eb080', table='ib_agreement', when='AFTER'))), ('agreement', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_agreementversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "validity") VALUES (OLD."id", OLD."partner_id", NOW(), \'delete\', OLD."id", OLD."plan_id", OLD."validity"); RETURN NULL;', hash='0734e9052a501dd22fad433f95d9af81be802944', operation='DELETE', pgid='pgtrigger_delete_delete_cc951', table='ib_agreement', when='AFTER'))), ('planhistory', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='87fd2142dfb848d4db0f5ac177fcbbabce0405e7', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_3ac89', table='ib_planhistory', when='BEFORE'))), ('planversion', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (NEW."id", NEW."number", NOW(), \'insert\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."state", NEW."validity"); RETURN NULL;', hash='b0a57b2f4b812dc7986088700d1bcdb97efe4193', operation='INSERT', pgid='pgtrigger_insert_insert_bff63', table='ib_planversion', when='AFTER'))), ('planversion', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (NEW."id", NEW."number", NOW(), \'update\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."state", NEW."validity"); RETURN NULL;', hash='ca54d3ac80a6782e36cc88fafa11f86878ae63c8', operation='UPDATE', pgid='pgtrigger_update_update_74157', table='ib_planversion', when='AFTER'))), ('planversion', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("id", "number", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "state", "validity") VALUES (OLD."id", OLD."number", NOW(), \'delete\', OLD."id", OLD."plan_id", OLD."published_at", OLD."published_by", OLD."state", OLD."validity"); RETURN NULL;', hash='67fe082e65c4a3b320d0dd1019edc168d9d26e56', operation='DELETE', pgid='pgtrigger_delete_delete_505e8', table='ib_planversion', when='AFTER'))), ('planrulehistory', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='54ac10c1f366b8f3ce84fbca968ead6808f30528', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_06d2e', table='ib_planrulehistory', when='BEFORE'))), ('planrule', pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (NEW."amount_per_lot", NEW."currency", NEW."id", NEW."kind", NEW."level", NOW(), \'insert\', NEW."id", NEW."symbol_group_id", NEW."version_id"); RETURN NULL;', hash='8ce936ed9379ae93948cf8c6ee6c87712ad36eb1', operation='INSERT', pgid='pgtrigger_insert_insert_87079', table='ib_planrule', when='AFTER'))), ('planrule', pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (NEW."amount_per_lot", NEW."currency", NEW."id", NEW."kind", NEW."level", NOW(), \'update\', NEW."id", NEW."symbol_group_id", NEW."version_id"); RETURN NULL;', hash='2762d8482e8e8c58100241ec56fdaae33d3f6188', operation='UPDATE', pgid='pgtrigger_update_update_f00e6', table='ib_planrule', when='AFTER'))), ('planrule', pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("amount_per_lot", "currency", "id", "kind", "level", "pgh_created_at", "pgh_label", "pgh_obj_id", "symbol_group_id", "version_id") VALUES (OLD."amount_per_lot", OLD."currency", OLD."id", OLD."kind", OLD."level", NOW(), \'delete\', OLD."id", OLD."symbol_group_id", OLD."version_id"); RETURN NULL;', hash='f94de61574231eebde2fd624c387f8cbdf3ed5ee', operation='DELETE', pgid='pgtrigger_delete_delete_a4dcd', table='ib_planrule', when='AFTER'))), ('planversionhistory', pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='212940d62e11308190ae2cfc8bca801aef32f829', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_da139', table='ib_planversionhistory', when='BEFORE')))],
        ),
        *_enforcement.OPERATIONS,
    ]
