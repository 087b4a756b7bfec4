-- breaking: no
--
-- Who reads the outbox: listeners and projections, how far each has come, what it keeps, and the processes that run
-- them.

-- Listeners ---------------------------------------------------------------------------------------

CREATE TABLE :"schema".listeners (
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
CREATE TABLE :"schema".cursors (
  listener        text        NOT NULL REFERENCES :"schema".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
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
CREATE TABLE :"schema".processes (
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
CREATE TABLE :"schema".dead_letters (
  listener   text        NOT NULL REFERENCES :"schema".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
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

CREATE INDEX dead_letters_held_keys ON :"schema".dead_letters (listener, generation, key) WHERE holds_key;

-- States ------------------------------------------------------------------------------------------

-- The states of keyed projections, one row per key.
CREATE TABLE :"schema".projection_states (
  projection text        NOT NULL REFERENCES :"schema".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
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
CREATE TABLE :"schema".unseen_events (
  projection text   NOT NULL REFERENCES :"schema".listeners (name) ON UPDATE CASCADE ON DELETE CASCADE,
  sequence   bigint NOT NULL,
  PRIMARY KEY (projection, sequence)
);

-- Whoever publishes may not know of listeners.
CREATE FUNCTION :"schema".note_unseen(type text, sequence bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO :"schema".unseen_events (projection, sequence)
    SELECT l.name, note_unseen.sequence FROM :"schema".listeners l
    WHERE l.mode = 'inline' AND l.definition -> 'types' ? note_unseen.type
$$;

REVOKE EXECUTE ON FUNCTION :"schema".note_unseen(text, bigint) FROM PUBLIC;

-- Snapshots of event-sourced entities: a shortcut when a stream is loaded, never the truth.
CREATE TABLE :"schema".snapshots (
  stream         text    PRIMARY KEY,
  stream_version bigint  NOT NULL,
  -- The version of the entity's reducers that made it; others pass it over.
  entity_version integer NOT NULL,
  state          jsonb   NOT NULL,
  state_meta     jsonb
) WITH (fillfactor = 70);
