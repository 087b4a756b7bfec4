-- breaking: no
--
-- Limits of queues and of types of jobs, for all processes together: how many run side by side, and how many start in
-- any stretch of time.

-- How the type's limit tells its jobs apart; '': not at all. NULL: whoever spawned it knew of no limit.
ALTER TABLE :"schema".jobs ADD COLUMN rate_key text;
-- Claimed under a limit, or spawned under one: is counted while it runs, and looked at before it can be claimed again.
ALTER TABLE :"schema".jobs ADD COLUMN limited boolean NOT NULL DEFAULT false;
-- limit: claimable, as far as the limit of its type allows.
ALTER TABLE :"schema".jobs DROP CONSTRAINT jobs_parked_check;
ALTER TABLE :"schema".jobs ADD CONSTRAINT jobs_parked_check
  CHECK (parked IN ('new', 'key', 'type', 'limit')) NOT VALID;

CREATE INDEX jobs_limited ON :"schema".jobs (name, (coalesce(rate_key, '')), priority, run_at, id)
  WHERE status = 'queued' AND parked = 'limit';
CREATE INDEX jobs_admitted_limited ON :"schema".jobs (concurrency_key)
  WHERE concurrency_key IS NOT NULL AND status = 'queued' AND parked = 'limit';
CREATE INDEX jobs_running_of_type ON :"schema".jobs (name) WHERE status = 'running' AND limited;
CREATE INDEX jobs_running_in_queue ON :"schema".jobs (queue) WHERE status = 'running' AND limited;

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

COMMENT ON TABLE :"schema".job_limits IS
  'Limits of queues and of types of jobs. Written by processes when they start, from their definitions.';
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

DROP TRIGGER release_job_key ON :"schema".jobs;
CREATE TRIGGER release_job_key AFTER UPDATE ON :"schema".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit')
        AND OLD.status IN ('queued', 'running')
        AND NOT ((NEW.parked IS NULL OR NEW.parked = 'limit') AND NEW.status IN ('queued', 'running')))
  EXECUTE FUNCTION :"schema".release_job_key();
DROP TRIGGER release_deleted_job_key ON :"schema".jobs;
CREATE TRIGGER release_deleted_job_key AFTER DELETE ON :"schema".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit')
        AND OLD.status IN ('queued', 'running'))
  EXECUTE FUNCTION :"schema".release_job_key();

-- As before, and what is limited by its type goes on to wait for that. Keys before limits: a job that waits for the
-- limit has its turn of the key.
CREATE OR REPLACE FUNCTION :"schema".admit_jobs() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  fresh      uuid[];
  fresh_keys text[];
  entering   uuid[];
  keys       text[];
  lock_key   bigint;
  one        text;
  turns      integer;
  candidate  record;
BEGIN
  SELECT array_agg(n.id) FILTER (WHERE n.concurrency_key IS NOT NULL),
      array_agg(n.concurrency_key) FILTER (WHERE n.concurrency_key IS NOT NULL),
      array_agg(n.id) FILTER (WHERE n.concurrency_key IS NULL)
    INTO fresh, fresh_keys, entering
    FROM (SELECT j.id, j.concurrency_key FROM :"schema".jobs j WHERE j.parked = 'new'
          LIMIT 500 FOR UPDATE SKIP LOCKED) AS n;
  WITH notes AS (
    DELETE FROM :"schema".job_key_releases r WHERE r.ctid = ANY (ARRAY(
      SELECT i.ctid FROM :"schema".job_key_releases i LIMIT 500 FOR UPDATE SKIP LOCKED))
    RETURNING r.key)
  SELECT array_agg(DISTINCT n.key) INTO keys FROM notes n;
  keys := coalesce(fresh_keys, '{}') || coalesce(keys, '{}');
  IF keys <> '{}' THEN
    UPDATE :"schema".jobs j SET parked = 'key' WHERE j.id = ANY (fresh);
    FOR lock_key IN SELECT DISTINCT hashtextextended(:'schema' || '.jobs.' || k, 0) FROM unnest(keys) AS k ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(lock_key);
    END LOOP;
    FOR one IN SELECT DISTINCT k FROM unnest(keys) AS k LOOP
      SELECT (SELECT count(*) FROM :"schema".jobs j
              WHERE j.concurrency_key = one AND j.status IN ('queued', 'running') AND j.parked IS NULL)
           + (SELECT count(*) FROM :"schema".jobs j
              WHERE j.concurrency_key = one AND j.status = 'queued' AND j.parked = 'limit') INTO turns;
      FOR candidate IN
        SELECT j.id, j.concurrency_limit FROM :"schema".jobs j
        WHERE j.concurrency_key = one AND j.parked = 'key'
        ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED
      LOOP
        EXIT WHEN turns >= candidate.concurrency_limit;
        entering := entering || candidate.id;
        turns := turns + 1;
      END LOOP;
    END LOOP;
  END IF;
  IF entering IS NOT NULL THEN PERFORM :"schema".enter_jobs(entering); END IF;
