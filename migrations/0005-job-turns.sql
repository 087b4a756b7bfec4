-- breaking: no
--
-- Whose turn it is: concurrency keys, and the limits of queues and of types of jobs, for all processes together: how
-- many run side by side, and how many start in any stretch of time.

-- Limits ------------------------------------------------------------------------------------------

-- What the processes have declared. Whoever claims under a limit holds its row until the claim commits.
CREATE TABLE :"schema".job_limits (
  kind        text    NOT NULL CHECK (kind IN ('queue', 'type')),
  name        text    NOT NULL,
  concurrency integer CHECK (concurrency > 0),
  rate        integer CHECK (rate > 0),
  -- In milliseconds.
  period      float8  CHECK (period > 0),
  PRIMARY KEY (kind, name),
  CHECK ((rate IS NULL) = (period IS NULL))
);

COMMENT ON TABLE :"schema".job_limits IS
  'Limits of queues and of types of jobs. Written by processes when they start, from their definitions.';

-- How many have started lately: of a queue, of a type, or of a key of a type.
CREATE TABLE :"schema".job_rates (
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

CREATE INDEX job_rates_ready ON :"schema".job_rates (kind, name, ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX job_rates_next ON :"schema".job_rates (ready_at) WHERE ready_at IS NOT NULL;

COMMENT ON TABLE :"schema".job_rates IS 'Starts of jobs under a rate limit, lately.';

-- How many more may start now. A stretch counts until all of it is older than the period, so that no more than `rate`
-- start in any stretch of that length, wherever it begins.
CREATE FUNCTION :"schema".rate_room(
  since timestamptz[], starts integer[], rate integer, period float8, at timestamptz
) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN rate IS NULL THEN 2147483647 ELSE greatest(0, rate - coalesce((
    SELECT sum(u.n)::integer FROM unnest(since, starts) AS u (s, n)
    WHERE u.s > at - period * 1.05 * interval '1 ms'), 0)) END
$$;

-- Notes down `n` starts.
CREATE FUNCTION :"schema".note_starts(kind text, name text, key text, n integer, period float8, at timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  width float8 := period / 20;
  -- The stretch that `at` lies in.
  this timestamptz := to_timestamp(floor(extract(epoch FROM at) * 1000 / width) * width / 1000);
BEGIN
  INSERT INTO :"schema".job_rates AS r (kind, name, key) VALUES (kind, name, key) ON CONFLICT DO NOTHING;
  UPDATE :"schema".job_rates r SET since = l.since, starts = l.starts
    FROM (SELECT array_agg(g.s ORDER BY g.s) AS since, array_agg(g.n ORDER BY g.s) AS starts
          FROM (SELECT u.s, sum(u.n)::integer AS n
                FROM (SELECT s, c FROM :"schema".job_rates o, unnest(o.since, o.starts) AS e (s, c)
                      WHERE o.kind = kind AND o.name = name AND o.key = key
                        AND e.s > at - period * 1.05 * interval '1 ms'
                      UNION ALL SELECT this, n) AS u (s, n)
                GROUP BY u.s) AS g) AS l
    WHERE r.kind = kind AND r.name = name AND r.key = key;
END $$;

-- Pauses ------------------------------------------------------------------------------------------

-- Queues and types of jobs of which none is claimed until somebody resumes them.
CREATE TABLE :"schema".job_pauses (
  kind      text        NOT NULL CHECK (kind IN ('queue', 'type')),
  name      text        NOT NULL,
  paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  paused_by text        NOT NULL,
  PRIMARY KEY (kind, name)
);

CREATE FUNCTION :"schema".is_paused(queue text, name text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM :"schema".job_pauses p
    WHERE (p.kind = 'queue' AND p.name = is_paused.queue) OR (p.kind = 'type' AND p.name = is_paused.name))
$$;

-- Brings back jobs that were put aside and are not paused any more, in their order; answers how many.
CREATE FUNCTION :"schema".unpark_resumed(most integer DEFAULT 1000) RETURNS integer LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  place record;
  back  uuid[] := '{}';
BEGIN
  SELECT '' AS queue, '' AS name INTO place;
  LOOP
    SELECT j.queue, j.name INTO place FROM :"schema".jobs j
      WHERE j.parked = 'pause' AND (j.queue, j.name) > (place.queue, place.name) ORDER BY j.queue, j.name LIMIT 1;
    EXIT WHEN NOT FOUND;
    IF NOT :"schema".is_paused(place.queue, place.name) THEN
      back := back || ARRAY(
        SELECT j.id FROM :"schema".jobs j
        WHERE j.parked = 'pause' AND j.queue = place.queue AND j.name = place.name
        ORDER BY j.priority, j.run_at, j.id LIMIT most - cardinality(back) FOR UPDATE SKIP LOCKED);
    END IF;
    EXIT WHEN cardinality(back) >= most;
  END LOOP;
  UPDATE :"schema".jobs j SET parked = CASE WHEN j.concurrency_key IS NOT NULL OR j.limited THEN 'new' END
    WHERE j.id = ANY (back);
  RETURN cardinality(back);
END $$;

-- Names -------------------------------------------------------------------------------------------

-- The names that types of jobs had before, as the processes say that know them: keys hold under all names of a type.
CREATE TABLE :"schema".job_aliases (
  alias text NOT NULL,
  name  text NOT NULL,
  PRIMARY KEY (alias, name)
);

-- All names of the type that has these, in their order: who knows the old name only means the same.
CREATE FUNCTION :"schema".names_of_type(known text[]) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF cardinality(known) = 1 AND NOT EXISTS (SELECT FROM :"schema".job_aliases) THEN RETURN known; END IF;
  RETURN ARRAY(
    WITH RECURSIVE names (name) AS (
      SELECT unnest(known)
      UNION
      SELECT CASE WHEN a.name = n.name THEN a.alias ELSE a.name END
      FROM names n JOIN :"schema".job_aliases a ON n.name IN (a.name, a.alias))
    SELECT n.name FROM names n ORDER BY 1);
END $$;

-- Unique keys -------------------------------------------------------------------------------------

-- Who is about to take a unique key of a type that has several names. Its row goes in the transaction that it comes in:
-- nobody sees it, and whoever wants the same key waits until that has ended. A row, because a transaction may take ten
-- thousand keys, and a server has room for some six thousand locks of all its transactions.
CREATE TABLE :"schema".job_key_takers (
  key text PRIMARY KEY
);

-- Keeps a unique key of a type, under all these names of it, for the transaction. Answers true.
CREATE FUNCTION :"schema".keep_key(names text[], unique_key text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  place tid;
BEGIN
  INSERT INTO :"schema".job_key_takers AS t (key) VALUES (names[1] || ' ' || unique_key)
    ON CONFLICT DO NOTHING RETURNING t.ctid INTO place;
  -- By its place: all that the transaction has taken before is still in the table.
  DELETE FROM :"schema".job_key_takers t WHERE t.ctid = place;
  RETURN true;
END $$;

-- Whether a job under the first of these names of a type may have a unique key as far as the type's other names go: no
-- unfinished job has it under one of them; no other one that follows, where the job is to follow. If so, it is kept for
-- the transaction. What has it under the same name is found by an index, and two names of a type by this only.
--
-- INVARIANT: whatever makes an unfinished job with a unique key asks this function, and looks with a snapshot that is
-- newer than its turn: VOLATILE. Whatever gives one another name keeps the key, too: who looks meanwhile would find it
-- under neither.
CREATE FUNCTION :"schema".may_take_key(known text[], unique_key text, successor boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_variable
DECLARE
  names  text[] := :"schema".names_of_type(known);
  others text[];
BEGIN
  IF cardinality(names) = 1 THEN RETURN true; END IF;
  others := array_remove(names, known[1]);
  -- Looked at before, too: then a key that is taken is not kept from others.
  FOR look IN 1 .. 2 LOOP
    IF EXISTS (
      SELECT FROM :"schema".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND NOT j.successor AND NOT successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    OR EXISTS (
      SELECT FROM :"schema".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND j.successor AND successor
        AND j.status IN ('scheduled', 'paused'))
    THEN
      RETURN false;
    END IF;
    IF look = 1 THEN PERFORM :"schema".keep_key(names, unique_key); END IF;
  END LOOP;
  RETURN true;
END $$;

-- Keys --------------------------------------------------------------------------------------------

-- Keys that somebody has left: the next job with such a key may run.
CREATE TABLE :"schema".job_key_releases (
  key text NOT NULL
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE :"schema".job_key_releases REPLICA IDENTITY FULL;

-- Whatever ends a keyed job's turn, in whatever way, leaves a note here (job_changed() where it is a change); admit_jobs()
-- reads it. No lock is taken.
CREATE FUNCTION :"schema".release_job_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_key_releases (key) VALUES (OLD.turn_key);
  RETURN NULL;
END $$;

CREATE TRIGGER release_deleted_job_key AFTER DELETE ON :"schema".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit')
        AND OLD.status IN ('queued', 'running'))
  EXECUTE FUNCTION :"schema".release_job_key();

-- Admission ---------------------------------------------------------------------------------------

-- Where claimable jobs go: into the claim index, or to those that wait for the limit of their type. The keys are taken
-- in one order.
CREATE FUNCTION :"schema".enter_jobs(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE :"schema".jobs j
    SET parked = CASE WHEN EXISTS (SELECT FROM :"schema".job_limits l WHERE l.kind = 'type' AND l.name = j.name)
      THEN 'limit' END
    WHERE j.id = ANY (ids);
  INSERT INTO :"schema".job_rates AS r (kind, name, key, ready_at)
    SELECT DISTINCT 'type', j.name, coalesce(j.rate_key, ''), statement_timestamp() FROM :"schema".jobs j
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
CREATE FUNCTION :"schema".admit_jobs() RETURNS void LANGUAGE plpgsql AS $$
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
  pausing    boolean := EXISTS (SELECT FROM :"schema".job_pauses);
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
    FROM (SELECT j.id, j.turn_key, pausing AND :"schema".is_paused(j.queue, j.name) AS held
          FROM :"schema".jobs j WHERE j.parked = 'new'
          LIMIT 500 FOR UPDATE SKIP LOCKED) AS n;
  WITH notes AS (
    DELETE FROM :"schema".job_key_releases r WHERE r.ctid = ANY (ARRAY(
      SELECT i.ctid FROM :"schema".job_key_releases i LIMIT 500 FOR UPDATE SKIP LOCKED))
    RETURNING r.key)
  SELECT array_agg(DISTINCT n.key) INTO keys FROM notes n;
  keys := coalesce(fresh_keys, '{}') || coalesce(keys, '{}');
  IF keys <> '{}' THEN
    UPDATE :"schema".jobs j SET parked = 'key' WHERE j.id = ANY (fresh);
    SELECT EXISTS (SELECT FROM :"schema".job_aliases) INTO aliased;
    IF aliased THEN
      -- The first name stands for all of them.
      keys := ARRAY(
        SELECT DISTINCT (:"schema".names_of_type(ARRAY[split_part(k, ' ', 1)]))[1] || substr(k, strpos(k, ' ')) FROM unnest(keys) AS k);
    END IF;
    FOR lock_key IN SELECT DISTINCT hashtextextended(:'schema' || '.jobs.' || k, 0) | (1::bigint << 63) FROM unnest(keys) AS k ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(lock_key);
    END LOOP;
    FOR one IN SELECT DISTINCT k FROM unnest(keys) AS k LOOP
      same := ARRAY[one];
      IF aliased THEN
        same := ARRAY(SELECT n || substr(one, strpos(one, ' ')) FROM unnest(:"schema".names_of_type(ARRAY[split_part(one, ' ', 1)])) AS n);
      END IF;
      SELECT count(*) INTO turns FROM :"schema".jobs j
        WHERE j.turn_key = ANY (same) AND j.status IN ('queued', 'running') AND (j.parked IS NULL OR j.parked = 'limit');
      IF cardinality(same) = 1 THEN
        OPEN candidates FOR
          SELECT j.id, j.queue, j.name, j.concurrency_limit FROM :"schema".jobs j
          WHERE j.turn_key = one AND j.parked = 'key'
          ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED;
      ELSE
        OPEN candidates FOR
          SELECT c.id, c.queue, c.name, c.concurrency_limit FROM unnest(same) AS s (key), LATERAL (
            SELECT j.id, j.queue, j.name, j.concurrency_limit, j.priority, j.run_at FROM :"schema".jobs j
            WHERE j.turn_key = s.key AND j.parked = 'key'
            ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED) AS c
          ORDER BY c.priority, c.run_at, c.id;
      END IF;
      LOOP
        FETCH candidates INTO candidate;
        EXIT WHEN NOT FOUND OR turns >= candidate.concurrency_limit;
        IF pausing AND :"schema".is_paused(candidate.queue, candidate.name) THEN
          held := held || candidate.id;
          again := array_append(again, one);
        ELSE
          entering := entering || candidate.id;
          turns := turns + 1;
        END IF;
      END LOOP;
      CLOSE candidates;
    END LOOP;
    INSERT INTO :"schema".job_key_releases (key) SELECT DISTINCT a FROM unnest(again) AS a;
  END IF;
  UPDATE :"schema".jobs j SET parked = 'pause' WHERE j.id = ANY (held);
  IF entering IS NOT NULL THEN PERFORM :"schema".enter_jobs(entering); END IF;
END $$;
