-- A populated database of this release, written by npm run snapshot: what upgrade tests start from.
-- migrated by 1 outbox 18bb23a12b96fdbc8fdb9928d4c1cdc81c8dff6e7c47b042cfaa9a034f269574
-- migrated by 2 publishing 9593fe7156819bd7af29c380ccd37cf8e7359fa1a69075b230459528aaac89fa
-- migrated by 3 consumers 23281a6e586a9269f2508533b7a68b588b47794656e937c271a451bc7ab92206
-- migrated by 4 jobs c3907a22c9f28ce2591b8b6d6eb39f38fbf040f0ef9e8d9a5ca8870a4f611c9c
-- migrated by 5 job-turns 6a1433aca003245e07fbc808f123b24f462f01ba021e6f8d9840cff69b93e6d3
-- migrated by 6 job-work 7b6b135e52951f15b044b7c25f2a45481f2fdf3dad0ca1fd98ff58d6e0b26c43
-- migrated by 7 job-story fcde26ec676c2263e5a1c79e26bbb37886e550b136e5f7fbc3f33a979952dc33
-- migrated by 8 states 1cc07aa659072f88428c394f1567d90efad87d9c837b94fce086a2a8691c39fc
-- migrated by 9 job-changes 557fbe796bc26b3caf24487cbec1212370c204760dcd848c7203d3803c253b59
-- migrated by 10 operations 86b689a90cd3fe773f8766ee123b6adc515c3464ecda41ffad0fd5649631ab47

BEGIN;

DO $$
BEGIN
  IF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'the database "%" is encoded in %, not in UTF8', current_database(), getdatabaseencoding()
      USING HINT = 'Tidemark needs a database that was created with ENCODING ''UTF8''.';
  END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS "tidemark";
CREATE TABLE IF NOT EXISTS "tidemark".migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  breaking   boolean     NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_by text        NOT NULL DEFAULT current_user
);

-- 1 outbox
-- breaking: no
--
-- The outbox: events, how they are numbered, the order in which they are read, and who is woken for them.
--
-- "tidemark" and 'tidemark' stand for the schema's name as an identifier and as a literal, 'tidemark_tidemark' for the channel on
-- which its processes are notified, 'tidemark.publisher_tidemark' for the setting that registers a publishing transaction, and 6177
-- for the lock namespace that it takes if no other install has it (see database/schema.ts).

-- The install ------------------------------------------------------------------------------------

-- The identity of an outbox, for events that leave it: a relay knows by it what it has sent, an intake what it has
-- taken. Made once and kept by backups; two installs in one database have one each.
CREATE TABLE "tidemark".installation (
  id       uuid    NOT NULL DEFAULT gen_random_uuid(),
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO "tidemark".installation DEFAULT VALUES;

-- The doorbell ------------------------------------------------------------------------------------

-- A process that may sleep has a row here and arms it before it looks for work (outbox/woken/doorbell.ts).
-- Unlogged: after a crash nobody sleeps.
CREATE UNLOGGED TABLE "tidemark".doorbells (
  process  uuid        PRIMARY KEY,
  armed    boolean     NOT NULL,
  since    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- 1 while some process is armed, else 0. A sequence is read without a snapshot: publishers of every isolation level
-- see what is so by now.
CREATE SEQUENCE "tidemark".armed MINVALUE 0 MAXVALUE 1 START 0;
COMMENT ON SEQUENCE "tidemark".armed IS
  '1 while some row of doorbells is armed: whether publishers ring. Set by a trigger on doorbells.';

-- Whatever is written to `doorbells`, by whichever version of the library, ends here.
--
-- INVARIANT: from when a process has been told that it is armed, the number is 1. Writers come one after the other,
-- each until its row is visible, so the last one sees the rows of all. A number that is 1 for nobody costs a NOTIFY.
CREATE FUNCTION "tidemark".note_armed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wanted bigint;
BEGIN
  -- A crash empties `doorbells`, and who slept arms again: nothing here has to reach the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark' || '.armed', 0) | (1::bigint << 63));
  -- A snapshot from before the lock may miss who armed meanwhile.
  wanted := CASE WHEN current_setting('transaction_isolation') <> 'read committed'
                   OR EXISTS (SELECT FROM "tidemark".doorbells WHERE armed) THEN 1 ELSE 0 END;
  IF pg_sequence_last_value('"tidemark".armed'::regclass) IS DISTINCT FROM wanted THEN
    PERFORM setval('"tidemark".armed'::regclass, wanted);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER note_armed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON "tidemark".doorbells
  FOR EACH STATEMENT EXECUTE FUNCTION "tidemark".note_armed();

-- Drawn here, so that last_value is the number itself.
SELECT setval('"tidemark".armed', 0);

-- Wakes who sleeps, unless that would cost the publisher its transaction: Postgres fails the COMMIT of whoever finds the
-- queue of notifications full, which a session of any database can bring about that listens and sits in a transaction.
-- Who sleeps then finds what there is when it looks by itself.
CREATE FUNCTION "tidemark".ring(what text DEFAULT '') RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  -- Postgres cannot PREPARE a transaction that has notified; such publishers turn the doorbell off.
  IF current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('tidemark_tidemark', what);
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
CREATE SEQUENCE "tidemark".events_sequence AS bigint MINVALUE 0 START 0 CACHE 1;
SELECT setval('"tidemark".events_sequence', 0);

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
CREATE FUNCTION "tidemark".use_lock_namespace(namespace integer) RETURNS void LANGUAGE plpgsql AS $use$
BEGIN
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION "tidemark".draw_sequence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT CASE
    WHEN current_setting('tidemark.publisher_tidemark', true) = 'registered'
      THEN nextval('"tidemark".events_sequence'::regclass)
    WHEN pg_advisory_xact_lock_shared((%1$s::bigint << 48)
           | pg_sequence_last_value('"tidemark".events_sequence'::regclass)) IS NULL
      THEN NULL
    WHEN set_config('tidemark.publisher_tidemark', 'registered', true) IS NULL
      THEN NULL
    WHEN CASE pg_sequence_last_value('"tidemark".armed'::regclass) WHEN 0 THEN false ELSE "tidemark".ring() END
      THEN NULL
    ELSE nextval('"tidemark".events_sequence'::regclass)
  END
$$
  $ddl$, namespace);

  -- The transactions that publish now, each with its floor. A prepared transaction has no pid.
  EXECUTE format($ddl$
CREATE OR REPLACE VIEW "tidemark".publishers AS
  SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS floor, l.pid
  FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode = 'ShareLock'
    AND l.classid::bigint >> 16 = %1$s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  $ddl$, namespace);

  -- What other installs look at.
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION "tidemark".lock_namespace() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT %1$s $$
  $ddl$, namespace);
END $use$;

-- The lock namespaces of the other installs of this database. Everybody may read the texts of functions.
CREATE FUNCTION "tidemark".other_lock_namespaces() RETURNS SETOF integer LANGUAGE sql STABLE AS $$
  SELECT substring(p.prosrc FROM '[0-9]+')::integer FROM pg_proc p
  WHERE p.proname = 'lock_namespace' AND p.pronamespace <> '"tidemark"'::regnamespace AND p.prosrc ~ '^ *SELECT [0-9]+ *$'
$$;

-- Gives the install a lock namespace that no other install of the database has, if it has none of its own yet: when it is
-- made, and when it was restored beside one that had the same. Two that share one would lose nothing, since each
-- transaction registers for each of them by a setting of its own; but each would wait for the other's publishers.
--
-- It waits for the transactions that publish: their locks are where the old namespace is. Readers that look at the old
-- one meanwhile miss nothing, because what is drawn later lies above the last number, which they have read before.
CREATE FUNCTION "tidemark".choose_lock_namespace() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  present integer;
  taken   integer[];
  chosen  integer;
BEGIN
  -- One install of the database after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark.lock_namespaces', 0) | (1::bigint << 63));
  IF to_regprocedure('"tidemark".lock_namespace()') IS NOT NULL THEN
    EXECUTE 'SELECT "tidemark".lock_namespace()' INTO present;
  END IF;
  taken := ARRAY(SELECT * FROM "tidemark".other_lock_namespaces());
  IF present IS NOT NULL AND present <> ALL (taken) THEN RETURN present; END IF;
  SELECT n INTO chosen FROM generate_series(0, 32765) AS i, LATERAL (SELECT (6177 - 1 + i) % 32766 + 1) AS c (n)
    WHERE n <> ALL (taken) ORDER BY i LIMIT 1;
  IF chosen IS NULL THEN
    RAISE program_limit_exceeded USING MESSAGE = 'each of the 32,766 lock namespaces of this database has an install';
  END IF;
  IF present IS NOT NULL THEN LOCK TABLE "tidemark".events IN SHARE ROW EXCLUSIVE MODE; END IF;
  PERFORM "tidemark".use_lock_namespace(chosen);
  RETURN chosen;
END $$;

REVOKE EXECUTE ON FUNCTION "tidemark".use_lock_namespace(integer), "tidemark".choose_lock_namespace() FROM PUBLIC;

SELECT "tidemark".choose_lock_namespace();

-- Refuses a row whose sequence did not come from its default, in a transaction that has not registered itself.
CREATE FUNCTION "tidemark".refuse_sequence() RETURNS xid8 LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'an event was given a sequence by a transaction that is not registered as a publisher'
    USING ERRCODE = 'check_violation',
          HINT = 'Leave the column "sequence" to its default: it registers the transaction before it draws the number.';
END $$;

GRANT EXECUTE ON FUNCTION "tidemark".draw_sequence(), "tidemark".ring(text), "tidemark".refuse_sequence(),
  "tidemark".lock_namespace() TO PUBLIC;

-- Events ------------------------------------------------------------------------------------------

-- Fixed-width columns first: no padding between them. Columns are computed in their order, and `sequence` is the first:
-- it registers the publisher. What gives both columns (a restore, logical replication) publishes nothing.
CREATE TABLE "tidemark".events (
  sequence       bigint      NOT NULL DEFAULT "tidemark".draw_sequence(),
  recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  xid            xid8        NOT NULL DEFAULT CASE
    WHEN current_setting('tidemark.publisher_tidemark', true) = 'registered' THEN pg_current_xact_id()
    ELSE "tidemark".refuse_sequence() END,
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

COMMENT ON TABLE "tidemark".events IS
  'The outbox: append-only. Publish with the library, with the function publish(), or by INSERT without a stream.';
COMMENT ON CONSTRAINT events_stream_needs_append ON "tidemark".events IS
  'Events of a stream are appended by the functions publish() and append_events(), which number them under the stream''s lock.';

CREATE INDEX events_stream ON "tidemark".events (stream, stream_version) WHERE stream IS NOT NULL;

-- The safety net: a row that no partition made ahead of need has room for.
CREATE TABLE "tidemark".events_default PARTITION OF "tidemark".events DEFAULT;

-- Makes the partitions that the next `ahead` ranges need and returns how many it made. A partition is
-- built beside the table and then attached: ATTACH lets publishers and readers go on, while
-- CREATE … PARTITION OF would lock them all out.
--
-- Whoever runs listeners makes partitions ahead of need, and may not own the table.
CREATE FUNCTION "tidemark".ensure_partitions(ahead integer DEFAULT 2, size bigint DEFAULT 10000000)
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
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark' || '.ensure_partitions', 0) | (1::bigint << 63));
  LOOP
    SELECT coalesce(max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([0-9]+)''[)]')::bigint), 0)
      INTO lower
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = '"tidemark".events'::regclass;
    EXIT WHEN lower > coalesce(pg_sequence_last_value('"tidemark".events_sequence'::regclass), 0)
                      + (ahead - 1) * size;
    upper := lower + size;
    name := 'events_' || lower;
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   'tidemark', name, 'tidemark');
    EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT bounds CHECK (sequence >= %s AND sequence < %s)',
                   'tidemark', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.events ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                   'tidemark', 'tidemark', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT bounds', 'tidemark', name);
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

REVOKE EXECUTE ON FUNCTION "tidemark".ensure_partitions(integer, bigint) FROM PUBLIC;

SELECT "tidemark".ensure_partitions();

-- The horizon -------------------------------------------------------------------------------------

