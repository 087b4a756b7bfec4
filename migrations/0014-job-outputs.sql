-- breaking: no
--
-- Large outputs of jobs and of their steps, apart from the rows that are listed, claimed and resumed.
--
-- The row of the job or the step holds a reference instead: {"key", "size"}, with notes that name a type of value which
-- no earlier release knows. A process of an earlier release that reads one fails with an error; it never takes the
-- reference for the value.

CREATE TABLE :"schema".job_outputs (
  job         uuid  NOT NULL REFERENCES :"schema".jobs (id) ON DELETE CASCADE,
  key         text  NOT NULL,
  output      jsonb NOT NULL,
  output_meta jsonb,
  PRIMARY KEY (job, key)
);
