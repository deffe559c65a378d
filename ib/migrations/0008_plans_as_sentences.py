"""Rules of plans become sentences: what they measure, of what, to whom, under which conditions; ranks, tiers, weights."""

import backoffice.core.fields
import django.contrib.postgres.constraints
import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
import django.db.models.deletion
import django.db.models.functions.datetime
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models
from backoffice.core.migration_operations import at_once


# The guard names columns whose type changes.
DROP_CARD_GUARD = "DROP TRIGGER ib_card_never_changes ON ib_ratecardentry"
CARD_GUARD = """
CREATE TRIGGER ib_card_never_changes
    BEFORE DELETE OR UPDATE OF content_key, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id,
        rate, rate_currency, reward_currency, reward_digits, valid_from, valid_to
    ON ib_ratecardentry
    FOR EACH STATEMENT EXECUTE FUNCTION ib_refuse_change('an entry of the rate card never changes')
"""

LINE_KEY = """
ALTER TABLE ib_commissionline DROP CONSTRAINT ib_commissionline_pkey;
ALTER TABLE ib_commissionline
    ADD CONSTRAINT ib_commissionline_pkey PRIMARY KEY (partner_id, trade_id, part, seq, day);
"""
OLD_LINE_KEY = """
ALTER TABLE ib_commissionline DROP CONSTRAINT ib_commissionline_pkey;
ALTER TABLE ib_commissionline
    ADD CONSTRAINT ib_commissionline_pkey PRIMARY KEY (partner_id, trade_id, seq, day);
"""

# What stood for itself is said now: a rule for a symbol group goes before the one for all, and closed-by trades are paid.
EXISTING_RULES = """
ALTER TABLE ib_planrule DISABLE TRIGGER USER;
UPDATE ib_planrule AS rule SET position = placed.position, pays_close_by = true
FROM (
    SELECT id, row_number() OVER (PARTITION BY version_id ORDER BY level, symbol_group_id NULLS LAST, id) AS position
    FROM ib_planrule
) AS placed
WHERE placed.id = rule.id;
ALTER TABLE ib_planrule ENABLE TRIGGER USER;
UPDATE ib_ratecardentry SET terms_rule_id = rule_id;
INSERT INTO ib_configchange (source) SELECT 'ib_planrule' WHERE EXISTS (SELECT 1 FROM ib_planrule);
"""

PUBLISHED_PARTS = """
CREATE FUNCTION ib_keep_published_part() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    versions bigint[];
BEGIN
    IF TG_TABLE_NAME = 'ib_plantier' THEN
        versions := ARRAY(SELECT version_id FROM ib_planrule WHERE id IN (
            CASE WHEN TG_OP <> 'INSERT' THEN (to_jsonb(OLD) ->> 'rule_id')::bigint END,
            CASE WHEN TG_OP <> 'DELETE' THEN (to_jsonb(NEW) ->> 'rule_id')::bigint END));
    ELSE
        versions := ARRAY[CASE WHEN TG_OP <> 'INSERT' THEN (to_jsonb(OLD) ->> 'version_id')::bigint END,
                          CASE WHEN TG_OP <> 'DELETE' THEN (to_jsonb(NEW) ->> 'version_id')::bigint END];
    END IF;
    IF EXISTS (SELECT 1 FROM ib_planversion AS version WHERE version.state = 'published' AND version.id = ANY(versions))
    THEN
        RAISE EXCEPTION 'tiers, weights and ranks of a published plan version never change' USING ERRCODE = 'BO001';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER ib_part_published BEFORE INSERT OR UPDATE OR DELETE ON ib_plantier
    FOR EACH ROW EXECUTE FUNCTION ib_keep_published_part();
CREATE TRIGGER ib_part_published BEFORE INSERT OR UPDATE OR DELETE ON ib_planweight
    FOR EACH ROW EXECUTE FUNCTION ib_keep_published_part();
CREATE TRIGGER ib_part_published BEFORE INSERT OR UPDATE OR DELETE ON ib_planrank
    FOR EACH ROW EXECUTE FUNCTION ib_keep_published_part();
"""
PARTS_AT_WILL = """
DROP TRIGGER ib_part_published ON ib_planrank;
DROP TRIGGER ib_part_published ON ib_planweight;
DROP TRIGGER ib_part_published ON ib_plantier;
DROP FUNCTION ib_keep_published_part();
"""

