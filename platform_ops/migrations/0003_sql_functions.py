"""What the database computes for many rows at once, so that every statement and every desk computes it alike."""

from django.db import migrations

# One expression and not STRICT, so that the planner can inline it.
BUSINESS_DAY = """
CREATE FUNCTION platform_business_day(at timestamptz) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date
    + CASE extract(isodow FROM (at AT TIME ZONE 'America/New_York') + interval '7 hours')
          WHEN 6 THEN 2 WHEN 7 THEN 1 ELSE 0 END;
COMMENT ON FUNCTION platform_business_day IS
    'The business day of an instant: closes at 17:00 New York, weekends belong to Monday.';
"""

CURRENT_DEAL = """
CREATE VIEW platform_ops_currentdeal AS
SELECT deal.id, deal.server_id, deal.ticket, deal.leg, deal.revision, deal.account_id, deal.batch_id, deal.kind,
       deal.entry, deal.position_ticket, deal.order_ticket, deal.server_symbol_id, deal.volume_lots, deal.price,
       deal.at, deal.open_price, deal.opened_at, deal.profit, deal.swap, deal.commission, deal.fee, deal.comment,
       deal.stated_as_of, deal.recorded_at
  FROM platform_ops_deal deal
 WHERE NOT EXISTS (
    SELECT 1 FROM platform_ops_deal later
     WHERE later.revision > 0
       AND later.server_id = deal.server_id AND later.ticket = deal.ticket AND later.leg = deal.leg
       AND later.revision > deal.revision
 );
"""

# The walk over a position's deals. A closing only reduces: what it closes beyond what is known to be open was opened
# before our history starts. Only a reversal crosses zero, and opens the rest at its own price.
POSITION_WALK = """
CREATE TYPE platform_position_state AS (volume numeric, price numeric, opened_at timestamptz);

CREATE FUNCTION platform_position_step(
    state platform_position_state, entry smallint, volume numeric, price numeric, at timestamptz
) RETURNS platform_position_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    held numeric := coalesce(state.volume, 0);
    rest numeric;
BEGIN
    IF entry IN (1, 3) THEN
        rest := held + volume;
        IF held * volume >= 0 THEN
            RETURN state;
        END IF;
        IF rest * held <= 0 THEN
            RETURN ROW(0, NULL, NULL)::platform_position_state;
        END IF;
        RETURN ROW(rest, state.price, state.opened_at)::platform_position_state;
    END IF;
    IF held = 0 THEN
        RETURN ROW(volume, price, at)::platform_position_state;
    END IF;
    rest := held + volume;
    IF held * volume > 0 THEN
        RETURN ROW(rest, (state.price * held + price * volume) / rest, state.opened_at)::platform_position_state;
    END IF;
    IF rest = 0 THEN
        RETURN ROW(0, NULL, NULL)::platform_position_state;
    END IF;
    IF rest * held > 0 THEN
        RETURN ROW(rest, state.price, state.opened_at)::platform_position_state;
    END IF;
    RETURN ROW(rest, price, at)::platform_position_state;
END
$$;

CREATE AGGREGATE platform_position_walk(
    entry smallint, volume numeric, price numeric, at timestamptz
) (SFUNC = platform_position_step, STYPE = platform_position_state, PARALLEL = SAFE);
COMMENT ON AGGREGATE platform_position_walk(smallint, numeric, numeric, timestamptz) IS
    'Signed volume, average price and opening time after deals in their order; volume is negative for sells.';
"""

FX_CROSS = """
CREATE FUNCTION fx_cross(day date, from_currency text, to_currency text) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN from_currency = to_currency THEN 1::numeric ELSE (
    SELECT round(quotient, 33 - floor(log(quotient))::integer)
      FROM (
        SELECT round(coalesce(wanted, 1), 60) / coalesce(given, 1) AS quotient
          FROM (
            SELECT rate.date,
                   max(rate.per_euro) FILTER (WHERE rate.currency = from_currency) AS given,
                   max(rate.per_euro) FILTER (WHERE rate.currency = to_currency) AS wanted
              FROM platform_ops_fxreferencerate rate
             WHERE rate.source = 'ECB' AND rate.date BETWEEN day - 10 AND day
               AND rate.currency IN (from_currency, to_currency)
             GROUP BY rate.date
          ) quoted
         WHERE (given IS NOT NULL OR from_currency = 'EUR') AND (wanted IS NOT NULL OR to_currency = 'EUR')
         ORDER BY quoted.date DESC
         LIMIT 1
      ) latest
) END;
COMMENT ON FUNCTION fx_cross IS
    'Units of to_currency for one from_currency, from the reference rates of that day or the last one before it, '
    'at most ten days old; both quotes from one day; 34 significant digits; NULL when there is none.';
"""


class Migration(migrations.Migration):
    dependencies = [("platform_ops", "0002_immutable_deals")]

    operations = [
        migrations.RunSQL(BUSINESS_DAY, "DROP FUNCTION platform_business_day"),
        migrations.RunSQL(CURRENT_DEAL, "DROP VIEW platform_ops_currentdeal"),
        migrations.RunSQL(
            POSITION_WALK,
            "DROP AGGREGATE platform_position_walk(smallint, numeric, numeric, timestamptz);"
            "DROP FUNCTION platform_position_step; DROP TYPE platform_position_state",
        ),
        migrations.RunSQL(FX_CROSS, "DROP FUNCTION fx_cross"),
    ]
