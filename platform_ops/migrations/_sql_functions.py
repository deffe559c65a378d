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

# The parts hold their conditions: a look-up of some days and currencies reads those rows alone.
RATE_USED = """
CREATE VIEW platform_ops_fxrateused AS
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

# A currency against its own cents is a definition and needs no rate.
FX_CROSS = """
CREATE FUNCTION fx_cross(day date, from_currency text, to_currency text) RETURNS numeric
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

# What is true now: the latest revision of each execution, without those that the provider took back.
CURRENT_FILL = """
CREATE VIEW platform_ops_currentfill AS
SELECT fill.id, fill.provider_id, fill.order_id, fill.number, fill.revision, fill.state, fill.client_order_id, fill.exec_id,
       fill.account, fill.lp_symbol_id, fill.symbol_id, fill.side, fill.quantity, fill.units, fill.price,
       fill.is_price_derived, fill.cumulative, fill.currency, fill.executed_at, fill.trade_date, fill.settlement_date,
       fill.reports, fill.recorded_at
  FROM platform_ops_liquidityfill fill
 WHERE fill.state <> 'busted'
   AND NOT EXISTS (SELECT FROM platform_ops_liquidityfill later
                    WHERE later.provider_id = fill.provider_id AND later.order_id = fill.order_id
                      AND later.number = fill.number AND later.revision > fill.revision)
"""

# What the check constraints of the models cannot say: rules over the items of an array and of a JSON document.
CHECKS = """
CREATE FUNCTION platform_valid_week(week jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    day jsonb;
    session jsonb;
    reached numeric;
BEGIN
    IF jsonb_typeof(week) <> 'array' OR jsonb_array_length(week) <> 7 THEN
        RETURN false;
    END IF;
    FOR day IN SELECT value FROM jsonb_array_elements(week) LOOP
        IF jsonb_typeof(day) <> 'array' OR jsonb_array_length(day) > 12 THEN
            RETURN false;
        END IF;
        reached := 0;
        FOR session IN SELECT value FROM jsonb_array_elements(day) LOOP
            IF jsonb_typeof(session) <> 'array' OR jsonb_array_length(session) <> 2
               OR jsonb_typeof(session -> 0) <> 'number' OR jsonb_typeof(session -> 1) <> 'number' THEN
                RETURN false;
            END IF;
            IF (session ->> 0)::numeric < reached OR (session ->> 1)::numeric <= (session ->> 0)::numeric
               OR (session ->> 1)::numeric > 1440 OR (session ->> 0)::numeric % 1 <> 0
               OR (session ->> 1)::numeric % 1 <> 0 THEN
                RETURN false;
            END IF;
            reached := (session ->> 1)::numeric;
        END LOOP;
    END LOOP;
    RETURN true;
END
$$;
COMMENT ON FUNCTION platform_valid_week IS
    'Whether a document is seven lists of [opening, closing] minutes, in order and apart.';
ALTER TABLE platform_ops_symbolspec
    ADD CONSTRAINT platform_symbolspec_sessions
        CHECK (platform_valid_week(quote_sessions) AND platform_valid_week(trade_sessions)),
    ADD CONSTRAINT platform_symbolspec_nights CHECK (
        cardinality(swap_multipliers) = 7 AND array_position(swap_multipliers, NULL) IS NULL
        AND 0 <= ALL (swap_multipliers) AND 31 >= ALL (swap_multipliers)
    );
ALTER TABLE platform_ops_groupsymboloverride
    ADD CONSTRAINT platform_symboloverride_nights CHECK (
        swap_multipliers IS NULL OR (
            cardinality(swap_multipliers) = 7 AND array_position(swap_multipliers, NULL) IS NULL
            AND 0 <= ALL (swap_multipliers) AND 31 >= ALL (swap_multipliers)
        )
    ),
    ADD CONSTRAINT platform_symboloverride_says_something CHECK (num_nonnulls(
        trade_mode, spread_points, stops_level_points, freeze_level_points, lots_minimum, lots_maximum, lots_step,
        lots_limit, leverage_maximum, margin_initial, margin_maintenance, margin_hedged, margin_rate_buy,
        margin_rate_sell, swap_mode, swap_long, swap_short, swap_multipliers, swap_year_days
    ) > 0);
"""

DROP_CHECKS = """
ALTER TABLE platform_ops_symbolspec
    DROP CONSTRAINT platform_symbolspec_sessions, DROP CONSTRAINT platform_symbolspec_nights;
ALTER TABLE platform_ops_groupsymboloverride
    DROP CONSTRAINT platform_symboloverride_nights, DROP CONSTRAINT platform_symboloverride_says_something;
DROP FUNCTION platform_valid_week;
"""

