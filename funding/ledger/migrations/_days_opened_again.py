"""Days that were closed and opened again take entries, and every such entry carries the mark of its re-opening."""

from django.db import migrations

OPEN_AGAIN = """
-- The re-opening through which a closed day of an entity takes entries now, if any.
CREATE FUNCTION ledger_open_again(entity bigint, day date) RETURNS bigint LANGUAGE sql STABLE
SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id FROM public.ledger_periodreopening
    WHERE entity_id = entity AND reclosed_at IS NULL AND day BETWEEN from_day AND through_day
$$;
"""

ADMIT = """
CREATE OR REPLACE FUNCTION ledger_admit_entries() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    refused record;
BEGIN
    SELECT id, made_in INTO refused FROM new_entries WHERE made_in <> pg_current_xact_id() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % claims to be of another transaction', refused.id USING ERRCODE = '23L03';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(public.ledger_books_lock_key(entity_id))
    FROM (SELECT DISTINCT entity_id FROM new_entries ORDER BY entity_id) AS entities;
    SELECT e.business_day, e.entity_id INTO refused FROM new_entries e
    WHERE EXISTS (
        SELECT 1 FROM ledger_closedday c WHERE c.entity_id = e.entity_id AND c.business_day >= e.business_day
    ) AND public.ledger_open_again(e.entity_id, e.business_day) IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the books of entity % are closed on %', refused.entity_id, refused.business_day
            USING ERRCODE = '23L07', DETAIL = refused.business_day::text;
    END IF;
    -- The mark was read before the lock was held: where a re-opening came or went meanwhile, the booking is tried again.
    SELECT e.business_day, e.entity_id INTO refused FROM new_entries e
    WHERE e.reopening_id IS DISTINCT FROM public.ledger_open_again(e.entity_id, e.business_day)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the books of entity % were opened or closed on % meanwhile',
            refused.entity_id, refused.business_day USING ERRCODE = '23L12';
    END IF;
    RETURN NULL;
END $$;
"""

ADMIT_BEFORE = """
CREATE OR REPLACE FUNCTION ledger_admit_entries() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    refused record;
BEGIN
    SELECT id, made_in INTO refused FROM new_entries WHERE made_in <> pg_current_xact_id() LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'entry % claims to be of another transaction', refused.id USING ERRCODE = '23L03';
    END IF;
    PERFORM pg_advisory_xact_lock_shared(public.ledger_books_lock_key(entity_id))
    FROM (SELECT DISTINCT entity_id FROM new_entries ORDER BY entity_id) AS entities;
    SELECT e.business_day, e.entity_id INTO refused FROM new_entries e
    WHERE EXISTS (
        SELECT 1 FROM ledger_closedday c WHERE c.entity_id = e.entity_id AND c.business_day >= e.business_day
    )
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the books of entity % are closed on %', refused.entity_id, refused.business_day
            USING ERRCODE = '23L07', DETAIL = refused.business_day::text;
    END IF;
    RETURN NULL;
END $$;
"""

OPERATIONS = [
    migrations.RunSQL(
        sql=OPEN_AGAIN + ADMIT,
        reverse_sql=ADMIT_BEFORE + "DROP FUNCTION ledger_open_again(bigint, date);",
    ),
]