-- Steps 1 and 2 of reading: the last number drawn, then the lowest floor (null: nobody publishes). What is
-- at or below both is settled, for a reader that reads it in a later statement.
--
-- INVARIANT: two statements, in this order (docs/protocols.md, test/model/horizon.pml).
CREATE FUNCTION "tidemark".horizon(OUT last_sequence bigint, OUT lowest_floor bigint, OUT still boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  last_sequence := pg_sequence_last_value('"tidemark".events_sequence'::regclass);
  -- What newer versions of Postgres answer who may not look: a reader would take it for an empty outbox.
  IF last_sequence IS NULL THEN
    RAISE insufficient_privilege USING
      MESSAGE = 'permission denied for sequence events_sequence',
      HINT = 'Readers of the outbox need SELECT on the sequence.';
  END IF;
  SELECT min(p.floor) INTO lowest_floor FROM "tidemark".publishers p;
  -- Whether last_sequence is as good as taken after the look: what a process must know before it sleeps.
  still := last_sequence = pg_sequence_last_value('"tidemark".events_sequence'::regclass);
END $$;

-- Horizons that were taken, each with the snapshot in which everything at or below it had to be visible. An event
-- that turns up later, at or below the horizon and invisible to its snapshot, would have been skipped.
CREATE TABLE "tidemark".horizon_samples (
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
CREATE FUNCTION "tidemark".sequence_at(moment timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  low    bigint;
  high   bigint;
  middle bigint;
  found  bigint;
  at     timestamptz;
BEGIN
  SELECT min(e.sequence), max(e.sequence) + 1 INTO low, high FROM "tidemark".events e;
  WHILE low < high LOOP
    middle := low + (high - low) / 2;
    SELECT e.sequence, e.recorded_at INTO found, at FROM "tidemark".events e
      WHERE e.sequence >= middle AND e.sequence < high ORDER BY e.sequence LIMIT 1;
    IF found IS NULL OR at >= moment THEN high := middle; ELSE low := found + 1; END IF;
  END LOOP;
  RETURN coalesce(low, 0);
END $$;

-- What is no longer in the outbox: a projection that handles one of these types cannot be derived from zero.
CREATE TABLE "tidemark".pruned_partitions (
  lower_bound bigint      PRIMARY KEY,
  upper_bound bigint      NOT NULL,
  events      bigint      NOT NULL,
  types       text[]      NOT NULL,
  -- The table that holds them now; null when they were dropped.
  archive     text,
  pruned_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (1, 'outbox', false, '18bb23a12b96fdbc8fdb9928d4c1cdc81c8dff6e7c47b042cfaa9a034f269574');

-- 2 publishing
-- breaking: no
--
-- Publishing with streams and idempotency keys.

-- One row per stream. Appending updates it first, so that the order of versions in a stream is the
-- order of its sequences and of its commits.
CREATE TABLE "tidemark".streams (
  stream  text   PRIMARY KEY,
  version bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE "tidemark".idempotency_keys (
  key         text        PRIMARY KEY,
  sequence    bigint,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Keys are stored in the order of time: a summary per range of blocks finds the old ones.
CREATE INDEX idempotency_keys_recorded_at ON "tidemark".idempotency_keys USING brin (recorded_at);

-- Appends the events of several calls, each call judged on its own: all of its events, or none of them. It answers
-- with one row per appended event, and with the conflicts of the others ('stream': expected_version differs from
-- `actual`; 'duplicate': the idempotency key was used by event `actual`; 'busy': another transaction holds the
-- stream, and `wait` is false). It raises no error of its own, so that no caller's transaction is aborted by it; but
-- without `wait`, which is for a transaction of its own, it gives up after a tenth of a second at the name of a stream
-- or a key that another transaction has made and not committed: a row that cannot be seen cannot be passed by. With
-- `patience`, in milliseconds, it gives up after that time, which is for a transaction of its own, too.
--
-- INVARIANT: of the calls that append to one stream, only the first may expect a version: the others are numbered
-- after it, whatever becomes of it.
-- Locks are taken in one order everywhere: streams by name, then idempotency keys by name.
CREATE FUNCTION "tidemark".append_calls(
  calls integer[], ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[],
  keys text[], idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[],
  causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[], wait boolean DEFAULT true,
  patience integer DEFAULT NULL
) RETURNS TABLE (ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  with_streams boolean := array_remove(streams, NULL) <> '{}';
  with_keys    boolean := array_remove(idempotency_keys, NULL) <> '{}';
  -- The calls that append nothing.
  refused  integer[] := '{}';
  ordinals bigint[];
  actuals  bigint[];
  claimed  text[];
  sequences bigint[];
  stream_versions bigint[];
BEGIN
  IF NOT wait OR patience IS NOT NULL THEN
    PERFORM set_config('lock_timeout', coalesce(patience, 100)::text, true);
  END IF;
  IF with_streams THEN
    INSERT INTO "tidemark".streams AS t (stream, version)
      SELECT DISTINCT s.name, 0 FROM unnest(streams) AS s (name)
      WHERE s.name IS NOT NULL AND NOT EXISTS (SELECT FROM "tidemark".streams e WHERE e.stream = s.name)
      ORDER BY s.name
      ON CONFLICT DO NOTHING;
    IF wait THEN
      PERFORM FROM "tidemark".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;
    ELSE
      WITH held AS (
        SELECT t.stream FROM "tidemark".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream
        FOR UPDATE SKIP LOCKED)
      SELECT coalesce(array_agg(u.ordinal), '{}'), coalesce(array_agg(DISTINCT u.call), '{}')
        INTO ordinals, refused
        FROM unnest(calls, streams) WITH ORDINALITY AS u (call, stream, ordinal)
        WHERE u.stream IS NOT NULL AND NOT EXISTS (SELECT FROM held h WHERE h.stream = u.stream);
      RETURN QUERY SELECT o, NULL::bigint, NULL::bigint, 'busy', NULL::bigint FROM unnest(ordinals) AS o;
    END IF;

    IF array_remove(expected_versions, NULL) <> '{}' THEN
      SELECT array_agg(i.ordinal), array_agg(t.version + i.nth - 1), refused || coalesce(array_agg(DISTINCT i.call), '{}')
        INTO ordinals, actuals, refused
        FROM (SELECT u.*, row_number() OVER (PARTITION BY u.call, u.stream ORDER BY u.ordinal) AS nth
              FROM unnest(calls, streams, expected_versions) WITH ORDINALITY
                AS u (call, stream, expected, ordinal)) AS i
        JOIN "tidemark".streams t ON t.stream = i.stream
        WHERE i.expected <> t.version + i.nth - 1 AND i.call <> ALL (refused);
      RETURN QUERY
        SELECT u.ordinal, NULL::bigint, NULL::bigint, 'stream', u.actual
        FROM unnest(ordinals, actuals) AS u (ordinal, actual) ORDER BY u.ordinal;
    END IF;
  END IF;

  IF with_keys THEN
    WITH claims AS (
      INSERT INTO "tidemark".idempotency_keys AS k (key)
        SELECT DISTINCT u.key FROM unnest(calls, idempotency_keys) AS u (call, key)
        WHERE u.key IS NOT NULL AND u.call <> ALL (refused) ORDER BY u.key
        ON CONFLICT DO NOTHING RETURNING k.key)
    SELECT coalesce(array_agg(c.key), '{}') INTO claimed FROM claims c;
    SELECT coalesce(array_agg(i.ordinal), '{}'), refused || coalesce(array_agg(DISTINCT i.call), '{}')
      INTO ordinals, refused
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.key ORDER BY u.ordinal) AS nth
            FROM unnest(calls, idempotency_keys) WITH ORDINALITY AS u (call, key, ordinal)
            WHERE u.key IS NOT NULL AND u.call <> ALL (refused)) AS i
      WHERE i.nth > 1 OR i.key <> ALL (claimed);
    IF ordinals <> '{}' THEN
      -- What a refused call has claimed is given back.
      DELETE FROM "tidemark".idempotency_keys k WHERE k.key = ANY (claimed)
        AND EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                    WHERE u.key = k.key AND u.call = ANY (refused))
        AND NOT EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                        WHERE u.key = k.key AND u.call <> ALL (refused));
      RETURN QUERY
        SELECT o, NULL::bigint, NULL::bigint, 'duplicate', k.sequence
        FROM unnest(ordinals) AS o
        LEFT JOIN "tidemark".idempotency_keys k ON k.key = idempotency_keys[o]
        ORDER BY o;
    END IF;
  END IF;

  SELECT array_agg(u.ordinal ORDER BY u.ordinal) INTO ordinals
    FROM unnest(calls) WITH ORDINALITY AS u (call, ordinal) WHERE u.call <> ALL (refused);
  IF ordinals IS NULL THEN RETURN; END IF;

  -- Numbers are drawn above the sort, so that the n-th sequence belongs to the n-th event.
  WITH inserted AS (
    INSERT INTO "tidemark".events AS e (id, type, version, stream, stream_version, key, payload, payload_meta,
                                correlation_id, causation_id, traceparent, tracestate, metadata)
      SELECT i.id, i.type, i.version, i.stream, t.version + i.nth, i.key, i.payload, i.payload_meta,
             i.correlation_id, i.causation_id, i.traceparent, i.tracestate, i.metadata
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.stream ORDER BY u.ordinal) AS nth
            FROM unnest(calls, ids, types, versions, streams, keys, payloads, payload_metas, correlation_ids,
                        causation_ids, traceparents, tracestates, metadatas) WITH ORDINALITY
              AS u (call, id, type, version, stream, key, payload, payload_meta, correlation_id, causation_id,
                    traceparent, tracestate, metadata, ordinal)
            WHERE u.call <> ALL (refused)) AS i
      LEFT JOIN "tidemark".streams t ON t.stream = i.stream
      ORDER BY i.ordinal
      RETURNING e.sequence, e.stream_version)
  SELECT array_agg(n.sequence ORDER BY n.sequence), array_agg(n.stream_version ORDER BY n.sequence)
    INTO sequences, stream_versions FROM inserted n;

  IF with_streams THEN
    UPDATE "tidemark".streams t SET version = t.version + n.events
      FROM (SELECT u.stream, count(*) AS events FROM unnest(calls, streams) AS u (call, stream)
            WHERE u.stream IS NOT NULL AND u.call <> ALL (refused) GROUP BY u.stream) AS n
      WHERE t.stream = n.stream;
  END IF;
  IF with_keys THEN
    UPDATE "tidemark".idempotency_keys k SET sequence = u.sequence
      FROM unnest(ordinals, sequences) AS u (ordinal, sequence) WHERE k.key = idempotency_keys[u.ordinal];
  END IF;
  RETURN QUERY
    SELECT u.ordinal, u.sequence, u.stream_version, NULL::text, NULL::bigint
    FROM unnest(ordinals, sequences, stream_versions) AS u (ordinal, sequence, stream_version);
END $$;

-- Appends the events of one call: all of them, or none.
CREATE FUNCTION "tidemark".append_events(
  ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[], keys text[],
  idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[],
  causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[]
) RETURNS TABLE (ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT * FROM "tidemark".append_calls(
    array_fill(0, ARRAY[cardinality(ids)]), ids, types, versions, streams, expected_versions, keys, idempotency_keys,
    payloads, payload_metas, correlation_ids, causation_ids, traceparents, tracestates, metadatas);
END $$;

-- Refuses what the library refuses before it sends it: texts that an index cannot hold or a reader not make use of.
CREATE FUNCTION "tidemark".check_published(caller text, ids text[], metas jsonb[], traceparent text, tracestate text)
RETURNS void LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF EXISTS (SELECT FROM unnest(ids) AS i WHERE octet_length(i) NOT BETWEEN 1 AND 1000) THEN
    RAISE EXCEPTION '%: a stream, a key or an id must have 1 to 1000 bytes', caller
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF EXISTS (SELECT FROM unnest(metas) AS m WHERE jsonb_typeof(m) <> 'object') THEN
    RAISE EXCEPTION '%: metadata, payload_meta and input_meta must be JSON objects', caller
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF traceparent !~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN
    RAISE EXCEPTION '%: "%" is no traceparent', caller, left(traceparent, 80) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'It is made of a version, a trace id, a span id and flags (W3C Trace Context).';
  ELSIF octet_length(tracestate) > 512 OR tracestate COLLATE "C" ~ '[^ -~]' THEN
    RAISE EXCEPTION '%: a tracestate has at most 512 printable characters of ASCII', caller
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
END $$;

-- For publishers in SQL or in any language, by the rules of the library. Returns the sequence; raises what append_events()
-- would answer. What JSON cannot say is read by the schema of the event: a bigint from a whole number or a text of digits, a
-- Date from to_json() of a timestamp, bytes from to_json() of a bytea, a Map from pairs or an object, a Set from a list; null
-- where nothing is meant. What only a program knows is said in `payload_meta`, as superjson does:
-- '{"values": {"cents": ["bigint"], "at": ["Date"]}}'.
CREATE FUNCTION "tidemark".publish(
  type text, payload jsonb, stream text DEFAULT NULL, expected_version bigint DEFAULT NULL, key text DEFAULT NULL,
  version integer DEFAULT 1, idempotency_key text DEFAULT NULL, correlation_id text DEFAULT NULL,
  causation_id text DEFAULT NULL, metadata jsonb DEFAULT NULL, id uuid DEFAULT gen_random_uuid(),
  payload_meta jsonb DEFAULT NULL, traceparent text DEFAULT NULL, tracestate text DEFAULT NULL
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  answer record;
BEGIN
  IF type IS NULL OR octet_length(type) NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'publish: the name of a type must have 1 to 1000 bytes' USING ERRCODE = 'invalid_parameter_value';
  ELSIF payload IS NULL OR id IS NULL OR version IS NULL OR version < 1 THEN
    RAISE EXCEPTION 'publish: an event needs a payload, an id, and a version of at least 1'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'The payload null is written ''null''::jsonb.';
  ELSIF expected_version < 0 OR (expected_version IS NOT NULL AND stream IS NULL) THEN
    RAISE EXCEPTION 'publish: an expected_version is 0 or more, and that of a stream'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM "tidemark".check_published('publish', ARRAY[stream, key, idempotency_key, correlation_id, causation_id],
    ARRAY[metadata, payload_meta], traceparent, tracestate);
  SELECT * INTO answer FROM "tidemark".append_events(
    ARRAY[id], ARRAY[type], ARRAY[version], ARRAY[stream], ARRAY[expected_version], ARRAY[key],
    ARRAY[idempotency_key], ARRAY[payload], ARRAY[payload_meta], ARRAY[correlation_id], ARRAY[causation_id],
    ARRAY[traceparent], ARRAY[tracestate], ARRAY[metadata]);
  IF answer.conflict = 'stream' THEN
    RAISE EXCEPTION 'TIDEMARK_STREAM_CONFLICT: stream "%" is at version %, not %', stream, answer.actual, expected_version
      USING ERRCODE = 'TM001', HINT = 'Load the stream again, decide again, and publish with its present version.';
  ELSIF answer.conflict = 'duplicate' THEN
    RAISE EXCEPTION 'TIDEMARK_DUPLICATE_EVENT: idempotency key "%" was used by event %', idempotency_key, answer.actual
      USING ERRCODE = 'TM002', HINT = 'The event is published already; nothing is left to do.';
  END IF;
  PERFORM "tidemark".note_unseen(type, answer.sequence);
  RETURN answer.sequence;
END $$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (2, 'publishing', false, '9593fe7156819bd7af29c380ccd37cf8e7359fa1a69075b230459528aaac89fa');

-- 3 consumers
-- breaking: no
--
-- Who reads the outbox: listeners and projections, how far each has come, what it keeps, and the processes that run
-- them.

-- Listeners ---------------------------------------------------------------------------------------

CREATE TABLE "tidemark".listeners (
  name       text        PRIMARY KEY,
  kind       text        NOT NULL CHECK (kind IN ('listener', 'projection', 'relay', 'intake')),
  mode       text        NOT NULL DEFAULT 'async' CHECK (mode IN ('async', 'inline')),
  version    integer     NOT NULL DEFAULT 1,
  generation integer     NOT NULL DEFAULT 1,
  partitions integer     NOT NULL DEFAULT 1,
  -- While the number of partitions changes: to how many, and the cursor that all of them stop at first.
  resize_to  integer,
  resize_at  bigint,
  -- While a projection is rebuilt: the generation that grows beside the live one.
  last_generation    integer NOT NULL DEFAULT 1,
  rebuild_generation integer,
  rebuild_version    integer,
  rebuild_partitions integer,
  rebuild_paused     boolean NOT NULL DEFAULT false,
  rebuild_started_at timestamptz,
  status     text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'halted', 'rebuilding')),
  definition jsonb       NOT NULL DEFAULT '{}',
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How far each listener partition has come, who may move it now, and a state projection's state.
-- Small rows, updated once per batch: room on the page keeps the updates HOT.
CREATE TABLE "tidemark".cursors (
  listener        text        NOT NULL REFERENCES "tidemark".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
  generation      integer     NOT NULL DEFAULT 1,
  partition       integer     NOT NULL DEFAULT 0,
  cursor          bigint      NOT NULL DEFAULT 0,
  replay_until    bigint      NOT NULL DEFAULT 0,
  epoch           bigint      NOT NULL DEFAULT 0,
  owner           uuid,
  lease_until     timestamptz,
  attempts        integer     NOT NULL DEFAULT 0,
  -- How often an owner died without moving the cursor; with failed_sequence, while handling that event.
  crashes         integer     NOT NULL DEFAULT 0,
  failed_sequence bigint,
  next_attempt_at timestamptz,
  halted_at       timestamptz,
  last_error      jsonb,
  -- The event that its owners were too old for: {"type": …, "version": …}. Only who knows that version takes it.
  awaits          jsonb,
  state           jsonb,
  state_meta      jsonb,
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (listener, generation, partition)
) WITH (fillfactor = 40);

-- Processes that run listeners: for operators, and for a process to know that it was declared dead.
CREATE TABLE "tidemark".processes (
  id           uuid        PRIMARY KEY,
  hostname     text        NOT NULL,
  pid          integer     NOT NULL,
  library      text        NOT NULL,
  definitions  jsonb       NOT NULL DEFAULT '{}',
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- How it is, by its own account, with each sign of life: memory, delays, and what is wrong that only it can know.
  vitals       jsonb,
  -- The same for all that run the same: whoever looks who is alive reads what they run once, and not of each. Of its text:
  -- the hash of a jsonb is the same when two of its values change places that are 64 apart.
  runs         bigint      GENERATED ALWAYS AS (hashtextextended(definitions::text, 0)) STORED
) WITH (fillfactor = 50);

-- Dead letters ------------------------------------------------------------------------------------

-- Events that a listener has set aside by policy.
--
-- parked: failed, waits for an operator. waiting: behind a parked event with the same key. retry: to be tried again
-- by whoever runs the listener. skipped: will not be handled; a record.
CREATE TABLE "tidemark".dead_letters (
  listener   text        NOT NULL REFERENCES "tidemark".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
  generation integer     NOT NULL,
  sequence   bigint      NOT NULL,
  type       text        NOT NULL,
  event_id   uuid        NOT NULL,
  key        text,
  -- Whether later events with the same key wait behind this one.
  holds_key  boolean     NOT NULL,
  state      text        NOT NULL CHECK (state IN ('parked', 'waiting', 'retry', 'skipped')),
  attempts   integer     NOT NULL DEFAULT 0,
  error      jsonb,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (listener, generation, sequence)
);

CREATE INDEX dead_letters_held_keys ON "tidemark".dead_letters (listener, generation, key) WHERE holds_key;

-- States ------------------------------------------------------------------------------------------

-- The states of keyed projections, one row per key.
CREATE TABLE "tidemark".projection_states (
  projection text        NOT NULL REFERENCES "tidemark".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
  generation integer     NOT NULL,
  key        text        NOT NULL,
  state      jsonb       NOT NULL,
  state_meta jsonb,
  -- The event that the state was last changed by.
  sequence   bigint      NOT NULL,
  PRIMARY KEY (projection, generation, key)
) WITH (fillfactor = 70);

-- What publish() has published past inline projections, which only a publisher that has their code can run. A projection that
-- is derived again has seen it.
CREATE TABLE "tidemark".unseen_events (
  projection text   NOT NULL REFERENCES "tidemark".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
  sequence   bigint NOT NULL,
  PRIMARY KEY (projection, sequence)
);

-- Whoever publishes may not know of listeners.
CREATE FUNCTION "tidemark".note_unseen(type text, sequence bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO "tidemark".unseen_events (projection, sequence)
    SELECT l.name, note_unseen.sequence FROM "tidemark".listeners l
    WHERE l.mode = 'inline' AND l.definition -> 'types' ? note_unseen.type
$$;

REVOKE EXECUTE ON FUNCTION "tidemark".note_unseen(text, bigint) FROM PUBLIC;

-- Snapshots of event-sourced entities: a shortcut when a stream is loaded, never the truth.
CREATE TABLE "tidemark".snapshots (
  stream         text    PRIMARY KEY,
  stream_version bigint  NOT NULL,
  -- The version of the entity's reducers that made it; others pass it over.
  entity_version integer NOT NULL,
  state          jsonb   NOT NULL,
  state_meta     jsonb
) WITH (fillfactor = 70);

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (3, 'consumers', false, '23281a6e586a9269f2508533b7a68b588b47794656e937c271a451bc7ab92206');

-- 4 jobs
-- breaking: no
--
-- Durable jobs: what is slow, external, periodic or long. Their tables; what works on them is in the migrations after
-- this.

-- Jobs --------------------------------------------------------------------------------------------

-- One row per job, from its spawn to the end of its retention.
--
-- INVARIANT: a claim draws a new token, and every write of an attempt holds only where id, token and the status
-- 'running' still do. Whoever takes a running job away from its process locks the row FOR UPDATE first; an attempt
-- that is in a transaction holds it FOR KEY SHARE, which lets requests (pause, cancel) through and nothing else.
CREATE TABLE "tidemark".jobs (
  id                uuid        PRIMARY KEY,
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When it may run next. 'infinity': when what it waits for has happened (job_waits).
  run_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- The number of claims so far: the fencing token of the present one.
  token             bigint      NOT NULL DEFAULT 0,
  -- Lower runs first.
  priority          integer     NOT NULL DEFAULT 0,
  -- Attempts that count: a snooze, a wait or a drain takes its attempt back.
  attempt           integer     NOT NULL DEFAULT 0,
  version           integer     NOT NULL DEFAULT 1,
  -- The least version of its definition that can go on with it: that of its input, or of the state that it has left.
  needs             integer     NOT NULL DEFAULT 1,
  concurrency_limit integer     NOT NULL DEFAULT 1,
  -- How many processes in a row have died while they had it: after the second it runs alone.
  deaths            smallint    NOT NULL DEFAULT 0,
  -- Claimed under a limit, or spawned under one: is counted while it runs, and looked at before it can be claimed
  -- again.
  limited           boolean     NOT NULL DEFAULT false,
  -- Waits until no other unfinished job has its unique key: that one had begun when this one was to replace it. Its
  -- run_at is 'infinity' until then, and the time that was asked for in `waiting`.
  successor         boolean     NOT NULL DEFAULT false,
  status            text        NOT NULL DEFAULT 'queued'
    -- In the order in which most are found: each change asks.
    CHECK (status IN ('completed', 'running', 'queued', 'scheduled', 'paused', 'failed', 'cancelled')),
  name              text        NOT NULL,
  queue             text        NOT NULL DEFAULT 'default',
  -- Why a queued job is outside of the claim index. new: has a concurrency key that nobody has looked at yet;
  -- key: others with its key are running; type: no live process runs this type in the version that it needs; limit: claimable, as far as the limit
  -- of its type allows; pause: its queue or its type was paused when somebody looked.
  parked            text        CHECK (parked IN ('new', 'key', 'type', 'limit', 'pause')),
  -- What an operator asks of a running job.
  requested         text        CHECK (requested IN ('pause', 'cancel')),
  -- The process that runs it.
  process           uuid,
  started_at        timestamptz,
  finished_at       timestamptz,
  parent            uuid,
  concurrency_key   text,
  -- Keys belong to a type. A name has no blank in it, so this is the key of one type and of no other. Kept by a trigger: as a
  -- generated column, which each update pays for, it cost 3.6 of 36 us of a claim and a completion.
  turn_key          text,
  -- How the type's limit tells its jobs apart; '': not at all. NULL: whoever spawned it knew of no limit.
  rate_key          text,
  unique_key        text,
  -- A job that did not spawn it waits for it: its end is noted down, as that of every job with a parent is.
  awaited           boolean     NOT NULL DEFAULT false,
  -- A digest of the request that spawned it, where that is to be safe to repeat.
  request           text,
  -- Who spawned it: 'system', 'schedule:…', 'listener:…', 'job:…', or whatever the application says.
  triggered_by      text        NOT NULL DEFAULT 'sql',
  correlation_id    text,
  causation_id      text,
  traceparent       text,
  tracestate        text,
  input             jsonb       NOT NULL,
  input_meta        jsonb,
  -- What it carries besides: a webhook with its headers, descriptions of files. NULL: nothing.
  context           jsonb,
  context_meta      jsonb,
  output            jsonb,
  output_meta       jsonb,
  -- Of the last attempt that failed, also of a job that has completed since: completing writes no more than it must.
  error             jsonb,
  -- What a scheduled job waits for, for people.
  waiting           jsonb,
  -- The transitions that are published as events; NULL: none.
  lifecycle         text[]
)
-- Room for the next version of a row on its own page: of a version on the same page only what differs is written to the
-- log, which is 110 bytes a job less than in full pages. Half of the page would save 220, and take twice the disk.
WITH (fillfactor = 70);

CREATE FUNCTION "tidemark".keep_turn_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.turn_key := NEW.name || ' ' || NEW.concurrency_key;
  RETURN NEW;
END $$;

CREATE TRIGGER keep_turn_key BEFORE INSERT ON "tidemark".jobs FOR EACH ROW
  WHEN (NEW.concurrency_key IS NOT NULL) EXECUTE FUNCTION "tidemark".keep_turn_key();

CREATE FUNCTION "tidemark".keep_changed_turn_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "tidemark".jobs j SET turn_key = j.name || ' ' || j.concurrency_key WHERE j.id = NEW.id;
  RETURN NULL;
END $$;

-- After the change: a table with a trigger before changes of rows has each row locked first, and the lock logged, by every
-- change of it.
CREATE TRIGGER keep_changed_turn_key AFTER UPDATE OF name, concurrency_key, turn_key ON "tidemark".jobs FOR EACH ROW
  WHEN (NEW.turn_key IS DISTINCT FROM NEW.name || ' ' || NEW.concurrency_key)
  EXECUTE FUNCTION "tidemark".keep_changed_turn_key();

-- What becomes of a job: its status after something has happened to it, NULL where that cannot happen to a job in its
-- status. `requested` is what somebody asked of it while it ran; leaving 'running' answers the request.
--
-- INVARIANT: whatever changes the status of a job asks this function, except for its spawn, and for what goes one way
-- only and is asked for millions of jobs: scheduled → queued (due), queued → running (claimed), running → completed.
-- docs/jobs.md draws it, and test/job/state-machine.test.ts compares the two.
CREATE FUNCTION "tidemark".job_after(status text, requested text, what text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE status
    WHEN 'running' THEN CASE
      -- How an attempt ends.
      WHEN what IN ('completed', 'failed', 'cancelled') THEN what
      WHEN what IN ('retried', 'suspended', 'paused', 'released', 'lost', 'continued') THEN CASE
        WHEN requested = 'cancel' THEN 'cancelled'
        WHEN requested = 'pause' THEN 'paused'
        WHEN what IN ('retried', 'suspended') THEN 'scheduled'
        -- Also what has stopped for a pause that was taken back meanwhile.
        ELSE 'queued' END
      -- It is cancelled when the children have ended that it waits for.
      WHEN what = 'held' THEN 'scheduled'
      -- Asked, and done when the attempt stops.
      WHEN what IN ('cancel', 'pause') OR (what = 'resume' AND requested = 'pause') THEN 'running' END
    WHEN 'scheduled' THEN CASE what
      WHEN 'due' THEN 'queued' WHEN 'retry' THEN 'queued' WHEN 'replace' THEN 'queued'
      WHEN 'replace later' THEN 'scheduled' WHEN 'held' THEN 'scheduled'
      WHEN 'cancel' THEN 'cancelled' WHEN 'pause' THEN 'paused' END
    WHEN 'queued' THEN CASE what
      WHEN 'claimed' THEN 'running' WHEN 'replace' THEN 'queued' WHEN 'replace later' THEN 'scheduled'
      WHEN 'held' THEN 'scheduled' WHEN 'cancel' THEN 'cancelled' WHEN 'pause' THEN 'paused' END
    WHEN 'paused' THEN CASE what
      WHEN 'resume' THEN 'queued' WHEN 'resume early' THEN 'scheduled' WHEN 'held' THEN 'scheduled'
      WHEN 'cancel' THEN 'cancelled' WHEN 'replace' THEN 'paused' WHEN 'replace later' THEN 'paused' END
    -- Completed jobs stay so.
    WHEN 'failed' THEN CASE what WHEN 'retry' THEN 'queued' END
    WHEN 'cancelled' THEN CASE what WHEN 'retry' THEN 'queued' END
  END
$$;

COMMENT ON TABLE "tidemark".jobs IS
  'Durable jobs. Spawn with the library or with the function spawn(); change the status with the library only.';

-- Of the conditions of an index the one comes first that fewest jobs meet: each change of a job asks those of all indexes.

-- What can be claimed, in the order in which it is. Everything else is outside: parked, scheduled, finished.
CREATE INDEX jobs_claim ON "tidemark".jobs (queue, priority, run_at, id) WHERE status = 'queued' AND parked IS NULL;
CREATE INDEX jobs_due ON "tidemark".jobs (run_at) WHERE status = 'scheduled';

-- The statements of an attempt select its job by id, token and status = 'running'. With just that predicate in the
-- index of running jobs the planner walked it instead of the primary key, where the statistics said that few run,
-- with all of its dead entries, for each job of a batch: completing 1,000 jobs took 12 to 16 times as long as without
-- that index (medians of one run). The statements that want it name the process, so no other can take it.
CREATE INDEX jobs_running ON "tidemark".jobs (process) WHERE status = 'running' AND process IS NOT NULL;

CREATE INDEX jobs_new ON "tidemark".jobs (turn_key) WHERE parked = 'new';
CREATE INDEX jobs_behind ON "tidemark".jobs (turn_key, priority, run_at, id) WHERE parked = 'key';
CREATE INDEX jobs_admitted ON "tidemark".jobs (turn_key)
  WHERE turn_key IS NOT NULL AND status IN ('queued', 'running') AND (parked IS NULL OR parked = 'limit');
CREATE INDEX jobs_limited ON "tidemark".jobs (queue, name, (coalesce(rate_key, '')), priority, run_at, id)
  WHERE parked = 'limit' AND status = 'queued';
CREATE INDEX jobs_running_of_type ON "tidemark".jobs (name) WHERE limited AND status = 'running';
CREATE INDEX jobs_running_in_queue ON "tidemark".jobs (queue) WHERE limited AND status = 'running';
CREATE INDEX jobs_unknown ON "tidemark".jobs (name) WHERE parked = 'type';
CREATE INDEX jobs_held ON "tidemark".jobs (queue, name, priority, run_at, id) WHERE parked = 'pause';
-- One unfinished job of a type for each key, and one that comes after it.
CREATE UNIQUE INDEX jobs_unique ON "tidemark".jobs (unique_key, name)
  WHERE unique_key IS NOT NULL AND NOT successor AND status IN ('scheduled', 'queued', 'running', 'paused');
CREATE UNIQUE INDEX jobs_successors ON "tidemark".jobs (unique_key, name)
  WHERE successor AND status IN ('scheduled', 'paused');
-- Those that nothing but a person mends. Looked for every few seconds, and there are mostly none.
CREATE INDEX jobs_quarantined ON "tidemark".jobs (name, (error ->> 'code')) WHERE status = 'failed'
  AND error ->> 'code' IN ('TIDEMARK_INVALID_INPUT', 'TIDEMARK_INVALID_STATE', 'TIDEMARK_INVALID_OUTPUT', 'TIDEMARK_JOB_KILLS');
CREATE INDEX jobs_trouble ON "tidemark".jobs (status, id) WHERE status IN ('failed', 'paused', 'cancelled');

-- Those that have failed and are tried again. A job that does not fail is never in it.
CREATE INDEX jobs_retrying ON "tidemark".jobs (id)
  WHERE error IS NOT NULL AND status IN ('scheduled', 'queued', 'running');

-- Where the jobs of a type that have a status are in the index for lists, perhaps among others. A number, because comparing
-- texts by the collation of the database, and logging them, took 3 us more of the server's time for each job.
CREATE FUNCTION "tidemark".job_place(name text, status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(name || ' ' || status) $$;

-- For lists, in the order of ids: by type and status, and by whatever else is rare. Of expressions, so that no other
-- statement takes one of them by mistake, and walks along finished jobs to find one that is not.
--
-- The few that run are found by their process: an entry in each of a job's three places cost 6 us of the server's and 190
-- bytes of WAL a job, of 41 us and 1,160 bytes for its claim and its completion together; without that of a claim it is
-- half.
CREATE INDEX jobs_by_type ON "tidemark".jobs ("tidemark".job_place(name, status), id)
  WHERE status <> 'running' OR process IS NULL;
CREATE INDEX jobs_by_queue ON "tidemark".jobs ((queue || ''), id) WHERE queue <> 'default';
CREATE INDEX jobs_by_unique_key ON "tidemark".jobs ((unique_key || ''), id) WHERE unique_key IS NOT NULL;
CREATE INDEX jobs_by_concurrency_key ON "tidemark".jobs ((concurrency_key || ''), id)
  WHERE concurrency_key IS NOT NULL;
CREATE INDEX jobs_parent ON "tidemark".jobs (parent, id) WHERE parent IS NOT NULL;

-- What attempts leave -----------------------------------------------------------------------------

-- What an attempt leaves for the next one. Apart from the job, so that a checkpoint writes a small row.
CREATE TABLE "tidemark".job_states (
  job            uuid        PRIMARY KEY REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  version        integer     NOT NULL DEFAULT 1,
  state          jsonb,
  state_meta     jsonb,
  variables      jsonb       NOT NULL DEFAULT '{}',
  variables_meta jsonb       NOT NULL DEFAULT '{}',
  -- Of what a codec has written, the numbers of the writings: {"state": 3, "variable/source": 2}. What it has written
  -- belongs to its number, so an older value is not taken for the present one.
  writings       jsonb,
  progress       jsonb,
  -- When the state was stored last.
  checkpoint_at  timestamptz,
  -- For how many milliseconds an attempt must be quiet before it is suspended; NULL: as long as others.
  patience       float8,
  updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Steps and waits: a resumed job does not repeat those that are finished. One that is not has no position: a wait, a step
-- that is to be tried again.
--
-- INVARIANT: positions of one job are in the order in which its code has learnt of the ends, so that code which runs
-- again learns of them in the same order.
CREATE TABLE "tidemark".job_steps (
  job          uuid        NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  step         text        NOT NULL,
  kind         text        NOT NULL DEFAULT 'step',
  position     integer,
  output       jsonb,
  output_meta  jsonb,
  -- Why it failed, finally where it has a position.
  error        jsonb,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  completed_at timestamptz,
  PRIMARY KEY (job, step)
);

-- Where a step or a wait stands, by the status of its job. One that a job has failed with is tried again if somebody retries
-- the job.
CREATE FUNCTION "tidemark".step_status(job_status text, "position" integer, error jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN error IS NULL AND "position" IS NULL THEN 'open'
    WHEN error IS NULL THEN 'completed'
    WHEN "position" IS NULL AND job_status NOT IN ('completed', 'failed', 'cancelled') THEN 'retrying'
    ELSE 'failed' END
$$;

-- The events that jobs have been given or ask for, which the outbox keeps for them.
CREATE INDEX job_steps_events ON "tidemark".job_steps (job) WHERE kind = 'event';

-- The jobs that others wait for as their children, whoever has spawned them.
CREATE INDEX job_steps_children ON "tidemark".job_steps ((output ->> 'child')) WHERE kind = 'child' AND position IS NULL;
CREATE INDEX job_steps_parents ON "tidemark".job_steps (job) WHERE kind = 'child' AND position IS NULL;

-- What was said to a job, kept until it asks.
CREATE TABLE "tidemark".job_signals (
  job          uuid        NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  number       bigint      GENERATED ALWAYS AS IDENTITY,
  name         text        NOT NULL,
  payload      jsonb       NOT NULL,
  payload_meta jsonb,
  -- The wait that has taken it; NULL: none has.
  step         text,
  sent_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job, number)
);

CREATE INDEX job_signals_untaken ON "tidemark".job_signals (job, name, number) WHERE step IS NULL;

-- Attempts that did not complete their job. The one that did, and the present one, are in the job's own row.
CREATE TABLE "tidemark".job_attempts (
  job          uuid        NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  token        bigint      NOT NULL,
  attempt      integer     NOT NULL,
  outcome      text        NOT NULL,
  process      uuid,
  triggered_by text        NOT NULL,
  started_at   timestamptz,
  finished_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  error        jsonb,
  PRIMARY KEY (job, token)
);

CREATE TABLE "tidemark".job_logs (
  number  bigint      GENERATED ALWAYS AS IDENTITY,
  job     uuid        NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  token   bigint      NOT NULL,
  at      timestamptz NOT NULL,
  level   text        NOT NULL,
  message text        NOT NULL,
  fields  jsonb,
  PRIMARY KEY (job, number)
);

-- Large outputs of jobs and of their steps, apart from the rows that are listed, claimed and resumed.
--
-- The row of the job or the step holds a reference instead: {"key", "size"}, with notes that name a type of value of
-- its own. A process that does not know it fails with an error; it never takes the reference for the value.
CREATE TABLE "tidemark".job_outputs (
  job         uuid  NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  key         text  NOT NULL,
  output      jsonb NOT NULL,
  output_meta jsonb,
  PRIMARY KEY (job, key)
);

-- What was put into a store of the application's own for large outputs, or is about to be.
--
-- INVARIANT: the row of a key commits before anything is put under it, and goes after it was deleted there: whatever
-- crashes in between, the store holds nothing that no row knows of.
CREATE TABLE "tidemark".job_output_keys (
  key        text        PRIMARY KEY,
  store      text        NOT NULL,
  -- Null: nothing refers to it any more, and it is to be deleted.
  job        uuid        REFERENCES "tidemark".jobs (id) ON DELETE SET NULL,
  -- The claim that it was made under: no other one writes a reference to it.
  token      bigint      NOT NULL,
  -- Whether a reference was found, which stays as long as the job: it is not looked for again.
  referenced boolean     NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- For those of a job that is deleted, and those whose job was.
CREATE INDEX job_output_keys_job ON "tidemark".job_output_keys (job);

-- Those of which nobody knows yet whether they are referred to.
CREATE INDEX job_output_keys_new ON "tidemark".job_output_keys (created_at) WHERE NOT referenced;

-- Jobs whose context is kept in an object store, for other tools: where it is, and which version of it is current.
--
-- INVARIANT: the row commits before anything is put into the store, and goes after all of it was deleted there. What a
-- document says is in the tables; the row says which text of it was meant to be there, so a text that was put late or
-- never is found.
CREATE TABLE "tidemark".job_contexts (
  -- The job's. It stays when the job is deleted, until the store is cleaned up.
  id           uuid        PRIMARY KEY,
  job          uuid        REFERENCES "tidemark".jobs (id) ON DELETE SET NULL,
  store        text        NOT NULL,
  -- What the names of all its objects begin with, but for the definition's where jobs of a type share it.
  root         text        NOT NULL,
  -- 1, and one more with each time that the job has begun anew with another input.
  execution    integer     NOT NULL DEFAULT 1,
  version      integer     NOT NULL DEFAULT 0,
  sha256       text,
  bytes        integer,
  -- The last version that is known to be in the store.
  stored       integer     NOT NULL DEFAULT 0,
  -- The store has it as the job has ended.
  final        boolean     NOT NULL DEFAULT false,
  -- What was said while the job ran, besides what came with it.
  webhook      jsonb,
  webhook_meta jsonb,
  -- By their paths.
  files        jsonb       NOT NULL DEFAULT '{}',
  -- Whether the job has begun to write files of its own: some may be left over.
  uploads      boolean     NOT NULL DEFAULT false,
  updated_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- For those of a job that is deleted, and those whose job was.
CREATE INDEX job_contexts_job ON "tidemark".job_contexts (job);

CREATE INDEX job_contexts_open ON "tidemark".job_contexts (id) WHERE NOT final;

-- Requests that are safe to repeat and have not become a job of their own: what they came to, as long as that job is there.
CREATE TABLE "tidemark".job_requests (
  -- The id that their job would have.
  id      uuid PRIMARY KEY,
  -- A digest of what was asked.
  request text NOT NULL,
  -- Null only in the transaction that does what was asked.
  job     uuid REFERENCES "tidemark".jobs (id) ON DELETE CASCADE
);

CREATE INDEX job_requests_job ON "tidemark".job_requests (job);

-- Waits, schedules and locks ----------------------------------------------------------------------

-- What jobs wait for without holding a slot: all waits of a suspended job, of which the first that is over wakes it.
CREATE TABLE "tidemark".job_waits (
  job      uuid    NOT NULL REFERENCES "tidemark".jobs (id) ON DELETE CASCADE,
  step     text    NOT NULL,
  kind     text    NOT NULL CHECK (kind IN ('event', 'cursor', 'job', 'signal')),
  -- The event's type, the listener's name, or the signal's.
  target   text,
  key      text,
  -- The last event that the job has looked at itself, or the sequence that the listener has to reach.
  sequence bigint,
  child    uuid,
  -- The transaction that has stored it: a wait that no look has seen yet is found by this, and never written again.
  born     xid8    NOT NULL DEFAULT pg_current_xact_id(),
  PRIMARY KEY (job, step)
);

CREATE INDEX job_waits_event ON "tidemark".job_waits (target, key) WHERE kind = 'event';
CREATE INDEX job_waits_cursor ON "tidemark".job_waits (target, sequence) WHERE kind = 'cursor';
CREATE INDEX job_waits_child ON "tidemark".job_waits (child) WHERE kind = 'job';
CREATE INDEX job_waits_born ON "tidemark".job_waits (born) WHERE kind <> 'cursor';

-- What may have ended a wait. Whoever does that notes it down in the same transaction, and the next look reads it.
CREATE TABLE "tidemark".job_wakes (
  -- A job that has ended, or is gone.
  child  uuid,
  -- A job that was told something, and what; without that: one that was to be woken while somebody held it.
  job    uuid,
  signal text
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE "tidemark".job_wakes REPLICA IDENTITY FULL;

-- Up to where all waits together have looked. Whoever looks holds the row.
CREATE TABLE "tidemark".job_wait_cursor (
  one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
  -- The last event that was looked at.
  sequence   bigint      NOT NULL DEFAULT 0,
  -- The waits that were looked at: those that this saw.
  seen       pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  -- When waits of jobs that do not wait any more are looked for next, and after which job.
  forgets_at timestamptz NOT NULL DEFAULT '-infinity',
  forgotten  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
) WITH (fillfactor = 50);

INSERT INTO "tidemark".job_wait_cursor DEFAULT VALUES;

-- Children that are to be cancelled, because their parents were.
CREATE TABLE "tidemark".job_cancellations (
  child uuid PRIMARY KEY
);

-- Processes that wait for jobs and want to be rung. Unlogged: after a crash nobody waits.
CREATE UNLOGGED TABLE "tidemark".job_doorbells (
  process uuid    PRIMARY KEY,
  armed   boolean NOT NULL
) WITH (fillfactor = 50);

-- INVARIANT: a schedule is moved on only by a process whose definition of it is this one, and where it was made at run
-- time only by one that knows its job. Whoever defines it otherwise leaves it alone.
CREATE TABLE "tidemark".schedules (
  name       text        PRIMARY KEY,
  -- Part of the ids of its jobs: those of a schedule that is made again under the same name are others.
  id         uuid        NOT NULL DEFAULT gen_random_uuid(),
  -- Where it is defined: in code, or only here.
  source     text        NOT NULL DEFAULT 'code' CHECK (source IN ('code', 'runtime')),
  version    integer     NOT NULL DEFAULT 1,
  job        text        NOT NULL,
  -- What the job is given, and the version of the job that wrote it; only of one that was made at run time.
  input         jsonb,
  input_meta    jsonb,
  input_version integer,
  cron       text        NOT NULL,
  time_zone  text        NOT NULL,
  overlap    text        NOT NULL CHECK (overlap IN ('allow', 'skip')),
  catch_up   text        NOT NULL CHECK (catch_up IN ('none', 'last', 'all')),
  status     text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused')),
  -- The tick that fires next: whoever moves it on has fired it.
  next_at    timestamptz NOT NULL,
  last_job   uuid,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX schedules_due ON "tidemark".schedules (next_at) WHERE source = 'runtime';

CREATE TABLE "tidemark".schedule_ticks (
  schedule    text        NOT NULL REFERENCES "tidemark".schedules (name) ON DELETE CASCADE,
  tick        timestamptz NOT NULL,
  -- fired, missed (nobody was there, and the policy does not catch up), overlapped, paused, failed (what the job is to
  -- be given could not be made).
  outcome     text        NOT NULL CHECK (outcome IN ('fired', 'missed', 'overlapped', 'paused', 'failed')),
  error       jsonb,
  job         uuid,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (schedule, tick)
);

CREATE TABLE "tidemark".locks (
  key        text        PRIMARY KEY,
  -- Grows with every holder: what a guarded resource can tell a late one by.
  token      bigint      NOT NULL,
  holder     text        NOT NULL,
  held_until timestamptz NOT NULL
) WITH (fillfactor = 50);

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (4, 'jobs', false, 'c3907a22c9f28ce2591b8b6d6eb39f38fbf040f0ef9e8d9a5ca8870a4f611c9c');

-- 5 job-turns
-- breaking: no
--
-- Whose turn it is: concurrency keys, and the limits of queues and of types of jobs, for all processes together: how
-- many run side by side, and how many start in any stretch of time.

-- Limits ------------------------------------------------------------------------------------------

-- What the processes have declared. Whoever claims under a limit holds its row until the claim commits.
CREATE TABLE "tidemark".job_limits (
  kind        text    NOT NULL CHECK (kind IN ('queue', 'type')),
  name        text    NOT NULL,
  concurrency integer CHECK (concurrency > 0),
  rate        integer CHECK (rate > 0),
  -- In milliseconds.
  period      float8  CHECK (period > 0),
  PRIMARY KEY (kind, name),
  CHECK ((rate IS NULL) = (period IS NULL))
);

COMMENT ON TABLE "tidemark".job_limits IS
  'Limits of queues and of types of jobs. Written by processes when they start, from their definitions.';

-- How many have started lately: of a queue, of a type, or of a key of a type.
CREATE TABLE "tidemark".job_rates (
  kind     text          NOT NULL,
  name     text          NOT NULL,
  key      text          NOT NULL,
  -- Stretches of a twentieth of the period, by their beginnings, and the starts in each.
  since    timestamptz[] NOT NULL DEFAULT '{}',
  starts   integer[]     NOT NULL DEFAULT '{}',
  -- When a job of it may start next; NULL: none waits.
  ready_at timestamptz,
  -- In this order, so that nobody looks for what is ready by walking along all keys of a name.
  PRIMARY KEY (key, name, kind)
) WITH (fillfactor = 50);

CREATE INDEX job_rates_ready ON "tidemark".job_rates (kind, name, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX job_rates_next ON "tidemark".job_rates (ready_at) WHERE ready_at IS NOT NULL;

COMMENT ON TABLE "tidemark".job_rates IS 'Starts of jobs under a rate limit, lately.';

-- How many more may start now. A stretch counts until all of it is older than the period, so that no more than `rate`
-- start in any stretch of that length, wherever it begins.
CREATE FUNCTION "tidemark".rate_room(
  since timestamptz[], starts integer[], rate integer, period float8, at timestamptz
) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN rate IS NULL THEN 2147483647 ELSE greatest(0, rate - coalesce((
    SELECT sum(u.n)::integer FROM unnest(since, starts) AS u (s, n)
    WHERE u.s > at - period * 1.05 * interval '1 ms'), 0)) END
$$;

-- Notes down `n` starts.
CREATE FUNCTION "tidemark".note_starts(kind text, name text, key text, n integer, period float8, at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  width float8 := period / 20;
  -- The stretch that `at` lies in.
  this timestamptz := to_timestamp(floor(extract(epoch FROM at) * 1000 / width) * width / 1000);
BEGIN
  INSERT INTO "tidemark".job_rates AS r (kind, name, key) VALUES (kind, name, key) ON CONFLICT DO NOTHING;
  UPDATE "tidemark".job_rates r SET since = l.since, starts = l.starts
    FROM (SELECT array_agg(g.s ORDER BY g.s) AS since, array_agg(g.n ORDER BY g.s) AS starts
          FROM (SELECT u.s, sum(u.n)::integer AS n
                FROM (SELECT s, c FROM "tidemark".job_rates o, unnest(o.since, o.starts) AS e (s, c)
                      WHERE o.kind = kind AND o.name = name AND o.key = key
                        AND e.s > at - period * 1.05 * interval '1 ms'
                      UNION ALL SELECT this, n) AS u (s, n)
                GROUP BY u.s) AS g) AS l
    WHERE r.kind = kind AND r.name = name AND r.key = key;
END $$;

-- Pauses ------------------------------------------------------------------------------------------

-- Queues and types of jobs of which none is claimed until somebody resumes them.
CREATE TABLE "tidemark".job_pauses (
  kind      text        NOT NULL CHECK (kind IN ('queue', 'type')),
  name      text        NOT NULL,
  paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  paused_by text        NOT NULL,
  PRIMARY KEY (kind, name)
);

CREATE FUNCTION "tidemark".is_paused(queue text, name text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM "tidemark".job_pauses p
    WHERE (p.kind = 'queue' AND p.name = is_paused.queue) OR (p.kind = 'type' AND p.name = is_paused.name))
$$;

-- Brings back jobs that were put aside and are not paused any more, in their order; answers how many.
CREATE FUNCTION "tidemark".unpark_resumed(most integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  place record;
  back  uuid[] := '{}';
BEGIN
  SELECT '' AS queue, '' AS name INTO place;
  LOOP
    SELECT j.queue, j.name INTO place FROM "tidemark".jobs j
      WHERE j.parked = 'pause' AND (j.queue, j.name) > (place.queue, place.name) ORDER BY j.queue, j.name LIMIT 1;
    EXIT WHEN NOT FOUND;
    IF NOT "tidemark".is_paused(place.queue, place.name) THEN
      back := back || ARRAY(
        SELECT j.id FROM "tidemark".jobs j
        WHERE j.parked = 'pause' AND j.queue = place.queue AND j.name = place.name
        ORDER BY j.priority, j.run_at, j.id LIMIT most - cardinality(back) FOR UPDATE SKIP LOCKED);
    END IF;
    EXIT WHEN cardinality(back) >= most;
  END LOOP;
  UPDATE "tidemark".jobs j SET parked = CASE WHEN j.concurrency_key IS NOT NULL OR j.limited THEN 'new' END
    WHERE j.id = ANY (back);
  RETURN cardinality(back);
END $$;

-- Names -------------------------------------------------------------------------------------------

-- The names that types of jobs had before, as the processes say that know them: keys hold under all names of a type.
CREATE TABLE "tidemark".job_aliases (
  alias text NOT NULL,
  name  text NOT NULL,
  PRIMARY KEY (alias, name)
);

-- All names of the type that has these, in their order: who knows the old name only means the same.
CREATE FUNCTION "tidemark".names_of_type(known text[]) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF cardinality(known) = 1 AND NOT EXISTS (SELECT FROM "tidemark".job_aliases) THEN RETURN known; END IF;
  RETURN ARRAY(
    WITH RECURSIVE names (name) AS (
      SELECT unnest(known)
      UNION
      SELECT CASE WHEN a.name = n.name THEN a.alias ELSE a.name END
      FROM names n JOIN "tidemark".job_aliases a ON n.name IN (a.name, a.alias))
    SELECT n.name FROM names n ORDER BY 1);
END $$;

-- Unique keys -------------------------------------------------------------------------------------

-- Who is about to take a unique key of a type that has several names. Its row goes in the transaction that it comes in:
-- nobody sees it, and whoever wants the same key waits until that has ended. A row, because a transaction may take ten
-- thousand keys, and a server has room for some six thousand locks of all its transactions.
CREATE TABLE "tidemark".job_key_takers (
  key text PRIMARY KEY
);

-- Keeps a unique key of a type, under all these names of it, for the transaction. Answers true.
CREATE FUNCTION "tidemark".keep_key(names text[], unique_key text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  place tid;
BEGIN
  INSERT INTO "tidemark".job_key_takers AS t (key) VALUES (names[1] || ' ' || unique_key)
    ON CONFLICT DO NOTHING RETURNING t.ctid INTO place;
  -- By its place: all that the transaction has taken before is still in the table.
  DELETE FROM "tidemark".job_key_takers t WHERE t.ctid = place;
  RETURN true;
END $$;

-- Whether a job under the first of these names of a type may have a unique key as far as the type's other names go: no
-- unfinished job has it under one of them; no other one that follows, where the job is to follow. If so, it is kept for
-- the transaction. What has it under the same name is found by an index, and two names of a type by this only.
--
-- INVARIANT: whatever makes an unfinished job with a unique key asks this function, and looks with a snapshot that is
-- newer than its turn: VOLATILE. Whatever gives one another name keeps the key, too: who looks meanwhile would find it
-- under neither.
CREATE FUNCTION "tidemark".may_take_key(known text[], unique_key text, successor boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
  names  text[] := "tidemark".names_of_type(known);
  others text[];
BEGIN
  IF cardinality(names) = 1 THEN RETURN true; END IF;
  others := array_remove(names, known[1]);
  -- Looked at before, too: then a key that is taken is not kept from others.
  FOR look IN 1 .. 2 LOOP
    IF EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND NOT j.successor AND NOT successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    OR EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND j.successor AND successor
        AND j.status IN ('scheduled', 'paused'))
    THEN
      RETURN false;
    END IF;
    IF look = 1 THEN PERFORM "tidemark".keep_key(names, unique_key); END IF;
  END LOOP;
  RETURN true;
END $$;

-- Keys --------------------------------------------------------------------------------------------

-- Keys that somebody has left: the next job with such a key may run.
CREATE TABLE "tidemark".job_key_releases (
  key text NOT NULL
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE "tidemark".job_key_releases REPLICA IDENTITY FULL;

-- Whatever ends a keyed job's turn, in whatever way, leaves a note here (job_changed() where it is a change); admit_jobs()
-- reads it. No lock is taken.
CREATE FUNCTION "tidemark".release_job_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_key_releases (key) VALUES (OLD.turn_key);
  RETURN NULL;
END $$;

CREATE TRIGGER release_deleted_job_key AFTER DELETE ON "tidemark".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit')
        AND OLD.status IN ('queued', 'running'))
  EXECUTE FUNCTION "tidemark".release_job_key();

-- Admission ---------------------------------------------------------------------------------------

-- Where claimable jobs go: into the claim index, or to those that wait for the limit of their type. The keys are taken
-- in one order.
CREATE FUNCTION "tidemark".enter_jobs(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE "tidemark".jobs j
    SET parked = CASE WHEN EXISTS (SELECT FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = j.name)
      THEN 'limit' END
    WHERE j.id = ANY (ids);
  INSERT INTO "tidemark".job_rates AS r (kind, name, key, ready_at)
    SELECT DISTINCT 'type', j.name, coalesce(j.rate_key, ''), statement_timestamp() FROM "tidemark".jobs j
    WHERE j.id = ANY (ids) AND j.parked = 'limit' ORDER BY 2, 3
    ON CONFLICT (key, name, kind) DO UPDATE SET ready_at = excluded.ready_at WHERE r.ready_at IS NULL;
END $$;

-- Moves keyed jobs on, as many as their keys allow: into the claim index, or to those that wait for the limit of
-- their type. Keys before limits: a job that waits for the limit has its turn of the key. Each job is looked at when
-- it is new and each key when a turn of it ends, so the cost does not grow with how many wait. What is paused is put
-- aside when it is met: it neither takes a turn nor stands before those that would.
--
-- INVARIANT: keyed jobs become claimable here only, under the key's lock, and the turns are counted by a statement
-- whose snapshot is newer than that lock. Locks are taken in one order.
CREATE FUNCTION "tidemark".admit_jobs() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  fresh      uuid[];
  fresh_keys text[];
  entering   uuid[];
  keys       text[];
  lock_key   bigint;
  one        text;
  -- The key under all names of its type.
  same       text[];
  aliased    boolean;
  turns      integer;
  pausing    boolean := EXISTS (SELECT FROM "tidemark".job_pauses);
  held       uuid[];
  -- Keys of which not all that wait were looked at, perhaps.
  again      text[];
  candidates refcursor;
  candidate  record;
BEGIN
  SELECT array_agg(n.id) FILTER (WHERE n.turn_key IS NOT NULL AND NOT n.held),
      array_agg(n.turn_key) FILTER (WHERE n.turn_key IS NOT NULL AND NOT n.held),
      array_agg(n.id) FILTER (WHERE n.turn_key IS NULL AND NOT n.held),
      array_agg(n.id) FILTER (WHERE n.held)
    INTO fresh, fresh_keys, entering, held
    FROM (SELECT j.id, j.turn_key, pausing AND "tidemark".is_paused(j.queue, j.name) AS held
          FROM "tidemark".jobs j WHERE j.parked = 'new'
          LIMIT 500 FOR UPDATE SKIP LOCKED) AS n;
  WITH notes AS (
    DELETE FROM "tidemark".job_key_releases r WHERE r.ctid = ANY (ARRAY(
      SELECT i.ctid FROM "tidemark".job_key_releases i LIMIT 500 FOR UPDATE SKIP LOCKED))
    RETURNING r.key)
  SELECT array_agg(DISTINCT n.key) INTO keys FROM notes n;
  keys := coalesce(fresh_keys, '{}') || coalesce(keys, '{}');
  IF keys <> '{}' THEN
    UPDATE "tidemark".jobs j SET parked = 'key' WHERE j.id = ANY (fresh);
    SELECT EXISTS (SELECT FROM "tidemark".job_aliases) INTO aliased;
    IF aliased THEN
      -- The first name stands for all of them.
      keys := ARRAY(
        SELECT DISTINCT ("tidemark".names_of_type(ARRAY[split_part(k, ' ', 1)]))[1] || substr(k, strpos(k, ' ')) FROM unnest(keys) AS k);
    END IF;
    FOR lock_key IN SELECT DISTINCT hashtextextended('tidemark' || '.jobs.' || k, 0) | (1::bigint << 63) FROM unnest(keys) AS k ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(lock_key);
    END LOOP;
    FOR one IN SELECT DISTINCT k FROM unnest(keys) AS k LOOP
      same := ARRAY[one];
      IF aliased THEN
        same := ARRAY(SELECT n || substr(one, strpos(one, ' ')) FROM unnest("tidemark".names_of_type(ARRAY[split_part(one, ' ', 1)])) AS n);
      END IF;
      SELECT count(*) INTO turns FROM "tidemark".jobs j
        WHERE j.turn_key = ANY (same) AND j.status IN ('queued', 'running') AND (j.parked IS NULL OR j.parked = 'limit');
      IF cardinality(same) = 1 THEN
        OPEN candidates FOR
          SELECT j.id, j.queue, j.name, j.concurrency_limit FROM "tidemark".jobs j
          WHERE j.turn_key = one AND j.parked = 'key'
          ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED;
      ELSE
        OPEN candidates FOR
          SELECT c.id, c.queue, c.name, c.concurrency_limit FROM unnest(same) AS s (key), LATERAL (
            SELECT j.id, j.queue, j.name, j.concurrency_limit, j.priority, j.run_at FROM "tidemark".jobs j
            WHERE j.turn_key = s.key AND j.parked = 'key'
            ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED) AS c
          ORDER BY c.priority, c.run_at, c.id;
      END IF;
      LOOP
        FETCH candidates INTO candidate;
        EXIT WHEN NOT FOUND OR turns >= candidate.concurrency_limit;
        IF pausing AND "tidemark".is_paused(candidate.queue, candidate.name) THEN
          held := held || candidate.id;
          again := array_append(again, one);
        ELSE
          entering := entering || candidate.id;
          turns := turns + 1;
        END IF;
      END LOOP;
      CLOSE candidates;
    END LOOP;
    INSERT INTO "tidemark".job_key_releases (key) SELECT DISTINCT a FROM unnest(again) AS a;
  END IF;
  UPDATE "tidemark".jobs j SET parked = 'pause' WHERE j.id = ANY (held);
  IF entering IS NOT NULL THEN PERFORM "tidemark".enter_jobs(entering); END IF;
END $$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (5, 'job-turns', false, '6a1433aca003245e07fbc808f123b24f462f01ba021e6f8d9840cff69b93e6d3');

-- 6 job-work
-- breaking: no
--
-- What moves a job along: it is spawned, claimed, woken and completed.

-- Spawning ----------------------------------------------------------------------------------------

-- Rings once per statement, and only while somebody waits. A spawner that commits long after its INSERT may have
-- found nobody armed; who waits looks again after 5, 10, 20 … ms, at most a second, so that what is late is late by
-- no more than the spawning transaction took.
CREATE FUNCTION "tidemark".ring_for_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM "tidemark".job_doorbells WHERE armed) THEN PERFORM "tidemark".ring('jobs'); END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER ring_for_jobs AFTER INSERT ON "tidemark".jobs
  FOR EACH STATEMENT EXECUTE FUNCTION "tidemark".ring_for_jobs();

-- For spawners in SQL or in any language, by the rules of the library: keys belong to a type, and an id is that of one
-- job. Answers the job's id, or that of the unfinished job of the type with the same key.
CREATE FUNCTION "tidemark".spawn(
  name text, input jsonb, run_at timestamptz DEFAULT NULL, priority integer DEFAULT 0, queue text DEFAULT 'default',
  unique_key text DEFAULT NULL, concurrency_key text DEFAULT NULL, triggered_by text DEFAULT 'sql',
  version integer DEFAULT 1, id uuid DEFAULT gen_random_uuid(), input_meta jsonb DEFAULT NULL,
  traceparent text DEFAULT NULL, tracestate text DEFAULT NULL, correlation_id text DEFAULT NULL,
  causation_id text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  answer  uuid;
  limited boolean := EXISTS (SELECT FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = spawn.name);
BEGIN
  IF input IS NULL OR priority IS NULL OR queue IS NULL OR triggered_by IS NULL OR version IS NULL OR id IS NULL THEN
    RAISE EXCEPTION 'spawn: input, priority, queue, triggered_by, version and id cannot be NULL'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF priority = -2147483648 OR version < 1 THEN
    RAISE EXCEPTION 'spawn: a priority is a number from -2147483647 to 2147483647, and a version one of at least 1'
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF run_at < '0001-01-01 00:00:00+00' OR run_at > '9999-12-31 00:00:00+00' THEN
    RAISE EXCEPTION 'spawn: a job runs at a time of the years 1 to 9999' USING ERRCODE = 'invalid_parameter_value';
  ELSIF octet_length(triggered_by) NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'spawn: triggered_by must have 1 to 1000 bytes' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF name IS NULL OR name !~ '^[A-Za-z0-9_.:/-]{1,200}$' THEN
    RAISE EXCEPTION 'spawn: "%" cannot name a type of job', left(name, 80) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Use letters, digits and the characters _ . : / - (at most 200).';
  ELSIF queue IS NULL OR octet_length(queue) NOT BETWEEN 1 AND 200 THEN
    RAISE EXCEPTION 'spawn: the name of a queue must have 1 to 200 bytes' USING ERRCODE = 'invalid_parameter_value';
  ELSIF input IS NULL OR id IS NULL OR triggered_by IS NULL OR priority IS NULL OR version IS NULL OR version < 1 THEN
    RAISE EXCEPTION 'spawn: a job needs an input, an id, a priority, who triggered it, and a version of at least 1'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'The input null is written ''null''::jsonb.';
  END IF;
  PERFORM "tidemark".check_published('spawn',
    ARRAY[unique_key, concurrency_key, triggered_by, correlation_id, causation_id], ARRAY[input_meta], traceparent,
    tracestate);
  -- A job that stands in the way may end before it is looked at: then there is room, and it is tried again.
  FOR tries IN 1 .. 10 LOOP
    INSERT INTO "tidemark".jobs AS j
      (id, name, input, input_meta, run_at, status, priority, queue, unique_key, concurrency_key, parked, triggered_by,
       version, needs, limited, traceparent, tracestate, correlation_id, causation_id)
    SELECT id, name, input, input_meta, coalesce(run_at, statement_timestamp()),
      CASE WHEN run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END, priority, queue, unique_key,
      concurrency_key,
      CASE WHEN (concurrency_key IS NULL AND NOT limited) OR run_at > statement_timestamp() THEN NULL ELSE 'new' END,
      triggered_by, version, version, limited, traceparent, tracestate, correlation_id, causation_id
    WHERE unique_key IS NULL OR "tidemark".may_take_key(ARRAY[name], unique_key)
    ON CONFLICT DO NOTHING RETURNING j.id INTO answer;
    IF answer IS NULL THEN
      SELECT j.id INTO answer FROM "tidemark".jobs j WHERE j.id = spawn.id AND j.name = spawn.name;
      IF answer IS NULL AND EXISTS (SELECT FROM "tidemark".jobs j WHERE j.id = spawn.id) THEN
        RAISE EXCEPTION 'spawn: % is the id of a job of another type', spawn.id USING ERRCODE = 'unique_violation';
      ELSIF answer IS NULL THEN
        SELECT j.id INTO answer FROM "tidemark".jobs j
          WHERE j.unique_key = spawn.unique_key AND j.name = ANY ("tidemark".names_of_type(ARRAY[name]))
            AND NOT j.successor AND j.status IN ('scheduled', 'queued', 'running', 'paused') LIMIT 1;
      END IF;
    END IF;
    IF answer IS NOT NULL THEN
      RETURN answer;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'spawn: an unfinished job that is not visible here has the key "%"', unique_key
    USING ERRCODE = 'serialization_failure', HINT = 'Try the transaction again.';
END $$;

-- Lets successors go on when no other unfinished job has their key. What another transaction has put in their place
-- meanwhile comes first: they wait for that, until the next look.
CREATE FUNCTION "tidemark".release_successors() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  released bigint := 0;
  one      uuid;
BEGIN
  FOR one IN
    SELECT s.id FROM "tidemark".jobs s
    WHERE s.successor AND s.status IN ('scheduled', 'paused') AND NOT EXISTS (
      SELECT FROM "tidemark".jobs j WHERE j.unique_key = s.unique_key
        AND j.name = ANY ("tidemark".names_of_type(ARRAY[s.name])) AND NOT j.successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    -- As spawners take them.
    ORDER BY s.unique_key, s.id LIMIT 1000 FOR UPDATE SKIP LOCKED
  LOOP
    BEGIN
      UPDATE "tidemark".jobs s
        SET successor = false, run_at = greatest((s.waiting ->> 'runAt')::timestamptz, s.created_at), waiting = NULL
        WHERE s.id = one AND "tidemark".may_take_key(ARRAY[s.name], s.unique_key);
      IF FOUND THEN released := released + 1; END IF;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
  RETURN released;
END $$;

-- When one of the processes looks through all jobs of a kind next.
CREATE TABLE "tidemark".job_looks (
  what    text        PRIMARY KEY,
  next_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Claiming ----------------------------------------------------------------------------------------

-- The queues besides `known` in which jobs of these types wait to be claimed: a job may be put into another queue than
-- that of its type, and whoever knows the type takes it. What is behind a hundred jobs of other types is found when those
-- have gone.
CREATE FUNCTION "tidemark".queues_of(names text[], known text[]) RETURNS SETOF text LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  one text := '';
BEGIN
  LOOP
    one := least(
      (SELECT j.queue FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue > one
       ORDER BY j.queue LIMIT 1),
      (SELECT j.queue FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
       ORDER BY j.queue LIMIT 1));
    EXIT WHEN one IS NULL;
    IF one <> ALL (known) AND (
      EXISTS (
        SELECT FROM (
          SELECT j.name FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue = one
          ORDER BY j.priority, j.run_at, j.id LIMIT 100) AS f
        WHERE f.name = ANY (names))
      OR EXISTS (
        SELECT FROM unnest(names) AS n (name), LATERAL (
          SELECT FROM "tidemark".jobs j
          WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue = one AND j.name = n.name LIMIT 1) AS f))
    THEN
      RETURN NEXT one;
    END IF;
  END LOOP;
END $$;

-- Whether jobs of a type, with one key of its rate, wait for its limit in any queue, besides the chosen ones.
CREATE FUNCTION "tidemark".waits_for_limit(name text, rate_key text, chosen uuid[]) RETURNS boolean
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  one text := '';
BEGIN
  LOOP
    SELECT j.queue INTO one FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
      ORDER BY j.queue LIMIT 1;
    IF NOT FOUND THEN RETURN false; END IF;
    IF EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue = one AND j.name = waits_for_limit.name
        AND coalesce(j.rate_key, '') = waits_for_limit.rate_key AND NOT (j.id = ANY (chosen)))
    THEN
      RETURN true;
    END IF;
  END LOOP;
END $$;

-- Claims where limits are declared.
--
-- INVARIANT: locks are taken in one order: keys (admit_jobs), the queue's limit, the types' limits by name. Counts are
-- taken by statements whose snapshots are newer than the lock of what they count for. Rows of job_rates are skipped
-- when they are locked: by an admission, which may wait for a limit that is held here.
--
-- The slots of a limit are the running jobs themselves: whoever rescues a job from a dead process frees its slot.
CREATE FUNCTION "tidemark".claim_limited_jobs(
  process uuid, queue text, names text[], most integer, versions integer[], paused text[]
) RETURNS SETOF "tidemark".jobs LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  at          timestamptz;
  room        integer := most;
  queue_limit "tidemark".job_limits;
  type_limit  "tidemark".job_limits;
  bucket      "tidemark".job_rates;
  type_room   integer;
  found_ids   uuid[];
  picks       uuid[] := '{}';
  visited     "tidemark".job_rates[] := '{}';
  chosen      uuid[];
  n           integer;
BEGIN
  SELECT * INTO queue_limit FROM "tidemark".job_limits l
    WHERE l.kind = 'queue' AND l.name = claim_limited_jobs.queue FOR UPDATE;
  IF queue_limit.concurrency IS NOT NULL THEN
    SELECT least(room, queue_limit.concurrency - count(*)::integer) INTO room FROM "tidemark".jobs j
      WHERE j.queue = claim_limited_jobs.queue AND j.status = 'running' AND j.limited;
  END IF;
  IF queue_limit.rate IS NOT NULL THEN
    SELECT least(room, "tidemark".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, clock_timestamp()))
      INTO n FROM "tidemark".job_rates r WHERE r.kind = 'queue' AND r.name = claim_limited_jobs.queue AND r.key = '';
    room := coalesce(n, least(room, queue_limit.rate));
  END IF;
  IF room <= 0 THEN RETURN; END IF;

  FOR type_limit IN
    SELECT l.* FROM "tidemark".job_limits l
    WHERE l.kind = 'type' AND l.name = ANY (names) AND l.name <> ALL (paused)
      -- In this order: mostly nothing is ready. OFFSET keeps the planner from walking along all that wait.
      AND CASE WHEN EXISTS (
        SELECT FROM "tidemark".job_rates r WHERE r.kind = 'type' AND r.name = l.name AND r.ready_at <= statement_timestamp())
      THEN EXISTS (
        SELECT FROM "tidemark".jobs q
        WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = l.name
        OFFSET 0) END
    ORDER BY l.name FOR UPDATE
  LOOP
    type_room := room;
    IF type_limit.concurrency IS NOT NULL THEN
      SELECT least(room, type_limit.concurrency - count(*)::integer) INTO type_room FROM "tidemark".jobs j
        WHERE j.name = type_limit.name AND j.status = 'running' AND j.limited;
    END IF;
    CONTINUE WHEN type_room <= 0;
    FOR bucket IN
      SELECT r.* FROM "tidemark".job_rates r
      WHERE r.kind = 'type' AND r.name = type_limit.name AND r.ready_at <= statement_timestamp()
        -- Whose jobs are all in other queues are left to those: claims of two queues would take turns at each other's.
        AND EXISTS (
          SELECT FROM "tidemark".jobs q
          WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = r.name
            AND coalesce(q.rate_key, '') = r.key
          OFFSET 0)
      ORDER BY r.ready_at LIMIT least(type_room, 100) FOR UPDATE SKIP LOCKED
    LOOP
      n := least(type_room, "tidemark".rate_room(bucket.since, bucket.starts, type_limit.rate, type_limit.period, clock_timestamp()));
      found_ids := ARRAY(
        SELECT q.id FROM "tidemark".jobs q
        WHERE q.status = 'queued' AND q.parked = 'limit' AND q.name = type_limit.name
          AND coalesce(q.rate_key, '') = bucket.key AND q.queue = claim_limited_jobs.queue
          AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
        ORDER BY q.priority, q.run_at, q.id LIMIT n FOR UPDATE SKIP LOCKED);
      picks := picks || found_ids;
      visited := visited || bucket;
      type_room := type_room - cardinality(found_ids);
      EXIT WHEN type_room <= 0;
    END LOOP;
  END LOOP;

  -- What waits in the claim index though its type has a limit by now is put aside by the next look at the types.
  chosen := ARRAY(
    SELECT j.id FROM "tidemark".jobs j WHERE j.id = ANY (picks || ARRAY(
      SELECT q.id FROM "tidemark".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_limited_jobs.queue AND q.name = ANY (names)
        AND q.name NOT IN (SELECT l.name FROM "tidemark".job_limits l WHERE l.kind = 'type')
        AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
      ORDER BY q.priority, q.run_at, q.id LIMIT room FOR UPDATE SKIP LOCKED))
    ORDER BY j.priority, j.run_at, j.id LIMIT room);

  -- One time for the starts and for what is noted of them.
  at := clock_timestamp();
  IF queue_limit.rate IS NOT NULL AND chosen <> '{}' THEN
    PERFORM "tidemark".note_starts('queue', queue_limit.name, '', cardinality(chosen), queue_limit.period, at);
    UPDATE "tidemark".job_rates r SET ready_at = CASE
        WHEN "tidemark".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, at) > 0 THEN NULL
        ELSE r.since[1] + queue_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'queue' AND r.name = queue_limit.name AND r.key = '';
  END IF;
  FOREACH bucket IN ARRAY visited LOOP
    SELECT * INTO type_limit FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = bucket.name;
    SELECT count(*)::integer INTO n FROM "tidemark".jobs j
      WHERE j.id = ANY (chosen) AND j.name = bucket.name AND coalesce(j.rate_key, '') = bucket.key;
    IF n > 0 AND type_limit.rate IS NOT NULL THEN
      PERFORM "tidemark".note_starts('type', bucket.name, bucket.key, n, type_limit.period, at);
    END IF;
    UPDATE "tidemark".job_rates r SET ready_at = CASE
        WHEN NOT "tidemark".waits_for_limit(bucket.name, bucket.key, chosen) THEN NULL
        WHEN "tidemark".rate_room(r.since, r.starts, type_limit.rate, type_limit.period, at) > 0 THEN at
        ELSE r.since[1] + type_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'type' AND r.name = bucket.name AND r.key = bucket.key;
  END LOOP;

  RETURN QUERY
    UPDATE "tidemark".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_limited_jobs.process,
        started_at = at, parked = NULL, limited = true
    WHERE j.id = ANY (chosen)
    RETURNING j.*;
END $$;

-- The places of the next jobs that can be claimed, which it locks.
--
-- Claimed jobs stay in the way of the next look, at the front of the index, for as long as somebody's snapshot keeps them
-- from being cleaned up. So a look that took longer than what it found accounts for is noted in the session, with its
-- last job, and the next ones begin there: for 20 times as long as it took too long, and a second at most. A look from
-- there that does not find enough begins at the front all the same, after 5 times as long. So a walk along the dead takes
-- a twentieth of the time of a busy queue and a fifth of the looks' of an idle one, and what can be claimed before the
-- note (a job of higher priority, one that was given back) is late by what the walk would have cost all others.
CREATE FUNCTION "tidemark".next_jobs(queue text, names text[], most integer, versions integer[], paused text[])
RETURNS tid[] LANGUAGE plpgsql AS $$
DECLARE
  began    bigint := extract(epoch FROM clock_timestamp()) * 1000000;
  setting  text := 'tidemark.next_' || encode(convert_to('tidemark' || '.' || queue, 'UTF8'), 'hex');
  -- Whose look at the front it was, when, how much too long, and where the next one begins: priority, time and id.
  note     text[] := nullif(current_setting(setting, true), '')::text[];
  looker   text := ARRAY[names::text, versions::text, paused::text]::text;
  noted    boolean := coalesce(note[1] = looker
    AND began BETWEEN note[2]::bigint AND note[2]::bigint + least(20 * note[3]::bigint, 1000000), false);
  rank     integer := -2147483648;
  since    timestamptz := '-infinity';
  first    uuid := '00000000-0000-0000-0000-000000000000';
  jobs     tid[];
  urgent   tid[] := '{}';
  late     bigint;
BEGIN
  IF noted THEN
    rank := note[4];
    since := 'epoch'::timestamptz + note[5]::bigint * interval '1 us';
    first := note[6];
  END IF;
  jobs := ARRAY(
    SELECT q.ctid FROM "tidemark".jobs q
    WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
      AND (q.priority, q.run_at, q.id) >= (rank, since, first) AND q.name <> ALL (paused)
      AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
    ORDER BY q.priority, q.run_at, q.id LIMIT most FOR UPDATE SKIP LOCKED);
  IF noted AND cardinality(jobs) < most AND began > note[2]::bigint + 5 * note[3]::bigint THEN
    noted := false;
    urgent := ARRAY(
      SELECT q.ctid FROM "tidemark".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
        AND (q.priority, q.run_at, q.id) < (rank, since, first) AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
      ORDER BY q.priority, q.run_at, q.id LIMIT most - cardinality(jobs) FOR UPDATE SKIP LOCKED);
  END IF;
  late := CASE WHEN noted THEN note[3]::bigint
    ELSE extract(epoch FROM clock_timestamp()) * 1000000 - began - 20 * cardinality(jobs || urgent) END;
  IF late > 100 AND cardinality(jobs) > 0 THEN
    SELECT j.priority, j.run_at, j.id INTO rank, since, first FROM "tidemark".jobs j WHERE j.ctid = jobs[cardinality(jobs)];
  END IF;
  IF late > 100 AND isfinite(since) THEN
    PERFORM set_config(setting, ARRAY[looker, CASE WHEN noted THEN note[2] ELSE began::text END, late::text, rank::text,
      (extract(epoch FROM since) * 1000000)::bigint::text, first::text]::text, false);
  END IF;
  RETURN jobs || urgent;
END $$;

-- Brings in what has become due and what its key lets in, then claims. Answers the claimed jobs. `versions` are those
-- of the definitions of `names`: what needs a newer one is left to who has it. So is what somebody has paused.
--
-- The settings pin the plans: each statement is a short walk along one partial index, also in a table that was never
-- analysed or is full of finished jobs. And no JIT: a table without an index costs so much on paper that each claim
-- compiled its look at it, which took 39 ms of the 42 of a claim. Nor is a plan made for the names and the pauses of each
-- claim, which would be the same one: 2 us of 19 for each of 250 jobs.
--
-- The rows that were locked are found again by their place in the table instead of by their id.
CREATE FUNCTION "tidemark".claim_jobs(
  process uuid, queue text, names text[], most integer, versions integer[] DEFAULT NULL
) RETURNS TABLE (id uuid, token bigint, attempt integer, version integer, name text, input jsonb, input_meta jsonb,
  created_at timestamptz, priority integer, resumes boolean, keyed boolean, parent uuid, triggered_by text, correlation_id text,
  causation_id text, requested text, deaths smallint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  paused text[] := ARRAY(SELECT p.name FROM "tidemark".job_pauses p WHERE p.kind = 'type' AND p.name = ANY (names));
  next   tid[];
BEGIN
  UPDATE "tidemark".jobs j
    SET status = 'queued', waiting = NULL,
      parked = CASE WHEN j.concurrency_key IS NULL AND NOT j.limited THEN NULL ELSE 'new' END
    WHERE j.id = ANY (ARRAY(
      SELECT d.id FROM "tidemark".jobs d WHERE d.status = 'scheduled' AND d.run_at <= statement_timestamp()
      ORDER BY d.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
  IF EXISTS (SELECT FROM "tidemark".jobs j WHERE j.parked = 'new')
     OR EXISTS (SELECT FROM "tidemark".job_key_releases) THEN
    PERFORM "tidemark".admit_jobs();
  END IF;
  IF EXISTS (SELECT FROM "tidemark".job_pauses p WHERE p.kind = 'queue' AND p.name = claim_jobs.queue) THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM "tidemark".job_limits) THEN
    RETURN QUERY
      SELECT j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
        j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
        j.deaths
      FROM "tidemark".claim_limited_jobs(process, queue, names, most, versions, paused) AS j;
    RETURN;
  END IF;
  next := "tidemark".next_jobs(queue, names, most, versions, paused);
  RETURN QUERY
    UPDATE "tidemark".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_jobs.process,
        started_at = clock_timestamp()
    WHERE j.ctid = ANY (next)
    RETURNING j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
      j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
      j.deaths;
END $$;

-- When the next scheduled job becomes due, or the next key of a rate limit free, in milliseconds from now; 0 while
-- there are jobs that nobody has looked at; null: none does.
CREATE FUNCTION "tidemark".next_job_due() RETURNS float8 LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
  SELECT least(
    (SELECT 0::float8 WHERE EXISTS (SELECT FROM "tidemark".jobs j WHERE j.parked = 'new')),
    (SELECT greatest(0, extract(epoch FROM j.run_at - statement_timestamp()) * 1000)::float8
     FROM "tidemark".jobs j WHERE j.status = 'scheduled' AND j.run_at < 'infinity' ORDER BY j.run_at LIMIT 1),
    (SELECT (extract(epoch FROM r.ready_at - statement_timestamp()) * 1000)::float8
     FROM "tidemark".job_rates r WHERE r.ready_at > statement_timestamp() ORDER BY r.ready_at LIMIT 1))
$$;

-- Waking ------------------------------------------------------------------------------------------

-- The end of a job that another one waits for, in whatever way it comes (job_changed() where it is a change).
CREATE FUNCTION "tidemark".note_deleted_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_wakes (child) VALUES (OLD.id);
  RETURN NULL;
END $$;

CREATE TRIGGER note_deleted_child AFTER DELETE ON "tidemark".jobs FOR EACH ROW
  WHEN ((OLD.parent IS NOT NULL OR OLD.awaited) AND OLD.status NOT IN ('completed', 'failed', 'cancelled'))
  EXECUTE FUNCTION "tidemark".note_deleted_child();

CREATE FUNCTION "tidemark".note_signal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_wakes (job, signal) VALUES (NEW.job, NEW.name);
  RETURN NULL;
END $$;

CREATE TRIGGER note_signal AFTER INSERT ON "tidemark".job_signals
  FOR EACH ROW EXECUTE FUNCTION "tidemark".note_signal();

-- The jobs that wait for one of the events after `low`, up to `high`; and up to where it has looked: at most at `most`
-- events.
CREATE FUNCTION "tidemark".jobs_awaiting_events(low bigint, high bigint, most integer, OUT reached bigint, OUT jobs uuid[])
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  types text[];
  keys  text[];
  lasts bigint[];
BEGIN
  SELECT max(e.sequence) INTO reached FROM (
    SELECT e.sequence FROM "tidemark".events e WHERE e.sequence > low AND e.sequence <= high
    ORDER BY e.sequence LIMIT most) e;
  IF reached IS NULL OR NOT EXISTS (SELECT FROM "tidemark".events e WHERE e.sequence > reached AND e.sequence <= high)
  THEN
    reached := high;
  END IF;
  SELECT array_agg(e.type), array_agg(e.key), array_agg(e.last) INTO types, keys, lasts FROM (
    SELECT e.type, coalesce(e.key, e.stream) AS key, max(e.sequence) AS last FROM "tidemark".events e
    WHERE e.sequence > low AND e.sequence <= reached GROUP BY 1, 2) e;
  jobs := ARRAY(
    SELECT w.job FROM unnest(types, keys, lasts) AS e (type, key, last), LATERAL (
      SELECT w.job FROM "tidemark".job_waits w
      WHERE w.kind = 'event' AND w.target = e.type AND w.key = e.key AND w.sequence < e.last OFFSET 0) AS w
    UNION
    SELECT w.job FROM (
      SELECT u.type, max(u.last) AS last FROM unnest(types, lasts) AS u (type, last) GROUP BY 1) AS e, LATERAL (
      SELECT w.job FROM "tidemark".job_waits w
      WHERE w.kind = 'event' AND w.target = e.type AND w.key IS NULL AND w.sequence < e.last OFFSET 0) AS w);
END $$;

-- Makes claimable what has waited for something that is there by now; answers how many jobs. `horizon` is the caller's:
-- events above it are not settled. One process looks at a time, the others go on.
--
-- What it costs grows with what has happened since the last look, and not with how many wait. Each event is looked at
-- once for all waits: the cursor goes along the outbox, and the waits for the event's type and key are found by their
-- index. For waits for listeners it takes a look at each listener. The end of a job and a signal are noted down in
-- job_wakes by whoever makes them. OFFSET keeps the planner from walking along all waits, whatever it thinks of their
-- number.
--
-- INVARIANT: a wait that no look has seen is looked at for everything that it may have missed, whoever was first: what
-- was noted down before the wait could be seen is there to be seen with it. Which waits these are is told by
-- the snapshot of the last look, without a write: as a flag that each look took away, ten thousand new waits left an
-- index full of dead entries, and the looks after that took 12 ms instead of 0.6.
CREATE FUNCTION "tidemark".wake_jobs(horizon bigint, most integer DEFAULT 20000) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  place    "tidemark".job_wait_cursor%ROWTYPE;
  sees     pg_snapshot;
  upto     bigint;
  fresh    "tidemark".job_waits[];
  -- Waits for jobs and signals that are to be looked at.
  asked    "tidemark".job_waits[];
  children uuid[];
  told     uuid[];
  signals  text[];
  back     bigint;
  page     record;
  ready    uuid[] := '{}';
  woken    uuid[];
BEGIN
  SELECT * INTO place FROM "tidemark".job_wait_cursor FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  -- Before anything is read: what commits later is new to the next look, too.
  SELECT pg_current_snapshot() INTO sees;
  IF pg_snapshot_xmax(place.seen) > pg_snapshot_xmax(sees) THEN
    -- Restored into a server whose transactions have other numbers: all waits are new.
    UPDATE "tidemark".job_waits SET born = pg_current_xact_id();
    place.seen := sees;
  END IF;
  fresh := ARRAY(
    SELECT w FROM "tidemark".job_waits w
    WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen) AND NOT pg_visible_in_snapshot(w.born, place.seen));

  upto := greatest(place.sequence, horizon);
  -- What nobody has waited for needs no look.
  IF NOT EXISTS (
    SELECT FROM "tidemark".job_waits w WHERE w.kind = 'event' AND pg_visible_in_snapshot(w.born, place.seen))
  THEN
    place.sequence := upto;
  END IF;
  SELECT min(f.sequence) INTO back FROM unnest(fresh) AS f WHERE f.kind = 'event';
  IF back < place.sequence THEN
    SELECT * INTO page FROM "tidemark".jobs_awaiting_events(back, place.sequence, most);
    ready := page.jobs;
    -- A page at a time: the rest is looked at next, and they stay new until then.
    IF page.reached < place.sequence THEN
      UPDATE "tidemark".job_waits w SET sequence = greatest(w.sequence, page.reached), born = pg_current_xact_id()
      FROM unnest(fresh) AS f
      WHERE w.job = f.job AND w.step = f.step AND w.kind = 'event' AND w.sequence < place.sequence;
    END IF;
  END IF;
  IF place.sequence < upto THEN
    SELECT * INTO page FROM "tidemark".jobs_awaiting_events(place.sequence, upto, most);
    ready := ready || page.jobs;
    upto := page.reached;
  END IF;

  IF EXISTS (SELECT FROM "tidemark".job_waits w WHERE w.kind = 'cursor') THEN
    ready := ready || ARRAY(
      SELECT w.job FROM "tidemark".listeners l, LATERAL (
        SELECT min(c.cursor) AS reached FROM "tidemark".cursors c
        WHERE c.listener = l.name AND c.generation = l.generation OFFSET 0) AS r, LATERAL (
        SELECT w.job FROM "tidemark".job_waits w
        WHERE w.kind = 'cursor' AND w.target = l.name AND w.sequence <= r.reached OFFSET 0) AS w
      UNION ALL
      -- It has another name by now, or is gone: its job must learn of it. Along the names, however many wait for each.
      SELECT w.job FROM (
        WITH RECURSIVE names AS (
          (SELECT w.target FROM "tidemark".job_waits w WHERE w.kind = 'cursor' ORDER BY w.target LIMIT 1)
          UNION ALL
          SELECT (SELECT w.target FROM "tidemark".job_waits w WHERE w.kind = 'cursor' AND w.target > n.target
            ORDER BY w.target LIMIT 1)
          FROM names n WHERE n.target IS NOT NULL)
        SELECT n.target FROM names n
        WHERE n.target IS NOT NULL AND NOT EXISTS (SELECT FROM "tidemark".listeners l WHERE l.name = n.target)) AS n, LATERAL (
        SELECT w.job FROM "tidemark".job_waits w WHERE w.kind = 'cursor' AND w.target = n.target OFFSET 0) AS w);
  END IF;

  WITH notes AS (
    DELETE FROM "tidemark".job_wakes n WHERE n.ctid = ANY (ARRAY(SELECT i.ctid FROM "tidemark".job_wakes i LIMIT most))
    RETURNING n.child, n.job, n.signal)
  SELECT array_agg(n.child) FILTER (WHERE n.child IS NOT NULL), array_agg(n.job) FILTER (WHERE n.signal IS NOT NULL),
      array_agg(n.signal) FILTER (WHERE n.signal IS NOT NULL),
      ready || coalesce(array_agg(n.job) FILTER (WHERE n.job IS NOT NULL AND n.signal IS NULL), '{}')
    INTO children, told, signals, ready FROM notes n;
  asked := fresh || ARRAY(
    SELECT w.* FROM unnest(children) AS c, LATERAL (
      SELECT w FROM "tidemark".job_waits w WHERE w.kind = 'job' AND w.child = c OFFSET 0) AS w
    UNION ALL
    SELECT w.* FROM unnest(told, signals) AS t (job, name), LATERAL (
      SELECT w FROM "tidemark".job_waits w
      WHERE w.job = t.job AND w.kind = 'signal' AND w.target = t.name OFFSET 0) AS w);
  ready := ready || ARRAY(
    SELECT a.job FROM unnest(asked) AS a
    WHERE (a.kind = 'job' AND NOT EXISTS (
        SELECT FROM "tidemark".jobs c WHERE c.id = a.child AND c.status NOT IN ('completed', 'failed', 'cancelled')))
      OR (a.kind = 'signal' AND EXISTS (
        SELECT FROM "tidemark".job_signals s WHERE s.job = a.job AND s.name = a.target AND s.step IS NULL)));

  -- A snapshot that is older than all waits stays, and nothing is written where nothing happens. One beside which others
  -- were writing goes on, too: from it each look would walk along the waits that were stored then.
  IF fresh = '{}' AND NOT EXISTS (
    SELECT FROM "tidemark".job_waits w WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen))
  THEN
    sees := place.seen;
  END IF;
  UPDATE "tidemark".job_wait_cursor c SET sequence = upto, seen = sees
    WHERE c.sequence <> upto OR c.seen::text <> sees::text;
  IF ready = '{}' THEN RETURN 0; END IF;
  woken := ARRAY(
    SELECT j.id FROM "tidemark".jobs j
    WHERE j.id = ANY (ready) AND j.status = 'scheduled' AND j.waiting IS NOT NULL AND j.requested IS NULL
    ORDER BY j.id FOR UPDATE SKIP LOCKED);
  -- A job that somebody holds just now is woken next time.
  INSERT INTO "tidemark".job_wakes (job)
    SELECT j.id FROM (SELECT unnest(ready) AS id EXCEPT SELECT unnest(woken)) AS r
    JOIN "tidemark".jobs j ON j.id = r.id AND j.status = 'scheduled' AND j.waiting IS NOT NULL;
  UPDATE "tidemark".jobs j SET run_at = statement_timestamp() WHERE j.id = ANY (woken);
  DELETE FROM "tidemark".job_waits w WHERE w.job = ANY (woken);
  RETURN cardinality(woken);
END $$;

-- Up to where events of the types, after a sequence, were pruned, or NULL; and keeps more of them from being pruned until
-- the transaction ends: whoever prunes looks at the waits under the same lock. VOLATILE, so that what was pruned while it
-- waited for the lock is seen.
CREATE FUNCTION "tidemark".pruned_after(types text[], after bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('tidemark.prune.' || 'tidemark', 0) | (1::bigint << 63));
  RETURN (
    SELECT max(p.upper_bound) FROM "tidemark".pruned_partitions p
    WHERE p.types && pruned_after.types AND p.upper_bound > pruned_after.after + 1);
END $$;

-- Whether a job has begun children that have not ended and that its cancellation waits for.
CREATE FUNCTION "tidemark".awaits_children(parent uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM "tidemark".job_steps s JOIN "tidemark".jobs c ON c.id = (s.output ->> 'child')::uuid
    WHERE s.job = awaits_children.parent AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'wait'
      AND c.parent = s.job
      AND c.status NOT IN ('completed', 'failed', 'cancelled'))
$$;

-- A parent that is cancelled leaves its children to `cancel_children`: whoever cancels locks one row, and no other. While
-- it waits for some of them it is held: its own cancellation is left, too, and nothing else wakes it. Answers the job as it
-- is then. job_changed() asks for it, so that it makes no difference by which way a job comes to be cancelled.
CREATE FUNCTION "tidemark".cancel_parent(job "tidemark".jobs, was "tidemark".jobs) RETURNS "tidemark".jobs LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_cancellations (child)
  SELECT c.id FROM "tidemark".job_steps s JOIN "tidemark".jobs c ON c.id = (s.output ->> 'child')::uuid
  WHERE s.job = was.id AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'cancel'
    -- One that another spawn has replaced is the job of that one.
    AND c.parent = s.job
  ON CONFLICT DO NOTHING;
  IF "tidemark".awaits_children(was.id) THEN
    INSERT INTO "tidemark".job_cancellations (child) VALUES (was.id) ON CONFLICT DO NOTHING;
    DELETE FROM "tidemark".job_waits w WHERE w.job = was.id;
    UPDATE "tidemark".jobs j
      SET status = "tidemark".job_after(was.status, was.requested, 'held'), requested = 'cancel', run_at = 'infinity',
        waiting = '{"for": "children", "then": "cancelled"}', finished_at = NULL, parked = NULL
      WHERE j.id = was.id RETURNING j.* INTO job;
  END IF;
  RETURN job;
END $$;

-- Cancels the children of cancelled parents, or asks those that run, and parents that were held. One that somebody holds
-- is left for the next time.
CREATE FUNCTION "tidemark".cancel_children() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  children uuid[];
BEGIN
  IF NOT EXISTS (SELECT FROM "tidemark".job_cancellations) THEN RETURN; END IF;
  children := ARRAY(
    SELECT j.id FROM "tidemark".jobs j JOIN "tidemark".job_cancellations c ON c.child = j.id
    WHERE j.requested IS DISTINCT FROM 'cancel' OR j.status <> 'scheduled' OR NOT "tidemark".awaits_children(j.id)
    ORDER BY j.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED);
  UPDATE "tidemark".jobs j
  SET requested = CASE WHEN j.status = 'running' THEN 'cancel' END,
    finished_at = CASE WHEN j.status = 'running' THEN j.finished_at ELSE clock_timestamp() END,
    status = "tidemark".job_after(j.status, j.requested, 'cancel'), parked = NULL, waiting = NULL
  WHERE j.id = ANY (children) AND "tidemark".job_after(j.status, j.requested, 'cancel') IS NOT NULL;
  -- One that is held itself by now stays.
  DELETE FROM "tidemark".job_cancellations c
  WHERE (c.child = ANY (children) AND NOT EXISTS (
      SELECT FROM "tidemark".jobs j WHERE j.id = c.child AND j.status = 'scheduled' AND j.requested = 'cancel'))
    OR NOT EXISTS (SELECT FROM "tidemark".jobs j WHERE j.id = c.child);
END $$;

-- The waits of jobs that have been woken otherwise: by their time, by an operator. Whoever claims a job leaves them.
-- They only take room, so one process walks along them, a page at a time, and every two seconds at most.
CREATE FUNCTION "tidemark".forget_waits(most integer DEFAULT 1000) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  began timestamptz := clock_timestamp();
  after uuid;
  page  uuid[];
BEGIN
  -- A time that far ahead is from a clock that was.
  SELECT c.forgotten INTO after FROM "tidemark".job_wait_cursor c
    WHERE c.forgets_at <= began OR c.forgets_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  page := ARRAY(SELECT w.job FROM "tidemark".job_waits w WHERE w.job > after ORDER BY w.job LIMIT most);
  DELETE FROM "tidemark".job_waits w WHERE w.job = ANY (page) AND NOT EXISTS (
    SELECT FROM "tidemark".jobs j WHERE j.id = w.job AND j.status IN ('scheduled', 'paused') AND j.waiting IS NOT NULL);
  UPDATE "tidemark".job_wait_cursor SET forgets_at = clock_timestamp() + interval '1.9 s',
    forgotten = coalesce(page[most], '00000000-0000-0000-0000-000000000000');
END $$;

-- Completing --------------------------------------------------------------------------------------

-- The fence of a batch: holds the rows of those that are still the process's own until the transaction ends. Sorted,
-- and only then locked.
CREATE FUNCTION "tidemark".fence_jobs(ids uuid[], tokens bigint[]) RETURNS SETOF uuid LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  RETURN QUERY
    SELECT j.id FROM "tidemark".jobs j
    JOIN unnest(ids, tokens) AS u (id, token) ON j.id = u.id AND j.token = u.token
    WHERE j.status = 'running' ORDER BY j.id FOR KEY SHARE OF j;
END $$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (6, 'job-work', false, '7b6b135e52951f15b044b7c25f2a45481f2fdf3dad0ca1fd98ff58d6e0b26c43');

-- 7 job-story
-- breaking: no
--
-- What is told of a job: its transitions as events in the outbox, for the jobs that ask for it; what led to it, and
-- what came of it: the chain from event to job to step to event, readable in SQL.

-- Whoever makes the transition, its event commits with it: an attempt, a rescue, an operator, SQL. `was` is the job as it
-- was before; NULL: it is new.
CREATE FUNCTION "tidemark".publish_transition(job "tidemark".jobs, was "tidemark".jobs) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  transition text := 'spawned';
BEGIN
  IF was.id IS NOT NULL THEN
    transition := CASE
      WHEN job.status = 'running' THEN 'started'
      WHEN job.status IN ('completed', 'failed', 'cancelled', 'paused') THEN job.status
      WHEN was.status = 'paused' THEN 'resumed'
      WHEN was.status IN ('failed', 'cancelled') THEN 'retried'
      WHEN was.status = 'running' AND job.status = 'scheduled' AND job.waiting IS NOT NULL THEN 'suspended'
      WHEN was.status = 'running' AND job.status = 'scheduled' THEN 'retried'
      WHEN was.status = 'running' AND job.error IS DISTINCT FROM was.error THEN 'rescued'
    END;
  END IF;
  IF transition = ANY (job.lifecycle) THEN
    INSERT INTO "tidemark".events (type, version, key, payload, correlation_id, causation_id, traceparent, tracestate)
    VALUES ('job.' || transition, 1, job.id::text,
      jsonb_build_object('job', job.id, 'name', job.name, 'queue', job.queue, 'attempt', job.attempt,
        'triggeredBy', job.triggered_by, 'parent', job.parent,
        'error', CASE WHEN transition IN ('failed', 'retried', 'rescued') THEN job.error END,
        -- The process that runs it, or did until now.
        'status', job.status, 'createdAt', job.created_at, 'process', coalesce(job.process, was.process)),
      coalesce(job.correlation_id, job.id::text), job.id::text, job.traceparent, job.tracestate);
  END IF;
END $$;

CREATE FUNCTION "tidemark".publish_job_spawn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM "tidemark".publish_transition(NEW, NULL);
  RETURN NULL;
END $$;

CREATE TRIGGER publish_job_spawn AFTER INSERT ON "tidemark".jobs FOR EACH ROW
  WHEN ('spawned' = ANY (NEW.lifecycle))
  EXECUTE FUNCTION "tidemark".publish_job_spawn();

-- Everything with the job's correlation that was recorded from `around` before its spawn to `around` after its end, as
-- a tree in the order of reading: depth, and the id of what caused each. Neither events nor jobs have an index on
-- their correlation, for which every publisher would pay: both are read as ranges of their primary keys, of each the first
-- and the last 50,000, because a job may wait for months. Jobs whose ids do not begin with the time (spawned in SQL, say)
-- are found by their parents only.
CREATE FUNCTION "tidemark".job_trace(job uuid, around interval DEFAULT '1 hour')
RETURNS TABLE (depth integer, kind text, id text, cause text, name text, status text, at timestamptz,
  ended_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  subject "tidemark".jobs%ROWTYPE;
  chain   text;
  began   timestamptz;
  ended   timestamptz;
  most    CONSTANT integer := 50000;
  first_id uuid;
  last_id uuid;
  low     bigint;
  high    bigint;
  middle  bigint;
BEGIN
  SELECT j.* INTO subject FROM "tidemark".jobs j WHERE j.id = job_trace.job;
  IF NOT FOUND THEN RETURN; END IF;
  -- What a job without a correlation causes has the job's id as its own.
  chain := coalesce(subject.correlation_id, subject.id::text);
  -- Whatever a clock, or somebody by hand, has written there.
  began := least(greatest(subject.created_at, 'epoch'), clock_timestamp()) - around;
  ended := least(greatest(coalesce(subject.finished_at, 'infinity'), 'epoch'), clock_timestamp()) + around;
  first_id := (lpad(to_hex(greatest(extract(epoch FROM began) * 1000, 0)::bigint), 12, '0') || repeat('0', 20))::uuid;
  last_id := (lpad(to_hex(greatest(extract(epoch FROM ended) * 1000, 0)::bigint), 12, '0') || repeat('f', 20))::uuid;
  low := "tidemark".sequence_at(began - interval '1 minute');
  high := "tidemark".sequence_at(ended + interval '1 minute');
  middle := greatest(low + most, high - most);
  RETURN QUERY
    WITH RECURSIVE found_jobs AS (
      SELECT j.* FROM "tidemark".jobs j WHERE j.id IN (
        SELECT subject.id
        UNION SELECT c.id FROM "tidemark".jobs c WHERE c.parent = subject.id
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM "tidemark".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id LIMIT most) AS f
        WHERE f.correlation_id = chain
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM "tidemark".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id DESC LIMIT most) AS f
        WHERE f.correlation_id = chain)
    ), found_steps AS (
      SELECT s.job, s.step, s.kind, s.started_at, s.completed_at,
        "tidemark".step_status(j.status, s.position, s.error) AS status
      FROM found_jobs j JOIN "tidemark".job_steps s ON s.job = j.id
    ), nodes AS (
      SELECT 'event' AS kind, e.id::text AS id, e.type AS name, 'published' AS status, e.recorded_at AS at,
        e.recorded_at AS ended_at, coalesce(
          (SELECT s.job || '#' || s.step FROM found_steps s
           WHERE s.job::text = e.causation_id AND s.step = e.metadata ->> 'tidemark.step'),
          e.causation_id) AS cause
      FROM (
        SELECT f.* FROM "tidemark".events f WHERE f.sequence >= low AND f.sequence < least(high, low + most)
        UNION ALL
        SELECT f.* FROM "tidemark".events f WHERE f.sequence >= middle AND f.sequence < high) AS e
      WHERE e.correlation_id = chain OR e.id::text = chain
      UNION ALL
      SELECT 'job', j.id::text, j.name, j.status, j.created_at, j.finished_at, coalesce(j.causation_id, j.parent::text)
      FROM found_jobs j
      UNION ALL
      SELECT s.kind, s.job || '#' || s.step, s.step, s.status,
        s.started_at, s.completed_at, s.job::text
      FROM found_steps s
    ), tree AS (
      SELECT 0 AS depth, n.*, ARRAY[to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id] AS place
      FROM nodes n WHERE n.cause IS NULL OR NOT EXISTS (SELECT FROM nodes c WHERE c.id = n.cause)
      UNION ALL
      SELECT t.depth + 1, n.*, t.place || (to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id)
      FROM tree t JOIN nodes n ON n.cause = t.id
      WHERE NOT n.id = ANY (SELECT right(p, length(n.id)) FROM unnest(t.place) AS p)
    )
    SELECT t.depth, t.kind, t.id, t.cause, t.name, t.status, t.at, t.ended_at FROM tree t ORDER BY t.place;
END $$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (7, 'job-story', false, 'fcde26ec676c2263e5a1c79e26bbb37886e550b136e5f7fbc3f33a979952dc33');

-- 8 states
-- breaking: no
--
-- States of the package @tidemark/stores in Postgres. Nothing of Tidemark's own reads or writes them.

-- A row per key, live or remembered.
--
-- INVARIANT: version and token never fall, not over a deletion or an expiry either, until the row is forgotten.
CREATE TABLE "tidemark".states (
  store      text        NOT NULL,
  key        text        COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  expires_at timestamptz,
  -- From when on the row may be removed: a while after its end, so that a late write is still recognised.
  forget_at  timestamptz,
  version    bigint      NOT NULL,
  token      bigint      NOT NULL,
  -- Of the write that made it: one that is repeated because its answer was lost finds itself.
  write_id   text        NOT NULL,
  name       text,
  status     text,
  fields     jsonb       NOT NULL,
  -- The value as its codec wrote it. NULL: deleted.
  body       text,
  PRIMARY KEY (store, key)
);

CREATE INDEX states_created ON "tidemark".states (store, created_at DESC, key DESC);
CREATE INDEX states_status ON "tidemark".states (store, status, created_at DESC, key DESC) WHERE status IS NOT NULL;
CREATE INDEX states_fields ON "tidemark".states USING gin (fields jsonb_path_ops);
CREATE INDEX states_forget ON "tidemark".states (forget_at) WHERE forget_at IS NOT NULL;

-- Judges a write and makes it, under the lock of its row. What is kept under the key afterwards, and what became of the
-- write: written, fenced, exists, missing or conflict, in the order of StateBackend. `changes` names what is given: what
-- an update does not name stays, what another write does not name is empty. No row: missing, and nothing is kept.
CREATE FUNCTION "tidemark".write_state(in_store text, in_key text, op text, in_write_id text, in_token bigint,
  if_version bigint, changes text[], in_body text, in_name text, in_status text, in_fields jsonb, ttl double precision,
  remember double precision)
RETURNS TABLE (outcome text, state "tidemark".states, live boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  at      timestamptz;
  current "tidemark".states%ROWTYPE;
  next    "tidemark".states%ROWTYPE;
  there   boolean;
  lives   boolean;
  keeps   boolean;
BEGIN
  LOOP
    SELECT s.* INTO current FROM "tidemark".states s WHERE s.store = in_store AND s.key = in_key FOR UPDATE;
    there := FOUND;
    -- After the lock: whoever held it may have written at a later time than this call began. Milliseconds, so that
    -- what is read compares with what is stored.
    at := date_trunc('milliseconds', clock_timestamp());
    IF there AND current.forget_at <= at THEN
      DELETE FROM "tidemark".states s WHERE s.store = in_store AND s.key = in_key;
      there := false;
    END IF;
    lives := there AND current.body IS NOT NULL AND (current.expires_at IS NULL OR current.expires_at > at);
    IF there AND current.write_id = in_write_id THEN
      RETURN QUERY SELECT 'written', current, lives;
      RETURN;
    END IF;
    outcome := CASE
      WHEN there AND in_token < current.token THEN 'fenced'
      WHEN lives AND op = 'create' THEN 'exists'
      WHEN NOT lives AND op IN ('update', 'delete') THEN 'missing'
      WHEN if_version IS NULL OR if_version = CASE WHEN there THEN current.version ELSE 0 END THEN 'written'
      WHEN there THEN 'conflict'
      ELSE 'missing'
    END;
    IF outcome <> 'written' THEN
      IF there THEN RETURN QUERY SELECT outcome, current, lives; END IF;
      RETURN;
    END IF;

    keeps := lives AND op = 'update';
    next.store := in_store;
    next.key := in_key;
    next.write_id := in_write_id;
    next.token := in_token;
    next.version := CASE WHEN there THEN current.version ELSE 0 END + 1;
    -- A clock that was set back must not make it younger than it was.
    next.updated_at := CASE WHEN there THEN greatest(at, current.updated_at) ELSE at END;
    next.created_at := CASE WHEN lives THEN current.created_at ELSE next.updated_at END;
    IF op = 'delete' THEN
      next.fields := '{}';
      next.expires_at := at;
    ELSE
      next.body := CASE WHEN 'value' = ANY (changes) OR NOT keeps THEN in_body ELSE current.body END;
      next.name := CASE WHEN 'name' = ANY (changes) OR NOT keeps THEN in_name ELSE current.name END;
      next.status := CASE WHEN 'status' = ANY (changes) OR NOT keeps THEN in_status ELSE current.status END;
      next.fields := CASE WHEN 'fields' = ANY (changes) OR NOT keeps THEN coalesce(in_fields, '{}') ELSE current.fields END;
      next.expires_at := CASE WHEN 'ttl' = ANY (changes) OR NOT keeps THEN at + ttl * interval '1 ms'
        ELSE current.expires_at END;
    END IF;
    next.forget_at := next.expires_at + remember * interval '1 ms';

    IF there THEN
      UPDATE "tidemark".states s SET created_at = next.created_at, updated_at = next.updated_at,
        expires_at = next.expires_at, forget_at = next.forget_at, version = next.version, token = next.token,
        write_id = next.write_id, name = next.name, status = next.status, fields = next.fields, body = next.body
      WHERE s.store = in_store AND s.key = in_key;
    ELSE
      INSERT INTO "tidemark".states SELECT next.* ON CONFLICT DO NOTHING;
      -- Somebody else has made the row since it was looked for: it is judged by what that one wrote.
      CONTINUE WHEN NOT FOUND;
    END IF;
    RETURN QUERY SELECT 'written', next, next.body IS NOT NULL;
    RETURN;
  END LOOP;
END $$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (8, 'states', false, '1cc07aa659072f88428c394f1567d90efad87d9c837b94fce086a2a8691c39fc');

-- 9 job-changes
-- breaking: no
--
-- What follows from a change of a job, whoever makes it; and how many jobs of each type are in each status, without
-- reading them.

-- Counts ------------------------------------------------------------------------------------------

-- As far as changes were folded. A job that runs is counted as queued: that it runs is seen in the few that do, and so
-- a claim has nothing to count.
CREATE TABLE "tidemark".job_counts (
  name   text   NOT NULL,
  status text   NOT NULL,
  jobs   bigint NOT NULL,
  PRIMARY KEY (name, status)
) WITH (fillfactor = 50);

-- What has changed since. Whoever spawns, settles or deletes jobs adds rows, in the same transaction, and waits for
-- nobody: as rows of job_counts that are changed in place, a long transaction that completes a job would hold up all
-- others that do.
CREATE TABLE "tidemark".job_count_changes (
  name   text   NOT NULL,
  status text   NOT NULL,
  jobs   bigint NOT NULL
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE "tidemark".job_count_changes REPLICA IDENTITY FULL;

-- When changes are folded next. Whoever folds holds the row.
CREATE TABLE "tidemark".job_count_turn (
  one      boolean     PRIMARY KEY DEFAULT true CHECK (one),
  folds_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

INSERT INTO "tidemark".job_count_turn DEFAULT VALUES;

CREATE FUNCTION "tidemark".count_spawned_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
  SELECT a.name, CASE a.status WHEN 'running' THEN 'queued' ELSE a.status END, count(*) FROM added a GROUP BY 1, 2;
  RETURN NULL;
END $$;

CREATE FUNCTION "tidemark".count_deleted_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
  SELECT d.name, CASE d.status WHEN 'running' THEN 'queued' ELSE d.status END, -count(*) FROM deleted d GROUP BY 1, 2;
  RETURN NULL;
END $$;

CREATE FUNCTION "tidemark".forget_job_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM "tidemark".job_counts;
  DELETE FROM "tidemark".job_count_changes;
  RETURN NULL;
END $$;

CREATE TRIGGER count_spawned_jobs AFTER INSERT ON "tidemark".jobs REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION "tidemark".count_spawned_jobs();
CREATE TRIGGER count_deleted_jobs AFTER DELETE ON "tidemark".jobs REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION "tidemark".count_deleted_jobs();
CREATE TRIGGER forget_job_counts AFTER TRUNCATE ON "tidemark".jobs
  FOR EACH STATEMENT EXECUTE FUNCTION "tidemark".forget_job_counts();

-- Changes -----------------------------------------------------------------------------------------

-- The job as it is after all, and what it was: its children are cancelled, who waits for it is told, its turn of a key
-- ends, its transition is published, and it is counted.
CREATE FUNCTION "tidemark".job_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  job "tidemark".jobs := NEW;
BEGIN
  -- It was held by cancel_parent(), and whoever has asked for that goes on with what it is now.
  IF OLD.status = 'cancelled' AND NEW.status = 'scheduled' AND NEW.requested = 'cancel' THEN RETURN NULL; END IF;
  IF job.status = 'cancelled' AND OLD.status <> 'cancelled' THEN job := "tidemark".cancel_parent(NEW, OLD); END IF;
  IF (job.parent IS NOT NULL OR job.awaited) AND job.status IN ('completed', 'failed', 'cancelled')
    AND OLD.status NOT IN ('completed', 'failed', 'cancelled')
  THEN
    INSERT INTO "tidemark".job_wakes (child) VALUES (OLD.id);
  END IF;
  IF OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit') AND OLD.status IN ('queued', 'running')
    AND NOT ((job.parked IS NULL OR job.parked = 'limit') AND job.status IN ('queued', 'running')
      AND job.concurrency_key IS NOT DISTINCT FROM OLD.concurrency_key AND job.name = OLD.name)
  THEN
    INSERT INTO "tidemark".job_key_releases (key) VALUES (OLD.turn_key);
  END IF;
  IF job.lifecycle IS NOT NULL AND job.status <> OLD.status THEN
    PERFORM "tidemark".publish_transition(job, OLD);
  END IF;
  IF (job.name <> OLD.name OR job.status <> OLD.status AND NOT (
      OLD.status IN ('queued', 'running') AND job.status IN ('queued', 'running')))
    AND current_setting('tidemark.jobs_counted', true) IS DISTINCT FROM 'yes'
  THEN
    INSERT INTO "tidemark".job_count_changes (name, status, jobs) VALUES
      (OLD.name, CASE OLD.status WHEN 'running' THEN 'queued' ELSE OLD.status END, -1),
      (job.name, CASE job.status WHEN 'running' THEN 'queued' ELSE job.status END, 1);
  END IF;
  RETURN NULL;
END $$;

-- One for all, because each change asks the conditions of each trigger, and after the change: a table with a trigger before
-- changes of rows has each row locked first, and the lock logged. For each row, and without tables of what was and is, which
-- all updates would pay for, claims among them. complete_jobs() counts for itself, by the batch.
CREATE TRIGGER job_changed AFTER UPDATE ON "tidemark".jobs FOR EACH ROW
  WHEN (NEW.lifecycle IS NOT NULL OR NEW.parent IS NOT NULL OR NEW.awaited OR OLD.concurrency_key IS NOT NULL
    OR OLD.name <> NEW.name
    OR (OLD.status <> NEW.status AND NOT (OLD.status IN ('queued', 'running') AND NEW.status IN ('queued', 'running'))
      AND current_setting('tidemark.jobs_counted', true) IS DISTINCT FROM 'yes'))
  EXECUTE FUNCTION "tidemark".job_changed();

-- Completes the jobs of a process, many at once; answers those that were still its own. `outputs` and `output_metas`
-- are null when no job has an output. A function, because its settings pin the plan: a prepared statement that was
-- planned while the table was small would read all of it, later, until it is analysed.
--
-- And the plan is always the generic one: along the given jobs, by the primary key. A plan made for the very arrays
-- counts their elements, finds that statistics know of no running job, and reads the whole table's index to find "the
-- one" first, then compares each running job with each given one. The first five executions on each connection were
-- planned so.
--
-- INVARIANT: the ids come in order, as from everybody who locks several.
CREATE FUNCTION "tidemark".complete_jobs(ids uuid[], tokens bigint[], outputs jsonb[], output_metas jsonb[])
RETURNS uuid[] LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  completed uuid[];
  names     text[];
BEGIN
  -- Not with the function's other settings: only a superuser may store one that the server does not know.
  PERFORM set_config('tidemark.jobs_counted', 'yes', true);
  IF outputs IS NULL THEN
    WITH done AS (
      UPDATE "tidemark".jobs j SET status = 'completed', finished_at = clock_timestamp(), requested = NULL
      FROM unnest(ids, tokens) AS u (id, token)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  ELSE
    WITH done AS (
      UPDATE "tidemark".jobs j
      SET status = 'completed', finished_at = clock_timestamp(), output = u.output, output_meta = u.output_meta,
        requested = NULL
      FROM unnest(ids, tokens, outputs, output_metas) AS u (id, token, output, output_meta)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  END IF;
  PERFORM set_config('tidemark.jobs_counted', 'no', true);
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
    SELECT c.name, s.status, s.sign * c.jobs FROM (SELECT n AS name, count(*) AS jobs FROM unnest(names) AS n GROUP BY 1) c,
      (VALUES ('queued', -1), ('completed', 1)) AS s (status, sign);
  RETURN coalesce(completed, '{}');
END $$;

-- How many jobs there are, by what was counted. One statement, and so one snapshot: what it answers was true.
CREATE FUNCTION "tidemark".counted_jobs() RETURNS TABLE (name text, status text, jobs bigint)
LANGUAGE sql STABLE AS $$
  SELECT c.name, c.status, sum(c.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs FROM "tidemark".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs FROM "tidemark".job_count_changes h
    UNION ALL
    SELECT r.name, s.status, s.sign * r.jobs FROM (
      SELECT j.name, count(*) AS jobs FROM "tidemark".jobs j
      WHERE j.status = 'running' AND j.process IS NOT NULL GROUP BY 1) AS r,
      (VALUES ('running', 1), ('queued', -1)) AS s (status, sign)) AS c
  GROUP BY 1, 2 HAVING sum(c.jobs) <> 0
$$;

-- Folds what has changed. One process does so at a time, and, where a snapshot that is held elsewhere keeps what was
-- folded in its way, once in as long as makes it a fiftieth of the time.
CREATE FUNCTION "tidemark".fold_job_counts(most integer DEFAULT 20000) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
BEGIN
  -- A time that far ahead is from a clock that was.
  PERFORM FROM "tidemark".job_count_turn t
    WHERE t.folds_at <= began OR t.folds_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  WITH folded AS (
    DELETE FROM "tidemark".job_count_changes h
    WHERE h.ctid = ANY (ARRAY(SELECT i.ctid FROM "tidemark".job_count_changes i LIMIT most))
    RETURNING h.name, h.status, h.jobs)
  INSERT INTO "tidemark".job_counts AS k (name, status, jobs)
    SELECT f.name, f.status, sum(f.jobs) FROM folded f GROUP BY 1, 2 HAVING sum(f.jobs) <> 0
    ON CONFLICT (name, status) DO UPDATE SET jobs = k.jobs + excluded.jobs;
  DELETE FROM "tidemark".job_counts k WHERE k.jobs = 0;
  UPDATE "tidemark".job_count_turn SET folds_at = clock_timestamp()
    + greatest(interval '1 s', least(49 * (clock_timestamp() - began), interval '1 minute'));
END $$;

-- Types and statuses whose count is not what it should be, and by how much: somebody has changed jobs with triggers
-- disabled. Reads all jobs.
CREATE FUNCTION "tidemark".miscounted_jobs() RETURNS TABLE (name text, status text, counted bigint, jobs bigint)
LANGUAGE sql STABLE AS $$
  SELECT a.name, a.status, sum(a.counted)::bigint, sum(a.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs AS counted, 0 AS jobs FROM "tidemark".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs, 0 FROM "tidemark".job_count_changes h
    UNION ALL
    SELECT j.name, CASE j.status WHEN 'running' THEN 'queued' ELSE j.status END, 0, count(*)
    FROM "tidemark".jobs j GROUP BY 1, 2) AS a
  GROUP BY 1, 2 HAVING sum(a.counted) <> sum(a.jobs)
$$;

-- Makes the counts agree with the jobs again, while others work: the difference is that of one snapshot, in which
-- changes and what they count are together.
CREATE FUNCTION "tidemark".recount_jobs() RETURNS bigint LANGUAGE sql AS $$
  WITH added AS (
    INSERT INTO "tidemark".job_count_changes (name, status, jobs)
    SELECT m.name, m.status, m.jobs - m.counted FROM "tidemark".miscounted_jobs() m RETURNING 1)
  SELECT count(*) FROM added
$$;

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (9, 'job-changes', false, '557fbe796bc26b3caf24487cbec1212370c204760dcd848c7203d3803c253b59');

-- 10 operations
-- breaking: no
--
-- What is kept for those who look after the system: who steered what, and how things stood.

-- Every action by which somebody changed something from outside, through HTTP, the console or the command line. A row
-- is written before the action and completed after it: one without an outcome is under way, or its process has died.
-- Workers delete what is old; there are never many more than 100,000 rows.
CREATE TABLE "tidemark".audit (
  id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- By which way it came: http, console or cli.
  via      text        NOT NULL,
  -- Who did it, as that way knows it; and as which user of the database, which nobody can choose.
  by       text        NOT NULL,
  db_user  text        NOT NULL DEFAULT session_user,
  action   text        NOT NULL,
  -- What it is about, when that has a name.
  kind     text,
  name     text,
  -- What was asked for beside that, without payloads.
  asked    jsonb       NOT NULL DEFAULT '{}',
  outcome  text        CHECK (outcome IN ('done', 'refused', 'failed')),
  -- The code of the error.
  code     text,
  -- Of what came of it: ids and numbers.
  result   jsonb       NOT NULL DEFAULT '{}',
  ended_at timestamptz
);

-- How things stood, minute by minute. The first worker whose maintenance comes to a minute writes it; what is older than
-- a day is deleted: there are 1,440 rows.
CREATE TABLE "tidemark".samples (
  at            timestamptz PRIMARY KEY,
  last_sequence bigint      NOT NULL,
  -- The sum of what listeners have come past: its growth is what they handle, all together.
  handled       bigint      NOT NULL,
  -- Of the listener that is furthest behind.
  lag_seconds   float8      NOT NULL,
  dead_letters  integer     NOT NULL,
  processes     integer     NOT NULL,
  queued        bigint      NOT NULL,
  running       bigint      NOT NULL,
  failed        bigint      NOT NULL
);

INSERT INTO "tidemark".migrations (version, name, breaking, checksum) VALUES (10, 'operations', false, '86b689a90cd3fe773f8766ee123b6adc515c3464ecda41ffad0fd5649631ab47');

COMMIT;


CREATE TABLE letters (sequence bigint NOT NULL, about text NOT NULL);
CREATE TABLE ledger (sequence bigint NOT NULL);
CREATE TABLE orders (id text PRIMARY KEY, cents bigint NOT NULL);

ALTER TABLE public.ledger DISABLE TRIGGER USER;
DELETE FROM public.ledger;
INSERT INTO public.ledger (sequence) OVERRIDING SYSTEM VALUE VALUES
('1'),
('2'),
('3'),
('4');
ALTER TABLE public.ledger ENABLE TRIGGER USER;
ALTER TABLE public.letters DISABLE TRIGGER USER;
DELETE FROM public.letters;
INSERT INTO public.letters (sequence, about) OVERRIDING SYSTEM VALUE VALUES
('1', 'a'),
('2', 'a'),
('3', 'a'),
('4', 'b'),
('6', 'c');
ALTER TABLE public.letters ENABLE TRIGGER USER;
ALTER TABLE public.orders DISABLE TRIGGER USER;
DELETE FROM public.orders;
INSERT INTO public.orders (id, cents) OVERRIDING SYSTEM VALUE VALUES
('a', '123'),
('b', '1000'),
('bad', '5'),
('c', '7');
ALTER TABLE public.orders ENABLE TRIGGER USER;
ALTER TABLE tidemark.doorbells DISABLE TRIGGER USER;
DELETE FROM tidemark.doorbells;
INSERT INTO tidemark.doorbells (process, armed, since) OVERRIDING SYSTEM VALUE VALUES
('da1b13c2-ba68-414d-8320-0d9142a0a143', 'true', '2026-11-29 18:45:10.972994+00');
ALTER TABLE tidemark.doorbells ENABLE TRIGGER USER;
ALTER TABLE tidemark.events DISABLE TRIGGER USER;
DELETE FROM tidemark.events;
INSERT INTO tidemark.events (sequence, recorded_at, xid, stream_version, id, version, type, stream, key, payload, payload_meta, correlation_id, causation_id, traceparent, tracestate, metadata) OVERRIDING SYSTEM VALUE VALUES
('1', '2026-11-29 18:45:11.080027+00', '790', '1', '97a0eaa8-a8d8-4e31-bc56-08702d57608a', '1', 'shop.placed', 'order-a', NULL, '{"at": "2026-01-01T12:00:00.000Z", "cents": "100", "order": "a"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('2', '2026-11-29 18:45:11.132838+00', '791', '2', 'be7159fc-f3d4-4614-9056-11e5de18fe8f', '1', 'shop.placed', 'order-a', NULL, '{"at": "2026-01-01T12:00:00.000Z", "cents": "20", "order": "a"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('3', '2026-11-29 18:45:11.220073+00', '793', '3', '6a206411-710a-40d5-a77a-a88f0091713e', '1', 'shop.placed', 'order-a', NULL, '{"at": "2026-01-01T12:00:00.000Z", "cents": "3", "order": "a"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('4', '2026-11-29 18:45:11.341448+00', '800', NULL, '51157190-56c1-457d-ab2b-c2c86e1e717a', '1', 'shop.placed', NULL, NULL, '{"at": "2026-01-01T12:00:00.000Z", "cents": "1000", "order": "b"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('5', '2026-11-29 18:45:11.506147+00', '807', NULL, '99e33bae-83cb-40b2-81ab-a6a4db0bcdf4', '1', 'shop.placed', NULL, 'bad', '{"at": "2026-01-01T12:00:00.000Z", "cents": "5", "order": "bad"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('6', '2026-11-29 18:45:11.543065+00', '812', NULL, 'aa5b548d-e0c1-4d69-a887-a286dd59c7b8', '1', 'shop.placed', NULL, NULL, '{"at": "2026-01-01T12:00:00.000Z", "cents": "7", "order": "c"}', '{"v": 1, "values": {"at": ["Date"], "cents": ["bigint"]}}', NULL, NULL, NULL, NULL, NULL),
('7', '2026-11-29 18:45:11.649046+00', '827', NULL, 'a0833cbe-c9d6-4fcd-bea6-0c589d9596af', '1', 'job.failed', NULL, '01a228a0-1d0f-7000-addc-458ab55a58f2', E'{"job": "01a228a0-1d0f-7000-addc-458ab55a58f2", "name": "broken", "error": {"name": "Error", "stack": "Error: this order is too much for the old release", "message": "this order is too much for the old release"}, "queue": "default", "parent": null, "status": "failed", "attempt": 1, "process": "da1b13c2-ba68-414d-8320-0d9142a0a143", "createdAt": "2026-11-29T18:45:11.569438+00:00", "triggeredBy": "system"}', NULL, '01a228a0-1d0f-7000-addc-458ab55a58f2', '01a228a0-1d0f-7000-addc-458ab55a58f2', NULL, NULL, NULL);
ALTER TABLE tidemark.events ENABLE TRIGGER USER;
ALTER TABLE tidemark.idempotency_keys DISABLE TRIGGER USER;
DELETE FROM tidemark.idempotency_keys;
INSERT INTO tidemark.idempotency_keys (key, sequence, recorded_at) OVERRIDING SYSTEM VALUE VALUES
('order b', '4', '2026-11-29 18:45:11.339705+00');
ALTER TABLE tidemark.idempotency_keys ENABLE TRIGGER USER;
ALTER TABLE tidemark.installation DISABLE TRIGGER USER;
DELETE FROM tidemark.installation;
INSERT INTO tidemark.installation (id, only_one) OVERRIDING SYSTEM VALUE VALUES
('06f8d7e2-c50e-4bf4-a9aa-0ac6fa036a33', 'true');
ALTER TABLE tidemark.installation ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_count_changes DISABLE TRIGGER USER;
DELETE FROM tidemark.job_count_changes;
INSERT INTO tidemark.job_count_changes (name, status, jobs) OVERRIDING SYSTEM VALUE VALUES
('broken', 'failed', '1'),
('broken', 'queued', '-1'),
('broken', 'queued', '1'),
('import', 'queued', '1'),
('import', 'queued', '1'),
('invoice', 'queued', '-1'),
('invoice', 'queued', '1'),
('invoice', 'scheduled', '1'),
('later', 'paused', '1'),
('later', 'scheduled', '-1'),
('later', 'scheduled', '1'),
('later', 'scheduled', '1'),
('report', 'completed', '1'),
('report', 'queued', '-1'),
('report', 'queued', '1'),
('retired', 'queued', '1');
ALTER TABLE tidemark.job_count_changes ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_count_turn DISABLE TRIGGER USER;
DELETE FROM tidemark.job_count_turn;
INSERT INTO tidemark.job_count_turn (one, folds_at) OVERRIDING SYSTEM VALUE VALUES
('true', '-infinity');
ALTER TABLE tidemark.job_count_turn ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_doorbells DISABLE TRIGGER USER;
DELETE FROM tidemark.job_doorbells;
INSERT INTO tidemark.job_doorbells (process, armed) OVERRIDING SYSTEM VALUE VALUES
('da1b13c2-ba68-414d-8320-0d9142a0a143', 'true');
ALTER TABLE tidemark.job_doorbells ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_wait_cursor DISABLE TRIGGER USER;
DELETE FROM tidemark.job_wait_cursor;
INSERT INTO tidemark.job_wait_cursor (one, sequence, seen, forgets_at, forgotten) OVERRIDING SYSTEM VALUE VALUES
('true', '7', '847:847:', '-infinity', '00000000-0000-0000-0000-000000000000');
ALTER TABLE tidemark.job_wait_cursor ENABLE TRIGGER USER;
ALTER TABLE tidemark.jobs DISABLE TRIGGER USER;
DELETE FROM tidemark.jobs;
INSERT INTO tidemark.jobs (id, created_at, run_at, token, priority, attempt, version, needs, concurrency_limit, deaths, limited, successor, status, name, queue, parked, requested, process, started_at, finished_at, parent, concurrency_key, turn_key, rate_key, unique_key, awaited, request, triggered_by, correlation_id, causation_id, traceparent, tracestate, input, input_meta, context, context_meta, output, output_meta, error, waiting, lifecycle) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1cff-7000-824a-5659fe7d73f9', '2026-11-29 18:45:11.557573+00', '2026-11-29 18:45:11.557002+00', '1', '0', '1', '1', '1', '1', '0', 'false', 'false', 'completed', 'report', 'default', NULL, NULL, 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:11.571751+00', '2026-11-29 18:45:11.650288+00', NULL, NULL, NULL, NULL, NULL, 'false', NULL, 'system', NULL, NULL, NULL, NULL, 'null', NULL, NULL, NULL, '{"key": "0d807b27-ed54-4494-90b6-09197cea0635", "size": 575}', '{"values": [["custom", "tidemark.output"]]}', NULL, NULL, NULL),
('01a228a0-1d0f-7000-addc-458ab55a58f2', '2026-11-29 18:45:11.569438+00', '2026-11-29 18:45:11.568993+00', '1', '0', '1', '1', '1', '1', '0', 'false', 'false', 'failed', 'broken', 'default', NULL, NULL, NULL, '2026-11-29 18:45:11.572655+00', '2026-11-29 18:45:11.642488+00', NULL, NULL, NULL, NULL, NULL, 'false', NULL, 'system', NULL, NULL, NULL, NULL, 'null', NULL, NULL, NULL, NULL, NULL, E'{"name": "Error", "stack": "Error: this order is too much for the old release", "message": "this order is too much for the old release"}', NULL, '{failed,completed}'),
('01a228a0-1d15-7000-93d7-c4ec1ff014b0', '2026-11-29 18:45:11.573607+00', 'infinity', '1', '0', '0', '1', '1', '1', '0', 'false', 'false', 'scheduled', 'invoice', 'default', NULL, NULL, NULL, '2026-11-29 18:45:11.663021+00', NULL, NULL, NULL, NULL, NULL, NULL, 'false', NULL, 'system', NULL, NULL, NULL, NULL, '{"order": "a"}', NULL, NULL, NULL, NULL, NULL, NULL, '{"id": "paid", "for": "event", "key": "a", "target": "shop.paid"}', NULL),
('01a228a0-1d1a-7000-bd29-4de9ca6dbe14', '2026-11-29 18:45:11.578964+00', '2026-11-29 18:45:11.578843+00', '1', '0', '1', '1', '1', '1', '0', 'false', 'false', 'running', 'import', 'default', NULL, NULL, 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:11.663306+00', NULL, NULL, 'supplier', 'import supplier', NULL, NULL, 'false', NULL, 'system', NULL, NULL, NULL, NULL, '{"pages": 3}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('01a228a0-1d79-7000-80a5-07a1216fdf9f', '2026-11-29 18:45:11.67489+00', '2026-11-29 18:45:11.674744+00', '0', '0', '0', '1', '1', '1', '0', 'false', 'false', 'queued', 'import', 'default', 'key', NULL, NULL, NULL, NULL, NULL, 'supplier', 'import supplier', NULL, NULL, 'false', NULL, 'system', NULL, NULL, NULL, NULL, '{"pages": 2}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('01a228a0-1d7f-7000-9ef7-0d3776e4815b', '2026-11-29 18:45:11.681589+00', '2999-01-01 00:00:00+00', '0', '0', '0', '1', '1', '1', '0', 'false', 'false', 'scheduled', 'later', 'default', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'the year 2999', 'false', NULL, 'system', NULL, NULL, NULL, NULL, '{"what": "the year 2999"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('01a228a0-1d85-7000-8443-4b66ee26beae', '2026-11-29 18:45:11.686556+00', '2999-01-01 00:00:00+00', '0', '0', '0', '1', '1', '1', '0', 'false', 'false', 'paused', 'later', 'default', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'paused', 'false', NULL, 'system', NULL, NULL, NULL, NULL, '{"what": "paused"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('17711ad3-a344-46dd-9f85-ddb39c0c05d5', '2026-11-29 18:45:11.729594+00', '2026-11-29 18:45:11.70132+00', '0', '0', '0', '1', '1', '1', '0', 'false', 'false', 'queued', 'retired', 'default', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'false', NULL, 'sql', NULL, NULL, NULL, NULL, '{"left": "behind"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
ALTER TABLE tidemark.jobs ENABLE TRIGGER USER;
ALTER TABLE tidemark.listeners DISABLE TRIGGER USER;
DELETE FROM tidemark.listeners;
INSERT INTO tidemark.listeners (name, kind, mode, version, generation, partitions, resize_to, resize_at, last_generation, rebuild_generation, rebuild_version, rebuild_partitions, rebuild_paused, rebuild_started_at, status, definition, updated_at) OVERRIDING SYSTEM VALUE VALUES
('by-order', 'projection', 'async', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'active', '{"types": ["shop.placed"], "tables": [], "aliases": []}', '2026-11-29 18:45:10.776528+00'),
('count', 'projection', 'inline', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'active', '{"types": ["shop.placed"], "tables": [], "aliases": []}', '2026-11-29 18:45:10.790608+00'),
('ledger', 'listener', 'async', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'halted', '{"types": ["shop.placed"], "tables": [], "aliases": []}', '2026-11-29 18:45:11.598649+00'),
('letters', 'listener', 'async', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'active', '{"types": ["shop.placed"], "tables": [], "aliases": []}', '2026-11-29 18:45:10.883399+00'),
('orders', 'projection', 'async', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'active', E'{"types": ["shop.placed"], "tables": ["\\"public\\".\\"orders\\""], "aliases": []}', '2026-11-29 18:45:10.893398+00'),
('turnover', 'projection', 'async', '1', '1', '1', NULL, NULL, '1', NULL, NULL, NULL, 'false', NULL, 'active', '{"types": ["shop.placed"], "tables": [], "aliases": []}', '2026-11-29 18:45:10.906533+00');
ALTER TABLE tidemark.listeners ENABLE TRIGGER USER;
ALTER TABLE tidemark.processes DISABLE TRIGGER USER;
DELETE FROM tidemark.processes;
INSERT INTO tidemark.processes (id, hostname, pid, library, definitions, started_at, heartbeat_at, vitals) OVERRIDING SYSTEM VALUE VALUES
('da1b13c2-ba68-414d-8320-0d9142a0a143', 'host', '29158', 'tidemark', '[{"kind": "listener", "name": "letters", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1}}, {"kind": "listener", "name": "ledger", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1}}, {"kind": "projection", "name": "turnover", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1, "the state of turnover": 1}}, {"kind": "projection", "name": "by-order", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1, "the state of by-order": 1}}, {"kind": "projection", "name": "orders", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1}}, {"kind": "projection", "name": "count", "types": ["shop.placed"], "version": 1, "versions": {"shop.placed": 1, "the state of count": 1}}, {"kind": "job", "name": "invoice", "input": {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "required": ["order"], "properties": {"order": {"type": "string"}}}, "queue": "default", "state": null, "output": null, "aliases": [], "version": 1}, {"kind": "job", "name": "report", "input": {"type": "null", "$schema": "https://json-schema.org/draft/2020-12/schema"}, "queue": "default", "state": null, "output": null, "aliases": [], "version": 1}, {"kind": "job", "name": "import", "input": {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "required": ["pages"], "properties": {"pages": {"type": "number"}}}, "queue": "default", "state": {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "default": {"page": 0}, "required": ["page"], "properties": {"page": {"type": "number"}}}, "output": null, "aliases": [], "version": 1}, {"kind": "job", "name": "broken", "input": {"type": "null", "$schema": "https://json-schema.org/draft/2020-12/schema"}, "queue": "default", "state": null, "output": null, "aliases": [], "version": 1}, {"kind": "job", "name": "later", "input": {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "required": ["what"], "properties": {"what": {"type": "string"}}}, "queue": "default", "state": null, "output": null, "aliases": [], "version": 1}, {"job": "report", "cron": "0 3 1 1 *", "kind": "schedule", "name": "yearly", "catchUp": "none", "overlap": "skip", "version": 1, "timeZone": "UTC"}]', '2026-11-29 18:45:10.928594+00', '2026-11-29 18:45:11.914292+00', '{"troubles": [], "beatEvery": 500, "heapBytes": 37314576, "loopDelay": 19, "clockAhead": 3, "loopDelayMax": 19, "residentBytes": 159686656}');
ALTER TABLE tidemark.processes ENABLE TRIGGER USER;
ALTER TABLE tidemark.schedules DISABLE TRIGGER USER;
DELETE FROM tidemark.schedules;
INSERT INTO tidemark.schedules (name, id, source, version, job, input, input_meta, input_version, cron, time_zone, overlap, catch_up, status, next_at, last_job, updated_at) OVERRIDING SYSTEM VALUE VALUES
('yearly', '47e29c14-72c7-4a56-a126-ac1d5776b0c5', 'code', '1', 'report', NULL, NULL, NULL, '0 3 1 1 *', 'UTC', 'skip', 'none', 'active', '2027-01-01 03:00:00+00', NULL, '2026-11-29 18:45:11.33666+00');
ALTER TABLE tidemark.schedules ENABLE TRIGGER USER;
ALTER TABLE tidemark.snapshots DISABLE TRIGGER USER;
DELETE FROM tidemark.snapshots;
INSERT INTO tidemark.snapshots (stream, stream_version, entity_version, state, state_meta) OVERRIDING SYSTEM VALUE VALUES
('order-a', '2', '1', '{"paid": false, "cents": "120"}', '{"v": 1, "values": {"cents": ["bigint"]}}');
ALTER TABLE tidemark.snapshots ENABLE TRIGGER USER;
ALTER TABLE tidemark.streams DISABLE TRIGGER USER;
DELETE FROM tidemark.streams;
INSERT INTO tidemark.streams (stream, version) OVERRIDING SYSTEM VALUE VALUES
('order-a', '3');
ALTER TABLE tidemark.streams ENABLE TRIGGER USER;
ALTER TABLE tidemark.cursors DISABLE TRIGGER USER;
DELETE FROM tidemark.cursors;
INSERT INTO tidemark.cursors (listener, generation, partition, cursor, replay_until, epoch, owner, lease_until, attempts, crashes, failed_sequence, next_attempt_at, halted_at, last_error, awaits, state, state_meta, updated_at) OVERRIDING SYSTEM VALUE VALUES
('by-order', '1', '0', '7', '0', '1', 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:13.914687+00', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-29 18:45:11.751991+00'),
('count', '1', '0', '6', '0', '0', NULL, NULL, '0', '0', NULL, NULL, NULL, NULL, NULL, '6', NULL, '2026-11-29 18:45:11.547215+00'),
('ledger', '1', '0', '4', '0', '1', NULL, NULL, '1', '0', '5', NULL, '2026-11-29 18:45:11.597974+00', E'{"code": "TIDEMARK_HANDLER_FAILED", "hint": "Read the cause and the sequence in the details; the event is retried, then the listener halts until it is resumed.", "name": "TidemarkError", "cause": {"name": "Error", "stack": "Error: this order is too much for the old release", "message": "this order is too much for the old release"}, "stack": "TidemarkError: TIDEMARK_HANDLER_FAILED: ledger failed on event 5 (shop.placed): this order is too much for the old release", "message": "TIDEMARK_HANDLER_FAILED: ledger failed on event 5 (shop.placed): this order is too much for the old release"}', NULL, NULL, NULL, '2026-11-29 18:45:11.597974+00'),
('letters', '1', '0', '7', '0', '1', 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:13.914725+00', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-29 18:45:11.75195+00'),
('orders', '1', '0', '7', '0', '1', 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:13.91473+00', '0', '0', NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-29 18:45:11.724844+00'),
('turnover', '1', '0', '7', '0', '1', 'da1b13c2-ba68-414d-8320-0d9142a0a143', '2026-11-29 18:45:13.914734+00', '0', '0', NULL, NULL, NULL, NULL, NULL, '{"total": "1135", "currencies": []}', '{"v": 1, "values": {"total": ["bigint"], "currencies": ["set"]}}', '2026-11-29 18:45:11.751986+00');
ALTER TABLE tidemark.cursors ENABLE TRIGGER USER;
ALTER TABLE tidemark.dead_letters DISABLE TRIGGER USER;
DELETE FROM tidemark.dead_letters;
INSERT INTO tidemark.dead_letters (listener, generation, sequence, type, event_id, key, holds_key, state, attempts, error, created_at, updated_at) OVERRIDING SYSTEM VALUE VALUES
('letters', '1', '5', 'shop.placed', '99e33bae-83cb-40b2-81ab-a6a4db0bcdf4', 'bad', 'false', 'parked', '1', E'{"code": "TIDEMARK_HANDLER_FAILED", "hint": "Read the cause and the sequence in the details; the event is retried, then the listener halts until it is resumed.", "name": "TidemarkError", "cause": {"name": "Error", "stack": "Error: this order is too much for the old release", "message": "this order is too much for the old release"}, "stack": "TidemarkError: TIDEMARK_HANDLER_FAILED: letters failed on event 5 (shop.placed): this order is too much for the old release", "message": "TIDEMARK_HANDLER_FAILED: letters failed on event 5 (shop.placed): this order is too much for the old release"}', '2026-11-29 18:45:11.636358+00', '2026-11-29 18:45:11.636358+00');
ALTER TABLE tidemark.dead_letters ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_attempts DISABLE TRIGGER USER;
DELETE FROM tidemark.job_attempts;
INSERT INTO tidemark.job_attempts (job, token, attempt, outcome, process, triggered_by, started_at, finished_at, error) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1d0f-7000-addc-458ab55a58f2', '1', '1', 'failed', 'da1b13c2-ba68-414d-8320-0d9142a0a143', 'system', '2026-11-29 18:45:11.572655+00', '2026-11-29 18:45:11.643477+00', E'{"name": "Error", "stack": "Error: this order is too much for the old release", "message": "this order is too much for the old release"}'),
('01a228a0-1d15-7000-93d7-c4ec1ff014b0', '1', '1', 'suspended', 'da1b13c2-ba68-414d-8320-0d9142a0a143', 'system', '2026-11-29 18:45:11.663021+00', '2026-11-29 18:45:11.765932+00', NULL);
ALTER TABLE tidemark.job_attempts ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_logs DISABLE TRIGGER USER;
DELETE FROM tidemark.job_logs;
INSERT INTO tidemark.job_logs (number, job, token, at, level, message, fields) OVERRIDING SYSTEM VALUE VALUES
('1', '01a228a0-1d1a-7000-bd29-4de9ca6dbe14', '1', '2026-11-29 18:45:11.677397+00', 'info', 'a page is in', '{"page": 1}');
ALTER TABLE tidemark.job_logs ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_outputs DISABLE TRIGGER USER;
DELETE FROM tidemark.job_outputs;
INSERT INTO tidemark.job_outputs (job, key, output, output_meta) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1cff-7000-824a-5659fe7d73f9', '0d807b27-ed54-4494-90b6-09197cea0635', '{"at": "2026-01-01T00:00:00.000Z", "text": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}', '{"v": 1, "values": {"at": ["Date"]}}');
ALTER TABLE tidemark.job_outputs ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_states DISABLE TRIGGER USER;
DELETE FROM tidemark.job_states;
INSERT INTO tidemark.job_states (job, version, state, state_meta, variables, variables_meta, writings, progress, checkpoint_at, patience, updated_at) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1d1a-7000-bd29-4de9ca6dbe14', '1', '{"page": 1}', NULL, '{"page 1": [[1, "1"]]}', '{"page 1": {"v": 1, "values": ["map", {"0.1": ["bigint"]}]}}', NULL, NULL, '2026-11-29 18:45:11.66922+00', NULL, '2026-11-29 18:45:11.671961+00');
ALTER TABLE tidemark.job_states ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_steps DISABLE TRIGGER USER;
DELETE FROM tidemark.job_steps;
INSERT INTO tidemark.job_steps (job, step, kind, "position", output, output_meta, error, started_at, completed_at) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1d15-7000-93d7-c4ec1ff014b0', 'number', 'step', '1', '{"at": "2026-01-01T00:00:00.000Z", "number": "7"}', '{"v": 1, "values": {"at": ["Date"], "number": ["bigint"]}}', NULL, '2026-11-29 18:45:11.6877+00', '2026-11-29 18:45:11.690701+00'),
('01a228a0-1d15-7000-93d7-c4ec1ff014b0', 'paid', 'event', NULL, '{"key": "a", "after": "7", "types": ["shop.paid"], "until": null, "pruned": null}', NULL, NULL, '2026-11-29 18:45:11.716866+00', NULL);
ALTER TABLE tidemark.job_steps ENABLE TRIGGER USER;
ALTER TABLE tidemark.job_waits DISABLE TRIGGER USER;
DELETE FROM tidemark.job_waits;
INSERT INTO tidemark.job_waits (job, step, kind, target, key, sequence, child, born) OVERRIDING SYSTEM VALUE VALUES
('01a228a0-1d15-7000-93d7-c4ec1ff014b0', 'paid', 'event', 'shop.paid', 'a', '7', NULL, '844');
ALTER TABLE tidemark.job_waits ENABLE TRIGGER USER;
ALTER TABLE tidemark.projection_states DISABLE TRIGGER USER;
DELETE FROM tidemark.projection_states;
INSERT INTO tidemark.projection_states (projection, generation, key, state, state_meta, sequence) OVERRIDING SYSTEM VALUE VALUES
('by-order', '1', 'a', '{"last": "2026-01-01T12:00:00.000Z", "cents": "123"}', '{"v": 1, "values": {"last": ["Date"], "cents": ["bigint"]}}', '3'),
('by-order', '1', 'b', '{"last": "2026-01-01T12:00:00.000Z", "cents": "1000"}', '{"v": 1, "values": {"last": ["Date"], "cents": ["bigint"]}}', '4'),
('by-order', '1', 'bad', '{"last": "2026-01-01T12:00:00.000Z", "cents": "5"}', '{"v": 1, "values": {"last": ["Date"], "cents": ["bigint"]}}', '5'),
('by-order', '1', 'c', '{"last": "2026-01-01T12:00:00.000Z", "cents": "7"}', '{"v": 1, "values": {"last": ["Date"], "cents": ["bigint"]}}', '6');
ALTER TABLE tidemark.projection_states ENABLE TRIGGER USER;
SELECT setval('tidemark.armed', 1);
SELECT setval('tidemark.events_sequence', 7);
SELECT setval('tidemark.horizon_samples_id_seq', 1);
SELECT setval('tidemark.job_logs_number_seq', 1);
