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
CREATE TABLE :"schema".jobs (
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

CREATE FUNCTION :"schema".keep_turn_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.turn_key := NEW.name || ' ' || NEW.concurrency_key;
  RETURN NEW;
END $$;

CREATE TRIGGER keep_turn_key BEFORE INSERT ON :"schema".jobs FOR EACH ROW
  WHEN (NEW.concurrency_key IS NOT NULL) EXECUTE FUNCTION :"schema".keep_turn_key();

CREATE FUNCTION :"schema".keep_changed_turn_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE :"schema".jobs j SET turn_key = j.name || ' ' || j.concurrency_key WHERE j.id = NEW.id;
  RETURN NULL;
END $$;

-- After the change: a table with a trigger before changes of rows has each row locked first, and the lock logged, by every
-- change of it.
CREATE TRIGGER keep_changed_turn_key AFTER UPDATE OF name, concurrency_key, turn_key ON :"schema".jobs FOR EACH ROW
  WHEN (NEW.turn_key IS DISTINCT FROM NEW.name || ' ' || NEW.concurrency_key)
  EXECUTE FUNCTION :"schema".keep_changed_turn_key();

-- What becomes of a job: its status after something has happened to it, NULL where that cannot happen to a job in its
-- status. `requested` is what somebody asked of it while it ran; leaving 'running' answers the request.
--
-- INVARIANT: whatever changes the status of a job asks this function, except for its spawn, and for what goes one way
-- only and is asked for millions of jobs: scheduled → queued (due), queued → running (claimed), running → completed.
-- docs/jobs.md draws it, and test/job/state-machine.test.ts compares the two.
CREATE FUNCTION :"schema".job_after(status text, requested text, what text) RETURNS text
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

COMMENT ON TABLE :"schema".jobs IS
  'Durable jobs. Spawn with the library or with the function spawn(); change the status with the library only.';

-- Of the conditions of an index the one comes first that fewest jobs meet: each change of a job asks those of all indexes.

-- What can be claimed, in the order in which it is. Everything else is outside: parked, scheduled, finished.
CREATE INDEX jobs_claim ON :"schema".jobs (queue, priority, run_at, id) WHERE status = 'queued' AND parked IS NULL;
CREATE INDEX jobs_due ON :"schema".jobs (run_at) WHERE status = 'scheduled';

-- The statements of an attempt select its job by id, token and status = 'running'. With just that predicate in the
-- index of running jobs the planner walked it instead of the primary key, where the statistics said that few run,
-- with all of its dead entries, for each job of a batch: completing 1,000 jobs took 12 to 16 times as long as without
-- that index (medians of one run). The statements that want it name the process, so no other can take it.
CREATE INDEX jobs_running ON :"schema".jobs (process) WHERE status = 'running' AND process IS NOT NULL;

CREATE INDEX jobs_new ON :"schema".jobs (turn_key) WHERE parked = 'new';
CREATE INDEX jobs_behind ON :"schema".jobs (turn_key, priority, run_at, id) WHERE parked = 'key';
CREATE INDEX jobs_admitted ON :"schema".jobs (turn_key)
  WHERE turn_key IS NOT NULL AND status IN ('queued', 'running') AND (parked IS NULL OR parked = 'limit');
CREATE INDEX jobs_limited ON :"schema".jobs (queue, name, (coalesce(rate_key, '')), priority, run_at, id)
  WHERE parked = 'limit' AND status = 'queued';
CREATE INDEX jobs_running_of_type ON :"schema".jobs (name) WHERE limited AND status = 'running';
CREATE INDEX jobs_running_in_queue ON :"schema".jobs (queue) WHERE limited AND status = 'running';
CREATE INDEX jobs_unknown ON :"schema".jobs (name) WHERE parked = 'type';
CREATE INDEX jobs_held ON :"schema".jobs (queue, name, priority, run_at, id) WHERE parked = 'pause';
-- One unfinished job of a type for each key, and one that comes after it.
CREATE UNIQUE INDEX jobs_unique ON :"schema".jobs (unique_key, name)
  WHERE unique_key IS NOT NULL AND NOT successor AND status IN ('scheduled', 'queued', 'running', 'paused');
CREATE UNIQUE INDEX jobs_successors ON :"schema".jobs (unique_key, name)
  WHERE successor AND status IN ('scheduled', 'paused');
-- Those that nothing but a person mends. Looked for every few seconds, and there are mostly none.
CREATE INDEX jobs_quarantined ON :"schema".jobs (name, (error ->> 'code')) WHERE status = 'failed'
  AND error ->> 'code' IN ('TIDEMARK_INVALID_INPUT', 'TIDEMARK_INVALID_STATE', 'TIDEMARK_INVALID_OUTPUT', 'TIDEMARK_JOB_KILLS');
CREATE INDEX jobs_trouble ON :"schema".jobs (status, id) WHERE status IN ('failed', 'paused', 'cancelled');

-- Those that have failed and are tried again. A job that does not fail is never in it.
CREATE INDEX jobs_retrying ON :"schema".jobs (id)
  WHERE error IS NOT NULL AND status IN ('scheduled', 'queued', 'running');

-- Where the jobs of a type that have a status are in the index for lists, perhaps among others. A number, because comparing
-- texts by the collation of the database, and logging them, took 3 us more of the server's time for each job.
CREATE FUNCTION :"schema".job_place(name text, status text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT hashtext(name || ' ' || status) $$;

-- For lists, in the order of ids: by type and status, and by whatever else is rare. Of expressions, so that no other
-- statement takes one of them by mistake, and walks along finished jobs to find one that is not.
--
-- The few that run are found by their process: an entry in each of a job's three places cost 6 us of the server's and 190
-- bytes of WAL a job, of 41 us and 1,160 bytes for its claim and its completion together; without that of a claim it is
-- half.
CREATE INDEX jobs_by_type ON :"schema".jobs (:"schema".job_place(name, status), id)
  WHERE status <> 'running' OR process IS NULL;
CREATE INDEX jobs_by_queue ON :"schema".jobs ((queue || ''), id) WHERE queue <> 'default';
CREATE INDEX jobs_by_unique_key ON :"schema".jobs ((unique_key || ''), id) WHERE unique_key IS NOT NULL;
CREATE INDEX jobs_by_concurrency_key ON :"schema".jobs ((concurrency_key || ''), id)
  WHERE concurrency_key IS NOT NULL;
CREATE INDEX jobs_parent ON :"schema".jobs (parent, id) WHERE parent IS NOT NULL;

-- What attempts leave -----------------------------------------------------------------------------

-- What an attempt leaves for the next one. Apart from the job, so that a checkpoint writes a small row.
CREATE TABLE :"schema".job_states (
  job            uuid        PRIMARY KEY REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
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
CREATE TABLE :"schema".job_steps (
  job          uuid        NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
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
CREATE FUNCTION :"schema".step_status(job_status text, "position" integer, error jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN error IS NULL AND "position" IS NULL THEN 'open'
    WHEN error IS NULL THEN 'completed'
    WHEN "position" IS NULL AND job_status NOT IN ('completed', 'failed', 'cancelled') THEN 'retrying'
    ELSE 'failed' END
$$;

-- The events that jobs have been given or ask for, which the outbox keeps for them.
CREATE INDEX job_steps_events ON :"schema".job_steps (job) WHERE kind = 'event';

-- The jobs that others wait for as their children, whoever has spawned them.
CREATE INDEX job_steps_children ON :"schema".job_steps ((output ->> 'child')) WHERE kind = 'child' AND position IS NULL;
CREATE INDEX job_steps_parents ON :"schema".job_steps (job) WHERE kind = 'child' AND position IS NULL;

-- What was said to a job, kept until it asks.
CREATE TABLE :"schema".job_signals (
  job          uuid        NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  number       bigint      GENERATED ALWAYS AS IDENTITY,
  name         text        NOT NULL,
  payload      jsonb       NOT NULL,
  payload_meta jsonb,
  -- The wait that has taken it; NULL: none has.
  step         text,
  sent_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (job, number)
);

CREATE INDEX job_signals_untaken ON :"schema".job_signals (job, name, number) WHERE step IS NULL;

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

-- Large outputs of jobs and of their steps, apart from the rows that are listed, claimed and resumed.
--
-- The row of the job or the step holds a reference instead: {"key", "size"}, with notes that name a type of value of
-- its own. A process that does not know it fails with an error; it never takes the reference for the value.
CREATE TABLE :"schema".job_outputs (
  job         uuid  NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  key         text  NOT NULL,
  output      jsonb NOT NULL,
  output_meta jsonb,
  PRIMARY KEY (job, key)
);

-- What was put into a store of the application's own for large outputs, or is about to be.
--
-- INVARIANT: the row of a key commits before anything is put under it, and goes after it was deleted there: whatever
-- crashes in between, the store holds nothing that no row knows of.
CREATE TABLE :"schema".job_output_keys (
  key        text        PRIMARY KEY,
  store      text        NOT NULL,
  -- Null: nothing refers to it any more, and it is to be deleted.
  job        uuid        REFERENCES :"schema".jobs (id) ON DELETE SET NULL,
  -- The claim that it was made under: no other one writes a reference to it.
  token      bigint      NOT NULL,
  -- Whether a reference was found, which stays as long as the job: it is not looked for again.
  referenced boolean     NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- For those of a job that is deleted, and those whose job was.
CREATE INDEX job_output_keys_job ON :"schema".job_output_keys (job);

-- Those of which nobody knows yet whether they are referred to.
CREATE INDEX job_output_keys_new ON :"schema".job_output_keys (created_at) WHERE NOT referenced;

-- Jobs whose context is kept in an object store, for other tools: where it is, and which version of it is current.
--
-- INVARIANT: the row commits before anything is put into the store, and goes after all of it was deleted there. What a
-- document says is in the tables; the row says which text of it was meant to be there, so a text that was put late or
-- never is found.
CREATE TABLE :"schema".job_contexts (
  -- The job's. It stays when the job is deleted, until the store is cleaned up.
  id           uuid        PRIMARY KEY,
  job          uuid        REFERENCES :"schema".jobs (id) ON DELETE SET NULL,
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
CREATE INDEX job_contexts_job ON :"schema".job_contexts (job);

CREATE INDEX job_contexts_open ON :"schema".job_contexts (id) WHERE NOT final;

-- Requests that are safe to repeat and have not become a job of their own: what they came to, as long as that job is there.
CREATE TABLE :"schema".job_requests (
  -- The id that their job would have.
  id      uuid PRIMARY KEY,
  -- A digest of what was asked.
  request text NOT NULL,
  -- Null only in the transaction that does what was asked.
  job     uuid REFERENCES :"schema".jobs (id) ON DELETE CASCADE
);

CREATE INDEX job_requests_job ON :"schema".job_requests (job);

-- Waits, schedules and locks ----------------------------------------------------------------------

-- What jobs wait for without holding a slot: all waits of a suspended job, of which the first that is over wakes it.
CREATE TABLE :"schema".job_waits (
  job      uuid    NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
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

CREATE INDEX job_waits_event ON :"schema".job_waits (target, key) WHERE kind = 'event';
CREATE INDEX job_waits_cursor ON :"schema".job_waits (target, sequence) WHERE kind = 'cursor';
CREATE INDEX job_waits_child ON :"schema".job_waits (child) WHERE kind = 'job';
CREATE INDEX job_waits_born ON :"schema".job_waits (born) WHERE kind <> 'cursor';

-- What may have ended a wait. Whoever does that notes it down in the same transaction, and the next look reads it.
CREATE TABLE :"schema".job_wakes (
  -- A job that has ended, or is gone.
  child  uuid,
  -- A job that was told something, and what; without that: one that was to be woken while somebody held it.
  job    uuid,
  signal text
);
-- For subscribers of logical replication, which find a row that is deleted by all of it. Otherwise it costs nothing.
ALTER TABLE :"schema".job_wakes REPLICA IDENTITY FULL;

-- Up to where all waits together have looked. Whoever looks holds the row.
CREATE TABLE :"schema".job_wait_cursor (
  one        boolean     PRIMARY KEY DEFAULT true CHECK (one),
  -- The last event that was looked at.
  sequence   bigint      NOT NULL DEFAULT 0,
  -- The waits that were looked at: those that this saw.
  seen       pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  -- When waits of jobs that do not wait any more are looked for next, and after which job.
  forgets_at timestamptz NOT NULL DEFAULT '-infinity',
  forgotten  uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
) WITH (fillfactor = 50);

INSERT INTO :"schema".job_wait_cursor DEFAULT VALUES;

-- Children that are to be cancelled, because their parents were.
CREATE TABLE :"schema".job_cancellations (
  child uuid PRIMARY KEY
);

-- Processes that wait for jobs and want to be rung. Unlogged: after a crash nobody waits.
CREATE UNLOGGED TABLE :"schema".job_doorbells (
  process uuid    PRIMARY KEY,
  armed   boolean NOT NULL
) WITH (fillfactor = 50);

-- INVARIANT: a schedule is moved on only by a process whose definition of it is this one, and where it was made at run
-- time only by one that knows its job. Whoever defines it otherwise leaves it alone.
CREATE TABLE :"schema".schedules (
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

CREATE INDEX schedules_due ON :"schema".schedules (next_at) WHERE source = 'runtime';

CREATE TABLE :"schema".schedule_ticks (
  schedule    text        NOT NULL REFERENCES :"schema".schedules (name) ON DELETE CASCADE,
  tick        timestamptz NOT NULL,
  -- fired, missed (nobody was there, and the policy does not catch up), overlapped, paused, failed (what the job is to
  -- be given could not be made).
  outcome     text        NOT NULL CHECK (outcome IN ('fired', 'missed', 'overlapped', 'paused', 'failed')),
  error       jsonb,
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
