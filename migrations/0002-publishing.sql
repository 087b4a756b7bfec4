-- breaking: no
--
-- Publishing with streams and idempotency keys.

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

-- Keys are stored in the order of time: a summary per range of blocks finds the old ones.
CREATE INDEX idempotency_keys_recorded_at ON :"schema".idempotency_keys USING brin (recorded_at);

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
CREATE FUNCTION :"schema".append_calls(
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
    INSERT INTO :"schema".streams AS t (stream, version)
      SELECT DISTINCT s.name, 0 FROM unnest(streams) AS s (name)
      WHERE s.name IS NOT NULL AND NOT EXISTS (SELECT FROM :"schema".streams e WHERE e.stream = s.name)
      ORDER BY s.name
      ON CONFLICT DO NOTHING;
    IF wait THEN
      PERFORM FROM :"schema".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;
    ELSE
      WITH held AS (
        SELECT t.stream FROM :"schema".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream
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
        JOIN :"schema".streams t ON t.stream = i.stream
        WHERE i.expected <> t.version + i.nth - 1 AND i.call <> ALL (refused);
      RETURN QUERY
        SELECT u.ordinal, NULL::bigint, NULL::bigint, 'stream', u.actual
        FROM unnest(ordinals, actuals) AS u (ordinal, actual) ORDER BY u.ordinal;
    END IF;
  END IF;

  IF with_keys THEN
    WITH claims AS (
      INSERT INTO :"schema".idempotency_keys AS k (key)
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
      DELETE FROM :"schema".idempotency_keys k WHERE k.key = ANY (claimed)
        AND EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                    WHERE u.key = k.key AND u.call = ANY (refused))
        AND NOT EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                        WHERE u.key = k.key AND u.call <> ALL (refused));
      RETURN QUERY
        SELECT o, NULL::bigint, NULL::bigint, 'duplicate', k.sequence
        FROM unnest(ordinals) AS o
        LEFT JOIN :"schema".idempotency_keys k ON k.key = idempotency_keys[o]
        ORDER BY o;
    END IF;
  END IF;

  SELECT array_agg(u.ordinal ORDER BY u.ordinal) INTO ordinals
    FROM unnest(calls) WITH ORDINALITY AS u (call, ordinal) WHERE u.call <> ALL (refused);
  IF ordinals IS NULL THEN RETURN; END IF;

  -- Numbers are drawn above the sort, so that the n-th sequence belongs to the n-th event.
  WITH inserted AS (
    INSERT INTO :"schema".events AS e (id, type, version, stream, stream_version, key, payload, payload_meta,
                                correlation_id, causation_id, traceparent, tracestate, metadata)
      SELECT i.id, i.type, i.version, i.stream, t.version + i.nth, i.key, i.payload, i.payload_meta,
             i.correlation_id, i.causation_id, i.traceparent, i.tracestate, i.metadata
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.stream ORDER BY u.ordinal) AS nth
            FROM unnest(calls, ids, types, versions, streams, keys, payloads, payload_metas, correlation_ids,
                        causation_ids, traceparents, tracestates, metadatas) WITH ORDINALITY
              AS u (call, id, type, version, stream, key, payload, payload_meta, correlation_id, causation_id,
                    traceparent, tracestate, metadata, ordinal)
            WHERE u.call <> ALL (refused)) AS i
      LEFT JOIN :"schema".streams t ON t.stream = i.stream
      ORDER BY i.ordinal
      RETURNING e.sequence, e.stream_version)
  SELECT array_agg(n.sequence ORDER BY n.sequence), array_agg(n.stream_version ORDER BY n.sequence)
    INTO sequences, stream_versions FROM inserted n;

  IF with_streams THEN
    UPDATE :"schema".streams t SET version = t.version + n.events
      FROM (SELECT u.stream, count(*) AS events FROM unnest(calls, streams) AS u (call, stream)
            WHERE u.stream IS NOT NULL AND u.call <> ALL (refused) GROUP BY u.stream) AS n
      WHERE t.stream = n.stream;
  END IF;
  IF with_keys THEN
    UPDATE :"schema".idempotency_keys k SET sequence = u.sequence
      FROM unnest(ordinals, sequences) AS u (ordinal, sequence) WHERE k.key = idempotency_keys[u.ordinal];
  END IF;
  RETURN QUERY
    SELECT u.ordinal, u.sequence, u.stream_version, NULL::text, NULL::bigint
    FROM unnest(ordinals, sequences, stream_versions) AS u (ordinal, sequence, stream_version);
END $$;

-- Appends the events of one call: all of them, or none.
CREATE FUNCTION :"schema".append_events(
  ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[], keys text[],
  idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[],
  causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[]
) RETURNS TABLE (ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT * FROM :"schema".append_calls(
    array_fill(0, ARRAY[cardinality(ids)]), ids, types, versions, streams, expected_versions, keys, idempotency_keys,
    payloads, payload_metas, correlation_ids, causation_ids, traceparents, tracestates, metadatas);
END $$;

-- Refuses what the library refuses before it sends it: texts that an index cannot hold or a reader not make use of.
CREATE FUNCTION :"schema".check_published(caller text, ids text[], metas jsonb[], traceparent text, tracestate text)
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
CREATE FUNCTION :"schema".publish(
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
  PERFORM :"schema".check_published('publish', ARRAY[stream, key, idempotency_key, correlation_id, causation_id],
    ARRAY[metadata, payload_meta], traceparent, tracestate);
  SELECT * INTO answer FROM :"schema".append_events(
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
  PERFORM :"schema".note_unseen(type, answer.sequence);
  RETURN answer.sequence;
END $$;
