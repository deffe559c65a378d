"""The rules of the books, kept by the database itself, whatever code writes.

SQLSTATEs of refusals begin with 23L, so drivers report them as integrity errors; `funding/ledger/database.py` turns
them into domain errors. Functions name their schema path so that a temporary table cannot stand in for a real one.
"""

from django.db import migrations

ACCOUNTS = """
CREATE FUNCTION ledger_floor_of(kind text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind IN (
        'client_receivable', 'client_wallet', 'partner_payable', 'partner_wallet'
    ) THEN 0::numeric END
$$;

-- Every account has its balance row from the first moment, with the floor of its kind.
CREATE FUNCTION ledger_open_balance() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO ledger_accountbalance (account_id, balance, held, floor, debits, credits, version)
    SELECT id, 0, 0, public.ledger_floor_of(kind), 0, 0, 0 FROM new_accounts;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_open_balance AFTER INSERT ON ledger_ledgeraccount
    REFERENCING NEW TABLE AS new_accounts FOR EACH STATEMENT EXECUTE FUNCTION ledger_open_balance();

-- What an account is never changes; its name and whether it is frozen may.
CREATE FUNCTION ledger_keep_account() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.entity_id, NEW.kind, NEW.account_class, NEW.currency, NEW.owner_type, NEW.owner_id, NEW.is_debit_normal)
       IS DISTINCT FROM
       (OLD.id, OLD.entity_id, OLD.kind, OLD.account_class, OLD.currency, OLD.owner_type, OLD.owner_id, OLD.is_debit_normal)
    THEN
        RAISE EXCEPTION 'ledger account % cannot become another account', OLD.id USING ERRCODE = '23L04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_keep_account BEFORE UPDATE ON ledger_ledgeraccount
    FOR EACH ROW EXECUTE FUNCTION ledger_keep_account();

-- Balances are written by the triggers of accounts, postings and holds and by nothing else: a statement that reaches
-- this table directly runs at trigger depth one.
CREATE FUNCTION ledger_guard_balances() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF pg_trigger_depth() < 2 OR TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION '% of ledger balances is refused: they follow postings and holds', TG_OP USING ERRCODE = '23L10';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_guard_balances BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger_accountbalance
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_guard_balances();
"""

ENTRIES = """
-- Bookings of an entity share this lock until they commit; closing a day takes it alone. So a day never closes while an
-- entry dated in it is still uncommitted, and no entry slips in behind a closing.
CREATE FUNCTION ledger_books_lock_key(entity bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('ledger.books.' || entity::text, 0)
$$;

CREATE FUNCTION ledger_admit_entries() RETURNS trigger LANGUAGE plpgsql
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
CREATE TRIGGER ledger_admit_entries AFTER INSERT ON ledger_journalentry
    REFERENCING NEW TABLE AS new_entries FOR EACH STATEMENT EXECUTE FUNCTION ledger_admit_entries();

CREATE FUNCTION ledger_refuse_empty_entry() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM ledger_posting WHERE entry_id = NEW.id) THEN
        RAISE EXCEPTION 'entry % has no postings', NEW.id USING ERRCODE = '23L02';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_refuse_empty_entry AFTER INSERT ON ledger_journalentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_refuse_empty_entry();

CREATE FUNCTION ledger_close_alone() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(public.ledger_books_lock_key(NEW.entity_id));
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_close_alone BEFORE INSERT ON ledger_closedday
    FOR EACH ROW EXECUTE FUNCTION ledger_close_alone();
"""

POSTINGS = """
-- All rules of postings, once per statement over all its rows (a deferred trigger per posting is quadratic). Because each
-- statement must balance per entry and currency, an entry balances at every moment at which somebody can look at it.
-- EXECUTE plans each query for the number of rows at hand; a plan kept from a batch of 100,000 made single bookings of
-- the same session thirty times slower.
CREATE FUNCTION ledger_apply_postings() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    refused record;
BEGIN
    EXECUTE $query$
        SELECT p.entry_id, p.account_id, p.currency, a.currency AS account_currency, e.entity_id,
               e.made_in IS DISTINCT FROM pg_current_xact_id() AS is_late,
               a.entity_id IS DISTINCT FROM e.entity_id AS is_foreign
        FROM new_postings p
        LEFT JOIN ledger_journalentry e ON e.id = p.entry_id
        LEFT JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE e.made_in IS DISTINCT FROM pg_current_xact_id()
           OR a.currency IS DISTINCT FROM p.currency OR a.entity_id IS DISTINCT FROM e.entity_id
        LIMIT 1
    $query$ INTO refused;
    IF refused.is_late THEN
        RAISE EXCEPTION 'postings come too late for entry %', refused.entry_id USING ERRCODE = '23L03';
    ELSIF refused.is_foreign THEN
        RAISE EXCEPTION 'account % is not of entity %', refused.account_id, refused.entity_id USING ERRCODE = '23L06';
    ELSIF refused.entry_id IS NOT NULL THEN
        RAISE EXCEPTION 'account % is kept in %, not in %', refused.account_id, refused.account_currency, refused.currency
            USING ERRCODE = '23L05';
    END IF;

    EXECUTE $query$
        SELECT entry_id, currency, sum(CASE side WHEN 'D' THEN amount ELSE -amount END) AS difference
        FROM new_postings GROUP BY entry_id, currency
        HAVING sum(CASE side WHEN 'D' THEN amount ELSE -amount END) <> 0
        LIMIT 1
    $query$ INTO refused;
    IF refused.entry_id IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not balance in %: debits exceed credits by %',
            refused.entry_id, refused.currency, refused.difference USING ERRCODE = '23L01';
    END IF;

    -- One order for everybody, so that two bookings never wait for each other.
    EXECUTE $query$
        SELECT FROM ledger_accountbalance
        WHERE account_id IN (SELECT account_id FROM new_postings) ORDER BY account_id FOR NO KEY UPDATE
    $query$;

    EXECUTE $query$
        SELECT a.id FROM new_postings p JOIN ledger_ledgeraccount a ON a.id = p.account_id
        WHERE p.side = 'D' AND a.is_frozen LIMIT 1
    $query$ INTO refused;
    IF refused.id IS NOT NULL THEN
        RAISE EXCEPTION 'account % is frozen and takes no debit', refused.id USING ERRCODE = '23L08';
    END IF;

    EXECUTE $query$
        UPDATE ledger_accountbalance b
        SET debits = b.debits + moved.debits,
            credits = b.credits + moved.credits,
            balance = b.balance + CASE WHEN a.is_debit_normal THEN moved.debits - moved.credits
                                       ELSE moved.credits - moved.debits END,
            version = b.version + 1
        FROM (
            SELECT account_id,
                   coalesce(sum(amount) FILTER (WHERE side = 'D'), 0) AS debits,
                   coalesce(sum(amount) FILTER (WHERE side = 'C'), 0) AS credits
            FROM new_postings GROUP BY account_id
        ) AS moved
        JOIN ledger_ledgeraccount a ON a.id = moved.account_id
        WHERE b.account_id = moved.account_id
    $query$;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_apply_postings AFTER INSERT ON ledger_posting
    REFERENCING NEW TABLE AS new_postings FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_postings();
"""

