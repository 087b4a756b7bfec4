-- breaking: no
--
-- What is told of a job: its transitions as events in the outbox, for the jobs that ask for it; what led to it, and
-- what came of it: the chain from event to job to step to event, readable in SQL.

-- Whoever makes the transition, its event commits with it: an attempt, a rescue, an operator, SQL. `was` is the job as it
-- was before; NULL: it is new.
CREATE FUNCTION :"schema".publish_transition(job :"schema".jobs, was :"schema".jobs) RETURNS void LANGUAGE plpgsql AS $$
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
    INSERT INTO :"schema".events (type, version, key, payload, correlation_id, causation_id, traceparent, tracestate)
    VALUES ('job.' || transition, 1, job.id::text,
      jsonb_build_object('job', job.id, 'name', job.name, 'queue', job.queue, 'attempt', job.attempt,
        'triggeredBy', job.triggered_by, 'parent', job.parent,
        'error', CASE WHEN transition IN ('failed', 'retried', 'rescued') THEN job.error END,
        -- The process that runs it, or did until now.
        'status', job.status, 'createdAt', job.created_at, 'process', coalesce(job.process, was.process)),
      coalesce(job.correlation_id, job.id::text), job.id::text, job.traceparent, job.tracestate);
  END IF;
END $$;

CREATE FUNCTION :"schema".publish_job_spawn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM :"schema".publish_transition(NEW, NULL);
  RETURN NULL;
END $$;

CREATE TRIGGER publish_job_spawn AFTER INSERT ON :"schema".jobs FOR EACH ROW
  WHEN ('spawned' = ANY (NEW.lifecycle))
  EXECUTE FUNCTION :"schema".publish_job_spawn();

-- Everything with the job's correlation that was recorded from `around` before its spawn to `around` after its end, as
-- a tree in the order of reading: depth, and the id of what caused each. Neither events nor jobs have an index on
-- their correlation, for which every publisher would pay: both are read as ranges of their primary keys, of each the first
-- and the last 50,000, because a job may wait for months. Jobs whose ids do not begin with the time (spawned in SQL, say)
-- are found by their parents only.
CREATE FUNCTION :"schema".job_trace(job uuid, around interval DEFAULT '1 hour')
RETURNS TABLE (depth integer, kind text, id text, cause text, name text, status text, at timestamptz,
  ended_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
  subject :"schema".jobs%ROWTYPE;
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
  SELECT j.* INTO subject FROM :"schema".jobs j WHERE j.id = job_trace.job;
  IF NOT FOUND THEN RETURN; END IF;
  -- What a job without a correlation causes has the job's id as its own.
  chain := coalesce(subject.correlation_id, subject.id::text);
  -- Whatever a clock, or somebody by hand, has written there.
  began := least(greatest(subject.created_at, 'epoch'), clock_timestamp()) - around;
  ended := least(greatest(coalesce(subject.finished_at, 'infinity'), 'epoch'), clock_timestamp()) + around;
  first_id := (lpad(to_hex(greatest(extract(epoch FROM began) * 1000, 0)::bigint), 12, '0') || repeat('0', 20))::uuid;
  last_id := (lpad(to_hex(greatest(extract(epoch FROM ended) * 1000, 0)::bigint), 12, '0') || repeat('f', 20))::uuid;
  low := :"schema".sequence_at(began - interval '1 minute');
  high := :"schema".sequence_at(ended + interval '1 minute');
  middle := greatest(low + most, high - most);
  RETURN QUERY
    WITH RECURSIVE found_jobs AS (
      SELECT j.* FROM :"schema".jobs j WHERE j.id IN (
        SELECT subject.id
        UNION SELECT c.id FROM :"schema".jobs c WHERE c.parent = subject.id
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM :"schema".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id LIMIT most) AS f
        WHERE f.correlation_id = chain
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM :"schema".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id DESC LIMIT most) AS f
        WHERE f.correlation_id = chain)
    ), found_steps AS (
      SELECT s.job, s.step, s.kind, s.started_at, s.completed_at,
        :"schema".step_status(j.status, s.position, s.error) AS status
      FROM found_jobs j JOIN :"schema".job_steps s ON s.job = j.id
    ), nodes AS (
      SELECT 'event' AS kind, e.id::text AS id, e.type AS name, 'published' AS status, e.recorded_at AS at,
        e.recorded_at AS ended_at, coalesce(
          (SELECT s.job || '#' || s.step FROM found_steps s
           WHERE s.job::text = e.causation_id AND s.step = e.metadata ->> 'tidemark.step'),
          e.causation_id) AS cause
      FROM (
        SELECT f.* FROM :"schema".events f WHERE f.sequence >= low AND f.sequence < least(high, low + most)
        UNION ALL
        SELECT f.* FROM :"schema".events f WHERE f.sequence >= middle AND f.sequence < high) AS e
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
