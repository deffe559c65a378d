"""The market beside a deal, what a price distance is worth, and the closings against an opposite position."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations, models

import backoffice.core.fields
import backoffice.kernel.clock

# What is true now: the latest word on each deal's market.
CURRENT_MARKET = """
CREATE VIEW platform_ops_currentdealmarket AS
SELECT market.server_id, market.ticket, market.leg, market.revision, market.source, market.bid, market.ask,
       market.gateway_price, market.quoted_at, market.stated_as_of
  FROM platform_ops_dealmarket market
 WHERE NOT EXISTS (
    SELECT FROM platform_ops_dealmarket later
     WHERE later.revision > 0
       AND later.server_id = market.server_id AND later.ticket = market.ticket AND later.leg = market.leg
       AND later.revision > market.revision
 )
"""

# One expression and not STRICT, so that the planner can inline it. The modes are CalculationMode's: 1 and 33 futures,
# 37 bonds, 64 collateral. A division is made to 40 places before the rounding, so that a half is seen as one.
MOVE_VALUE = """
CREATE FUNCTION platform_move_value(
    calculation_mode smallint, contract_size numeric, tick_size numeric, tick_value numeric, face_value numeric,
    distance numeric, lots numeric
) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN round(
    CASE
        WHEN calculation_mode = 64 THEN distance * lots * 0
        WHEN calculation_mode IN (1, 33) THEN round(distance * tick_value * lots, 40) / nullif(tick_size, 0)
        WHEN calculation_mode = 37 THEN distance * contract_size * lots * face_value * 0.01
        ELSE distance * contract_size * lots
    END, 12);
COMMENT ON FUNCTION platform_move_value IS
    'What a price distance is worth for so many lots in the profit currency, by the symbol''s calculation mode.';
"""


class Migration(migrations.Migration):
    dependencies = [
        ("platform_ops", "0018_live_drop_copies"),
    ]

    operations = [
        migrations.CreateModel(
            name="DealMarket",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "server_id",
                        "ticket",
                        "leg",
                        "revision",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "server",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="platform_ops.tradingserver",
                    ),
                ),
                ("ticket", models.BigIntegerField()),
                ("leg", models.SmallIntegerField(default=0)),
                ("revision", models.SmallIntegerField(default=0)),
                (
                    "source",
                    models.SmallIntegerField(choices=[(0, "Told by the server"), (1, "Last accepted tick")], default=0),
                ),
                ("bid", backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                ("ask", backoffice.core.fields.PriceField(decimal_places=10, max_digits=24, null=True)),
                (
                    "gateway_price",
                    backoffice.core.fields.PriceField(
                        decimal_places=10, help_text="What the liquidity provider filled at.", max_digits=24, null=True
                    ),
                ),
                (
                    "quoted_at",
                    models.DateTimeField(help_text="Time of the tick that stands in for a told market.", null=True),
                ),
                ("stated_as_of", models.DateTimeField(help_text="Moment at which the source told it.")),
                ("recorded_at", models.DateTimeField(default=backoffice.kernel.clock.now, editable=False)),
            ],
            options={
                "verbose_name": "market of a deal",
                "verbose_name_plural": "markets of deals",
                "ordering": ["server_id", "ticket", "leg", "revision"],
            },
        ),
        migrations.AddIndex(
            model_name="deal",
            index=models.Index(
                condition=models.Q(
                    ("entry", 3),
                    models.Q(("comment__iregex", "(close hedge by #|partial close)"), ("leg", 1)),
                    _connector="OR",
                ),
                fields=["server", "ticket", "leg"],
                name="platform_deal_close_by",
            ),
        ),
        migrations.AddIndex(
            model_name="dealmarket",
            index=models.Index(
                condition=models.Q(("revision__gt", 0)),
                fields=["server", "ticket", "leg", "revision"],
                name="platform_dealmarket_later",
            ),
        ),
        migrations.AddConstraint(
            model_name="dealmarket",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("bid__isnull", False), ("ask__isnull", False), ("gateway_price__isnull", False), _connector="OR"
                ),
                name="platform_dealmarket_says_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="dealmarket",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bid__isnull", True), ("bid__gt", 0), _connector="OR"),
                    models.Q(("ask__isnull", True), ("ask__gt", 0), _connector="OR"),
                    models.Q(("gateway_price__isnull", True), ("gateway_price__gt", 0), _connector="OR"),
                ),
                name="platform_dealmarket_prices",
            ),
        ),
        migrations.AddConstraint(
            model_name="dealmarket",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("quoted_at__isnull", True), ("source", 0)),
                    models.Q(
                        ("ask__isnull", False), ("bid__isnull", False), ("quoted_at__isnull", False), ("source", 1)
                    ),
                    _connector="OR",
                ),
                name="platform_dealmarket_source",
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="dealmarket",
            trigger=pgtrigger.compiler.Trigger(
                name="never_changes",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION '% of % is refused: its rows never change', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BO001';",
                    hash="d0c5011c4094880cbb27f793f24ad9d72c1e505f",
                    level="STATEMENT",
                    operation="UPDATE OR DELETE OR TRUNCATE",
                    pgid="pgtrigger_never_changes_9824f",
                    table="platform_ops_dealmarket",
                    when="BEFORE",
                ),
            ),
        ),
        migrations.RunSQL(CURRENT_MARKET, "DROP VIEW platform_ops_currentdealmarket"),
        migrations.RunSQL(MOVE_VALUE, "DROP FUNCTION platform_move_value"),
    ]
