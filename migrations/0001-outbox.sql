-- breaking: no
--
-- The outbox: events, how they are numbered, the order in which they are read, and who is woken for them.
--
-- :"schema" and :'schema' stand for the schema's name as an identifier and as a literal, :'channel' for the channel on
-- which its processes are notified, :'publisher' for the setting that registers a publishing transaction, and :preferred
-- for the lock namespace that it takes if no other install has it (see database/schema.ts).

-- The install ------------------------------------------------------------------------------------

-- The identity of an outbox, for events that leave it: a relay knows by it what it has sent, an intake what it has
-- taken. Made once and kept by backups; two installs in one database have one each.
CREATE TABLE :"schema".installation (
  id       uuid    NOT NULL DEFAULT gen_random_uuid(),
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO :"schema".installation DEFAULT VALUES;

-- The doorbell ------------------------------------------------------------------------------------

-- A process that may sleep has a row here and arms it before it looks for work (outbox/woken/doorbell.ts).
-- Unlogged: after a crash nobody sleeps.
CREATE UNLOGGED TABLE :"schema".doorbells (
  process  uuid        PRIMARY KEY,
  armed    boolean     NOT NULL,
  since    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

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
  PERFORM pg_advisory_xact_lock(hashtextextended(:'schema' || '.armed', 0) | (1::bigint << 63));
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

-- Drawn here, so that last_value is the number itself.
SELECT setval(':"schema".armed', 0);

-- Wakes who sleeps, unless that would cost the publisher its transaction: Postgres fails the COMMIT of whoever finds the
-- queue of notifications full, which a session of any database can bring about that listens and sits in a transaction.
-- Who sleeps then finds what there is when it looks by itself.
CREATE FUNCTION :"schema".ring(what text DEFAULT '') RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  -- Postgres cannot PREPARE a transaction that has notified; such publishers turn the doorbell off.
  IF current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify(:'channel', what);
  END IF;
  RETURN false;
END $$;

-- Drawing a sequence ------------------------------------------------------------------------------

-- What an INSERT of one event in a transaction of its own costs the server more than one into a plain table of the same
-- columns, in instructions of the backend (callgrind, Postgres 18, 187,000 for the plain table):
--
--   75,000  a statement trigger that registers the publisher, and the doorbell as a table: of these 58,000 for the
--           trigger and 19,000 for the partitions. In the trigger, 25,000 for the query of `doorbells` (a plan, a
--           snapshot, an lseek), 10,000 to call PL/pgSQL at all, and 14,000 to make its expressions ready anew in each
--           transaction; lock, setting and sequence only 8,000.
--   67,000  the trigger with the doorbell as a sequence, in one expression
--   51,000  here: publishers register themselves in the default of `sequence`, an SQL function that the planner puts
--           into the plan of the INSERT, whose expressions are planned once
--
-- A WHEN clause that does the work took 252,000: it is read and planned anew in each statement. So is a CHECK
-- constraint (17,000 to 20,000 each), which is why what guards the order is part of the default of `xid`.
--
-- Each row of a longer INSERT pays for two looks at a setting, 2,400 instructions, where the trigger had run once.

-- CACHE 1: a session that cached numbers would draw them below its own floor.
-- Number 0 counts as drawn, so that last_value is always "the last number drawn" and 0 is "before all". By setval: nextval
-- would write 32 numbers ahead into the log, and a database that is cloned from this one would take them for written there.
-- Its server, if it crashed before a checkpoint, would draw the first numbers a second time (test/ordering/clones.test.ts).
CREATE SEQUENCE :"schema".events_sequence AS bigint MINVALUE 0 START 0 CACHE 1;
SELECT setval(':"schema".events_sequence', 0);

-- The default of `sequence`. The first one in a (sub)transaction registers it: a shared advisory lock on the floor, the
-- last number drawn so far, held until the transaction ends; a setting of the install's own, which lives and
-- dies with the same subtransaction as the lock; and a ring, if some process is armed.
--
-- INVARIANT: the lock is taken before any number is drawn, and Postgres makes a commit visible before it releases the
-- lock. The conditions of a CASE are evaluated in their order, up to the first that is true: none but the first ever
-- is.
-- INVARIANT: whether somebody is armed is looked at after the lock is taken (docs/protocols.md). Who may not know
-- rings.
--
-- The number of the lock is the namespace of the install, 16 bits, and below it the floor, 48 bits. It stands in the text,
-- because the planner takes this function into each INSERT: a plan is made anew when the text changes.
CREATE FUNCTION :"schema".use_lock_namespace(namespace integer) RETURNS void LANGUAGE plpgsql AS $use$
BEGIN
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION :"schema".draw_sequence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT CASE
    WHEN current_setting(:'publisher', true) = 'registered'
      THEN nextval(':"schema".events_sequence'::regclass)
    WHEN pg_advisory_xact_lock_shared((%1$s::bigint << 48)
           | pg_sequence_last_value(':"schema".events_sequence'::regclass)) IS NULL
      THEN NULL
    WHEN set_config(:'publisher', 'registered', true) IS NULL
      THEN NULL
    WHEN CASE pg_sequence_last_value(':"schema".armed'::regclass) WHEN 0 THEN false ELSE :"schema".ring() END
      THEN NULL
    ELSE nextval(':"schema".events_sequence'::regclass)
  END
$$
  $ddl$, namespace);

  -- The transactions that publish now, each with its floor. A prepared transaction has no pid.
  EXECUTE format($ddl$
CREATE OR REPLACE VIEW :"schema".publishers AS
  SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS floor, l.pid
  FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode = 'ShareLock'
    AND l.classid::bigint >> 16 = %1$s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  $ddl$, namespace);

  -- What other installs look at.
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION :"schema".lock_namespace() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT %1$s $$
  $ddl$, namespace);
