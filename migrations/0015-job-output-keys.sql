-- breaking: no
--
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