# Accounts concern the card only while a rule asks something of them.
MARK_CHANGES = """
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON ib_plantier
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON ib_planweight
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON ib_planrank
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON ib_partnerrank
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON ib_negotiatedrate
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();
CREATE TRIGGER ib_mark_change AFTER UPDATE OF kind, client_id ON ib_partner
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();

CREATE FUNCTION ib_mark_account_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM ib_ratecardversion WHERE is_active AND 'classes' = ANY(traits)) THEN
        INSERT INTO ib_configchange (source) VALUES (TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OF group_id, account_type_id, client_id ON platform_ops_tradingaccount
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_account_change();
CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON platform_ops_accountdimension
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_account_change();
CREATE TRIGGER ib_mark_change AFTER UPDATE OF country ON crm_client
    FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_account_change();
"""
IGNORE_CHANGES = """
DROP TRIGGER ib_mark_change ON crm_client;
DROP TRIGGER ib_mark_change ON platform_ops_accountdimension;
DROP TRIGGER ib_mark_change ON platform_ops_tradingaccount;
DROP FUNCTION ib_mark_account_change();
DROP TRIGGER ib_mark_change ON ib_partner;
DROP TRIGGER ib_mark_change ON ib_negotiatedrate;
DROP TRIGGER ib_mark_change ON ib_partnerrank;
DROP TRIGGER ib_mark_change ON ib_planrank;
DROP TRIGGER ib_mark_change ON ib_planweight;
DROP TRIGGER ib_mark_change ON ib_plantier;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0001_tables'),
        ('crm', '0001_tables'),
        ('ib', '0007_statements'),
        ('platform_ops', '0020_charges_by_operation'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = at_once([
        migrations.RunSQL(DROP_CARD_GUARD, CARD_GUARD),
        migrations.RemoveConstraint("planrule", "ib_planrule_unique"),
        migrations.RemoveConstraint("planrule", "ib_planrule_level_positive"),
        migrations.RemoveConstraint("planrule", "ib_planrule_amount_not_negative"),
        migrations.AlterModelOptions("planrule", {"ordering": ["version", "component", "position"]}),
        migrations.RenameField("planrule", "amount_per_lot", "rate"),
        migrations.RenameField("planrule", "kind", "basis"),
        migrations.RenameField("planrulehistory", "amount_per_lot", "rate"),
        migrations.RenameField("planrulehistory", "kind", "basis"),
        migrations.RenameField("ratecardentry", "amount_per_lot", "rate"),
        migrations.RemoveConstraint("commissionline", "ib_line_lots_not_negative"),
        migrations.RenameField("commissionline", "base_lots", "quantity"),
        migrations.RenameField("commissionline", "amount_per_lot", "rate"),
        migrations.CreateModel(
            name='AccountClass',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(help_text='SHA-256 of the attributes.', max_length=64, unique=True)),
                ('attributes', models.JSONField(help_text='Pairs [attribute, value], sorted.')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='AccountClassSpan',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account_id', models.BigIntegerField()),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'ordering': ['account_id', 'validity'],
            },
        ),
        migrations.CreateModel(
            name='NegotiatedRate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('component', models.SlugField(default='main', max_length=40)),
                ('rate', backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True)),
                ('allocation_percent', models.DecimalField(blank=True, decimal_places=4, max_digits=7, null=True)),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'ordering': ['partner', 'component', 'validity'],
            },
        ),
        migrations.CreateModel(
            name='NegotiatedRateVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('component', models.SlugField(db_index=False, default='main', max_length=40)),
                ('rate', backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True)),
                ('allocation_percent', models.DecimalField(blank=True, decimal_places=4, max_digits=7, null=True)),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PartnerRank',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('rank', models.SlugField(db_index=False, help_text="Code of the rank in the partner's plan.", max_length=40)),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('source', models.CharField(choices=[('automatic', 'By the rules of the plan'), ('manual', 'By hand')], max_length=9)),
                ('reason', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'ordering': ['partner', 'validity'],
            },
        ),
        migrations.CreateModel(
            name='PartnerRankVersion',
            fields=[
                ('pgh_id', models.AutoField(primary_key=True, serialize=False)),
                ('pgh_created_at', models.DateTimeField(auto_now_add=True)),
                ('pgh_label', models.TextField(help_text='The event label.')),
                ('pgh_transaction', backoffice.core.fields.TransactionIdField(db_default=backoffice.core.fields.CurrentTransactionId(), editable=False)),
                ('id', models.BigIntegerField()),
                ('rank', models.SlugField(db_index=False, help_text="Code of the rank in the partner's plan.", max_length=40)),
                ('validity', django.contrib.postgres.fields.ranges.DateTimeRangeField()),
                ('source', models.CharField(choices=[('automatic', 'By the rules of the plan'), ('manual', 'By hand')], max_length=9)),
                ('reason', models.CharField(blank=True, max_length=300)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='PlanRank',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(max_length=40)),
                ('name', models.CharField(max_length=80)),
                ('position', models.PositiveSmallIntegerField()),
            ],
            options={
                'ordering': ['version', 'position'],
            },
        ),
        migrations.CreateModel(
            name='PlanTier',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('from_value', models.DecimalField(decimal_places=8, max_digits=24)),
                ('rate', backoffice.core.fields.AmountField(decimal_places=8, max_digits=24)),
            ],
            options={
                'ordering': ['rule', 'from_value'],
            },
        ),
        migrations.CreateModel(
            name='PlanWeight',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('weight', models.DecimalField(decimal_places=6, max_digits=12)),
            ],
            options={
                'ordering': ['version', 'symbol_group', 'account_group'],
            },
        ),
        migrations.CreateModel(
            name='TradePeriodMark',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('partner_id', models.BigIntegerField()),
                ('period', models.DateField(help_text='First day of the month.')),
                ('cause', models.CharField(max_length=80)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='partner',
            name='delete_delete',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planrule',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planrule',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planrule',
            name='delete_delete',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planversion',
            name='insert_insert',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planversion',
            name='update_update',
        ),
        pgtrigger.migrations.RemoveTrigger(
            model_name='planversion',
            name='delete_delete',
        ),
        migrations.RemoveConstraint(
            model_name='commissionline',
            name='ib_line_level_positive',
        ),
        migrations.RemoveConstraint(
            model_name='commissionline',
            name='ib_line_target_has_rule',
        ),
        migrations.RemoveConstraint(
            model_name='settlementbatch',
            name='ib_settlementbatch_has_scope',
        ),
        migrations.AddField(
            model_name='commissionline',
            name='cap_left',
            field=backoffice.core.fields.AmountField(decimal_places=8, help_text='The narrowest cap had this left before the trade.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='commissionline',
            name='factor',
            field=models.DecimalField(decimal_places=12, help_text='Empty: one.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='commissionline',
            name='part',
            field=models.SmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='commissionline',
            name='tier_before',
            field=models.DecimalField(decimal_places=12, max_digits=36, null=True),
        ),
        migrations.AddField(
            model_name='partner',
            name='client',
            field=models.ForeignKey(blank=True, help_text='The client they are.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='crm.client'),
        ),
        migrations.AddField(
            model_name='partner',
            name='kind',
            field=models.CharField(choices=[('rebate', 'Introducing broker'), ('customer_service', 'Customer service'), ('signal', 'Signal provider'), ('social_media', 'Social media'), ('affiliate', 'Affiliate'), ('master', 'Master'), ('white_label', 'White label'), ('trader', 'Client with a rebate')], default='rebate', max_length=16),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='client',
            field=models.ForeignKey(blank=True, db_constraint=False, help_text='The client they are.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='crm.client'),
        ),
        migrations.AddField(
            model_name='partnerversion',
            name='kind',
            field=models.CharField(choices=[('rebate', 'Introducing broker'), ('customer_service', 'Customer service'), ('signal', 'Signal provider'), ('social_media', 'Social media'), ('affiliate', 'Affiliate'), ('master', 'Master'), ('white_label', 'White label'), ('trader', 'Client with a rebate')], default='rebate', max_length=16),
        ),
        migrations.AddField(
            model_name='planrule',
            name='account_group',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.accountgroup'),
        ),
        migrations.AddField(
            model_name='planrule',
            name='account_type',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.accounttype'),
        ),
        migrations.AddField(
            model_name='planrule',
            name='average_spread_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, help_text='Above it the reward is reduced by average ÷ current.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='base_cap',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='campaign',
            field=models.CharField(blank=True, default='', max_length=160),
        ),
        migrations.AddField(
            model_name='planrule',
            name='cap_client_day',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='cap_client_lifetime',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='cap_partner_period',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='cap_per_order',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='clawback_days',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='component',
            field=models.SlugField(default='main', max_length=40),
        ),
        migrations.AddField(
            model_name='planrule',
            name='country',
            field=models.CharField(blank=True, default='', max_length=2),
        ),
        migrations.AddField(
            model_name='planrule',
            name='cumulative',
            field=models.BooleanField(default=False, help_text='Rates of the ranks are added up from the lowest.'),
        ),
        migrations.AddField(
            model_name='planrule',
            name='dimension',
            field=models.CharField(blank=True, default='', max_length=40),
        ),
        migrations.AddField(
            model_name='planrule',
            name='dimension_value',
            field=models.CharField(blank=True, default='', max_length=160),
        ),
        migrations.AddField(
            model_name='planrule',
            name='distribution',
            field=models.CharField(choices=[('absolute', 'In full'), ('difference', 'Difference to those below'), ('allocation', 'Share of the rate of the partner above'), ('pass_up', 'Passed up by the partner below'), ('override', 'On the commission of those below')], default='absolute', max_length=10),
        ),
        migrations.AddField(
            model_name='planrule',
            name='funded_by',
            field=models.CharField(blank=True, choices=[('broker', 'The broker'), ('downline', 'Those below')], default='', max_length=8),
        ),
        migrations.AddField(
            model_name='planrule',
            name='hedged_once',
            field=models.BooleanField(default=False, help_text="Of a client's buys and sells the larger side is paid."),
        ),
        migrations.AddField(
            model_name='planrule',
            name='maximum_hold_seconds',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_active_clients',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_amount',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_deposit',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_hold_seconds',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_lots',
            field=backoffice.core.fields.LotsField(blank=True, decimal_places=8, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_lots_total',
            field=backoffice.core.fields.LotsField(blank=True, decimal_places=8, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='minimum_revenue',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='only_profitable',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrule',
            name='override_of',
            field=models.CharField(blank=True, choices=[('direct', 'The next one below who is paid'), ('all', 'Everybody below')], default='', max_length=6),
        ),
        migrations.AddField(
            model_name='planrule',
            name='pays_close_by',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrule',
            name='pays_negative_balance',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='position',
            field=models.PositiveIntegerField(default=1, help_text='Within the component; the first match wins.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='planrule',
            name='qualify_days',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='rank',
            field=models.SlugField(blank=True, db_index=False, default='', help_text='Code; empty: every rank.', max_length=40),
        ),
        migrations.AddField(
            model_name='planrule',
            name='same_rank_percent',
            field=models.DecimalField(blank=True, decimal_places=4, max_digits=7, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='side',
            field=models.CharField(blank=True, choices=[('buy', 'Buy'), ('sell', 'Sell')], default='', max_length=4),
        ),
        migrations.AddField(
            model_name='planrule',
            name='spread_cap_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrule',
            name='spread_sides',
            field=models.CharField(blank=True, choices=[('entry', 'At the opening'), ('half_half', 'Half at the opening, half at the closing')], default='', max_length=9),
        ),
        migrations.AddField(
            model_name='planrule',
            name='symbol',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.symbol'),
        ),
        migrations.AddField(
            model_name='planrule',
            name='tier_measure',
            field=models.CharField(blank=True, choices=[('lots', 'Lots'), ('notional', 'Turnover'), ('revenue', 'Revenue'), ('active_clients', 'Active clients'), ('deposits', 'Deposits')], default='', max_length=14),
        ),
        migrations.AddField(
            model_name='planrule',
            name='tier_mode',
            field=models.CharField(blank=True, choices=[('marginal', 'Only what lies above'), ('retroactive', 'Everything')], default='', max_length=11),
        ),
        migrations.AddField(
            model_name='planrule',
            name='tier_scope',
            field=models.CharField(blank=True, choices=[('own', 'Own clients'), ('team', 'Own clients and those of everybody below')], default='', max_length=4),
        ),
        migrations.AddField(
            model_name='planrule',
            name='tier_window',
            field=models.CharField(blank=True, choices=[('this', 'This period'), ('prior', 'The period before')], default='', max_length=5),
        ),
        migrations.AddField(
            model_name='planrule',
            name='uses_credit_coefficient',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrule',
            name='window_hours',
            field=models.PositiveIntegerField(blank=True, help_text='What counts as the first deposit.', null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='account_group',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='platform_ops.accountgroup'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='account_type',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='platform_ops.accounttype'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='average_spread_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, help_text='Above it the reward is reduced by average ÷ current.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='base_cap',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='campaign',
            field=models.CharField(blank=True, default='', max_length=160),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='cap_client_day',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='cap_client_lifetime',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='cap_partner_period',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='cap_per_order',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='clawback_days',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='component',
            field=models.SlugField(db_index=False, default='main', max_length=40),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='country',
            field=models.CharField(blank=True, default='', max_length=2),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='cumulative',
            field=models.BooleanField(default=False, help_text='Rates of the ranks are added up from the lowest.'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='dimension',
            field=models.CharField(blank=True, default='', max_length=40),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='dimension_value',
            field=models.CharField(blank=True, default='', max_length=160),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='distribution',
            field=models.CharField(choices=[('absolute', 'In full'), ('difference', 'Difference to those below'), ('allocation', 'Share of the rate of the partner above'), ('pass_up', 'Passed up by the partner below'), ('override', 'On the commission of those below')], default='absolute', max_length=10),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='funded_by',
            field=models.CharField(blank=True, choices=[('broker', 'The broker'), ('downline', 'Those below')], default='', max_length=8),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='hedged_once',
            field=models.BooleanField(default=False, help_text="Of a client's buys and sells the larger side is paid."),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='maximum_hold_seconds',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_active_clients',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_amount',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_deposit',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_hold_seconds',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_lots',
            field=backoffice.core.fields.LotsField(blank=True, decimal_places=8, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_lots_total',
            field=backoffice.core.fields.LotsField(blank=True, decimal_places=8, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='minimum_revenue',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='only_profitable',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='override_of',
            field=models.CharField(blank=True, choices=[('direct', 'The next one below who is paid'), ('all', 'Everybody below')], default='', max_length=6),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='pays_close_by',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='pays_negative_balance',
            field=models.BooleanField(default=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='position',
            field=models.PositiveIntegerField(default=1, help_text='Within the component; the first match wins.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='qualify_days',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='rank',
            field=models.SlugField(blank=True, db_index=False, default='', help_text='Code; empty: every rank.', max_length=40),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='same_rank_percent',
            field=models.DecimalField(blank=True, decimal_places=4, max_digits=7, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='side',
            field=models.CharField(blank=True, choices=[('buy', 'Buy'), ('sell', 'Sell')], default='', max_length=4),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='spread_cap_points',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='spread_sides',
            field=models.CharField(blank=True, choices=[('entry', 'At the opening'), ('half_half', 'Half at the opening, half at the closing')], default='', max_length=9),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='symbol',
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='platform_ops.symbol'),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='tier_measure',
            field=models.CharField(blank=True, choices=[('lots', 'Lots'), ('notional', 'Turnover'), ('revenue', 'Revenue'), ('active_clients', 'Active clients'), ('deposits', 'Deposits')], default='', max_length=14),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='tier_mode',
            field=models.CharField(blank=True, choices=[('marginal', 'Only what lies above'), ('retroactive', 'Everything')], default='', max_length=11),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='tier_scope',
            field=models.CharField(blank=True, choices=[('own', 'Own clients'), ('team', 'Own clients and those of everybody below')], default='', max_length=4),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='tier_window',
            field=models.CharField(blank=True, choices=[('this', 'This period'), ('prior', 'The period before')], default='', max_length=5),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='uses_credit_coefficient',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='planrulehistory',
            name='window_hours',
            field=models.PositiveIntegerField(blank=True, help_text='What counts as the first deposit.', null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='carry_cap',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, help_text='More than this is not carried.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='carry_over',
            field=models.CharField(choices=[('none', 'Forgotten'), ('plan', 'Carried within the plan'), ('partner', 'Carried by the partner'), ('group', 'Carried by the partner and everybody below')], default='none', max_length=8),
        ),
        migrations.AddField(
            model_name='planversion',
            name='carry_reset_months',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='depth_limit',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Levels that are paid; empty: without limit.', null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='maximum_share_of_revenue',
            field=models.DecimalField(blank=True, decimal_places=4, help_text="Percent of a trade's revenue; a guard.", max_digits=7, null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='pays_own_trades',
            field=models.BooleanField(default=False, help_text='A partner is paid for own trades.'),
        ),
        migrations.AddField(
            model_name='planversion',
            name='reward_currency',
            field=backoffice.core.fields.CurrencyField(blank=True, default='', help_text="Empty: the partner's own.", max_length=5),
        ),
        migrations.AddField(
            model_name='planversion',
            name='rounding_decimals',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Empty: the digits of the currency.', null=True),
        ),
        migrations.AddField(
            model_name='planversion',
            name='rounding_mode',
            field=models.CharField(choices=[('half_up', 'A half away from zero'), ('half_even', 'A half to the even digit'), ('down', 'Towards zero')], default='half_up', max_length=9),
        ),
        migrations.AddField(
            model_name='planversion',
            name='rounding_stage',
            field=models.CharField(choices=[('line', 'Once, at the end'), ('step', 'After each step')], default='line', max_length=4),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='carry_cap',
            field=backoffice.core.fields.AmountField(blank=True, decimal_places=8, help_text='More than this is not carried.', max_digits=24, null=True),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='carry_over',
            field=models.CharField(choices=[('none', 'Forgotten'), ('plan', 'Carried within the plan'), ('partner', 'Carried by the partner'), ('group', 'Carried by the partner and everybody below')], default='none', max_length=8),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='carry_reset_months',
            field=models.PositiveSmallIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='depth_limit',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Levels that are paid; empty: without limit.', null=True),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='maximum_share_of_revenue',
            field=models.DecimalField(blank=True, decimal_places=4, help_text="Percent of a trade's revenue; a guard.", max_digits=7, null=True),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='pays_own_trades',
            field=models.BooleanField(default=False, help_text='A partner is paid for own trades.'),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='reward_currency',
            field=backoffice.core.fields.CurrencyField(blank=True, default='', help_text="Empty: the partner's own.", max_length=5),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='rounding_decimals',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Empty: the digits of the currency.', null=True),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='rounding_mode',
            field=models.CharField(choices=[('half_up', 'A half away from zero'), ('half_even', 'A half to the even digit'), ('down', 'Towards zero')], default='half_up', max_length=9),
        ),
        migrations.AddField(
            model_name='planversionhistory',
            name='rounding_stage',
            field=models.CharField(choices=[('line', 'Once, at the end'), ('step', 'After each step')], default='line', max_length=4),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='account_class_id',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='basis',
            field=models.CharField(default='per_lot', max_length=26),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='component',
            field=models.CharField(default='main', max_length=40),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='needs_period',
            field=models.BooleanField(default=False, help_text='Its trades are valued in their order, by the period.'),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='part',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='rounding_mode',
            field=models.CharField(default='half_up', max_length=9),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='rounding_stage',
            field=models.CharField(default='line', max_length=4),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='symbol_id',
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='terms_rule_id',
            field=models.BigIntegerField(default=1),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='ratecardentry',
            name='weight',
            field=models.DecimalField(decimal_places=6, default=1, max_digits=12),
        ),
        migrations.AddField(
            model_name='ratecardversion',
            name='symbols',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), default=list, help_text='Symbols that a rule names.', size=None),
        ),
        migrations.AddField(
            model_name='ratecardversion',
            name='traits',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=24), default=list, help_text='What its entries ask of a settlement.', size=None),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(LINE_KEY, OLD_LINE_KEY)],
            state_operations=[
                migrations.AlterField(
                    model_name='commissionline',
                    name='pk',
                    field=models.CompositePrimaryKey('partner_id', 'trade_id', 'part', 'seq', 'day', blank=True, editable=False, primary_key=True, serialize=False),
                ),
            ],
        ),
        migrations.AlterField(
            model_name='commissionline',
            name='quantity',
            field=models.DecimalField(decimal_places=12, max_digits=36),
        ),
        migrations.AlterField(
            model_name='commissionline',
            name='rate',
            field=models.DecimalField(decimal_places=24, max_digits=38),
        ),
        migrations.AlterField(
            model_name='planrule',
            name='basis',
            field=models.CharField(choices=[('per_lot', 'Amount per lot'), ('points', 'Points'), ('spread_share', 'Share of the spread'), ('markup_share', 'Share of the mark-up'), ('platform_commission_share', "Share of the platform's commission"), ('notional_per_million', 'Amount per million of turnover'), ('client_profit_share', "Share of the client's profit"), ('net_revenue_share', 'Share of net revenue'), ('cpa', 'Reward for a client'), ('per_active_client', 'Amount per active client')], default='per_lot', max_length=26),
        ),
        migrations.AlterField(
            model_name='planrule',
            name='currency',
            field=backoffice.core.fields.CurrencyField(blank=True, help_text='Of the amount; empty for shares and points.', max_length=5),
        ),
        migrations.AlterField(
            model_name='planrule',
            name='level',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Empty: every level.', null=True),
        ),
        migrations.AlterField(
            model_name='planrule',
            name='rate',
            field=backoffice.core.fields.AmountField(decimal_places=8, help_text='An amount, or percent for a share.', max_digits=24),
        ),
        migrations.AlterField(
            model_name='planrulehistory',
            name='basis',
            field=models.CharField(choices=[('per_lot', 'Amount per lot'), ('points', 'Points'), ('spread_share', 'Share of the spread'), ('markup_share', 'Share of the mark-up'), ('platform_commission_share', "Share of the platform's commission"), ('notional_per_million', 'Amount per million of turnover'), ('client_profit_share', "Share of the client's profit"), ('net_revenue_share', 'Share of net revenue'), ('cpa', 'Reward for a client'), ('per_active_client', 'Amount per active client')], default='per_lot', max_length=26),
        ),
        migrations.AlterField(
            model_name='planrulehistory',
            name='currency',
            field=backoffice.core.fields.CurrencyField(blank=True, help_text='Of the amount; empty for shares and points.', max_length=5),
        ),
        migrations.AlterField(
            model_name='planrulehistory',
            name='level',
            field=models.PositiveSmallIntegerField(blank=True, help_text='Empty: every level.', null=True),
        ),
        migrations.AlterField(
            model_name='planrulehistory',
            name='rate',
            field=backoffice.core.fields.AmountField(decimal_places=8, help_text='An amount, or percent for a share.', max_digits=24),
        ),
        migrations.AlterField(
            model_name='ratecardentry',
            name='rate',
            field=models.DecimalField(decimal_places=24, max_digits=38),
        ),
        migrations.AlterField(
            model_name='ratecardentry',
            name='rate_currency',
            field=backoffice.core.fields.CurrencyField(help_text='Empty: the money of what is measured.', max_length=5),
        ),
        migrations.AlterField(
            model_name='ratecardentry',
            name='rule_id',
            field=models.BigIntegerField(help_text='Empty: by a negotiated rate alone.', null=True),
        ),
        migrations.AlterField(
            model_name='settlementbatch',
            name='day',
            field=models.DateField(help_text='The day that was settled, or the first of the period.', null=True),
        ),
        migrations.AlterField(
            model_name='settlementbatch',
            name='purpose',
            field=models.CharField(choices=[('ingest', 'Accrual of an ingest batch'), ('range', 'Settlement of a day'), ('period', "Settlement of a partner's period")], max_length=8),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "client_id", "country", "created_at", "currency", "email", "entity_id", "id", "kind", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."client_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."kind", NEW."name", NOW(), \'insert\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='67004930c53253bacf63958290b284ec90ae2d12', operation='INSERT', pgid='pgtrigger_insert_insert_c963d', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partnerversion" ("brand_id", "client_id", "country", "created_at", "currency", "email", "entity_id", "id", "kind", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (NEW."brand_id", NEW."client_id", NEW."country", NEW."created_at", NEW."currency", NEW."email", NEW."entity_id", NEW."id", NEW."kind", NEW."name", NOW(), \'update\', NEW."id", NEW."public_id", NEW."reference", NEW."status", NEW."user_id"); RETURN NULL;', hash='8004b0a0fcbc483b81f59e8ac9e4e09b534ff00c', operation='UPDATE', pgid='pgtrigger_update_update_f4e4c', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partner',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerversion" ("brand_id", "client_id", "country", "created_at", "currency", "email", "entity_id", "id", "kind", "name", "pgh_created_at", "pgh_label", "pgh_obj_id", "public_id", "reference", "status", "user_id") VALUES (OLD."brand_id", OLD."client_id", OLD."country", OLD."created_at", OLD."currency", OLD."email", OLD."entity_id", OLD."id", OLD."kind", OLD."name", NOW(), \'delete\', OLD."id", OLD."public_id", OLD."reference", OLD."status", OLD."user_id"); RETURN NULL;', hash='9ab01538d8cc5f73926cc81b3da98fa5001d33c1', operation='DELETE', pgid='pgtrigger_delete_delete_bfa09', table='ib_partner', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("account_group_id", "account_type_id", "average_spread_points", "base_cap", "basis", "campaign", "cap_client_day", "cap_client_lifetime", "cap_partner_period", "cap_per_order", "clawback_days", "component", "country", "cumulative", "currency", "dimension", "dimension_value", "distribution", "funded_by", "hedged_once", "id", "level", "maximum_hold_seconds", "minimum_active_clients", "minimum_amount", "minimum_deposit", "minimum_hold_seconds", "minimum_lots", "minimum_lots_total", "minimum_points", "minimum_revenue", "only_profitable", "override_of", "pays_close_by", "pays_negative_balance", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "qualify_days", "rank", "rate", "same_rank_percent", "side", "spread_cap_points", "spread_sides", "symbol_group_id", "symbol_id", "tier_measure", "tier_mode", "tier_scope", "tier_window", "uses_credit_coefficient", "version_id", "window_hours") VALUES (NEW."account_group_id", NEW."account_type_id", NEW."average_spread_points", NEW."base_cap", NEW."basis", NEW."campaign", NEW."cap_client_day", NEW."cap_client_lifetime", NEW."cap_partner_period", NEW."cap_per_order", NEW."clawback_days", NEW."component", NEW."country", NEW."cumulative", NEW."currency", NEW."dimension", NEW."dimension_value", NEW."distribution", NEW."funded_by", NEW."hedged_once", NEW."id", NEW."level", NEW."maximum_hold_seconds", NEW."minimum_active_clients", NEW."minimum_amount", NEW."minimum_deposit", NEW."minimum_hold_seconds", NEW."minimum_lots", NEW."minimum_lots_total", NEW."minimum_points", NEW."minimum_revenue", NEW."only_profitable", NEW."override_of", NEW."pays_close_by", NEW."pays_negative_balance", NOW(), \'insert\', NEW."id", NEW."position", NEW."qualify_days", NEW."rank", NEW."rate", NEW."same_rank_percent", NEW."side", NEW."spread_cap_points", NEW."spread_sides", NEW."symbol_group_id", NEW."symbol_id", NEW."tier_measure", NEW."tier_mode", NEW."tier_scope", NEW."tier_window", NEW."uses_credit_coefficient", NEW."version_id", NEW."window_hours"); RETURN NULL;', hash='636d80ffd1d0acc3dbd9a357ce1253d1eec0257f', operation='INSERT', pgid='pgtrigger_insert_insert_87079', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planrulehistory" ("account_group_id", "account_type_id", "average_spread_points", "base_cap", "basis", "campaign", "cap_client_day", "cap_client_lifetime", "cap_partner_period", "cap_per_order", "clawback_days", "component", "country", "cumulative", "currency", "dimension", "dimension_value", "distribution", "funded_by", "hedged_once", "id", "level", "maximum_hold_seconds", "minimum_active_clients", "minimum_amount", "minimum_deposit", "minimum_hold_seconds", "minimum_lots", "minimum_lots_total", "minimum_points", "minimum_revenue", "only_profitable", "override_of", "pays_close_by", "pays_negative_balance", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "qualify_days", "rank", "rate", "same_rank_percent", "side", "spread_cap_points", "spread_sides", "symbol_group_id", "symbol_id", "tier_measure", "tier_mode", "tier_scope", "tier_window", "uses_credit_coefficient", "version_id", "window_hours") VALUES (NEW."account_group_id", NEW."account_type_id", NEW."average_spread_points", NEW."base_cap", NEW."basis", NEW."campaign", NEW."cap_client_day", NEW."cap_client_lifetime", NEW."cap_partner_period", NEW."cap_per_order", NEW."clawback_days", NEW."component", NEW."country", NEW."cumulative", NEW."currency", NEW."dimension", NEW."dimension_value", NEW."distribution", NEW."funded_by", NEW."hedged_once", NEW."id", NEW."level", NEW."maximum_hold_seconds", NEW."minimum_active_clients", NEW."minimum_amount", NEW."minimum_deposit", NEW."minimum_hold_seconds", NEW."minimum_lots", NEW."minimum_lots_total", NEW."minimum_points", NEW."minimum_revenue", NEW."only_profitable", NEW."override_of", NEW."pays_close_by", NEW."pays_negative_balance", NOW(), \'update\', NEW."id", NEW."position", NEW."qualify_days", NEW."rank", NEW."rate", NEW."same_rank_percent", NEW."side", NEW."spread_cap_points", NEW."spread_sides", NEW."symbol_group_id", NEW."symbol_id", NEW."tier_measure", NEW."tier_mode", NEW."tier_scope", NEW."tier_window", NEW."uses_credit_coefficient", NEW."version_id", NEW."window_hours"); RETURN NULL;', hash='a81d0753f118588a4c941cbb1d652d2ccfc66c76', operation='UPDATE', pgid='pgtrigger_update_update_f00e6', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planrule',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planrulehistory" ("account_group_id", "account_type_id", "average_spread_points", "base_cap", "basis", "campaign", "cap_client_day", "cap_client_lifetime", "cap_partner_period", "cap_per_order", "clawback_days", "component", "country", "cumulative", "currency", "dimension", "dimension_value", "distribution", "funded_by", "hedged_once", "id", "level", "maximum_hold_seconds", "minimum_active_clients", "minimum_amount", "minimum_deposit", "minimum_hold_seconds", "minimum_lots", "minimum_lots_total", "minimum_points", "minimum_revenue", "only_profitable", "override_of", "pays_close_by", "pays_negative_balance", "pgh_created_at", "pgh_label", "pgh_obj_id", "position", "qualify_days", "rank", "rate", "same_rank_percent", "side", "spread_cap_points", "spread_sides", "symbol_group_id", "symbol_id", "tier_measure", "tier_mode", "tier_scope", "tier_window", "uses_credit_coefficient", "version_id", "window_hours") VALUES (OLD."account_group_id", OLD."account_type_id", OLD."average_spread_points", OLD."base_cap", OLD."basis", OLD."campaign", OLD."cap_client_day", OLD."cap_client_lifetime", OLD."cap_partner_period", OLD."cap_per_order", OLD."clawback_days", OLD."component", OLD."country", OLD."cumulative", OLD."currency", OLD."dimension", OLD."dimension_value", OLD."distribution", OLD."funded_by", OLD."hedged_once", OLD."id", OLD."level", OLD."maximum_hold_seconds", OLD."minimum_active_clients", OLD."minimum_amount", OLD."minimum_deposit", OLD."minimum_hold_seconds", OLD."minimum_lots", OLD."minimum_lots_total", OLD."minimum_points", OLD."minimum_revenue", OLD."only_profitable", OLD."override_of", OLD."pays_close_by", OLD."pays_negative_balance", NOW(), \'delete\', OLD."id", OLD."position", OLD."qualify_days", OLD."rank", OLD."rate", OLD."same_rank_percent", OLD."side", OLD."spread_cap_points", OLD."spread_sides", OLD."symbol_group_id", OLD."symbol_id", OLD."tier_measure", OLD."tier_mode", OLD."tier_scope", OLD."tier_window", OLD."uses_credit_coefficient", OLD."version_id", OLD."window_hours"); RETURN NULL;', hash='03a867a49f2944f755d06f46d539b9938be0acbf', operation='DELETE', pgid='pgtrigger_delete_delete_a4dcd', table='ib_planrule', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("carry_cap", "carry_over", "carry_reset_months", "depth_limit", "id", "maximum_share_of_revenue", "number", "pays_own_trades", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "reward_currency", "rounding_decimals", "rounding_mode", "rounding_stage", "state", "validity") VALUES (NEW."carry_cap", NEW."carry_over", NEW."carry_reset_months", NEW."depth_limit", NEW."id", NEW."maximum_share_of_revenue", NEW."number", NEW."pays_own_trades", NOW(), \'insert\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."reward_currency", NEW."rounding_decimals", NEW."rounding_mode", NEW."rounding_stage", NEW."state", NEW."validity"); RETURN NULL;', hash='6fee9e37aa291b9cabf6bce5b97b6488988c564a', operation='INSERT', pgid='pgtrigger_insert_insert_bff63', table='ib_planversion', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_planversionhistory" ("carry_cap", "carry_over", "carry_reset_months", "depth_limit", "id", "maximum_share_of_revenue", "number", "pays_own_trades", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "reward_currency", "rounding_decimals", "rounding_mode", "rounding_stage", "state", "validity") VALUES (NEW."carry_cap", NEW."carry_over", NEW."carry_reset_months", NEW."depth_limit", NEW."id", NEW."maximum_share_of_revenue", NEW."number", NEW."pays_own_trades", NOW(), \'update\', NEW."id", NEW."plan_id", NEW."published_at", NEW."published_by", NEW."reward_currency", NEW."rounding_decimals", NEW."rounding_mode", NEW."rounding_stage", NEW."state", NEW."validity"); RETURN NULL;', hash='de4a6faeba6decfca6f4c049e00e9542ac8619ff', operation='UPDATE', pgid='pgtrigger_update_update_74157', table='ib_planversion', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='planversion',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_planversionhistory" ("carry_cap", "carry_over", "carry_reset_months", "depth_limit", "id", "maximum_share_of_revenue", "number", "pays_own_trades", "pgh_created_at", "pgh_label", "pgh_obj_id", "plan_id", "published_at", "published_by", "reward_currency", "rounding_decimals", "rounding_mode", "rounding_stage", "state", "validity") VALUES (OLD."carry_cap", OLD."carry_over", OLD."carry_reset_months", OLD."depth_limit", OLD."id", OLD."maximum_share_of_revenue", OLD."number", OLD."pays_own_trades", NOW(), \'delete\', OLD."id", OLD."plan_id", OLD."published_at", OLD."published_by", OLD."reward_currency", OLD."rounding_decimals", OLD."rounding_mode", OLD."rounding_stage", OLD."state", OLD."validity"); RETURN NULL;', hash='4ddba3ba4b9ca705df6bfab2d8b47e2049e21abd', operation='DELETE', pgid='pgtrigger_delete_delete_505e8', table='ib_planversion', when='AFTER')),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('level__gte', 0)), name='ib_line_level_positive'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('part__gte', 0)), name='ib_line_part_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('quantity__gte', 0)), name='ib_line_lots_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='commissionline',
            constraint=models.CheckConstraint(condition=models.Q(('card_entry_id__isnull', False), models.Q(('card_entry_id__isnull', True), ('rule_id__isnull', True), ('target', 0)), _connector='OR'), name='ib_line_target_has_rule'),
        ),
        migrations.AddConstraint(
            model_name='partner',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'trader'), _negated=True), ('client__isnull', False), _connector='OR'), name='ib_partner_trader_is_a_client'),
        ),
        migrations.RunSQL(EXISTING_RULES, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.UniqueConstraint(fields=('version', 'component', 'position'), name='ib_planrule_unique'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('level__isnull', True), ('level__lte', 100), _connector='OR'), name='ib_planrule_level_bounded'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('rate__gte', 0)), name='ib_planrule_amount_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('symbol__isnull', True), ('symbol_group__isnull', True), _connector='OR'), name='ib_planrule_symbol_or_group'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('dimension', ''), ('dimension_value', '')), models.Q(models.Q(('dimension', ''), _negated=True), models.Q(('dimension_value', ''), _negated=True)), _connector='OR'), name='ib_planrule_dimension_whole'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('currency', ''), ('distribution__in', ['allocation', 'override'])), models.Q(models.Q(('distribution__in', ['allocation', 'override']), _negated=True), models.Q(models.Q(('basis__in', ['per_lot', 'cpa', 'per_active_client']), models.Q(('currency', ''), _negated=True)), models.Q(models.Q(('basis__in', ['per_lot', 'cpa', 'per_active_client']), _negated=True), ('currency', '')), _connector='OR')), models.Q(('basis__in', ['per_lot', 'cpa', 'per_active_client']), ('distribution', 'override')), _connector='OR'), name='ib_planrule_currency_of_amount'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('rate__lte', 1000), ('basis__in', ['cpa', 'per_active_client']), models.Q(models.Q(('basis__in', ['spread_share', 'markup_share', 'platform_commission_share', 'client_profit_share', 'net_revenue_share']), _negated=True), models.Q(('distribution__in', ['allocation', 'override']), _negated=True)), _connector='OR'), name='ib_planrule_share_bounded'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('distribution', 'allocation'), _negated=True), ('rate__lte', 100), _connector='OR'), name='ib_planrule_part_of_whole'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('distribution', 'override'), models.Q(('override_of', ''), _negated=True), models.Q(('funded_by', ''), _negated=True)), models.Q(models.Q(('distribution', 'override'), _negated=True), ('funded_by', ''), ('override_of', '')), _connector='OR'), name='ib_planrule_override_whole'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('cumulative', False), models.Q(('distribution', 'difference'), models.Q(('rank', ''), _negated=True)), _connector='OR'), name='ib_planrule_cumulative'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('same_rank_percent__isnull', True), models.Q(('distribution', 'difference'), ('same_rank_percent__gt', 0), ('same_rank_percent__lte', 100)), _connector='OR'), name='ib_planrule_same_rank'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('basis__in', ['per_lot', 'points', 'spread_share', 'markup_share', 'platform_commission_share', 'notional_per_million', 'client_profit_share']), models.Q(('distribution__in', ['absolute', 'override']), ('rank', ''), ('same_rank_percent__isnull', True)), _connector='OR'), name='ib_planrule_period_distribution'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('spread_sides', ''), ('basis__in', ['spread_share', 'net_revenue_share', 'cpa', 'per_active_client']), _connector='OR'), name='ib_planrule_spread_sides'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('basis', 'spread_share'), models.Q(('average_spread_points__isnull', True), ('spread_cap_points__isnull', True)), _connector='OR'), name='ib_planrule_spread_options'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('basis__in', ['per_lot', 'points', 'spread_share', 'markup_share', 'platform_commission_share', 'notional_per_million', 'client_profit_share']), models.Q(('cap_client_day__isnull', True), ('cap_client_lifetime__isnull', True), ('cap_partner_period__isnull', True), ('cap_per_order__isnull', True), ('maximum_hold_seconds__isnull', True), ('minimum_hold_seconds__isnull', True), ('minimum_lots__isnull', True), ('minimum_points__isnull', True), ('hedged_once', False), ('only_profitable', False), ('pays_negative_balance', True), ('side', ''), ('uses_credit_coefficient', False)), _connector='OR'), name='ib_planrule_trade_conditions'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('basis__in', ['per_lot', 'points', 'spread_share', 'markup_share', 'platform_commission_share', 'notional_per_million', 'client_profit_share']), _negated=True), models.Q(('base_cap__isnull', True), ('clawback_days__isnull', True), ('minimum_active_clients__isnull', True), ('minimum_amount__isnull', True), ('minimum_deposit__isnull', True), ('minimum_lots_total__isnull', True), ('minimum_revenue__isnull', True), ('qualify_days__isnull', True), ('window_hours__isnull', True)), _connector='OR'), name='ib_planrule_period_conditions'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('basis', 'cpa'), models.Q(('clawback_days__isnull', True), ('qualify_days__isnull', True), ('window_hours__isnull', True)), _connector='OR'), name='ib_planrule_cpa_conditions'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_hold_seconds__isnull', True), ('maximum_hold_seconds__isnull', True), models.Q(('maximum_hold_seconds__gte', 0), ('minimum_hold_seconds__lte', 2000000000)), _connector='OR'), name='ib_planrule_hold_bounded'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('tier_measure', ''), ('tier_mode', ''), ('tier_scope', ''), ('tier_window', '')), models.Q(models.Q(('tier_measure', ''), _negated=True), models.Q(('tier_mode', ''), _negated=True), models.Q(('tier_window', ''), _negated=True), models.Q(('tier_scope', ''), _negated=True)), _connector='OR'), name='ib_planrule_tiers_whole'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('tier_measure', ''), ('distribution', 'absolute'), _connector='OR'), name='ib_planrule_tiers_in_full'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('tier_window', 'prior'), _negated=True), ('tier_mode', 'retroactive'), _connector='OR'), name='ib_planrule_prior_is_whole'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('spread_cap_points__isnull', True), ('spread_cap_points__gt', 0), _connector='OR'), name='ib_planrule_spread_cap_points'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('average_spread_points__isnull', True), ('average_spread_points__gt', 0), _connector='OR'), name='ib_planrule_average_spread_points'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_points__isnull', True), ('minimum_points__gt', 0), _connector='OR'), name='ib_planrule_minimum_points'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_lots__isnull', True), ('minimum_lots__gt', 0), _connector='OR'), name='ib_planrule_minimum_lots'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('cap_per_order__isnull', True), ('cap_per_order__gt', 0), _connector='OR'), name='ib_planrule_cap_per_order'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('cap_client_day__isnull', True), ('cap_client_day__gt', 0), _connector='OR'), name='ib_planrule_cap_client_day'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('cap_client_lifetime__isnull', True), ('cap_client_lifetime__gt', 0), _connector='OR'), name='ib_planrule_cap_client_lifetime'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('cap_partner_period__isnull', True), ('cap_partner_period__gt', 0), _connector='OR'), name='ib_planrule_cap_partner_period'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('base_cap__isnull', True), ('base_cap__gt', 0), _connector='OR'), name='ib_planrule_base_cap'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_amount__isnull', True), ('minimum_amount__gt', 0), _connector='OR'), name='ib_planrule_minimum_amount'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_deposit__isnull', True), ('minimum_deposit__gt', 0), _connector='OR'), name='ib_planrule_minimum_deposit'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_lots_total__isnull', True), ('minimum_lots_total__gt', 0), _connector='OR'), name='ib_planrule_minimum_lots_total'),
        ),
        migrations.AddConstraint(
            model_name='planrule',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_revenue__isnull', True), ('minimum_revenue__gt', 0), _connector='OR'), name='ib_planrule_minimum_revenue'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(('rounding_decimals__isnull', True), ('rounding_decimals__lte', 8), _connector='OR'), name='ib_planversion_decimals'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(('depth_limit__isnull', True), models.Q(('depth_limit__gte', 1), ('depth_limit__lte', 100)), _connector='OR'), name='ib_planversion_depth'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(('maximum_share_of_revenue__isnull', True), ('maximum_share_of_revenue__gt', 0), _connector='OR'), name='ib_planversion_share_of_revenue'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('carry_over', 'none'), _negated=True), models.Q(('carry_cap__isnull', True), ('carry_reset_months__isnull', True)), _connector='OR'), name='ib_planversion_carry_has_object'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(('carry_cap__isnull', True), ('carry_cap__gt', 0), _connector='OR'), name='ib_planversion_carry_cap'),
        ),
        migrations.AddConstraint(
            model_name='planversion',
            constraint=models.CheckConstraint(condition=models.Q(('carry_reset_months__isnull', True), ('carry_reset_months__gte', 1), _connector='OR'), name='ib_planversion_carry_reset'),
        ),
        migrations.AddConstraint(
            model_name='settlementbatch',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('day__isnull', True), ('ingest_batch__isnull', False), ('purpose', 'ingest')), models.Q(('day__isnull', False), ('ingest_batch__isnull', True), ('purpose__in', ['range', 'period'])), _connector='OR'), name='ib_settlementbatch_has_scope'),
        ),
        migrations.AddField(
            model_name='accountclassspan',
            name='account_class',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='spans', to='ib.accountclass'),
        ),
        migrations.AddField(
            model_name='negotiatedrate',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='negotiated_rates', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='negotiatedrate',
            name='set_by',
            field=models.ForeignKey(blank=True, help_text='Empty: the desk.', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='negotiatedrateversion',
            name='partner',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='negotiatedrateversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.negotiatedrate'),
        ),
        migrations.AddField(
            model_name='negotiatedrateversion',
            name='set_by',
            field=models.ForeignKey(blank=True, db_constraint=False, help_text='Empty: the desk.', null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partnerrank',
            name='partner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='ranks', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partnerrankversion',
            name='partner',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', related_query_name='+', to='ib.partner'),
        ),
        migrations.AddField(
            model_name='partnerrankversion',
            name='pgh_obj',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='row_versions', to='ib.partnerrank'),
        ),
        migrations.AddField(
            model_name='planrank',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='ranks', to='ib.planversion'),
        ),
        migrations.AddField(
            model_name='plantier',
            name='rule',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tiers', to='ib.planrule'),
        ),
        migrations.AddField(
            model_name='planweight',
            name='account_group',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.accountgroup'),
        ),
        migrations.AddField(
            model_name='planweight',
            name='symbol_group',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='platform_ops.symbolgroup'),
        ),
        migrations.AddField(
            model_name='planweight',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='weights', to='ib.planversion'),
        ),
        migrations.AddIndex(
            model_name='tradeperiodmark',
            index=models.Index(fields=['partner_id', 'period'], name='ib_tradeperiodmark_due'),
        ),
        migrations.AddConstraint(
            model_name='accountclassspan',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('account_id', '='), ('validity', '&&')], name='ib_accountclassspan_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='negotiatedrate',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('partner', '='), ('component', '='), ('validity', '&&')], name='ib_negotiatedrate_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='negotiatedrate',
            constraint=models.CheckConstraint(condition=models.Q(('validity__isempty', False)), name='ib_negotiatedrate_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='negotiatedrate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('allocation_percent__isnull', True), ('rate__gte', 0), ('rate__isnull', False)), models.Q(('allocation_percent__gte', 0), ('allocation_percent__lte', 100), ('rate__isnull', True)), _connector='OR'), name='ib_negotiatedrate_one_of_both'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='negotiatedrate',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_negotiatedrateversion" ("allocation_percent", "component", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate", "set_by_id", "validity") VALUES (NEW."allocation_percent", NEW."component", NEW."id", NEW."partner_id", NOW(), \'insert\', NEW."id", NEW."rate", NEW."set_by_id", NEW."validity"); RETURN NULL;', hash='a951028e1e96a0018a8a223ec828a040499bfa78', operation='INSERT', pgid='pgtrigger_insert_insert_7b757', table='ib_negotiatedrate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='negotiatedrate',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_negotiatedrateversion" ("allocation_percent", "component", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate", "set_by_id", "validity") VALUES (NEW."allocation_percent", NEW."component", NEW."id", NEW."partner_id", NOW(), \'update\', NEW."id", NEW."rate", NEW."set_by_id", NEW."validity"); RETURN NULL;', hash='e09117392e0e20578d6c7c915116c2978869c18e', operation='UPDATE', pgid='pgtrigger_update_update_fcb50', table='ib_negotiatedrate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='negotiatedrate',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_negotiatedrateversion" ("allocation_percent", "component", "id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rate", "set_by_id", "validity") VALUES (OLD."allocation_percent", OLD."component", OLD."id", OLD."partner_id", NOW(), \'delete\', OLD."id", OLD."rate", OLD."set_by_id", OLD."validity"); RETURN NULL;', hash='1d359108e422ee82ea77e47aeaeaa854e65acdba', operation='DELETE', pgid='pgtrigger_delete_delete_ca37f', table='ib_negotiatedrate', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='negotiatedrateversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='b6c58aecf3660b1e13af370ceb4683067f4119d5', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_ba578', table='ib_negotiatedrateversion', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='partnerrank',
            constraint=django.contrib.postgres.constraints.ExclusionConstraint(expressions=[('partner', '='), ('validity', '&&')], name='ib_partnerrank_no_overlap'),
        ),
        migrations.AddConstraint(
            model_name='partnerrank',
            constraint=models.CheckConstraint(condition=models.Q(('validity__isempty', False)), name='ib_partnerrank_not_empty'),
        ),
        migrations.AddConstraint(
            model_name='partnerrank',
            constraint=models.CheckConstraint(condition=models.Q(('source', 'automatic'), models.Q(('reason', ''), _negated=True), _connector='OR'), name='ib_partnerrank_by_hand_with_reason'),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partnerrank',
            trigger=pgtrigger.compiler.Trigger(name='insert_insert', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerrankversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rank", "reason", "source", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'insert\', NEW."id", NEW."rank", NEW."reason", NEW."source", NEW."validity"); RETURN NULL;', hash='0a888143e5671ab4a1dc38fc8b57ec15a9e63417', operation='INSERT', pgid='pgtrigger_insert_insert_97c2c', table='ib_partnerrank', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partnerrank',
            trigger=pgtrigger.compiler.Trigger(name='update_update', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD.* IS DISTINCT FROM NEW.*)', func='INSERT INTO "ib_partnerrankversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rank", "reason", "source", "validity") VALUES (NEW."id", NEW."partner_id", NOW(), \'update\', NEW."id", NEW."rank", NEW."reason", NEW."source", NEW."validity"); RETURN NULL;', hash='c67e869144cfea4b3b33c2886950e3ce7be87ff4', operation='UPDATE', pgid='pgtrigger_update_update_2fe4e', table='ib_partnerrank', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partnerrank',
            trigger=pgtrigger.compiler.Trigger(name='delete_delete', sql=pgtrigger.compiler.UpsertTriggerSql(func='INSERT INTO "ib_partnerrankversion" ("id", "partner_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "rank", "reason", "source", "validity") VALUES (OLD."id", OLD."partner_id", NOW(), \'delete\', OLD."id", OLD."rank", OLD."reason", OLD."source", OLD."validity"); RETURN NULL;', hash='3496d21ee8fed74e2dde2fdbf2fa749889c1d310', operation='DELETE', pgid='pgtrigger_delete_delete_54b2d', table='ib_partnerrank', when='AFTER')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='partnerrankversion',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='87177f4c8404331fca9d1136ad355007aeaf66ef', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_3b286', table='ib_partnerrankversion', when='BEFORE')),
        ),
        migrations.AddConstraint(
            model_name='planrank',
            constraint=models.UniqueConstraint(fields=('version', 'code'), name='ib_planrank_code_unique'),
        ),
        migrations.AddConstraint(
            model_name='planrank',
            constraint=models.UniqueConstraint(fields=('version', 'position'), name='ib_planrank_position_unique'),
        ),
        migrations.AddConstraint(
            model_name='plantier',
            constraint=models.UniqueConstraint(fields=('rule', 'from_value'), name='ib_plantier_unique'),
        ),
        migrations.AddConstraint(
            model_name='plantier',
            constraint=models.CheckConstraint(condition=models.Q(('from_value__gt', 0)), name='ib_plantier_begins_above_zero'),
        ),
        migrations.AddConstraint(
            model_name='plantier',
            constraint=models.CheckConstraint(condition=models.Q(('rate__gte', 0)), name='ib_plantier_rate_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='planweight',
            constraint=models.UniqueConstraint(fields=('version', 'symbol_group', 'account_group'), name='ib_planweight_unique', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='planweight',
            constraint=models.CheckConstraint(condition=models.Q(('symbol_group__isnull', False), ('account_group__isnull', False), _connector='XOR'), name='ib_planweight_of_one'),
        ),
        migrations.AddConstraint(
            model_name='planweight',
            constraint=models.CheckConstraint(condition=models.Q(('weight__gte', 0)), name='ib_planweight_not_negative'),
        ),
        migrations.RunSQL(CARD_GUARD, DROP_CARD_GUARD),
        migrations.RunSQL(PUBLISHED_PARTS, PARTS_AT_WILL),
        migrations.RunSQL(MARK_CHANGES, IGNORE_CHANGES),
    ])
