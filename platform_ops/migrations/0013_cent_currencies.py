"""Cents (USC, EUC) are converted through the currency that they are hundredths of, wherever the database converts."""

from django.db import migrations

# The parts hold their conditions: a look-up of some days and currencies reads those rows alone.
RATE_USED = """
CREATE OR REPLACE VIEW platform_ops_fxrateused AS
SELECT date, currency, per_euro, source FROM (
    SELECT DISTINCT ON (date, currency) date, currency, per_euro, source
    FROM platform_ops_fxreferencerate
    ORDER BY date, currency, (source <> 'ECB'), source
) kept
WHERE currency NOT IN ('USC', 'EUC')
UNION ALL
SELECT date, 'USC'::varchar(5), per_euro, source FROM (
    SELECT DISTINCT ON (date) date, (per_euro * 100)::numeric(24, 10) AS per_euro, source
    FROM platform_ops_fxreferencerate
    WHERE currency = 'USD'
    ORDER BY date, (source <> 'ECB'), source
) cents
UNION ALL
SELECT date, 'EUC'::varchar(5), 100::numeric(24, 10), 'definition'::varchar(20) FROM (
    SELECT DISTINCT date FROM platform_ops_fxreferencerate
) days
"""
OLD_RATE_USED = """
CREATE OR REPLACE VIEW platform_ops_fxrateused AS
SELECT DISTINCT ON (date, currency) date, currency, per_euro, source
FROM platform_ops_fxreferencerate
ORDER BY date, currency, (source <> 'ECB'), source
"""

# A currency against its own cents is a definition and needs no rate.
FX_CROSS = """
CREATE OR REPLACE FUNCTION fx_cross(day date, from_currency text, to_currency text) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN from_currency = to_currency THEN 1::numeric
    WHEN (from_currency, to_currency) IN (('USC', 'USD'), ('EUC', 'EUR')) THEN 0.01::numeric
    WHEN (from_currency, to_currency) IN (('USD', 'USC'), ('EUR', 'EUC')) THEN 100::numeric
    ELSE (
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
    dependencies = [("platform_ops", "0012_account_operations")]

    operations = [
        migrations.RunSQL(RATE_USED, OLD_RATE_USED),
        migrations.RunSQL(FX_CROSS, migrations.RunSQL.noop),
    ]