# One plain select, so that the planner takes it apart and a join by symbol and group never makes all pairs.
TERMS = """
CREATE FUNCTION platform_symbol_terms(moment timestamptz) RETURNS TABLE (
    symbol_id bigint, group_id bigint, specification_id bigint, override_id bigint,
    base_asset varchar, profit_currency varchar, margin_currency varchar,
    digits smallint, contract_size numeric, pip_size numeric, calculation_mode smallint, trade_mode smallint,
    tick_size numeric, tick_value numeric, spread_points numeric, converts_by_market boolean,
    face_value numeric, accrued_interest numeric,
    lots_minimum numeric, lots_maximum numeric, lots_step numeric, lots_limit numeric,
    leverage_maximum integer, margin_initial numeric, margin_maintenance numeric, margin_hedged numeric,
    margin_rate_buy numeric, margin_rate_sell numeric, is_hedged_by_larger_leg boolean,
    swap_mode smallint, swap_long numeric, swap_short numeric, swap_multipliers numeric[], swap_year_days smallint,
    swap_considers_holidays boolean
) LANGUAGE sql STABLE PARALLEL SAFE AS $$
SELECT spec.symbol_id, account_group.id, spec.id, own.id,
       symbol.base_asset, symbol.profit_currency, spec.margin_currency,
       spec.digits, spec.contract_size, spec.pip_size, spec.calculation_mode, coalesce(own.trade_mode, spec.trade_mode),
       spec.tick_size, spec.tick_value, coalesce(own.spread_points, spec.spread_points), spec.converts_by_market,
       spec.face_value, spec.accrued_interest,
       coalesce(own.lots_minimum, spec.lots_minimum), coalesce(own.lots_maximum, spec.lots_maximum),
       coalesce(own.lots_step, spec.lots_step), coalesce(own.lots_limit, spec.lots_limit),
       coalesce(own.leverage_maximum, spec.leverage_maximum),
       coalesce(own.margin_initial, spec.margin_initial), coalesce(own.margin_maintenance, spec.margin_maintenance),
       coalesce(own.margin_hedged, spec.margin_hedged),
       coalesce(own.margin_rate_buy, spec.margin_rate_buy), coalesce(own.margin_rate_sell, spec.margin_rate_sell),
       spec.is_hedged_by_larger_leg,
       coalesce(own.swap_mode, spec.swap_mode), coalesce(own.swap_long, spec.swap_long),
       coalesce(own.swap_short, spec.swap_short), coalesce(own.swap_multipliers, spec.swap_multipliers),
       coalesce(own.swap_year_days, spec.swap_year_days), spec.swap_considers_holidays
  FROM platform_ops_symbolspec AS spec
  JOIN platform_ops_symbol AS symbol ON symbol.id = spec.symbol_id
 CROSS JOIN platform_ops_accountgroup AS account_group
  LEFT JOIN platform_ops_groupsymboloverride AS own
         ON own.symbol_id = spec.symbol_id AND own.group_id = account_group.id AND own.validity @> moment
 WHERE spec.validity @> moment
$$;
COMMENT ON FUNCTION platform_symbol_terms IS
    'By which terms each group of accounts trades each symbol at a moment: the specification with the group''s own terms '
    'over it. Join by symbol_id and group_id. A dated swap rate comes before the swap columns.';
"""

DROP_TERMS = "DROP FUNCTION platform_symbol_terms"

OPERATIONS = [
    migrations.RunSQL(BUSINESS_DAY, "DROP FUNCTION platform_business_day"),
    migrations.RunSQL(CURRENT_DEAL, "DROP VIEW platform_ops_currentdeal"),
    migrations.RunSQL(
        POSITION_WALK,
        "DROP AGGREGATE platform_position_walk(smallint, numeric, numeric, timestamptz);"
        "DROP FUNCTION platform_position_step; DROP TYPE platform_position_state",
    ),
    migrations.RunSQL(RATE_USED, "DROP VIEW platform_ops_fxrateused"),
    migrations.RunSQL(FX_CROSS, "DROP FUNCTION fx_cross"),
    migrations.RunSQL(CURRENT_FILL, "DROP VIEW platform_ops_currentfill"),
    migrations.RunSQL(CHECKS, DROP_CHECKS),
    migrations.RunSQL(TERMS, DROP_TERMS),
]
