-- breaking: no
--
-- What moves a job along: it is spawned, claimed, woken and completed.

-- Spawning ----------------------------------------------------------------------------------------

-- Rings once per statement, and only while somebody waits. A spawner that commits long after its INSERT may have
-- found nobody armed; who waits looks again after 5, 10, 20 … ms, at most a second, so that what is late is late by
-- no more than the spawning transaction took.
CREATE FUNCTION :"schema".ring_for_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM :"schema".job_doorbells WHERE armed) THEN PERFORM :"schema".ring('jobs'); END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER ring_for_jobs AFTER INSERT ON :"schema".jobs
  FOR EACH STATEMENT EXECUTE FUNCTION :"schema".ring_for_jobs();

-- For spawners in SQL or in any language, by the rules of the library: keys belong to a type, and an id is that of one
-- job. Answers the job's id, or that of the unfinished job of the type with the same key.
CREATE FUNCTION :"schema".spawn(
  name text, input jsonb, run_at timestamptz DEFAULT NULL, priority integer DEFAULT 0, queue text DEFAULT 'default',
  unique_key text DEFAULT NULL, concurrency_key text DEFAULT NULL, triggered_by text DEFAULT 'sql',
  version integer DEFAULT 1, id uuid DEFAULT gen_random_uuid(), input_meta jsonb DEFAULT NULL,
  traceparent text DEFAULT NULL, tracestate text DEFAULT NULL, correlation_id text DEFAULT NULL,
  causation_id text DEFAULT NULL
) RETURNS uuid LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
  answer  uuid;
  limited boolean := EXISTS (SELECT FROM :"schema".job_limits l WHERE l.kind = 'type' AND l.name = spawn.name);
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
  PERFORM :"schema".check_published('spawn',
    ARRAY[unique_key, concurrency_key, triggered_by, correlation_id, causation_id], ARRAY[input_meta], traceparent,
    tracestate);
  -- A job that stands in the way may end before it is looked at: then there is room, and it is tried again.
  FOR tries IN 1 .. 10 LOOP
    INSERT INTO :"schema".jobs AS j
      (id, name, input, input_meta, run_at, status, priority, queue, unique_key, concurrency_key, parked, triggered_by,
       version, needs, limited, traceparent, tracestate, correlation_id, causation_id)
    SELECT id, name, input, input_meta, coalesce(run_at, statement_timestamp()),
      CASE WHEN run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END, priority, queue, unique_key,
      concurrency_key,
      CASE WHEN (concurrency_key IS NULL AND NOT limited) OR run_at > statement_timestamp() THEN NULL ELSE 'new' END,
      triggered_by, version, version, limited, traceparent, tracestate, correlation_id, causation_id
    WHERE unique_key IS NULL OR :"schema".may_take_key(ARRAY[name], unique_key)
    ON CONFLICT DO NOTHING RETURNING j.id INTO answer;
    IF answer IS NULL THEN
      SELECT j.id INTO answer FROM :"schema".jobs j WHERE j.id = spawn.id AND j.name = spawn.name;
      IF answer IS NULL AND EXISTS (SELECT FROM :"schema".jobs j WHERE j.id = spawn.id) THEN
        RAISE EXCEPTION 'spawn: % is the id of a job of another type', spawn.id USING ERRCODE = 'unique_violation';
      ELSIF answer IS NULL THEN
        SELECT j.id INTO answer FROM :"schema".jobs j
          WHERE j.unique_key = spawn.unique_key AND j.name = ANY (:"schema".names_of_type(ARRAY[name]))
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
CREATE FUNCTION :"schema".release_successors() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  released bigint := 0;
  one      uuid;