END $use$;

-- The lock namespaces of the other installs of this database. Everybody may read the texts of functions.
CREATE FUNCTION :"schema".other_lock_namespaces() RETURNS SETOF integer LANGUAGE sql STABLE AS $$
  SELECT substring(p.prosrc FROM '[0-9]+')::integer FROM pg_proc p
  WHERE p.proname = 'lock_namespace' AND p.pronamespace <> ':"schema"'::regnamespace AND p.prosrc ~ '^ *SELECT [0-9]+ *$'
$$;

-- Gives the install a lock namespace that no other install of the database has, if it has none of its own yet: when it is
-- made, and when it was restored beside one that had the same. Two that share one would lose nothing, since each
-- transaction registers for each of them by a setting of its own; but each would wait for the other's publishers.
--
-- It waits for the transactions that publish: their locks are where the old namespace is. Readers that look at the old
-- one meanwhile miss nothing, because what is drawn later lies above the last number, which they have read before.
CREATE FUNCTION :"schema".choose_lock_namespace() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  present integer;
  taken   integer[];
  chosen  integer;
BEGIN
  -- One install of the database after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark.lock_namespaces', 0) | (1::bigint << 63));
  IF to_regprocedure(':"schema".lock_namespace()') IS NOT NULL THEN
    EXECUTE 'SELECT :"schema".lock_namespace()' INTO present;
  END IF;
  taken := ARRAY(SELECT * FROM :"schema".other_lock_namespaces());
  IF present IS NOT NULL AND present <> ALL (taken) THEN RETURN present; END IF;
  SELECT n INTO chosen FROM generate_series(0, 32765) AS i, LATERAL (SELECT (:preferred - 1 + i) % 32766 + 1) AS c (n)
    WHERE n <> ALL (taken) ORDER BY i LIMIT 1;
  IF chosen IS NULL THEN
    RAISE program_limit_exceeded USING MESSAGE = 'each of the 32,766 lock namespaces of this database has an install';
  END IF;
  IF present IS NOT NULL THEN LOCK TABLE :"schema".events IN SHARE ROW EXCLUSIVE MODE; END IF;
  PERFORM :"schema".use_lock_namespace(chosen);
  RETURN chosen;
END $$;

REVOKE EXECUTE ON FUNCTION :"schema".use_lock_namespace(integer), :"schema".choose_lock_namespace() FROM PUBLIC;

SELECT :"schema".choose_lock_namespace();

-- Refuses a row whose sequence did not come from its default, in a transaction that has not registered itself.
CREATE FUNCTION :"schema".refuse_sequence() RETURNS xid8 LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an event was given a sequence by a transaction that is not registered as a publisher'
    USING ERRCODE = 'check_violation',
          HINT = 'Leave the column "sequence" to its default: it registers the transaction before it draws the number.';
END $$;

GRANT EXECUTE ON FUNCTION :"schema".draw_sequence(), :"schema".ring(text), :"schema".refuse_sequence(),
  :"schema".lock_namespace() TO PUBLIC;

-- Events ------------------------------------------------------------------------------------------

-- Fixed-width columns first: no padding between them. Columns are computed in their order, and `sequence` is the first:
-- it registers the publisher. What gives both columns (a restore, logical replication) publishes nothing.
CREATE TABLE :"schema".events (
  sequence       bigint      NOT NULL DEFAULT :"schema".draw_sequence(),
  recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  xid            xid8        NOT NULL DEFAULT CASE
    WHEN current_setting(:'publisher', true) = 'registered' THEN pg_current_xact_id()
    ELSE :"schema".refuse_sequence() END,
  stream_version bigint,
  id             uuid        NOT NULL DEFAULT gen_random_uuid(),
  version        integer     NOT NULL DEFAULT 1,
  type           text        NOT NULL,
  stream         text,
  key            text,
  payload        jsonb       NOT NULL,
  payload_meta   jsonb,
  correlation_id text,
  causation_id   text,
  traceparent    text,
  tracestate     text,
  metadata       jsonb,
  PRIMARY KEY (sequence),
  CONSTRAINT events_stream_needs_append CHECK ((stream IS NULL) = (stream_version IS NULL)),
  CONSTRAINT events_version_positive CHECK (version > 0)
) PARTITION BY RANGE (sequence);

