-- breaking: no
--
-- Snapshots of event-sourced entities: a shortcut when a stream is loaded, never the truth.

CREATE TABLE :"schema".snapshots (
  stream         text    PRIMARY KEY,
  stream_version bigint  NOT NULL,
  -- The version of the entity's reducers that made it; others pass it over.
  entity_version integer NOT NULL,
  state          jsonb   NOT NULL,
  state_meta     jsonb
) WITH (fillfactor = 70);