BEGIN
  FOR one IN
    SELECT s.id FROM :"schema".jobs s
    WHERE s.successor AND s.status IN ('scheduled', 'paused') AND NOT EXISTS (
      SELECT FROM :"schema".jobs j WHERE j.unique_key = s.unique_key
        AND j.name = ANY (:"schema".names_of_type(ARRAY[s.name])) AND NOT j.successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    -- As spawners take them.
    ORDER BY s.unique_key, s.id LIMIT 1000 FOR UPDATE SKIP LOCKED
  LOOP
    BEGIN
      UPDATE :"schema".jobs s
        SET successor = false, run_at = greatest((s.waiting ->> 'runAt')::timestamptz, s.created_at), waiting = NULL
        WHERE s.id = one AND :"schema".may_take_key(ARRAY[s.name], s.unique_key);
      IF FOUND THEN released := released + 1; END IF;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
  RETURN released;
END $$;

-- When one of the processes looks through all jobs of a kind next.
CREATE TABLE :"schema".job_looks (
  what    text        PRIMARY KEY,
  next_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Claiming ----------------------------------------------------------------------------------------

-- The queues besides `known` in which jobs of these types wait to be claimed: a job may be put into another queue than
-- that of its type, and whoever knows the type takes it. What is behind a hundred jobs of other types is found when those
-- have gone.
CREATE FUNCTION :"schema".queues_of(names text[], known text[]) RETURNS SETOF text LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  one text := '';
BEGIN
  LOOP
    one := least(
      (SELECT j.queue FROM :"schema".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue > one
       ORDER BY j.queue LIMIT 1),
      (SELECT j.queue FROM :"schema".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
       ORDER BY j.queue LIMIT 1));
    EXIT WHEN one IS NULL;
    IF one <> ALL (known) AND (
      EXISTS (
        SELECT FROM (
          SELECT j.name FROM :"schema".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue = one
          ORDER BY j.priority, j.run_at, j.id LIMIT 100) AS f
        WHERE f.name = ANY (names))
      OR EXISTS (
        SELECT FROM unnest(names) AS n (name), LATERAL (
          SELECT FROM :"schema".jobs j
          WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue = one AND j.name = n.name LIMIT 1) AS f))
    THEN
      RETURN NEXT one;
    END IF;
  END LOOP;
END $$;

-- Whether jobs of a type, with one key of its rate, wait for its limit in any queue, besides the chosen ones.
CREATE FUNCTION :"schema".waits_for_limit(name text, rate_key text, chosen uuid[]) RETURNS boolean
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  one text := '';
BEGIN
  LOOP
    SELECT j.queue INTO one FROM :"schema".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
      ORDER BY j.queue LIMIT 1;
    IF NOT FOUND THEN RETURN false; END IF;
    IF EXISTS (
      SELECT FROM :"schema".jobs j
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
CREATE FUNCTION :"schema".claim_limited_jobs(
  process uuid, queue text, names text[], most integer, versions integer[], paused text[]
) RETURNS SETOF :"schema".jobs LANGUAGE plpgsql
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
    WHERE l.kind = 'type' AND l.name = ANY (names) AND l.name <> ALL (paused)
      -- In this order: mostly nothing is ready. OFFSET keeps the planner from walking along all that wait.
      AND CASE WHEN EXISTS (
        SELECT FROM :"schema".job_rates r WHERE r.kind = 'type' AND r.name = l.name AND r.ready_at <= statement_timestamp())
      THEN EXISTS (
        SELECT FROM :"schema".jobs q
        WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = l.name
        OFFSET 0) END
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
        -- Whose jobs are all in other queues are left to those: claims of two queues would take turns at each other's.
        AND EXISTS (
          SELECT FROM :"schema".jobs q
          WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = r.name
            AND coalesce(q.rate_key, '') = r.key
          OFFSET 0)
      ORDER BY r.ready_at LIMIT least(type_room, 100) FOR UPDATE SKIP LOCKED
    LOOP
      n := least(type_room, :"schema".rate_room(bucket.since, bucket.starts, type_limit.rate, type_limit.period, clock_timestamp()));
      found_ids := ARRAY(
        SELECT q.id FROM :"schema".jobs q
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
    SELECT j.id FROM :"schema".jobs j WHERE j.id = ANY (picks || ARRAY(
      SELECT q.id FROM :"schema".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_limited_jobs.queue AND q.name = ANY (names)
        AND q.name NOT IN (SELECT l.name FROM :"schema".job_limits l WHERE l.kind = 'type')
        AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
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
        WHEN NOT :"schema".waits_for_limit(bucket.name, bucket.key, chosen) THEN NULL
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

-- The places of the next jobs that can be claimed, which it locks.
--
-- Claimed jobs stay in the way of the next look, at the front of the index, for as long as somebody's snapshot keeps them
-- from being cleaned up. So a look that took longer than what it found accounts for is noted in the session, with its
-- last job, and the next ones begin there: for 20 times as long as it took too long, and a second at most. A look from
-- there that does not find enough begins at the front all the same, after 5 times as long. So a walk along the dead takes
-- a twentieth of the time of a busy queue and a fifth of the looks' of an idle one, and what can be claimed before the
-- note (a job of higher priority, one that was given back) is late by what the walk would have cost all others.
CREATE FUNCTION :"schema".next_jobs(queue text, names text[], most integer, versions integer[], paused text[])
RETURNS tid[] LANGUAGE plpgsql AS $$
DECLARE
  began    bigint := extract(epoch FROM clock_timestamp()) * 1000000;
  setting  text := 'tidemark.next_' || encode(convert_to(:'schema' || '.' || queue, 'UTF8'), 'hex');
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
    SELECT q.ctid FROM :"schema".jobs q
    WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
      AND (q.priority, q.run_at, q.id) >= (rank, since, first) AND q.name <> ALL (paused)
      AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
    ORDER BY q.priority, q.run_at, q.id LIMIT most FOR UPDATE SKIP LOCKED);
  IF noted AND cardinality(jobs) < most AND began > note[2]::bigint + 5 * note[3]::bigint THEN
    noted := false;
    urgent := ARRAY(
      SELECT q.ctid FROM :"schema".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
        AND (q.priority, q.run_at, q.id) < (rank, since, first) AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
      ORDER BY q.priority, q.run_at, q.id LIMIT most - cardinality(jobs) FOR UPDATE SKIP LOCKED);
  END IF;
  late := CASE WHEN noted THEN note[3]::bigint
    ELSE extract(epoch FROM clock_timestamp()) * 1000000 - began - 20 * cardinality(jobs || urgent) END;
  IF late > 100 AND cardinality(jobs) > 0 THEN
    SELECT j.priority, j.run_at, j.id INTO rank, since, first FROM :"schema".jobs j WHERE j.ctid = jobs[cardinality(jobs)];
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
CREATE FUNCTION :"schema".claim_jobs(
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
  paused text[] := ARRAY(SELECT p.name FROM :"schema".job_pauses p WHERE p.kind = 'type' AND p.name = ANY (names));
  next   tid[];
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
  IF EXISTS (SELECT FROM :"schema".job_pauses p WHERE p.kind = 'queue' AND p.name = claim_jobs.queue) THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM :"schema".job_limits) THEN
    RETURN QUERY
      SELECT j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
        j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
        j.deaths
      FROM :"schema".claim_limited_jobs(process, queue, names, most, versions, paused) AS j;
    RETURN;
  END IF;
  next := :"schema".next_jobs(queue, names, most, versions, paused);
  RETURN QUERY
    UPDATE :"schema".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_jobs.process,
        started_at = clock_timestamp()
    WHERE j.ctid = ANY (next)
    RETURNING j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
      j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
      j.deaths;
END $$;

-- When the next scheduled job becomes due, or the next key of a rate limit free, in milliseconds from now; 0 while
-- there are jobs that nobody has looked at; null: none does.
CREATE FUNCTION :"schema".next_job_due() RETURNS float8 LANGUAGE sql STABLE
SET enable_seqscan = off AS $$
  SELECT least(
    (SELECT 0::float8 WHERE EXISTS (SELECT FROM :"schema".jobs j WHERE j.parked = 'new')),
    (SELECT greatest(0, extract(epoch FROM j.run_at - statement_timestamp()) * 1000)::float8
     FROM :"schema".jobs j WHERE j.status = 'scheduled' AND j.run_at < 'infinity' ORDER BY j.run_at LIMIT 1),
    (SELECT (extract(epoch FROM r.ready_at - statement_timestamp()) * 1000)::float8
     FROM :"schema".job_rates r WHERE r.ready_at > statement_timestamp() ORDER BY r.ready_at LIMIT 1))
$$;

-- Waking ------------------------------------------------------------------------------------------

-- The end of a job that another one waits for, in whatever way it comes (job_changed() where it is a change).
CREATE FUNCTION :"schema".note_deleted_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_wakes (child) VALUES (OLD.id);
  RETURN NULL;
END $$;

CREATE TRIGGER note_deleted_child AFTER DELETE ON :"schema".jobs FOR EACH ROW
  WHEN ((OLD.parent IS NOT NULL OR OLD.awaited) AND OLD.status NOT IN ('completed', 'failed', 'cancelled'))
  EXECUTE FUNCTION :"schema".note_deleted_child();

CREATE FUNCTION :"schema".note_signal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_wakes (job, signal) VALUES (NEW.job, NEW.name);
  RETURN NULL;
END $$;

CREATE TRIGGER note_signal AFTER INSERT ON :"schema".job_signals
  FOR EACH ROW EXECUTE FUNCTION :"schema".note_signal();

-- The jobs that wait for one of the events after `low`, up to `high`; and up to where it has looked: at most at `most`
-- events.
CREATE FUNCTION :"schema".jobs_awaiting_events(low bigint, high bigint, most integer, OUT reached bigint, OUT jobs uuid[])
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  types text[];
  keys  text[];
  lasts bigint[];
BEGIN
  SELECT max(e.sequence) INTO reached FROM (
    SELECT e.sequence FROM :"schema".events e WHERE e.sequence > low AND e.sequence <= high
    ORDER BY e.sequence LIMIT most) e;
  IF reached IS NULL OR NOT EXISTS (SELECT FROM :"schema".events e WHERE e.sequence > reached AND e.sequence <= high)
  THEN
    reached := high;
  END IF;
  SELECT array_agg(e.type), array_agg(e.key), array_agg(e.last) INTO types, keys, lasts FROM (
    SELECT e.type, coalesce(e.key, e.stream) AS key, max(e.sequence) AS last FROM :"schema".events e
    WHERE e.sequence > low AND e.sequence <= reached GROUP BY 1, 2) e;
  jobs := ARRAY(
    SELECT w.job FROM unnest(types, keys, lasts) AS e (type, key, last), LATERAL (
      SELECT w.job FROM :"schema".job_waits w
      WHERE w.kind = 'event' AND w.target = e.type AND w.key = e.key AND w.sequence < e.last OFFSET 0) AS w
    UNION
    SELECT w.job FROM (
      SELECT u.type, max(u.last) AS last FROM unnest(types, lasts) AS u (type, last) GROUP BY 1) AS e, LATERAL (
      SELECT w.job FROM :"schema".job_waits w
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
CREATE FUNCTION :"schema".wake_jobs(horizon bigint, most integer DEFAULT 20000) RETURNS bigint LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  place    :"schema".job_wait_cursor%ROWTYPE;
  sees     pg_snapshot;
  upto     bigint;
  fresh    :"schema".job_waits[];
  -- Waits for jobs and signals that are to be looked at.
  asked    :"schema".job_waits[];
  children uuid[];
  told     uuid[];
  signals  text[];
  back     bigint;
  page     record;
  ready    uuid[] := '{}';
  woken    uuid[];
BEGIN
  SELECT * INTO place FROM :"schema".job_wait_cursor FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  -- Before anything is read: what commits later is new to the next look, too.
  SELECT pg_current_snapshot() INTO sees;
  IF pg_snapshot_xmax(place.seen) > pg_snapshot_xmax(sees) THEN
    -- Restored into a server whose transactions have other numbers: all waits are new.
    UPDATE :"schema".job_waits SET born = pg_current_xact_id();
    place.seen := sees;
  END IF;
  fresh := ARRAY(
    SELECT w FROM :"schema".job_waits w
    WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen) AND NOT pg_visible_in_snapshot(w.born, place.seen));

  upto := greatest(place.sequence, horizon);
  -- What nobody has waited for needs no look.
  IF NOT EXISTS (
    SELECT FROM :"schema".job_waits w WHERE w.kind = 'event' AND pg_visible_in_snapshot(w.born, place.seen))
  THEN
    place.sequence := upto;
  END IF;
  SELECT min(f.sequence) INTO back FROM unnest(fresh) AS f WHERE f.kind = 'event';
  IF back < place.sequence THEN
    SELECT * INTO page FROM :"schema".jobs_awaiting_events(back, place.sequence, most);
    ready := page.jobs;
    -- A page at a time: the rest is looked at next, and they stay new until then.
    IF page.reached < place.sequence THEN
      UPDATE :"schema".job_waits w SET sequence = greatest(w.sequence, page.reached), born = pg_current_xact_id()
      FROM unnest(fresh) AS f
      WHERE w.job = f.job AND w.step = f.step AND w.kind = 'event' AND w.sequence < place.sequence;
    END IF;
  END IF;
  IF place.sequence < upto THEN
    SELECT * INTO page FROM :"schema".jobs_awaiting_events(place.sequence, upto, most);
    ready := ready || page.jobs;
    upto := page.reached;
  END IF;

  IF EXISTS (SELECT FROM :"schema".job_waits w WHERE w.kind = 'cursor') THEN
    ready := ready || ARRAY(
      SELECT w.job FROM :"schema".listeners l, LATERAL (
        SELECT min(c.cursor) AS reached FROM :"schema".cursors c
        WHERE c.listener = l.name AND c.generation = l.generation OFFSET 0) AS r, LATERAL (
        SELECT w.job FROM :"schema".job_waits w
        WHERE w.kind = 'cursor' AND w.target = l.name AND w.sequence <= r.reached OFFSET 0) AS w
      UNION ALL
      -- It has another name by now, or is gone: its job must learn of it. Along the names, however many wait for each.
      SELECT w.job FROM (
        WITH RECURSIVE names AS (
          (SELECT w.target FROM :"schema".job_waits w WHERE w.kind = 'cursor' ORDER BY w.target LIMIT 1)
          UNION ALL
          SELECT (SELECT w.target FROM :"schema".job_waits w WHERE w.kind = 'cursor' AND w.target > n.target
            ORDER BY w.target LIMIT 1)
          FROM names n WHERE n.target IS NOT NULL)
        SELECT n.target FROM names n
        WHERE n.target IS NOT NULL AND NOT EXISTS (SELECT FROM :"schema".listeners l WHERE l.name = n.target)) AS n, LATERAL (
        SELECT w.job FROM :"schema".job_waits w WHERE w.kind = 'cursor' AND w.target = n.target OFFSET 0) AS w);
  END IF;

  WITH notes AS (
    DELETE FROM :"schema".job_wakes n WHERE n.ctid = ANY (ARRAY(SELECT i.ctid FROM :"schema".job_wakes i LIMIT most))
    RETURNING n.child, n.job, n.signal)
  SELECT array_agg(n.child) FILTER (WHERE n.child IS NOT NULL), array_agg(n.job) FILTER (WHERE n.signal IS NOT NULL),
      array_agg(n.signal) FILTER (WHERE n.signal IS NOT NULL),
      ready || coalesce(array_agg(n.job) FILTER (WHERE n.job IS NOT NULL AND n.signal IS NULL), '{}')
    INTO children, told, signals, ready FROM notes n;
  asked := fresh || ARRAY(
    SELECT w.* FROM unnest(children) AS c, LATERAL (
      SELECT w FROM :"schema".job_waits w WHERE w.kind = 'job' AND w.child = c OFFSET 0) AS w
    UNION ALL
    SELECT w.* FROM unnest(told, signals) AS t (job, name), LATERAL (
      SELECT w FROM :"schema".job_waits w
      WHERE w.job = t.job AND w.kind = 'signal' AND w.target = t.name OFFSET 0) AS w);
  ready := ready || ARRAY(
    SELECT a.job FROM unnest(asked) AS a
    WHERE (a.kind = 'job' AND NOT EXISTS (
        SELECT FROM :"schema".jobs c WHERE c.id = a.child AND c.status NOT IN ('completed', 'failed', 'cancelled')))
      OR (a.kind = 'signal' AND EXISTS (
        SELECT FROM :"schema".job_signals s WHERE s.job = a.job AND s.name = a.target AND s.step IS NULL)));

  -- A snapshot that is older than all waits stays, and nothing is written where nothing happens. One beside which others
  -- were writing goes on, too: from it each look would walk along the waits that were stored then.
  IF fresh = '{}' AND NOT EXISTS (
    SELECT FROM :"schema".job_waits w WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen))
  THEN
    sees := place.seen;
  END IF;
  UPDATE :"schema".job_wait_cursor c SET sequence = upto, seen = sees
    WHERE c.sequence <> upto OR c.seen::text <> sees::text;
  IF ready = '{}' THEN RETURN 0; END IF;
  woken := ARRAY(
    SELECT j.id FROM :"schema".jobs j
    WHERE j.id = ANY (ready) AND j.status = 'scheduled' AND j.waiting IS NOT NULL AND j.requested IS NULL
    ORDER BY j.id FOR UPDATE SKIP LOCKED);
  -- A job that somebody holds just now is woken next time.
  INSERT INTO :"schema".job_wakes (job)
    SELECT j.id FROM (SELECT unnest(ready) AS id EXCEPT SELECT unnest(woken)) AS r
    JOIN :"schema".jobs j ON j.id = r.id AND j.status = 'scheduled' AND j.waiting IS NOT NULL;
  UPDATE :"schema".jobs j SET run_at = statement_timestamp() WHERE j.id = ANY (woken);
  DELETE FROM :"schema".job_waits w WHERE w.job = ANY (woken);
  RETURN cardinality(woken);
END $$;

-- Up to where events of the types, after a sequence, were pruned, or NULL; and keeps more of them from being pruned until
-- the transaction ends: whoever prunes looks at the waits under the same lock. VOLATILE, so that what was pruned while it
-- waited for the lock is seen.
CREATE FUNCTION :"schema".pruned_after(types text[], after bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('tidemark.prune.' || :'schema', 0) | (1::bigint << 63));
  RETURN (
    SELECT max(p.upper_bound) FROM :"schema".pruned_partitions p
    WHERE p.types && pruned_after.types AND p.upper_bound > pruned_after.after + 1);
END $$;

-- Whether a job has begun children that have not ended and that its cancellation waits for.
CREATE FUNCTION :"schema".awaits_children(parent uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM :"schema".job_steps s JOIN :"schema".jobs c ON c.id = (s.output ->> 'child')::uuid
    WHERE s.job = awaits_children.parent AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'wait'
      AND c.parent = s.job
      AND c.status NOT IN ('completed', 'failed', 'cancelled'))
$$;

-- A parent that is cancelled leaves its children to `cancel_children`: whoever cancels locks one row, and no other. While
-- it waits for some of them it is held: its own cancellation is left, too, and nothing else wakes it. Answers the job as it
-- is then. job_changed() asks for it, so that it makes no difference by which way a job comes to be cancelled.
CREATE FUNCTION :"schema".cancel_parent(job :"schema".jobs, was :"schema".jobs) RETURNS :"schema".jobs LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO :"schema".job_cancellations (child)
  SELECT c.id FROM :"schema".job_steps s JOIN :"schema".jobs c ON c.id = (s.output ->> 'child')::uuid
  WHERE s.job = was.id AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'cancel'
    -- One that another spawn has replaced is the job of that one.
    AND c.parent = s.job
  ON CONFLICT DO NOTHING;
  IF :"schema".awaits_children(was.id) THEN
    INSERT INTO :"schema".job_cancellations (child) VALUES (was.id) ON CONFLICT DO NOTHING;
    DELETE FROM :"schema".job_waits w WHERE w.job = was.id;
    UPDATE :"schema".jobs j
      SET status = :"schema".job_after(was.status, was.requested, 'held'), requested = 'cancel', run_at = 'infinity',
        waiting = '{"for": "children", "then": "cancelled"}', finished_at = NULL, parked = NULL
      WHERE j.id = was.id RETURNING j.* INTO job;
  END IF;
  RETURN job;
END $$;

-- Cancels the children of cancelled parents, or asks those that run, and parents that were held. One that somebody holds
-- is left for the next time.
CREATE FUNCTION :"schema".cancel_children() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  children uuid[];
BEGIN
  IF NOT EXISTS (SELECT FROM :"schema".job_cancellations) THEN RETURN; END IF;
  children := ARRAY(
    SELECT j.id FROM :"schema".jobs j JOIN :"schema".job_cancellations c ON c.child = j.id
    WHERE j.requested IS DISTINCT FROM 'cancel' OR j.status <> 'scheduled' OR NOT :"schema".awaits_children(j.id)
    ORDER BY j.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED);
  UPDATE :"schema".jobs j
  SET requested = CASE WHEN j.status = 'running' THEN 'cancel' END,
    finished_at = CASE WHEN j.status = 'running' THEN j.finished_at ELSE clock_timestamp() END,
    status = :"schema".job_after(j.status, j.requested, 'cancel'), parked = NULL, waiting = NULL
  WHERE j.id = ANY (children) AND :"schema".job_after(j.status, j.requested, 'cancel') IS NOT NULL;
  -- One that is held itself by now stays.
  DELETE FROM :"schema".job_cancellations c
  WHERE (c.child = ANY (children) AND NOT EXISTS (
      SELECT FROM :"schema".jobs j WHERE j.id = c.child AND j.status = 'scheduled' AND j.requested = 'cancel'))
    OR NOT EXISTS (SELECT FROM :"schema".jobs j WHERE j.id = c.child);
END $$;

-- The waits of jobs that have been woken otherwise: by their time, by an operator. Whoever claims a job leaves them.
-- They only take room, so one process walks along them, a page at a time, and every two seconds at most.
CREATE FUNCTION :"schema".forget_waits(most integer DEFAULT 1000) RETURNS void LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  began timestamptz := clock_timestamp();
  after uuid;
  page  uuid[];
BEGIN
  -- A time that far ahead is from a clock that was.
  SELECT c.forgotten INTO after FROM :"schema".job_wait_cursor c
    WHERE c.forgets_at <= began OR c.forgets_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  page := ARRAY(SELECT w.job FROM :"schema".job_waits w WHERE w.job > after ORDER BY w.job LIMIT most);
  DELETE FROM :"schema".job_waits w WHERE w.job = ANY (page) AND NOT EXISTS (
    SELECT FROM :"schema".jobs j WHERE j.id = w.job AND j.status IN ('scheduled', 'paused') AND j.waiting IS NOT NULL);
  UPDATE :"schema".job_wait_cursor SET forgets_at = clock_timestamp() + interval '1.9 s',
    forgotten = coalesce(page[most], '00000000-0000-0000-0000-000000000000');
END $$;

-- Completing --------------------------------------------------------------------------------------

-- The fence of a batch: holds the rows of those that are still the process's own until the transaction ends. Sorted,
-- and only then locked.
CREATE FUNCTION :"schema".fence_jobs(ids uuid[], tokens bigint[]) RETURNS SETOF uuid LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
  RETURN QUERY
    SELECT j.id FROM :"schema".jobs j
    JOIN unnest(ids, tokens) AS u (id, token) ON j.id = u.id AND j.token = u.token
    WHERE j.status = 'running' ORDER BY j.id FOR KEY SHARE OF j;
END $$;
