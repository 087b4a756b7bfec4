-- breaking: no
--
-- The states of keyed projections, one row per key.

CREATE TABLE :"schema".projection_states (
  projection text        NOT NULL REFERENCES :"schema".listeners (name) ON DELETE CASCADE,
  generation integer     NOT NULL,
  key        text        NOT NULL,
  state      jsonb       NOT NULL,
  state_meta jsonb,
  -- The event that the state was last changed by.
  sequence   bigint      NOT NULL,
  PRIMARY KEY (projection, generation, key)
) WITH (fillfactor = 70);