COMMENT ON TABLE :"schema".events IS
  'The outbox: append-only. Publish with the library, with the function publish(), or by INSERT without a stream.';
COMMENT ON CONSTRAINT events_stream_needs_append ON :"schema".events IS
  'Events of a stream are appended by the functions publish() and append_events(), which number them under the stream''s lock.';

CREATE INDEX events_stream ON :"schema".events (stream, stream_version) WHERE stream IS NOT NULL;

-- The safety net: a row that no partition made ahead of need has room for.
CREATE TABLE :"schema".events_default PARTITION OF :"schema".events DEFAULT;

-- Makes the partitions that the next `ahead` ranges need and returns how many it made. A partition is
-- built beside the table and then attached: ATTACH lets publishers and readers go on, while
-- CREATE … PARTITION OF would lock them all out.
--
-- Whoever runs listeners makes partitions ahead of need, and may not own the table.
CREATE FUNCTION :"schema".ensure_partitions(ahead integer DEFAULT 2, size bigint DEFAULT 10000000)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  made  integer := 0;
  lower bigint;
  upper bigint;
  name  text;
BEGIN
  IF (ahead BETWEEN 1 AND 1000 AND size BETWEEN 1 AND 1000000000000000) IS NOT TRUE THEN
    RAISE EXCEPTION 'ensure_partitions: "ahead" is from 1 to 1000, and "size" from 1 to 10^15'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'They say for how many ranges there are to be partitions, and how many events each holds.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended(:'schema' || '.ensure_partitions', 0) | (1::bigint << 63));
  LOOP
    SELECT coalesce(max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([0-9]+)''[)]')::bigint), 0)
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

REVOKE EXECUTE ON FUNCTION :"schema".ensure_partitions(integer, bigint) FROM PUBLIC;

SELECT :"schema".ensure_partitions();

-- The horizon -------------------------------------------------------------------------------------

-- Steps 1 and 2 of reading: the last number drawn, then the lowest floor (null: nobody publishes). What is
-- at or below both is settled, for a reader that reads it in a later statement.
--
-- INVARIANT: two statements, in this order (docs/protocols.md, test/model/horizon.pml).
CREATE FUNCTION :"schema".horizon(OUT last_sequence bigint, OUT lowest_floor bigint, OUT still boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  last_sequence := pg_sequence_last_value(':"schema".events_sequence'::regclass);
  -- What newer versions of Postgres answer who may not look: a reader would take it for an empty outbox.
  IF last_sequence IS NULL THEN
    RAISE insufficient_privilege USING
      MESSAGE = 'permission denied for sequence events_sequence',
      HINT = 'Readers of the outbox need SELECT on the sequence.';
  END IF;
  SELECT min(p.floor) INTO lowest_floor FROM :"schema".publishers p;
  -- Whether last_sequence is as good as taken after the look: what a process must know before it sleeps.
  still := last_sequence = pg_sequence_last_value(':"schema".events_sequence'::regclass);
END $$;

-- Horizons that were taken, each with the snapshot in which everything at or below it had to be visible. An event
-- that turns up later, at or below the horizon and invisible to its snapshot, would have been skipped.
CREATE TABLE :"schema".horizon_samples (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- What is looked at: base < sequence <= horizon.
  base       bigint      NOT NULL,
  horizon    bigint      NOT NULL,
  snapshot   pg_snapshot NOT NULL,
  -- The first such event that was found.
  late       bigint,
  late_xid   xid8,
  found_at   timestamptz,
  sampled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Reading by time, and pruning --------------------------------------------------------------------

-- A bound for reading by time: every event below the answer was recorded before the moment, but for the differences
-- between the times at which concurrent publishers insert. Sequences and times grow together, so this is a binary
-- search along the primary key: no index on the time is paid for by publishers.
CREATE FUNCTION :"schema".sequence_at(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  low    bigint;
  high   bigint;
  middle bigint;
  found  bigint;
  at     timestamptz;
BEGIN
  SELECT min(e.sequence), max(e.sequence) + 1 INTO low, high FROM :"schema".events e;
  WHILE low < high LOOP
    middle := low + (high - low) / 2;
    SELECT e.sequence, e.recorded_at INTO found, at FROM :"schema".events e
      WHERE e.sequence >= middle AND e.sequence < high ORDER BY e.sequence LIMIT 1;
    IF found IS NULL OR at >= moment THEN high := middle; ELSE low := found + 1; END IF;
  END LOOP;
  RETURN coalesce(low, 0);
END $$;

-- What is no longer in the outbox: a projection that handles one of these types cannot be derived from zero.
CREATE TABLE :"schema".pruned_partitions (
  lower_bound bigint      PRIMARY KEY,
  upper_bound bigint      NOT NULL,
  events      bigint      NOT NULL,
  types       text[]      NOT NULL,
  -- The table that holds them now; null when they were dropped.
  archive     text,
  pruned_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
