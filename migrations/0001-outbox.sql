-- breaking: no
--
-- The outbox, its readers' cursors and the doorbell.
--
-- :"schema" and :'schema' stand for the schema's name as an identifier and as a literal,
-- :namespace for a number between 1 and 32766 derived from it (see database/migrator.ts).

-- Events -----------------------------------------------------------------------------------------

-- CACHE 1: a session that cached numbers would draw them below its own floor.
-- Number 0 is drawn here, so that last_value is always "the last number drawn" and 0 is "before all".
CREATE SEQUENCE :"schema".events_sequence AS bigint MINVALUE 0 START 0 CACHE 1;
SELECT nextval(':"schema".events_sequence');

-- Fixed-width columns first: no padding between them.
CREATE TABLE :"schema".events (
  sequence       bigint      NOT NULL DEFAULT nextval(':"schema".events_sequence'::regclass),
  recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  xid            xid8        NOT NULL DEFAULT pg_current_xact_id(),
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

-- One row per stream. Appending updates it first, so that the order of versions in a stream is the
-- order of its sequences and of its commits.
CREATE TABLE :"schema".streams (
  stream  text   PRIMARY KEY,
  version bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE :"schema".idempotency_keys (
  key         text        PRIMARY KEY,
  sequence    bigint,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Makes the partitions that the next `ahead` ranges need and returns how many it made. A partition is
-- built beside the table and then attached: ATTACH lets publishers and readers go on, while
-- CREATE … PARTITION OF would lock them all out.
CREATE FUNCTION :"schema".ensure_partitions(ahead integer DEFAULT 2, size bigint DEFAULT 10000000)
RETURNS integer LANGUAGE plpgsql AS $$
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
    -- Whoever inserts into the partition itself is a publisher too.
    EXECUTE format('CREATE TRIGGER register_publisher BEFORE INSERT ON %I.%I
                    FOR EACH STATEMENT EXECUTE FUNCTION %I.register_publisher()', :'schema', name, :'schema');
    made := made + 1;
  END LOOP;
  RETURN made;
END $$;

-- The doorbell ------------------------------------------------------------------------------------

-- A process that may sleep has a row here and arms it before it looks for work (outbox/doorbell.ts).
-- Unlogged: after a crash nobody sleeps.
CREATE UNLOGGED TABLE :"schema".doorbells (
  process  uuid        PRIMARY KEY,
  armed    boolean     NOT NULL,
  since    timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The horizon -------------------------------------------------------------------------------------

-- Registers the publishing transaction, once per (sub)transaction, before the statement draws its first
-- sequence: a shared advisory lock on the floor, the last number drawn so far, held until the transaction
-- ends. Everything is a simple expression where it can be, which PL/pgSQL evaluates without the executor.
--
-- INVARIANT: the lock is taken before any number is drawn, and Postgres makes a commit visible before it
-- releases the lock. The setting lives and dies with the same subtransaction as the lock.
-- INVARIANT: the doorbells are looked at after the lock is taken (docs/protocols.md).
CREATE FUNCTION :"schema".register_publisher() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  floor_key bigint;
  ignored   text;
BEGIN
  IF current_setting('tidemark.publisher_:namespace', true) IS DISTINCT FROM 'registered' THEN
    floor_key := (:namespace::bigint << 48)
      | coalesce(pg_sequence_last_value(':"schema".events_sequence'::regclass), 0);
    IF NOT pg_try_advisory_xact_lock_shared(floor_key) THEN
      PERFORM pg_advisory_xact_lock_shared(floor_key);
    END IF;
    ignored := set_config('tidemark.publisher_:namespace', 'registered', true);
    -- A snapshot that is older than this statement cannot tell who is armed by now.
    IF current_setting('transaction_isolation') <> 'read committed'
       OR EXISTS (SELECT FROM :"schema".doorbells WHERE armed) THEN
      -- Postgres cannot PREPARE a transaction that has notified; such publishers turn the doorbell off.
      IF current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' THEN
        PERFORM pg_notify('tidemark_:namespace', '');
      END IF;
    END IF;
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER register_publisher BEFORE INSERT ON :"schema".events
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".register_publisher();

-- A statement trigger fires for the table that the statement names: each partition needs its own.
CREATE TRIGGER register_publisher BEFORE INSERT ON :"schema".events_default
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".register_publisher();

SELECT :"schema".ensure_partitions();

-- The transactions that publish now, each with its floor. A prepared transaction has no pid.
CREATE VIEW :"schema".publishers AS
  SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS floor, l.pid
  FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1
    AND l.classid::bigint >> 16 = :namespace
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());

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

-- Publishing with streams and idempotency keys ----------------------------------------------------

-- Appends all of the events, or none of them: it answers with one row per event, or with the conflicts
-- ('stream': expected_version differs from `actual`; 'duplicate': the idempotency key was used by event
-- `actual`). It raises no error of its own, so that no caller's transaction is aborted by it.
--
-- Locks are taken in one order everywhere: streams by name, then idempotency keys by name.
CREATE FUNCTION :"schema".append_events(
  ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[], keys text[],
  idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[],
  causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[]
) RETURNS TABLE (ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  with_keys boolean := array_remove(idempotency_keys, NULL) <> '{}';
  claimed   text[];
  sequences bigint[];
  stream_versions bigint[];
BEGIN
  INSERT INTO :"schema".streams AS t (stream, version)
    SELECT DISTINCT s.name, 0 FROM unnest(streams) AS s (name)
    WHERE s.name IS NOT NULL AND NOT EXISTS (SELECT FROM :"schema".streams e WHERE e.stream = s.name)
    ORDER BY s.name
    ON CONFLICT DO NOTHING;
  PERFORM FROM :"schema".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;

  RETURN QUERY
    SELECT i.ordinal, NULL::bigint, NULL::bigint, 'stream', t.version + i.nth - 1
    FROM (SELECT u.*, row_number() OVER (PARTITION BY u.stream ORDER BY u.ordinal) AS nth
          FROM unnest(streams, expected_versions) WITH ORDINALITY AS u (stream, expected, ordinal)) AS i
    JOIN :"schema".streams t ON t.stream = i.stream
    WHERE i.expected <> t.version + i.nth - 1
    ORDER BY i.ordinal;
  IF FOUND THEN RETURN; END IF;

  IF with_keys THEN
    WITH claims AS (
      INSERT INTO :"schema".idempotency_keys AS k (key)
        SELECT u.key FROM unnest(idempotency_keys) AS u (key) WHERE u.key IS NOT NULL ORDER BY u.key
        ON CONFLICT DO NOTHING RETURNING k.key)
    SELECT array_agg(c.key) INTO claimed FROM claims c;
    IF coalesce(cardinality(claimed), 0) < cardinality(array_remove(idempotency_keys, NULL)) THEN
      DELETE FROM :"schema".idempotency_keys k WHERE k.key = ANY (claimed);
      RETURN QUERY
        SELECT i.ordinal, NULL::bigint, NULL::bigint, 'duplicate', k.sequence
        FROM (SELECT u.*, row_number() OVER (PARTITION BY u.key ORDER BY u.ordinal) AS nth
              FROM unnest(idempotency_keys) WITH ORDINALITY AS u (key, ordinal) WHERE u.key IS NOT NULL) AS i
        LEFT JOIN :"schema".idempotency_keys k ON k.key = i.key
        WHERE k.key IS NOT NULL OR i.nth > 1
        ORDER BY i.ordinal;
      RETURN;
    END IF;
  END IF;

  -- Numbers are drawn above the sort, so that the n-th sequence belongs to the n-th event.
  WITH inserted AS (
    INSERT INTO :"schema".events AS e (id, type, version, stream, stream_version, key, payload, payload_meta,
                                correlation_id, causation_id, traceparent, tracestate, metadata)
      SELECT i.id, i.type, i.version, i.stream, t.version + i.nth, i.key, i.payload, i.payload_meta,
             i.correlation_id, i.causation_id, i.traceparent, i.tracestate, i.metadata
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.stream ORDER BY u.ordinal) AS nth
            FROM unnest(ids, types, versions, streams, keys, payloads, payload_metas, correlation_ids, causation_ids,
                        traceparents, tracestates, metadatas) WITH ORDINALITY
              AS u (id, type, version, stream, key, payload, payload_meta, correlation_id, causation_id,
                    traceparent, tracestate, metadata, ordinal)) AS i
      LEFT JOIN :"schema".streams t ON t.stream = i.stream
      ORDER BY i.ordinal
      RETURNING e.sequence, e.stream_version)
  SELECT array_agg(n.sequence ORDER BY n.sequence), array_agg(n.stream_version ORDER BY n.sequence)
    INTO sequences, stream_versions FROM inserted n;

  UPDATE :"schema".streams t SET version = t.version + n.events
    FROM (SELECT u.stream, count(*) AS events FROM unnest(streams) AS u (stream) GROUP BY u.stream) AS n
    WHERE t.stream = n.stream;
  IF with_keys THEN
    UPDATE :"schema".idempotency_keys k SET sequence = u.sequence
      FROM unnest(sequences, idempotency_keys) AS u (sequence, key) WHERE k.key = u.key;
  END IF;
  RETURN QUERY
    SELECT u.ordinal, u.sequence, u.stream_version, NULL::text, NULL::bigint
    FROM unnest(sequences, stream_versions) WITH ORDINALITY AS u (sequence, stream_version, ordinal);
END $$;

-- For publishers in SQL or in any language. Returns the sequence; raises what append_events() would answer.
CREATE FUNCTION :"schema".publish(
  type text, payload jsonb, stream text DEFAULT NULL, expected_version bigint DEFAULT NULL, key text DEFAULT NULL,
  version integer DEFAULT 1, idempotency_key text DEFAULT NULL, correlation_id text DEFAULT NULL,
  causation_id text DEFAULT NULL, metadata jsonb DEFAULT NULL, id uuid DEFAULT gen_random_uuid()
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  answer record;
BEGIN
  SELECT * INTO answer FROM :"schema".append_events(
    ARRAY[id], ARRAY[type], ARRAY[version], ARRAY[stream], ARRAY[expected_version], ARRAY[key],
    ARRAY[idempotency_key], ARRAY[payload], ARRAY[NULL::jsonb], ARRAY[correlation_id], ARRAY[causation_id],
    ARRAY[NULL::text], ARRAY[NULL::text], ARRAY[metadata]);
  IF answer.conflict = 'stream' THEN
    RAISE EXCEPTION 'TIDEMARK_STREAM_CONFLICT: stream "%" is at version %, not %', stream, answer.actual, expected_version
      USING ERRCODE = 'TM001', HINT = 'Load the stream again, decide again, and publish with its present version.';
  ELSIF answer.conflict = 'duplicate' THEN
    RAISE EXCEPTION 'TIDEMARK_DUPLICATE_EVENT: idempotency key "%" was used by event %', idempotency_key, answer.actual
      USING ERRCODE = 'TM002', HINT = 'The event is published already; nothing is left to do.';
  END IF;
  RETURN answer.sequence;
END $$;

-- Listeners ---------------------------------------------------------------------------------------

CREATE TABLE :"schema".listeners (
  name       text        PRIMARY KEY,
  kind       text        NOT NULL CHECK (kind IN ('listener', 'projection')),
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
CREATE TABLE :"schema".cursors (
  listener        text        NOT NULL REFERENCES :"schema".listeners (name) ON DELETE CASCADE,
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
  state           jsonb,
  state_meta      jsonb,
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (listener, generation, partition)
) WITH (fillfactor = 40);

-- Processes that run listeners: for operators, and for a process to know that it was declared dead.
CREATE TABLE :"schema".processes (
  id           uuid        PRIMARY KEY,
  hostname     text        NOT NULL,
  pid          integer     NOT NULL,
  library      text        NOT NULL,
  definitions  jsonb       NOT NULL DEFAULT '{}',
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
