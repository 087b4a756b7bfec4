-- breaking: no
--
-- Durable jobs: what is slow, external, periodic or long.

-- One row per job, from its spawn to the end of its retention.
--
-- INVARIANT: a claim draws a new token, and every write of an attempt holds only where id, token and the status
-- 'running' still do. Whoever takes a running job away from its process locks the row FOR UPDATE first; an attempt
-- that is in a transaction holds it FOR KEY SHARE, which lets requests (pause, cancel) through and nothing else.
CREATE TABLE :"schema".jobs (
  id                uuid        PRIMARY KEY,
  created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- When it may run next. 'infinity': when what it waits for has happened (job_waits).
  run_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at        timestamptz,
  finished_at       timestamptz,
  -- The number of claims so far: the fencing token of the present one.
  token             bigint      NOT NULL DEFAULT 0,
  -- The process that runs it.
  process           uuid,
  parent            uuid,
  -- Lower runs first.
  priority          integer     NOT NULL DEFAULT 0,
  -- Attempts that count: a snooze, a wait or a drain takes its attempt back.
  attempt           integer     NOT NULL DEFAULT 0,
  version           integer     NOT NULL DEFAULT 1,
  concurrency_limit integer     NOT NULL DEFAULT 1,
  status            text        NOT NULL DEFAULT 'queued'
    CHECK (status IN ('scheduled', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
  -- Why a queued job is outside of the claim index. new: has a concurrency key that nobody has looked at yet;
  -- key: others with its key are running; type: no live process runs this type.
  parked            text        CHECK (parked IN ('new', 'key', 'type')),
  -- What an operator asks of a running job.
  requested         text        CHECK (requested IN ('pause', 'cancel')),
  name              text        NOT NULL,
  queue             text        NOT NULL DEFAULT 'default',
  concurrency_key   text,
  unique_key        text,
  -- Who spawned it: 'system', 'schedule:…', 'listener:…', 'job:…', or whatever the application says.
  triggered_by      text        NOT NULL DEFAULT 'sql',
  correlation_id    text,
  causation_id      text,
  traceparent       text,
  tracestate        text,
  input             jsonb       NOT NULL,
  input_meta        jsonb,
  output            jsonb,
  output_meta       jsonb,
  -- Of the last attempt that failed.
  error             jsonb,
  -- What a scheduled job waits for, for people.
  waiting           jsonb
);

COMMENT ON TABLE :"schema".jobs IS
  'Durable jobs. Spawn with the library or with the function spawn(); change the status with the library only.';

-- What can be claimed, in the order in which it is. Everything else is outside: parked, scheduled, finished.
CREATE INDEX jobs_claim ON :"schema".jobs (queue, priority, run_at, id) WHERE status = 'queued' AND parked IS NULL;
CREATE INDEX jobs_due ON :"schema".jobs (run_at) WHERE status = 'scheduled';
CREATE INDEX jobs_running ON :"schema".jobs (process) WHERE status = 'running';
CREATE INDEX jobs_new ON :"schema".jobs (concurrency_key) WHERE parked = 'new';
CREATE INDEX jobs_behind ON :"schema".jobs (concurrency_key, priority, run_at, id) WHERE parked = 'key';
CREATE INDEX jobs_admitted ON :"schema".jobs (concurrency_key)
  WHERE concurrency_key IS NOT NULL AND status IN ('queued', 'running') AND parked IS NULL;
CREATE INDEX jobs_unknown ON :"schema".jobs (name) WHERE parked = 'type';
CREATE UNIQUE INDEX jobs_unique ON :"schema".jobs (unique_key)
  WHERE unique_key IS NOT NULL AND status IN ('scheduled', 'queued', 'running', 'paused');
CREATE INDEX jobs_trouble ON :"schema".jobs (status, id) WHERE status IN ('failed', 'paused');
CREATE INDEX jobs_parent ON :"schema".jobs (parent) WHERE parent IS NOT NULL;

-- What an attempt leaves for the next one. Apart from the job, so that a checkpoint writes a small row.
CREATE TABLE :"schema".job_states (
  job            uuid        PRIMARY KEY REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  version        integer     NOT NULL DEFAULT 1,
  state          jsonb,
  state_meta     jsonb,
  variables      jsonb       NOT NULL DEFAULT '{}',
  variables_meta jsonb       NOT NULL DEFAULT '{}',
  progress       jsonb,
  updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Finished steps, and waits: a resumed job does not repeat them.
CREATE TABLE :"schema".job_steps (
  job          uuid        NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  step         text        NOT NULL,
  kind         text        NOT NULL DEFAULT 'step',
  output       jsonb,
  output_meta  jsonb,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  completed_at timestamptz,
  PRIMARY KEY (job, step)
);

-- Attempts that did not complete their job. The one that did, and the present one, are in the job's own row.
CREATE TABLE :"schema".job_attempts (
  job          uuid        NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
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

CREATE TABLE :"schema".job_logs (
  number  bigint      GENERATED ALWAYS AS IDENTITY,
  job     uuid        NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  token   bigint      NOT NULL,
  at      timestamptz NOT NULL,
  level   text        NOT NULL,
  message text        NOT NULL,
  fields  jsonb,
  PRIMARY KEY (job, number)
);

-- What jobs wait for without holding a slot.
CREATE TABLE :"schema".job_waits (
  job      uuid   PRIMARY KEY REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  kind     text   NOT NULL CHECK (kind IN ('event', 'cursor', 'jobs')),
  -- The event's type, or the listener's name.
  target   text,
  key      text,
  -- The last event that was looked at, or the sequence that the listener has to reach.
  sequence bigint,
  jobs     uuid[]
);

-- Keys that somebody has left: the next job with such a key may run.
CREATE TABLE :"schema".job_key_releases (
  key text NOT NULL
);

-- Processes that wait for jobs and want to be rung. Unlogged: after a crash nobody waits.
CREATE UNLOGGED TABLE :"schema".job_doorbells (
  process uuid    PRIMARY KEY,
  armed   boolean NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE :"schema".schedules (
  name       text        PRIMARY KEY,
  job        text        NOT NULL,
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

CREATE TABLE :"schema".schedule_ticks (
  schedule    text        NOT NULL REFERENCES :"schema".schedules (name) ON DELETE CASCADE,
  tick        timestamptz NOT NULL,
  -- fired, missed (nobody was there, and the policy does not catch up), overlapped, paused.
  outcome     text        NOT NULL CHECK (outcome IN ('fired', 'missed', 'overlapped', 'paused')),
  job         uuid,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (schedule, tick)
);

CREATE TABLE :"schema".locks (
  key        text        PRIMARY KEY,
  -- Grows with every holder: what a guarded resource can tell a late one by.
  token      bigint      NOT NULL,
  holder     text        NOT NULL,
  held_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Rings once per statement, and only while somebody waits. A spawner that commits long after its INSERT may have
-- found nobody armed; who waits looks again after 5, 10, 20 … ms, at most a second, so that what is late is late by
-- no more than the spawning transaction took.
CREATE FUNCTION :"schema".ring_for_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM :"schema".job_doorbells WHERE armed)
     AND current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' THEN
    PERFORM pg_notify('tidemark_:namespace', 'jobs');
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER ring_for_jobs AFTER INSERT ON :"schema".jobs
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".ring_for_jobs();

-- Whatever ends a keyed job's turn, in whatever way, leaves a note here; admit_jobs() reads it. No lock is taken.
CREATE FUNCTION :"schema".release_job_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_key_releases (key) VALUES (OLD.concurrency_key);
  RETURN NULL;
END $$;

CREATE TRIGGER release_job_key AFTER UPDATE ON :"schema".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND OLD.parked IS NULL AND OLD.status IN ('queued', 'running')
        AND NOT (NEW.parked IS NULL AND NEW.status IN ('queued', 'running')))
  EXECUTE FUNCTION :"schema".release_job_key();
CREATE TRIGGER release_deleted_job_key AFTER DELETE ON :"schema".jobs FOR EACH ROW
  WHEN (OLD.concurrency_key IS NOT NULL AND OLD.parked IS NULL AND OLD.status IN ('queued', 'running'))
  EXECUTE FUNCTION :"schema".release_job_key();

-- Moves keyed jobs into the claim index, as many as their keys allow. Each job is looked at when it is new and each
-- key when a turn of it ends, so the cost does not grow with how many wait.
--
-- INVARIANT: keyed jobs become claimable here only, under the key's lock, and the turns are counted by a statement
-- whose snapshot is newer than that lock. Locks are taken in one order.
CREATE FUNCTION :"schema".admit_jobs() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  fresh      uuid[];
  fresh_keys text[];
  keys       text[];
  lock_key   bigint;
  one        text;
  turns      integer;
  candidate  record;
BEGIN
  SELECT array_agg(n.id), array_agg(n.concurrency_key) INTO fresh, fresh_keys
    FROM (SELECT j.id, j.concurrency_key FROM :"schema".jobs j WHERE j.parked = 'new'
          LIMIT 500 FOR UPDATE SKIP LOCKED) AS n;
  WITH notes AS (
    DELETE FROM :"schema".job_key_releases r WHERE r.ctid = ANY (ARRAY(
      SELECT i.ctid FROM :"schema".job_key_releases i LIMIT 500 FOR UPDATE SKIP LOCKED))
    RETURNING r.key)
  SELECT array_agg(DISTINCT n.key) INTO keys FROM notes n;
  keys := coalesce(fresh_keys, '{}') || coalesce(keys, '{}');
  IF keys = '{}' THEN RETURN; END IF;
  UPDATE :"schema".jobs j SET parked = 'key' WHERE j.id = ANY (fresh);
  FOR lock_key IN SELECT DISTINCT hashtextextended(:'schema' || '.jobs.' || k, 0) FROM unnest(keys) AS k ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(lock_key);
  END LOOP;
  FOR one IN SELECT DISTINCT k FROM unnest(keys) AS k LOOP
    SELECT count(*) INTO turns FROM :"schema".jobs j
      WHERE j.concurrency_key = one AND j.status IN ('queued', 'running') AND j.parked IS NULL;
    FOR candidate IN
      SELECT j.id, j.concurrency_limit FROM :"schema".jobs j
      WHERE j.concurrency_key = one AND j.parked = 'key'
      ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED
    LOOP
      EXIT WHEN turns >= candidate.concurrency_limit;
      UPDATE :"schema".jobs j SET parked = NULL WHERE j.id = candidate.id;
      turns := turns + 1;
    END LOOP;
  END LOOP;
END $$;

-- Brings in what has become due and what its key lets in, then claims. Answers the claimed jobs.
--
-- The settings pin the plans: each statement is a short walk along one partial index, also in a table that was never
-- analysed or is full of finished jobs.
CREATE FUNCTION :"schema".claim_jobs(process uuid, queue text, names text[], most integer)
RETURNS TABLE (id uuid, token bigint, attempt integer, version integer, name text, input jsonb, input_meta jsonb,
  created_at timestamptz, priority integer, resumes boolean, keyed boolean, parent uuid, triggered_by text, correlation_id text,
  causation_id text, requested text)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  UPDATE :"schema".jobs j
    SET status = 'queued', waiting = NULL, parked = CASE WHEN j.concurrency_key IS NULL THEN NULL ELSE 'new' END
    WHERE j.id = ANY (ARRAY(
      SELECT d.id FROM :"schema".jobs d WHERE d.status = 'scheduled' AND d.run_at <= statement_timestamp()
      ORDER BY d.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
  IF EXISTS (SELECT FROM :"schema".jobs j WHERE j.parked = 'new')
     OR EXISTS (SELECT FROM :"schema".job_key_releases) THEN
    PERFORM :"schema".admit_jobs();
  END IF;
  RETURN QUERY
    UPDATE :"schema".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_jobs.process,
        started_at = clock_timestamp()
    WHERE j.id = ANY (ARRAY(
      SELECT q.id FROM :"schema".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_jobs.queue AND q.name = ANY (names)
      ORDER BY q.priority, q.run_at, q.id LIMIT most FOR UPDATE SKIP LOCKED))
    RETURNING j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
      j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested;
END $$;

-- When the next scheduled job becomes due, in milliseconds from now; null: none does.
CREATE FUNCTION :"schema".next_job_due() RETURNS float8 LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
  SELECT greatest(0, extract(epoch FROM j.run_at - statement_timestamp()) * 1000)::float8
  FROM :"schema".jobs j WHERE j.status = 'scheduled' AND j.run_at < 'infinity' ORDER BY j.run_at LIMIT 1
$$;

-- Makes claimable what has waited for an event, a cursor or other jobs that are there by now. `horizon` is the
-- caller's: events above it are not settled.
CREATE FUNCTION :"schema".wake_jobs(horizon bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  woken bigint;
BEGIN
  WITH ready AS (
    SELECT w.job FROM :"schema".job_waits w
    WHERE NOT EXISTS (
      SELECT FROM :"schema".jobs j WHERE j.id = w.job AND j.status = 'scheduled' AND j.waiting IS NOT NULL)
    OR CASE w.kind
      WHEN 'event' THEN EXISTS (
        SELECT FROM :"schema".events e
        WHERE e.sequence > w.sequence AND e.sequence <= horizon AND e.type = w.target
          AND (w.key IS NULL OR coalesce(e.key, e.stream) = w.key))
      WHEN 'cursor' THEN (
        SELECT min(c.cursor) >= w.sequence FROM :"schema".listeners l
        JOIN :"schema".cursors c ON c.listener = l.name AND c.generation = l.generation
        WHERE l.name = w.target)
      ELSE NOT EXISTS (
        SELECT FROM :"schema".jobs c
        WHERE c.id = ANY (w.jobs) AND c.status NOT IN ('completed', 'failed', 'cancelled'))
    END
    ORDER BY w.job FOR UPDATE OF w SKIP LOCKED
  ), gone AS (
    DELETE FROM :"schema".job_waits w USING ready r WHERE w.job = r.job RETURNING w.job
  )
  UPDATE :"schema".jobs j SET run_at = statement_timestamp() FROM gone g
  WHERE j.id = g.job AND j.status = 'scheduled' AND j.waiting IS NOT NULL;
  GET DIAGNOSTICS woken = ROW_COUNT;
  RETURN woken;
END $$;

-- For spawners in SQL or in any language. Answers the job's id, or that of the unfinished job with the same key.
CREATE FUNCTION :"schema".spawn(
  name text, input jsonb, run_at timestamptz DEFAULT NULL, priority integer DEFAULT 0, queue text DEFAULT 'default',
  unique_key text DEFAULT NULL, concurrency_key text DEFAULT NULL, triggered_by text DEFAULT 'sql',
  version integer DEFAULT 1, id uuid DEFAULT gen_random_uuid()
) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  answer uuid;
BEGIN
  INSERT INTO :"schema".jobs AS j
    (id, name, input, run_at, status, priority, queue, unique_key, concurrency_key, parked, triggered_by, version)
  VALUES (id, name, input, coalesce(run_at, statement_timestamp()),
    CASE WHEN run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END, priority, queue, unique_key,
    concurrency_key, CASE WHEN concurrency_key IS NULL OR run_at > statement_timestamp() THEN NULL ELSE 'new' END,
    triggered_by, version)
  ON CONFLICT DO NOTHING RETURNING j.id INTO answer;
  IF answer IS NULL THEN
    SELECT j.id INTO answer FROM :"schema".jobs j
      WHERE j.id = spawn.id OR (j.unique_key = spawn.unique_key
        AND j.status IN ('scheduled', 'queued', 'running', 'paused')) LIMIT 1;
  END IF;
  RETURN answer;
END $$;
