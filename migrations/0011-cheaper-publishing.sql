-- breaking: no
--
-- Publishers register themselves in the default of `sequence`, and the doorbell is a number instead of a table.
--
-- What an INSERT of one event in a transaction of its own costs the server more than one into a plain table of the same
-- columns, in instructions of the backend (callgrind, Postgres 18, 187,000 for the plain table):
--
--   75,000  before: of these 58,000 for the trigger register_publisher() and 19,000 for the partitions. In the trigger,
--           25,000 for the query of `doorbells` (a plan, a snapshot, an lseek), 10,000 to call PL/pgSQL at all, and
--           14,000 to make its expressions ready anew in each transaction; lock, setting and sequence only 8,000.
--   67,000  the trigger with the doorbell as a sequence, in one expression
--   51,000  here: an SQL function that the planner puts into the plan of the INSERT, whose expressions are planned once
--
-- A WHEN clause that does the work took 252,000: it is read and planned anew in each statement. So is a CHECK
-- constraint (17,000 to 20,000 each), which is why what guards the order is part of the default of `xid`.
--
-- Each row of a longer INSERT pays for two looks at a setting, 2,400 instructions, where the trigger had run once.
--
-- It takes an ACCESS EXCLUSIVE lock on `events`, for an instant, and waits for the transactions that publish.

-- The doorbell ------------------------------------------------------------------------------------

-- 1 while some process is armed, else 0. A sequence is read without a snapshot: publishers of every isolation level
-- see what is so by now.
CREATE SEQUENCE :"schema".armed MINVALUE 0 MAXVALUE 1 START 0;
COMMENT ON SEQUENCE :"schema".armed IS
  '1 while some row of doorbells is armed: whether publishers ring. Set by a trigger on doorbells.';

-- Whatever is written to `doorbells`, by whichever version of the library, ends here.
--
-- INVARIANT: from when a process has been told that it is armed, the number is 1. Writers come one after the other,
-- each until its row is visible, so the last one sees the rows of all. A number that is 1 for nobody costs a NOTIFY.
CREATE FUNCTION :"schema".note_armed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted bigint;
BEGIN
  -- A crash empties `doorbells`, and who slept arms again: nothing here has to reach the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock(hashtextextended(:'schema' || '.armed', 0));
  -- A snapshot from before the lock may miss who armed meanwhile.
  wanted := CASE WHEN current_setting('transaction_isolation') <> 'read committed'
                   OR EXISTS (SELECT FROM :"schema".doorbells WHERE armed) THEN 1 ELSE 0 END;
  IF pg_sequence_last_value(':"schema".armed'::regclass) IS DISTINCT FROM wanted THEN
    PERFORM setval(':"schema".armed'::regclass, wanted);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER note_armed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON :"schema".doorbells
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".note_armed();

SELECT setval(':"schema".armed', CASE WHEN EXISTS (SELECT FROM :"schema".doorbells WHERE armed) THEN 1 ELSE 0 END);

-- Whoever might look at the doorbells may look at the number.
DO $$ DECLARE grantee text; BEGIN
  FOR grantee IN
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
    FROM pg_class c, aclexplode(c.relacl) AS a
    WHERE c.oid = ':"schema".doorbells'::regclass AND a.privilege_type = 'SELECT'
  LOOP
    EXECUTE format('GRANT SELECT ON SEQUENCE %I.armed TO %s', :'schema', grantee);
  END LOOP;
END $$;

CREATE FUNCTION :"schema".ring() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  -- Postgres cannot PREPARE a transaction that has notified; such publishers turn the doorbell off.
  IF current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('tidemark_:namespace', '');
  END IF;
  RETURN false;
END $$;

-- Publishing --------------------------------------------------------------------------------------

-- The default of `sequence`. The first one in a (sub)transaction registers it: a shared advisory lock on the floor, the
-- last number drawn so far, held until the transaction ends; a setting, which lives and dies with the same
-- subtransaction as the lock; and a ring, if some process is armed.
--
-- INVARIANT: the lock is taken before any number is drawn, and Postgres makes a commit visible before it releases the
-- lock. The conditions of a CASE are evaluated in their order, up to the first that is true: none but the first ever is.
-- INVARIANT: whether somebody is armed is looked at after the lock is taken (docs/protocols.md). Who may not know rings.
CREATE FUNCTION :"schema".draw_sequence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT CASE
    WHEN current_setting('tidemark.publisher_:namespace', true) = 'registered'
      THEN nextval(':"schema".events_sequence'::regclass)
    WHEN pg_advisory_xact_lock_shared((:namespace::bigint << 48)
           | pg_sequence_last_value(':"schema".events_sequence'::regclass)) IS NULL
      THEN NULL
    WHEN set_config('tidemark.publisher_:namespace', 'registered', true) IS NULL
      THEN NULL
    WHEN CASE pg_sequence_last_value(':"schema".armed'::regclass) WHEN 0 THEN false ELSE :"schema".ring() END
      THEN NULL
    ELSE nextval(':"schema".events_sequence'::regclass)
  END
$$;

-- Refuses a row whose sequence did not come from its default, in a transaction that has not registered itself.
CREATE FUNCTION :"schema".refuse_sequence() RETURNS xid8 LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an event was given a sequence by a transaction that is not registered as a publisher'
    USING ERRCODE = 'check_violation',
          HINT = 'Leave the column "sequence" to its default: it registers the transaction before it draws the number.';
END $$;

GRANT EXECUTE ON FUNCTION :"schema".draw_sequence(), :"schema".ring(), :"schema".refuse_sequence() TO PUBLIC;

-- Columns are computed in their order: `sequence` is the first. What gives both columns (a restore, logical replication)
-- publishes nothing.
ALTER TABLE :"schema".events
  ALTER sequence SET DEFAULT :"schema".draw_sequence(),
  ALTER xid SET DEFAULT CASE WHEN current_setting('tidemark.publisher_:namespace', true) = 'registered'
                             THEN pg_current_xact_id() ELSE :"schema".refuse_sequence() END;

-- Also on partitions that were detached.
DO $$ DECLARE part regclass; BEGIN
  FOR part IN SELECT t.tgrelid FROM pg_trigger t WHERE t.tgfoid = ':"schema".register_publisher()'::regprocedure LOOP
    EXECUTE format('DROP TRIGGER register_publisher ON %s', part);
  END LOOP;
END $$;

-- As before, but for the trigger that each partition had.
CREATE OR REPLACE FUNCTION :"schema".ensure_partitions(ahead integer DEFAULT 2, size bigint DEFAULT 10000000)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made  integer := 0;
  lower bigint;
  upper bigint;
  name  text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended(:'schema' || '.ensure_partitions', 0));
  LOOP
    SELECT coalesce(max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(\d+)''\)')::bigint), 0)
      INTO lower
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = ':"schema".events'::regclass;
    EXIT WHEN lower > coalesce(pg_sequence_last_value(':"schema".events_sequence'::regclass), 0)
                      + (ahead - 1) * size;
    upper := lower + size;
    name := 'events_' || lower;
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   :'schema', name, :'schema');
    EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT bounds CHECK (sequence >= %s AND sequence < %s)',
                   :'schema', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.events ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                   :'schema', :'schema', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT bounds', :'schema', name);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

DROP FUNCTION :"schema".register_publisher();
