"""What the database itself enforces: daily partitions, lines and published plans that never change, marks of change."""

from django.db import migrations

# The table is empty here (no settlement existed before), so it is made anew with the same columns and constraints.
# The key is its only index: every further one costs a third of the speed of settlement.
PARTITION_LINES = """
DO $$ BEGIN
    IF EXISTS (SELECT 1 FROM ib_commissionline) THEN
        RAISE EXCEPTION 'ib_commissionline holds lines; move them before it is partitioned';
    END IF;
END $$;
ALTER TABLE ib_commissionline RENAME TO ib_commissionline_plain;
CREATE TABLE ib_commissionline
    (LIKE ib_commissionline_plain INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (day);
DROP TABLE ib_commissionline_plain;
ALTER TABLE ib_commissionline
    ADD CONSTRAINT ib_commissionline_pkey PRIMARY KEY (partner_id, trade_id, seq, day);
CREATE TABLE ib_line_default PARTITION OF ib_commissionline DEFAULT;
COMMENT ON TABLE ib_line_default IS 'Lines whose day had no partition; a check raises every row.';
"""
UNPARTITION_LINES = """
CREATE TABLE ib_commissionline_plain
    (LIKE ib_commissionline INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO ib_commissionline_plain SELECT * FROM ib_commissionline;
DROP TABLE ib_commissionline;
ALTER TABLE ib_commissionline_plain RENAME TO ib_commissionline;
ALTER TABLE ib_commissionline
    ADD CONSTRAINT ib_commissionline_pkey PRIMARY KEY (partner_id, trade_id, seq, day);
"""

REFUSE = """
CREATE FUNCTION ib_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: %', TG_OP, TG_TABLE_NAME, TG_ARGV[0] USING ERRCODE = 'BO001';
END $$;

-- A row trigger on the parent is inherited by every partition, so a partition cannot be changed past it.
CREATE TRIGGER ib_line_never_changes BEFORE UPDATE OR DELETE ON ib_commissionline
    FOR EACH ROW EXECUTE FUNCTION ib_refuse_change('a commission line never changes');
CREATE TRIGGER ib_line_never_emptied BEFORE TRUNCATE ON ib_commissionline
    FOR EACH STATEMENT EXECUTE FUNCTION ib_refuse_change('commission lines never change');
CREATE TRIGGER ib_line_never_emptied BEFORE TRUNCATE ON ib_line_default
    FOR EACH STATEMENT EXECUTE FUNCTION ib_refuse_change('commission lines never change');

CREATE TRIGGER ib_batch_never_changes BEFORE UPDATE OR DELETE ON ib_settlementbatch
    FOR EACH ROW WHEN (OLD.line_digest <> '')
    EXECUTE FUNCTION ib_refuse_change('the control totals of a settlement never change');

CREATE TRIGGER ib_card_never_changes
    BEFORE DELETE OR UPDATE OF content_key, direct_partner_id, symbol_group_id, beneficiary_id, level, path, rule_id,
        amount_per_lot, rate_currency, reward_currency, reward_digits, valid_from, valid_to
    ON ib_ratecardentry
    FOR EACH STATEMENT EXECUTE FUNCTION ib_refuse_change('an entry of the rate card never changes');

CREATE TRIGGER ib_partner_stays BEFORE UPDATE OF currency, entity_id ON ib_partner
    FOR EACH ROW WHEN (OLD.currency <> NEW.currency OR OLD.entity_id <> NEW.entity_id)
    EXECUTE FUNCTION ib_refuse_change('a partner keeps its currency and its legal entity');
"""
ALLOW = """
DROP TRIGGER ib_partner_stays ON ib_partner;
DROP TRIGGER ib_card_never_changes ON ib_ratecardentry;
DROP TRIGGER ib_batch_never_changes ON ib_settlementbatch;
DROP TRIGGER ib_line_never_emptied ON ib_line_default;
DROP TRIGGER ib_line_never_emptied ON ib_commissionline;
DROP TRIGGER ib_line_never_changes ON ib_commissionline;
DROP FUNCTION ib_refuse_change();
"""

PUBLISHED_PLANS = """
CREATE FUNCTION ib_keep_published_version() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unchanged ib_planversion;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'a published plan version is never deleted' USING ERRCODE = 'BO001';
    END IF;
    unchanged := NEW;
    unchanged.validity := OLD.validity;
    IF unchanged IS DISTINCT FROM OLD OR NOT NEW.validity <@ OLD.validity THEN
        RAISE EXCEPTION 'a published plan version never changes; only its end may be set' USING ERRCODE = 'BO001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ib_version_published BEFORE UPDATE OR DELETE ON ib_planversion
    FOR EACH ROW WHEN (OLD.state = 'published') EXECUTE FUNCTION ib_keep_published_version();

CREATE FUNCTION ib_keep_published_rule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM ib_planversion AS version
        WHERE version.state = 'published'
          AND version.id IN (CASE WHEN TG_OP <> 'INSERT' THEN OLD.version_id END,
                             CASE WHEN TG_OP <> 'DELETE' THEN NEW.version_id END)
    ) THEN
        RAISE EXCEPTION 'the rules of a published plan version never change' USING ERRCODE = 'BO001';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER ib_rule_published BEFORE INSERT OR UPDATE OR DELETE ON ib_planrule
    FOR EACH ROW EXECUTE FUNCTION ib_keep_published_rule();
"""
PLANS_AT_WILL = """
DROP TRIGGER ib_rule_published ON ib_planrule;
DROP FUNCTION ib_keep_published_rule();
DROP TRIGGER ib_version_published ON ib_planversion;
DROP FUNCTION ib_keep_published_version();
"""

MARKED_TABLES = ("ib_partneredge", "ib_agreement", "ib_planversion", "ib_planrule")
MARK_CHANGES = """
CREATE FUNCTION ib_mark_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ib_configchange (source) VALUES (TG_TABLE_NAME);
    RETURN NULL;
END $$;
""" + "".join(
    f"CREATE TRIGGER ib_mark_change AFTER INSERT OR UPDATE OR DELETE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION ib_mark_change();\n"
    for table in MARKED_TABLES
)
IGNORE_CHANGES = (
    "".join(f"DROP TRIGGER ib_mark_change ON {table};\n" for table in MARKED_TABLES) + "DROP FUNCTION ib_mark_change();"
)


class Migration(migrations.Migration):
    dependencies = [("ib", "0002_set_up_and_history"), ("platform_ops", "0003_sql_functions")]

    operations = [
        migrations.RunSQL(PARTITION_LINES, UNPARTITION_LINES),
        migrations.RunSQL(REFUSE, ALLOW),
        migrations.RunSQL(PUBLISHED_PLANS, PLANS_AT_WILL),
        migrations.RunSQL(MARK_CHANGES, IGNORE_CHANGES),
        migrations.RunSQL(
            "CREATE SEQUENCE ib_partner_reference AS bigint", "DROP SEQUENCE ib_partner_reference"
        ),
    ]
