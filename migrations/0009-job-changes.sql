-- breaking: no
--
-- What follows from a change of a job, whoever makes it; and how many jobs of each type are in each status, without
-- reading them.

-- Counts ------------------------------------------------------------------------------------------

-- As far as changes were folded. A job that runs is counted as queued: that it runs is seen in the few that do, and so
-- a claim has nothing to count.
CREATE TABLE :"schema".job_counts (
  name   text   NOT NULL,
  status text   NOT NULL,
  jobs   bigint NOT NULL,
  PRIMARY KEY (name, status)
) WITH (fillfactor = 50);

-- What has changed since. Whoever spawns, settles or deletes jobs adds rows, in the same transaction, and waits for
-- nobody: as rows of job_counts that are changed in place, a long transaction that completes a job would hold up all
-- others that do.
CREATE TABLE :"schema".job_count_changes (
  name   text   NOT NULL,
  status text   NOT NULL,
  jobs   bigint NOT NULL
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE :"schema".job_count_changes REPLICA IDENTITY FULL;

-- When changes are folded next. Whoever folds holds the row.
CREATE TABLE :"schema".job_count_turn (
  one      boolean     PRIMARY KEY DEFAULT true CHECK (one),
  folds_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

INSERT INTO :"schema".job_count_turn DEFAULT VALUES;

CREATE FUNCTION :"schema".count_spawned_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_count_changes (name, status, jobs)
  SELECT a.name, CASE a.status WHEN 'running' THEN 'queued' ELSE a.status END, count(*) FROM added a GROUP BY 1, 2;
  RETURN NULL;
END $$;

CREATE FUNCTION :"schema".count_deleted_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_count_changes (name, status, jobs)
  SELECT d.name, CASE d.status WHEN 'running' THEN 'queued' ELSE d.status END, -count(*) FROM deleted d GROUP BY 1, 2;
  RETURN NULL;
END $$;

CREATE FUNCTION :"schema".forget_job_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM :"schema".job_counts;
  DELETE FROM :"schema".job_count_changes;
  RETURN NULL;
END $$;

CREATE TRIGGER count_spawned_jobs AFTER INSERT ON :"schema".jobs REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".count_spawned_jobs();
CREATE TRIGGER count_deleted_jobs AFTER DELETE ON :"schema".jobs REFERENCING OLD TABLE AS deleted
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".count_deleted_jobs();
CREATE TRIGGER forget_job_counts AFTER TRUNCATE ON :"schema".jobs
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".forget_job_counts();

-- Changes -----------------------------------------------------------------------------------------

-- The job as it is after all, and what it was: its children are cancelled, who waits for it is told, its turn of a key
-- ends, its transition is published, and it is counted.
CREATE FUNCTION :"schema".job_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  job :"schema".jobs := NEW;
BEGIN
  -- It was held by cancel_parent(), and whoever has asked for that goes on with what it is now.
  IF OLD.status = 'cancelled' AND NEW.status = 'scheduled' AND NEW.requested = 'cancel' THEN RETURN NULL; END IF;
  IF job.status = 'cancelled' AND OLD.status <> 'cancelled' THEN job := :"schema".cancel_parent(NEW, OLD); END IF;
  IF (job.parent IS NOT NULL OR job.awaited) AND job.status IN ('completed', 'failed', 'cancelled')
    AND OLD.status NOT IN ('completed', 'failed', 'cancelled')
  THEN
    INSERT INTO :"schema".job_wakes (child) VALUES (OLD.id);
  END IF;
  IF OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit') AND OLD.status IN ('queued', 'running')
    AND NOT ((job.parked IS NULL OR job.parked = 'limit') AND job.status IN ('queued', 'running')
      AND job.concurrency_key IS NOT DISTINCT FROM OLD.concurrency_key AND job.name = OLD.name)
  THEN
    INSERT INTO :"schema".job_key_releases (key) VALUES (OLD.turn_key);
  END IF;
  IF job.lifecycle IS NOT NULL AND job.status <> OLD.status THEN
    PERFORM :"schema".publish_transition(job, OLD);
  END IF;
  IF (job.name <> OLD.name OR job.status <> OLD.status AND NOT (
      OLD.status IN ('queued', 'running') AND job.status IN ('queued', 'running')))
    AND current_setting('tidemark.jobs_counted', true) IS DISTINCT FROM 'yes'
  THEN
    INSERT INTO :"schema".job_count_changes (name, status, jobs) VALUES
      (OLD.name, CASE OLD.status WHEN 'running' THEN 'queued' ELSE OLD.status END, -1),
      (job.name, CASE job.status WHEN 'running' THEN 'queued' ELSE job.status END, 1);
  END IF;
  RETURN NULL;
END $$;

-- One for all, because each change asks the conditions of each trigger, and after the change: a table with a trigger before
-- changes of rows has each row locked first, and the lock logged. For each row, and without tables of what was and is, which
-- all updates would pay for, claims among them. complete_jobs() counts for itself, by the batch.
CREATE TRIGGER job_changed AFTER UPDATE ON :"schema".jobs FOR EACH ROW
  WHEN (NEW.lifecycle IS NOT NULL OR NEW.parent IS NOT NULL OR NEW.awaited OR OLD.concurrency_key IS NOT NULL
    OR OLD.name <> NEW.name
    OR (OLD.status <> NEW.status AND NOT (OLD.status IN ('queued', 'running') AND NEW.status IN ('queued', 'running'))
      AND current_setting('tidemark.jobs_counted', true) IS DISTINCT FROM 'yes'))
  EXECUTE FUNCTION :"schema".job_changed();

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
CREATE FUNCTION :"schema".complete_jobs(ids uuid[], tokens bigint[], outputs jsonb[], output_metas jsonb[])
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
      UPDATE :"schema".jobs j SET status = 'completed', finished_at = clock_timestamp(), requested = NULL
      FROM unnest(ids, tokens) AS u (id, token)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  ELSE
    WITH done AS (
      UPDATE :"schema".jobs j
      SET status = 'completed', finished_at = clock_timestamp(), output = u.output, output_meta = u.output_meta,
        requested = NULL
      FROM unnest(ids, tokens, outputs, output_metas) AS u (id, token, output, output_meta)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  END IF;
  PERFORM set_config('tidemark.jobs_counted', 'no', true);
  INSERT INTO :"schema".job_count_changes (name, status, jobs)
    SELECT c.name, s.status, s.sign * c.jobs FROM (SELECT n AS name, count(*) AS jobs FROM unnest(names) AS n GROUP BY 1) c,
      (VALUES ('queued', -1), ('completed', 1)) AS s (status, sign);
  RETURN coalesce(completed, '{}');
END $$;

-- How many jobs there are, by what was counted. One statement, and so one snapshot: what it answers was true.
CREATE FUNCTION :"schema".counted_jobs() RETURNS TABLE (name text, status text, jobs bigint)
LANGUAGE sql STABLE AS $$
  SELECT c.name, c.status, sum(c.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs FROM :"schema".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs FROM :"schema".job_count_changes h
    UNION ALL
    SELECT r.name, s.status, s.sign * r.jobs FROM (
      SELECT j.name, count(*) AS jobs FROM :"schema".jobs j
      WHERE j.status = 'running' AND j.process IS NOT NULL GROUP BY 1) AS r,
      (VALUES ('running', 1), ('queued', -1)) AS s (status, sign)) AS c
  GROUP BY 1, 2 HAVING sum(c.jobs) <> 0
$$;

-- Folds what has changed. One process does so at a time, and, where a snapshot that is held elsewhere keeps what was
-- folded in its way, once in as long as makes it a fiftieth of the time.
CREATE FUNCTION :"schema".fold_job_counts(most integer DEFAULT 20000) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
BEGIN
  -- A time that far ahead is from a clock that was.
  PERFORM FROM :"schema".job_count_turn t
    WHERE t.folds_at <= began OR t.folds_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  WITH folded AS (
    DELETE FROM :"schema".job_count_changes h
    WHERE h.ctid = ANY (ARRAY(SELECT i.ctid FROM :"schema".job_count_changes i LIMIT most))
    RETURNING h.name, h.status, h.jobs)
  INSERT INTO :"schema".job_counts AS k (name, status, jobs)
    SELECT f.name, f.status, sum(f.jobs) FROM folded f GROUP BY 1, 2 HAVING sum(f.jobs) <> 0
    ON CONFLICT (name, status) DO UPDATE SET jobs = k.jobs + excluded.jobs;
  DELETE FROM :"schema".job_counts k WHERE k.jobs = 0;
  UPDATE :"schema".job_count_turn SET folds_at = clock_timestamp()
    + greatest(interval '1 s', least(49 * (clock_timestamp() - began), interval '1 minute'));
END $$;

-- Types and statuses whose count is not what it should be, and by how much: somebody has changed jobs with triggers
-- disabled. Reads all jobs.
CREATE FUNCTION :"schema".miscounted_jobs() RETURNS TABLE (name text, status text, counted bigint, jobs bigint)
LANGUAGE sql STABLE AS $$
  SELECT a.name, a.status, sum(a.counted)::bigint, sum(a.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs AS counted, 0 AS jobs FROM :"schema".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs, 0 FROM :"schema".job_count_changes h
    UNION ALL
    SELECT j.name, CASE j.status WHEN 'running' THEN 'queued' ELSE j.status END, 0, count(*)
    FROM :"schema".jobs j GROUP BY 1, 2) AS a
  GROUP BY 1, 2 HAVING sum(a.counted) <> sum(a.jobs)
$$;

-- Makes the counts agree with the jobs again, while others work: the difference is that of one snapshot, in which
-- changes and what they count are together.
CREATE FUNCTION :"schema".recount_jobs() RETURNS bigint LANGUAGE sql AS $$
  WITH added AS (
    INSERT INTO :"schema".job_count_changes (name, status, jobs)
    SELECT m.name, m.status, m.jobs - m.counted FROM :"schema".miscounted_jobs() m RETURNING 1)
  SELECT count(*) FROM added
$$;
