"""The proof derives millions of lines: the usual rounding is an expression that the planner writes into the statement."""

# ruff: noqa: S608 -- own text

from django.db import migrations

# A function with a FROM is called for every row; one that is a single expression of columns becomes part of the query.
# So the product stands twice: once for the usual case, written out, and once for all others, which call on.
PRODUCT = """quantity * rate * coalesce(factor, 1) * CASE WHEN basis IN (
            'spread_share', 'markup_share', 'platform_commission_share', 'client_profit_share') THEN 0.01 ELSE 1 END"""
WRITTEN_OUT = f"""
CREATE FUNCTION ib_converted_and_rounded(
    product numeric, rate_currency text, fx_rate numeric, stage text, mode text, digits integer
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ib_round(CASE WHEN stage = 'step' THEN ib_round(product, ib_currency_digits(rate_currency), mode) ELSE product END
                    * fx_rate, digits, mode)
$$;

CREATE OR REPLACE FUNCTION ib_reward(
    basis text, quantity numeric, factor numeric, rate numeric, rate_currency text, fx_rate numeric, stage text, mode text,
    digits integer, cap_left numeric
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(CASE
        WHEN stage = 'line' AND mode = 'half_up' THEN round(round({PRODUCT} * fx_rate, 18), digits)
        ELSE ib_converted_and_rounded({PRODUCT}, rate_currency, fx_rate, stage, mode, digits)
        END, cap_left)
$$;
"""
AS_BEFORE = f"""
CREATE OR REPLACE FUNCTION ib_reward(
    basis text, quantity numeric, factor numeric, rate numeric, rate_currency text, fx_rate numeric, stage text, mode text,
    digits integer, cap_left numeric
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(
        ib_round(CASE WHEN stage = 'step' THEN ib_round(product, ib_currency_digits(rate_currency), mode) ELSE product END
                 * fx_rate, digits, mode), cap_left)
    FROM (SELECT {PRODUCT} AS product) AS multiplied
$$;
DROP FUNCTION ib_converted_and_rounded(numeric, text, numeric, text, text, integer);
"""


class Migration(migrations.Migration):
    dependencies = [("ib", "0016_bonuses_for_ranks")]

    operations = [migrations.RunSQL(WRITTEN_OUT, AS_BEFORE)]