END $$;

-- Claims where limits are declared.
--
-- INVARIANT: locks are taken in one order: keys (admit_jobs), the queue's limit, the types' limits by name. Counts are
-- taken by statements whose snapshots are newer than the lock of what they count for. Rows of job_rates are skipped
-- when they are locked: by an admission, which may wait for a limit that is held here.
--
-- The slots of a limit are the running jobs themselves: whoever rescues a job from a dead process frees its slot.
CREATE FUNCTION :"schema".claim_limited_jobs(process uuid, queue text, names text[], most integer)
RETURNS SETOF :"schema".jobs LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  at          timestamptz;
  room        integer := most;
  queue_limit :"schema".job_limits;
  type_limit  :"schema".job_limits;
  bucket      :"schema".job_rates;
  type_room   integer;
  found_ids   uuid[];
  picks       uuid[] := '{}';
  visited     :"schema".job_rates[] := '{}';
  chosen      uuid[];
  n           integer;
BEGIN
  SELECT * INTO queue_limit FROM :"schema".job_limits l
    WHERE l.kind = 'queue' AND l.name = claim_limited_jobs.queue FOR UPDATE;
  IF queue_limit.concurrency IS NOT NULL THEN
    SELECT least(room, queue_limit.concurrency - count(*)::integer) INTO room FROM :"schema".jobs j
      WHERE j.queue = claim_limited_jobs.queue AND j.status = 'running' AND j.limited;
  END IF;
  IF queue_limit.rate IS NOT NULL THEN
    SELECT least(room, :"schema".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, clock_timestamp()))
      INTO n FROM :"schema".job_rates r WHERE r.kind = 'queue' AND r.name = claim_limited_jobs.queue AND r.key = '';
    room := coalesce(n, least(room, queue_limit.rate));
  END IF;
  IF room <= 0 THEN RETURN; END IF;

  FOR type_limit IN
    SELECT l.* FROM :"schema".job_limits l
    WHERE l.kind = 'type' AND l.name = ANY (names)
      AND EXISTS (SELECT FROM :"schema".job_rates r WHERE r.kind = 'type' AND r.name = l.name AND r.ready_at <= statement_timestamp())
    ORDER BY l.name FOR UPDATE
  LOOP
    type_room := room;
    IF type_limit.concurrency IS NOT NULL THEN
      SELECT least(room, type_limit.concurrency - count(*)::integer) INTO type_room FROM :"schema".jobs j
        WHERE j.name = type_limit.name AND j.status = 'running' AND j.limited;
    END IF;
    CONTINUE WHEN type_room <= 0;
    FOR bucket IN
      SELECT r.* FROM :"schema".job_rates r
      WHERE r.kind = 'type' AND r.name = type_limit.name AND r.ready_at <= statement_timestamp()
      ORDER BY r.ready_at LIMIT least(type_room, 100) FOR UPDATE SKIP LOCKED
    LOOP
      n := least(type_room, :"schema".rate_room(bucket.since, bucket.starts, type_limit.rate, type_limit.period, clock_timestamp()));
      found_ids := ARRAY(
        SELECT q.id FROM :"schema".jobs q
        WHERE q.status = 'queued' AND q.parked = 'limit' AND q.name = type_limit.name
          AND coalesce(q.rate_key, '') = bucket.key AND q.queue = claim_limited_jobs.queue
        ORDER BY q.priority, q.run_at, q.id LIMIT n FOR UPDATE SKIP LOCKED);
      picks := picks || found_ids;
      visited := visited || bucket;
      type_room := type_room - cardinality(found_ids);
      EXIT WHEN type_room <= 0;
    END LOOP;
  END LOOP;

  -- What waits in the claim index though its type has a limit by now is put aside by the next look at the types.
  chosen := ARRAY(
    SELECT j.id FROM :"schema".jobs j WHERE j.id = ANY (picks || ARRAY(
      SELECT q.id FROM :"schema".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_limited_jobs.queue AND q.name = ANY (names)
        AND q.name NOT IN (SELECT l.name FROM :"schema".job_limits l WHERE l.kind = 'type')
      ORDER BY q.priority, q.run_at, q.id LIMIT room FOR UPDATE SKIP LOCKED))
    ORDER BY j.priority, j.run_at, j.id LIMIT room);

  -- One time for the starts and for what is noted of them.
  at := clock_timestamp();
  IF queue_limit.rate IS NOT NULL AND chosen <> '{}' THEN
    PERFORM :"schema".note_starts('queue', queue_limit.name, '', cardinality(chosen), queue_limit.period, at);
    UPDATE :"schema".job_rates r SET ready_at = CASE
        WHEN :"schema".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, at) > 0 THEN NULL
        ELSE r.since[1] + queue_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'queue' AND r.name = queue_limit.name AND r.key = '';
  END IF;
  FOREACH bucket IN ARRAY visited LOOP
    SELECT * INTO type_limit FROM :"schema".job_limits l WHERE l.kind = 'type' AND l.name = bucket.name;
    SELECT count(*)::integer INTO n FROM :"schema".jobs j
      WHERE j.id = ANY (chosen) AND j.name = bucket.name AND coalesce(j.rate_key, '') = bucket.key;
    IF n > 0 AND type_limit.rate IS NOT NULL THEN
      PERFORM :"schema".note_starts('type', bucket.name, bucket.key, n, type_limit.period, at);
    END IF;
    UPDATE :"schema".job_rates r SET ready_at = CASE
        WHEN NOT EXISTS (
          SELECT FROM :"schema".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.name = bucket.name
            AND coalesce(j.rate_key, '') = bucket.key AND NOT (j.id = ANY (chosen))) THEN NULL
        WHEN :"schema".rate_room(r.since, r.starts, type_limit.rate, type_limit.period, at) > 0 THEN at
        ELSE r.since[1] + type_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'type' AND r.name = bucket.name AND r.key = bucket.key;
  END LOOP;

  RETURN QUERY
    UPDATE :"schema".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_limited_jobs.process,
        started_at = at, parked = NULL, limited = true
    WHERE j.id = ANY (chosen)
    RETURNING j.*;