HOLDS = """
-- A hold is placed pending and ends once; what it holds, on which account and under which key never changes.
CREATE FUNCTION ledger_admit_hold() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' THEN
            RAISE EXCEPTION 'a hold begins pending, not %', NEW.state USING ERRCODE = '23L09';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'pending' OR NEW.state = 'pending' THEN
        RAISE EXCEPTION 'hold % cannot go from % to %', OLD.id, OLD.state, NEW.state USING ERRCODE = '23L09';
    END IF;
    IF (NEW.id, NEW.account_id, NEW.amount, NEW.idempotency_key, NEW.input_hash, NEW.created_at)
       IS DISTINCT FROM (OLD.id, OLD.account_id, OLD.amount, OLD.idempotency_key, OLD.input_hash, OLD.created_at)
    THEN
        RAISE EXCEPTION 'hold % cannot become another hold', OLD.id USING ERRCODE = '23L04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ledger_admit_hold BEFORE INSERT OR UPDATE ON ledger_hold
    FOR EACH ROW EXECUTE FUNCTION ledger_admit_hold();

CREATE FUNCTION ledger_keep_holds() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% of holds is refused', TG_OP USING ERRCODE = '23L04';
END $$;
CREATE TRIGGER ledger_keep_holds BEFORE DELETE OR TRUNCATE ON ledger_hold
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_keep_holds();

CREATE FUNCTION ledger_apply_holds() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM ledger_accountbalance
    WHERE account_id IN (SELECT account_id FROM new_holds) ORDER BY account_id FOR NO KEY UPDATE;
    IF TG_OP = 'INSERT' THEN
        UPDATE ledger_accountbalance b SET held = b.held + placed.amount, version = b.version + 1
        FROM (SELECT account_id, sum(amount) AS amount FROM new_holds GROUP BY account_id) AS placed
        WHERE b.account_id = placed.account_id;
    ELSE
        UPDATE ledger_accountbalance b SET held = b.held - ended.amount, version = b.version + 1
        FROM (SELECT account_id, sum(amount) AS amount FROM new_holds GROUP BY account_id) AS ended
        WHERE b.account_id = ended.account_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_apply_new_holds AFTER INSERT ON ledger_hold
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_holds();
CREATE TRIGGER ledger_apply_ended_holds AFTER UPDATE ON ledger_hold
    REFERENCING NEW TABLE AS new_holds FOR EACH STATEMENT EXECUTE FUNCTION ledger_apply_holds();
"""

REVERSE_ALL = """
DROP TRIGGER ledger_apply_ended_holds ON ledger_hold;
DROP TRIGGER ledger_apply_new_holds ON ledger_hold;
DROP TRIGGER ledger_keep_holds ON ledger_hold;
DROP TRIGGER ledger_admit_hold ON ledger_hold;
DROP TRIGGER ledger_apply_postings ON ledger_posting;
DROP TRIGGER ledger_close_alone ON ledger_closedday;
DROP TRIGGER ledger_refuse_empty_entry ON ledger_journalentry;
DROP TRIGGER ledger_admit_entries ON ledger_journalentry;
DROP TRIGGER ledger_guard_balances ON ledger_accountbalance;
DROP TRIGGER ledger_keep_account ON ledger_ledgeraccount;
DROP TRIGGER ledger_open_balance ON ledger_ledgeraccount;
DROP FUNCTION ledger_apply_holds(), ledger_keep_holds(), ledger_admit_hold(), ledger_apply_postings(),
    ledger_close_alone(), ledger_refuse_empty_entry(), ledger_admit_entries(), ledger_guard_balances(),
    ledger_keep_account(), ledger_open_balance(), ledger_books_lock_key(bigint), ledger_floor_of(text);
"""

OPERATIONS = [
    migrations.RunSQL(sql=ACCOUNTS + ENTRIES + POSTINGS + HOLDS, reverse_sql=REVERSE_ALL),
]
