"""Marks of everything on which periods rest: triggers write them, whoever changes the rows."""

from django.db import migrations

# Nobody is marked while no plan pays by the period: most brokers' referrals would only write rows for nothing. Events are
# always marked, for chargebacks take back what trades earned. An update marks from where the two spans begin to differ.
CREATE = """
CREATE FUNCTION ib_pays_by_period() RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM ib_planrule WHERE basis IN ('net_revenue_share', 'cpa', 'per_active_client'))
        OR EXISTS (SELECT 1 FROM ib_periodline);
END $$;

CREATE FUNCTION ib_first_difference(before tstzrange, after tstzrange) RETURNS date LANGUAGE sql STABLE AS $$
    SELECT coalesce(platform_business_day(CASE
        WHEN before IS NULL OR after IS NULL THEN lower(coalesce(before, after))
        WHEN lower(before) IS DISTINCT FROM lower(after)
            THEN least(coalesce(lower(before), '-infinity'), coalesce(lower(after), '-infinity'))
        ELSE least(coalesce(upper(before), 'infinity'), coalesce(upper(after), 'infinity')) END), '1970-01-01')
$$;

CREATE FUNCTION ib_mark_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ib_periodmark (source, client_id, day) SELECT 'client_event', client_id, min(day) FROM written GROUP BY client_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ib_mark_event AFTER INSERT ON ib_clientevent
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_event();

CREATE FUNCTION ib_mark_partner_span() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before tstzrange := CASE WHEN TG_OP <> 'INSERT' THEN OLD.validity END;
    after tstzrange := CASE WHEN TG_OP <> 'DELETE' THEN NEW.validity END;
    old_partner bigint;
    new_partner bigint;
    day date;
BEGIN
    IF (TG_OP = 'UPDATE' AND OLD IS NOT DISTINCT FROM NEW) OR NOT ib_pays_by_period() THEN
        RETURN NULL;
    END IF;
    IF TG_TABLE_NAME = 'ib_partneredge' THEN
        old_partner := CASE WHEN TG_OP <> 'INSERT' THEN (to_jsonb(OLD) ->> 'parent_id')::bigint END;
        new_partner := CASE WHEN TG_OP <> 'DELETE' THEN (to_jsonb(NEW) ->> 'parent_id')::bigint END;
    ELSE
        old_partner := CASE WHEN TG_OP <> 'INSERT' THEN (to_jsonb(OLD) ->> 'partner_id')::bigint END;
        new_partner := CASE WHEN TG_OP <> 'DELETE' THEN (to_jsonb(NEW) ->> 'partner_id')::bigint END;
    END IF;
    day := ib_first_difference(before, after);
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - 'validity' IS DISTINCT FROM to_jsonb(NEW) - 'validity' THEN
        day := least(ib_first_difference(before, NULL), ib_first_difference(NULL, after));
    END IF;
    INSERT INTO ib_periodmark (source, partner_id, day)
    SELECT TG_TABLE_NAME, partner_id, day
    FROM (SELECT old_partner AS partner_id UNION SELECT new_partner) AS touched WHERE partner_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER ib_mark_period AFTER INSERT OR UPDATE OR DELETE ON ib_agreement
    FOR EACH ROW EXECUTE FUNCTION ib_mark_partner_span();
CREATE TRIGGER ib_mark_period AFTER INSERT OR UPDATE OR DELETE ON ib_partneredge
    FOR EACH ROW EXECUTE FUNCTION ib_mark_partner_span();
CREATE TRIGGER ib_mark_period AFTER INSERT OR UPDATE OR DELETE ON ib_clientreferral
    FOR EACH ROW EXECUTE FUNCTION ib_mark_partner_span();

CREATE FUNCTION ib_mark_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before tstzrange := CASE WHEN TG_OP = 'UPDATE' AND OLD.state = 'published' THEN OLD.validity END;
    day date;
BEGIN
    IF NEW.state <> 'published' OR (before IS NOT NULL AND before = NEW.validity) OR NOT ib_pays_by_period() THEN
        RETURN NULL;
    END IF;
    day := ib_first_difference(before, NEW.validity);
    INSERT INTO ib_periodmark (source, partner_id, day)
    SELECT TG_TABLE_NAME, agreement.partner_id,
           greatest(day, min(coalesce(platform_business_day(lower(agreement.validity)), '1970-01-01')))
    FROM ib_agreement AS agreement WHERE agreement.plan_id = NEW.plan_id GROUP BY agreement.partner_id;
    RETURN NULL;
END $$;
CREATE TRIGGER ib_mark_period AFTER INSERT OR UPDATE ON ib_planversion
    FOR EACH ROW EXECUTE FUNCTION ib_mark_version();

CREATE FUNCTION ib_mark_dimension() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT ib_pays_by_period() THEN
        RETURN NULL;
    END IF;
    INSERT INTO ib_periodmark (source, client_id, day)
    SELECT TG_TABLE_NAME, account.client_id,
           ib_first_difference(CASE WHEN TG_OP <> 'INSERT' THEN OLD.validity END,
                               CASE WHEN TG_OP <> 'DELETE' THEN NEW.validity END)
    FROM platform_ops_tradingaccount AS account
    WHERE account.id = CASE WHEN TG_OP = 'DELETE' THEN OLD.account_id ELSE NEW.account_id END
      AND account.client_id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER ib_mark_period AFTER INSERT OR UPDATE OR DELETE ON platform_ops_accountdimension
    FOR EACH ROW EXECUTE FUNCTION ib_mark_dimension();
"""
DROP = """
DROP TRIGGER ib_mark_period ON platform_ops_accountdimension;
DROP FUNCTION ib_mark_dimension();
DROP TRIGGER ib_mark_period ON ib_planversion;
DROP FUNCTION ib_mark_version();
DROP TRIGGER ib_mark_period ON ib_clientreferral;
DROP TRIGGER ib_mark_period ON ib_partneredge;
DROP TRIGGER ib_mark_period ON ib_agreement;
DROP FUNCTION ib_mark_partner_span();
DROP TRIGGER ib_mark_event ON ib_clientevent;
DROP FUNCTION ib_mark_event();
DROP FUNCTION ib_first_difference(tstzrange, tstzrange);
DROP FUNCTION ib_pays_by_period();
"""

OPERATIONS = [migrations.RunSQL(CREATE, DROP)]