END $$;

-- As before; only where limits are declared it claims in another way. And without JIT: a table without an index costs
-- so much on paper that each claim compiled its look at it, which took 39 ms of the 42 of a claim.
CREATE OR REPLACE FUNCTION :"schema".claim_jobs(process uuid, queue text, names text[], most integer)
RETURNS TABLE (id uuid, token bigint, attempt integer, version integer, name text, input jsonb, input_meta jsonb,
  created_at timestamptz, priority integer, resumes boolean, keyed boolean, parent uuid, triggered_by text, correlation_id text,
  causation_id text, requested text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  UPDATE :"schema".jobs j
    SET status = 'queued', waiting = NULL,
      parked = CASE WHEN j.concurrency_key IS NULL AND NOT j.limited THEN NULL ELSE 'new' END
    WHERE j.id = ANY (ARRAY(
      SELECT d.id FROM :"schema".jobs d WHERE d.status = 'scheduled' AND d.run_at <= statement_timestamp()
      ORDER BY d.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
  IF EXISTS (SELECT FROM :"schema".jobs j WHERE j.parked = 'new')
     OR EXISTS (SELECT FROM :"schema".job_key_releases) THEN
    PERFORM :"schema".admit_jobs();
  END IF;
  IF EXISTS (SELECT FROM :"schema".job_limits) THEN
    RETURN QUERY
      SELECT j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
        j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested
      FROM :"schema".claim_limited_jobs(process, queue, names, most) AS j;
    RETURN;
  END IF;
  RETURN QUERY
    UPDATE :"schema".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_jobs.process,
        started_at = clock_timestamp()
    WHERE j.ctid = ANY (ARRAY(
      SELECT q.ctid FROM :"schema".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_jobs.queue AND q.name = ANY (names)
      ORDER BY q.priority, q.run_at, q.id LIMIT most FOR UPDATE SKIP LOCKED))
    RETURNING j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
      j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested;
END $$;

-- When the next scheduled job becomes due, or the next key of a rate limit free, in milliseconds from now; 0 while there
-- are jobs that nobody has looked at; null: none does.
CREATE OR REPLACE FUNCTION :"schema".next_job_due() RETURNS float8 LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
  SELECT least(
    (SELECT 0::float8 WHERE EXISTS (SELECT FROM :"schema".jobs j WHERE j.parked = 'new')),
    (SELECT greatest(0, extract(epoch FROM j.run_at - statement_timestamp()) * 1000)::float8
     FROM :"schema".jobs j WHERE j.status = 'scheduled' AND j.run_at < 'infinity' ORDER BY j.run_at LIMIT 1),
    (SELECT (extract(epoch FROM r.ready_at - statement_timestamp()) * 1000)::float8
     FROM :"schema".job_rates r WHERE r.ready_at > statement_timestamp() ORDER BY r.ready_at LIMIT 1))
$$;

-- For spawners in SQL or in any language. Answers the job's id, or that of the unfinished job with the same key.
CREATE OR REPLACE FUNCTION :"schema".spawn(
  name text, input jsonb, run_at timestamptz DEFAULT NULL, priority integer DEFAULT 0, queue text DEFAULT 'default',
  unique_key text DEFAULT NULL, concurrency_key text DEFAULT NULL, triggered_by text DEFAULT 'sql',
  version integer DEFAULT 1, id uuid DEFAULT gen_random_uuid()
) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  answer  uuid;
  limited boolean := EXISTS (SELECT FROM :"schema".job_limits l WHERE l.kind = 'type' AND l.name = spawn.name);
BEGIN
  INSERT INTO :"schema".jobs AS j
    (id, name, input, run_at, status, priority, queue, unique_key, concurrency_key, parked, triggered_by, version,
     limited)
  VALUES (id, name, input, coalesce(run_at, statement_timestamp()),
    CASE WHEN run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END, priority, queue, unique_key,
    concurrency_key,
    CASE WHEN (concurrency_key IS NULL AND NOT limited) OR run_at > statement_timestamp() THEN NULL ELSE 'new' END,
    triggered_by, version, limited)
  ON CONFLICT DO NOTHING RETURNING j.id INTO answer;
  IF answer IS NULL THEN
    SELECT j.id INTO answer FROM :"schema".jobs j
      WHERE j.id = spawn.id OR (j.unique_key = spawn.unique_key
        AND j.status IN ('scheduled', 'queued', 'running', 'paused')) LIMIT 1;
  END IF;
  RETURN answer;
END $$;
