"""The tables, as the models have them: every earlier step of their making folded into one."""

import backoffice.core.migration_operations
import backoffice.core.fields
import backoffice.kernel.clock
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ("risk", "0001_initial"),
        ("risk", "0002_exposure_by_book"),
    ]

    initial = True

    dependencies = [
        ('core', '0001_tables'),
    ]

    operations = [
        backoffice.core.migration_operations.CreateModels([
            migrations.CreateModel(
                name='ExposureRun',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('calculated_at', models.DateTimeField(default=backoffice.kernel.clock.now)),
                    ('price_source', models.CharField(choices=[('quotes', 'Current quotes'), ('given', 'Prices given by hand')], default='quotes', max_length=8)),
                    ('prices_as_of', models.DateTimeField(help_text='Time of the oldest price that was used.', null=True)),
                    ('positions', models.IntegerField(help_text='All open positions, those without a known symbol too.')),
                    ('position_digest', models.CharField(default='', help_text='Fingerprint of the positions, to tell whether they changed.', max_length=64)),
                    ('unmapped_positions', models.IntegerField(default=0)),
                    ('unmapped_symbols', models.JSONField(default=list)),
                    ('unpriced_symbols', models.JSONField(default=list)),
                    ('rates', models.JSONField(default=dict, help_text='Reference rates used, as text, with their day and source.')),
                    ('report_currency', backoffice.core.fields.CurrencyField(max_length=5)),
                    ('entity', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exposure_runs', to='core.legalentity')),
                ],
                options={
                    'ordering': ['-id'],
                    'indexes': [models.Index(fields=['entity', 'price_source', '-id'], name='risk_run_latest')],
                    'constraints': [models.CheckConstraint(condition=models.Q(('price_source__in', ['quotes', 'given'])), name='risk_run_price_source_known')],
                },
            ),
            migrations.CreateModel(
                name='ExposureRow',
                fields=[
                    ('id', models.BigAutoField(primary_key=True, serialize=False)),
                    ('axis', models.CharField(choices=[('symbol', 'Symbol'), ('currency', 'Currency')], max_length=8)),
                    ('book', models.CharField(blank=True, default='', help_text='Value of the dimension `book`; empty: all books.', max_length=160)),
                    ('key', models.CharField(max_length=32)),
                    ('long_lots', backoffice.core.fields.LotsField(decimal_places=8, default=0, max_digits=20)),
                    ('short_lots', backoffice.core.fields.LotsField(decimal_places=8, default=0, max_digits=20)),
                    ('net_lots', backoffice.core.fields.LotsField(decimal_places=8, default=0, max_digits=20)),
                    ('net_units', models.DecimalField(decimal_places=8, max_digits=30, null=True)),
                    ('average_price_long', backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                    ('average_price_short', backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                    ('bid', backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                    ('ask', backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                    ('price', models.DecimalField(decimal_places=11, help_text='Mid of the symbol, or worth of one unit of the currency in the report currency.', max_digits=24, null=True)),
                    ('priced_at', models.DateTimeField(null=True)),
                    ('notional', backoffice.core.fields.AmountField(decimal_places=8, help_text="Net exposure in the report currency, signed as the clients' side.", max_digits=24, null=True)),
                    ('floating', backoffice.core.fields.AmountField(decimal_places=8, help_text="Clients' floating profit in the report currency.", max_digits=24, null=True)),
                    ('positions', models.IntegerField(default=0)),
                    ('reason', models.CharField(blank=True, default='', help_text='Why there is no figure in money.', max_length=20)),
                    ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='risk.exposurerun')),
                ],
                options={
                    'ordering': ['run', 'axis', 'book', 'key'],
                    'constraints': [models.UniqueConstraint(fields=('run', 'axis', 'book', 'key'), name='risk_row_unique')],
                },
            ),
        ]),
    ]
