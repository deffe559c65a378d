"""One rate per day and currency counts: the central bank's, or the broker's own fixing where it has none."""

from django.db import migrations, models

RATE_USED = """
CREATE VIEW platform_ops_fxrateused AS
SELECT DISTINCT ON (date, currency) date, currency, per_euro, source
FROM platform_ops_fxreferencerate
ORDER BY date, currency, (source <> 'ECB'), source
"""

FX_CROSS = """
CREATE OR REPLACE FUNCTION fx_cross(day date, from_currency text, to_currency text) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN from_currency = to_currency THEN 1::numeric ELSE (
    SELECT round(quotient, 33 - floor(log(quotient))::integer)
      FROM (
        SELECT round(coalesce(wanted, 1), 60) / coalesce(given, 1) AS quotient
          FROM (
            SELECT rate.date,
                   max(rate.per_euro) FILTER (WHERE rate.currency = from_currency) AS given,
                   max(rate.per_euro) FILTER (WHERE rate.currency = to_currency) AS wanted
              FROM platform_ops_fxrateused rate
             WHERE rate.date BETWEEN day - 10 AND day
               AND rate.currency IN (from_currency, to_currency)
             GROUP BY rate.date
          ) quoted
         WHERE (given IS NOT NULL OR from_currency = 'EUR') AND (wanted IS NOT NULL OR to_currency = 'EUR')
         ORDER BY quoted.date DESC
         LIMIT 1
      ) latest
) END
"""


class Migration(migrations.Migration):
    dependencies = [("platform_ops", "0003_sql_functions")]

    operations = [
        migrations.AddIndex(
            model_name="fxreferencerate",
            index=models.Index(fields=["date", "currency"], name="platform_fxrate_day"),
        ),
        migrations.RunSQL(RATE_USED, "DROP VIEW platform_ops_fxrateused"),
        migrations.RunSQL(FX_CROSS, migrations.RunSQL.noop),
    ]
