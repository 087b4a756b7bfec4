-- breaking: no
--
-- What is kept for those who look after the system: who steered what, and how things stood.

-- Every action by which somebody changed something from outside, through HTTP, the console or the command line. A row
-- is written before the action and completed after it: one without an outcome is under way, or its process has died.
-- Workers delete what is old; there are never many more than 100,000 rows.
CREATE TABLE :"schema".audit (
  id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- By which way it came: http, console or cli.
  via      text        NOT NULL,
  -- Who did it, as that way knows it; and as which user of the database, which nobody can choose.
  by       text        NOT NULL,
  db_user  text        NOT NULL DEFAULT session_user,
  action   text        NOT NULL,
  -- What it is about, when that has a name.
  kind     text,
  name     text,
  -- What was asked for beside that, without payloads.
  asked    jsonb       NOT NULL DEFAULT '{}',
  outcome  text        CHECK (outcome IN ('done', 'refused', 'failed')),
  -- The code of the error.
  code     text,
  -- Of what came of it: ids and numbers.
  result   jsonb       NOT NULL DEFAULT '{}',
  ended_at timestamptz
);

-- How things stood, minute by minute. The first worker whose maintenance comes to a minute writes it; what is older than
-- a day is deleted: there are 1,440 rows.
CREATE TABLE :"schema".samples (
  at            timestamptz PRIMARY KEY,
  last_sequence bigint      NOT NULL,
  -- The sum of what listeners have come past: its growth is what they handle, all together.
  handled       bigint      NOT NULL,
  -- Of the listener that is furthest behind.
  lag_seconds   float8      NOT NULL,
  dead_letters  integer     NOT NULL,
  processes     integer     NOT NULL,
  queued        bigint      NOT NULL,
  running       bigint      NOT NULL,
  failed        bigint      NOT NULL
);
