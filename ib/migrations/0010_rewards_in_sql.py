"""The arithmetic of a reward in SQL, for the modes of rounding that plans choose and for the proofs of stored lines."""

from django.db import migrations

CREATE = """
CREATE FUNCTION ib_round(value numeric, digits integer, mode text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE mode
        WHEN 'half_up' THEN round(round(value, 18), digits)
        WHEN 'down' THEN trunc(round(value, 18), digits)
        ELSE CASE
            WHEN abs(round(value, 18) - trunc(round(value, 18), digits)) = 5 * 10::numeric ^ (-digits - 1)
            THEN trunc(round(value, 18), digits)
                 + mod(trunc(abs(round(value, 18)) * 10::numeric ^ digits), 2) * sign(value) * 10::numeric ^ (-digits)
            ELSE round(round(value, 18), digits) END
        END
$$;

CREATE FUNCTION ib_currency_digits(code text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN code IN ('BIF', 'CLP', 'DJF', 'GNF', 'ISK', 'JPY', 'KMF', 'KRW', 'PYG', 'RWF', 'UGX', 'VND', 'VUV', 'XAF',
                      'XOF', 'XPF', 'ROL', 'TRL') THEN 0
        WHEN code IN ('BHD', 'IQD', 'JOD', 'KWD', 'LYD', 'OMR', 'TND') THEN 3
        WHEN code = 'XRP' THEN 6
        WHEN code IN ('BTC', 'ETH', 'LTC') THEN 8
        ELSE 2 END
$$;

CREATE FUNCTION ib_reward(
    basis text, quantity numeric, factor numeric, rate numeric, rate_currency text, fx_rate numeric, stage text, mode text,
    digits integer, cap_left numeric
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(
        ib_round(CASE WHEN stage = 'step' THEN ib_round(product, ib_currency_digits(rate_currency), mode) ELSE product END
                 * fx_rate, digits, mode), cap_left)
    FROM (SELECT quantity * rate * coalesce(factor, 1) * CASE WHEN basis IN (
        'spread_share', 'markup_share', 'platform_commission_share', 'client_profit_share') THEN 0.01 ELSE 1 END AS product
    ) AS multiplied
$$;

DROP TRIGGER ib_card_never_changes ON ib_ratecardentry;
CREATE TRIGGER ib_card_never_changes
    BEFORE DELETE OR UPDATE OF content_key, direct_partner_id, symbol_group_id, symbol_id, account_class_id, beneficiary_id,
        level, path, rule_id, terms_rule_id, component, part, basis, rate, rate_currency, weight, reward_currency,
        reward_digits, rounding_mode, rounding_stage, needs_period, valid_from, valid_to
    ON ib_ratecardentry
    FOR EACH STATEMENT EXECUTE FUNCTION ib_refuse_change('an entry of the rate card never changes');
"""
DROP = """
DROP FUNCTION ib_reward(text, numeric, numeric, numeric, text, numeric, text, text, integer, numeric);
DROP FUNCTION ib_currency_digits(text);
DROP FUNCTION ib_round(numeric, integer, text);
"""


class Migration(migrations.Migration):
    dependencies = [("ib", "0009_marks_of_periods")]

    operations = [migrations.RunSQL(CREATE, DROP)]
