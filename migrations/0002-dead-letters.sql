-- breaking: no
--
-- Events that a listener has set aside by policy.

-- parked: failed, waits for an operator. waiting: behind a parked event with the same key. retry: to be tried again
-- by whoever runs the listener. skipped: will not be handled; a record.
CREATE TABLE :"schema".dead_letters (
  listener   text        NOT NULL REFERENCES :"schema".listeners (name) ON DELETE CASCADE,
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
