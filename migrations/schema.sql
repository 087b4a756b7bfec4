-- The schema as it is when all migrations are applied, without partitions. Written by npm run snapshot; do not edit.

CREATE SEQUENCE tidemark.armed AS bigint MINVALUE 0 MAXVALUE 1 START 0 INCREMENT 1 CACHE 1;
COMMENT ON SEQUENCE tidemark.armed IS '1 while some row of doorbells is armed: whether publishers ring. Set by a trigger on doorbells.';

CREATE SEQUENCE tidemark.events_sequence AS bigint MINVALUE 0 MAXVALUE 9223372036854775807 START 0 INCREMENT 1 CACHE 1;

CREATE TABLE tidemark.audit (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  via text NOT NULL,
  by text NOT NULL,
  db_user text NOT NULL DEFAULT SESSION_USER,
  action text NOT NULL,
  kind text,
  name text,
  asked jsonb NOT NULL DEFAULT '{}'::jsonb,
  outcome text,
  code text,
  result jsonb NOT NULL DEFAULT '{}'::jsonb,
  ended_at timestamp with time zone,
  CONSTRAINT audit_pkey PRIMARY KEY (id),
  CONSTRAINT audit_outcome_check CHECK ((outcome = ANY (ARRAY['done'::text, 'refused'::text, 'failed'::text])))
);

CREATE TABLE tidemark.cursors (
  listener text NOT NULL,
  generation integer NOT NULL DEFAULT 1,
  partition integer NOT NULL DEFAULT 0,
  cursor bigint NOT NULL DEFAULT 0,
  replay_until bigint NOT NULL DEFAULT 0,
  epoch bigint NOT NULL DEFAULT 0,
  owner uuid,
  lease_until timestamp with time zone,
  attempts integer NOT NULL DEFAULT 0,
  crashes integer NOT NULL DEFAULT 0,
  failed_sequence bigint,
  next_attempt_at timestamp with time zone,
  halted_at timestamp with time zone,
  last_error jsonb,
  awaits jsonb,
  state jsonb,
  state_meta jsonb,
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT cursors_pkey PRIMARY KEY (listener, generation, partition),
  CONSTRAINT cursors_listener_fkey FOREIGN KEY (listener) REFERENCES tidemark.listeners(name) ON UPDATE CASCADE ON DELETE CASCADE
) WITH (fillfactor=40);

CREATE TABLE tidemark.dead_letters (
  listener text NOT NULL,
  generation integer NOT NULL,
  sequence bigint NOT NULL,
  type text NOT NULL,
  event_id uuid NOT NULL,
  key text,
  holds_key boolean NOT NULL,
  state text NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  error jsonb,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT dead_letters_pkey PRIMARY KEY (listener, generation, sequence),
  CONSTRAINT dead_letters_listener_fkey FOREIGN KEY (listener) REFERENCES tidemark.listeners(name) ON UPDATE CASCADE ON DELETE CASCADE,
  CONSTRAINT dead_letters_state_check CHECK ((state = ANY (ARRAY['parked'::text, 'waiting'::text, 'retry'::text, 'skipped'::text])))
);
CREATE INDEX dead_letters_held_keys ON tidemark.dead_letters USING btree (listener, generation, key) WHERE holds_key;

CREATE UNLOGGED TABLE tidemark.doorbells (
  process uuid NOT NULL,
  armed boolean NOT NULL,
  since timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT doorbells_pkey PRIMARY KEY (process)
) WITH (fillfactor=50);
CREATE TRIGGER note_armed AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON tidemark.doorbells FOR EACH STATEMENT EXECUTE FUNCTION tidemark.note_armed();

CREATE TABLE tidemark.events (
  sequence bigint NOT NULL DEFAULT tidemark.draw_sequence(),
  recorded_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  xid xid8 NOT NULL DEFAULT
CASE
    WHEN (current_setting('tidemark.publisher_tidemark'::text, true) = 'registered'::text) THEN pg_current_xact_id()
    ELSE tidemark.refuse_sequence()
END,
  stream_version bigint,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  version integer NOT NULL DEFAULT 1,
  type text NOT NULL,
  stream text,
  key text,
  payload jsonb NOT NULL,
  payload_meta jsonb,
  correlation_id text,
  causation_id text,
  traceparent text,
  tracestate text,
  metadata jsonb,
  CONSTRAINT events_pkey PRIMARY KEY (sequence),
  CONSTRAINT events_stream_needs_append CHECK (((stream IS NULL) = (stream_version IS NULL))),
  CONSTRAINT events_version_positive CHECK ((version > 0))
) PARTITION BY RANGE (sequence);
COMMENT ON TABLE tidemark.events IS 'The outbox: append-only. Publish with the library, with the function publish(), or by INSERT without a stream.';
COMMENT ON CONSTRAINT events_stream_needs_append ON tidemark.events IS 'Events of a stream are appended by the functions publish() and append_events(), which number them under the stream''s lock.';
CREATE INDEX events_stream ON ONLY tidemark.events USING btree (stream, stream_version) WHERE (stream IS NOT NULL);

CREATE TABLE tidemark.horizon_samples (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  base bigint NOT NULL,
  horizon bigint NOT NULL,
  snapshot pg_snapshot NOT NULL,
  late bigint,
  late_xid xid8,
  found_at timestamp with time zone,
  sampled_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT horizon_samples_pkey PRIMARY KEY (id)
);

CREATE TABLE tidemark.idempotency_keys (
  key text NOT NULL,
  sequence bigint,
  recorded_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key)
);
CREATE INDEX idempotency_keys_recorded_at ON tidemark.idempotency_keys USING brin (recorded_at);

CREATE TABLE tidemark.installation (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  only_one boolean NOT NULL DEFAULT true,
  CONSTRAINT installation_pkey PRIMARY KEY (only_one),
  CONSTRAINT installation_only_one_check CHECK (only_one)
);

CREATE TABLE tidemark.job_aliases (
  alias text NOT NULL,
  name text NOT NULL,
  CONSTRAINT job_aliases_pkey PRIMARY KEY (alias, name)
);

CREATE TABLE tidemark.job_attempts (
  job uuid NOT NULL,
  token bigint NOT NULL,
  attempt integer NOT NULL,
  outcome text NOT NULL,
  process uuid,
  triggered_by text NOT NULL,
  started_at timestamp with time zone,
  finished_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  error jsonb,
  CONSTRAINT job_attempts_pkey PRIMARY KEY (job, token),
  CONSTRAINT job_attempts_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);

CREATE TABLE tidemark.job_cancellations (
  child uuid NOT NULL,
  CONSTRAINT job_cancellations_pkey PRIMARY KEY (child)
);

CREATE TABLE tidemark.job_contexts (
  id uuid NOT NULL,
  job uuid,
  store text NOT NULL,
  root text NOT NULL,
  execution integer NOT NULL DEFAULT 1,
  version integer NOT NULL DEFAULT 0,
  sha256 text,
  bytes integer,
  stored integer NOT NULL DEFAULT 0,
  final boolean NOT NULL DEFAULT false,
  webhook jsonb,
  webhook_meta jsonb,
  files jsonb NOT NULL DEFAULT '{}'::jsonb,
  uploads boolean NOT NULL DEFAULT false,
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_contexts_pkey PRIMARY KEY (id),
  CONSTRAINT job_contexts_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE SET NULL
) WITH (fillfactor=50);
CREATE INDEX job_contexts_job ON tidemark.job_contexts USING btree (job);
CREATE INDEX job_contexts_open ON tidemark.job_contexts USING btree (id) WHERE (NOT final);

CREATE TABLE tidemark.job_count_changes (
  name text NOT NULL,
  status text NOT NULL,
  jobs bigint NOT NULL
);
ALTER TABLE tidemark.job_count_changes REPLICA IDENTITY FULL;

CREATE TABLE tidemark.job_count_turn (
  one boolean NOT NULL DEFAULT true,
  folds_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
  CONSTRAINT job_count_turn_pkey PRIMARY KEY (one),
  CONSTRAINT job_count_turn_one_check CHECK (one)
) WITH (fillfactor=50);

CREATE TABLE tidemark.job_counts (
  name text NOT NULL,
  status text NOT NULL,
  jobs bigint NOT NULL,
  CONSTRAINT job_counts_pkey PRIMARY KEY (name, status)
) WITH (fillfactor=50);

CREATE UNLOGGED TABLE tidemark.job_doorbells (
  process uuid NOT NULL,
  armed boolean NOT NULL,
  CONSTRAINT job_doorbells_pkey PRIMARY KEY (process)
) WITH (fillfactor=50);

CREATE TABLE tidemark.job_key_releases (
  key text NOT NULL
);
ALTER TABLE tidemark.job_key_releases REPLICA IDENTITY FULL;

CREATE TABLE tidemark.job_key_takers (
  key text NOT NULL,
  CONSTRAINT job_key_takers_pkey PRIMARY KEY (key)
);

CREATE TABLE tidemark.job_limits (
  kind text NOT NULL,
  name text NOT NULL,
  concurrency integer,
  rate integer,
  period double precision,
  CONSTRAINT job_limits_pkey PRIMARY KEY (kind, name),
  CONSTRAINT job_limits_check CHECK (((rate IS NULL) = (period IS NULL))),
  CONSTRAINT job_limits_concurrency_check CHECK ((concurrency > 0)),
  CONSTRAINT job_limits_kind_check CHECK ((kind = ANY (ARRAY['queue'::text, 'type'::text]))),
  CONSTRAINT job_limits_period_check CHECK ((period > (0)::double precision)),
  CONSTRAINT job_limits_rate_check CHECK ((rate > 0))
);
COMMENT ON TABLE tidemark.job_limits IS 'Limits of queues and of types of jobs. Written by processes when they start, from their definitions.';

CREATE TABLE tidemark.job_logs (
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  job uuid NOT NULL,
  token bigint NOT NULL,
  at timestamp with time zone NOT NULL,
  level text NOT NULL,
  message text NOT NULL,
  fields jsonb,
  CONSTRAINT job_logs_pkey PRIMARY KEY (job, number),
  CONSTRAINT job_logs_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);

CREATE TABLE tidemark.job_looks (
  what text NOT NULL,
  next_at timestamp with time zone NOT NULL,
  CONSTRAINT job_looks_pkey PRIMARY KEY (what)
) WITH (fillfactor=50);

CREATE TABLE tidemark.job_output_keys (
  key text NOT NULL,
  store text NOT NULL,
  job uuid,
  token bigint NOT NULL,
  referenced boolean NOT NULL DEFAULT false,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_output_keys_pkey PRIMARY KEY (key),
  CONSTRAINT job_output_keys_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE SET NULL
);
CREATE INDEX job_output_keys_job ON tidemark.job_output_keys USING btree (job);
CREATE INDEX job_output_keys_new ON tidemark.job_output_keys USING btree (created_at) WHERE (NOT referenced);

CREATE TABLE tidemark.job_outputs (
  job uuid NOT NULL,
  key text NOT NULL,
  output jsonb NOT NULL,
  output_meta jsonb,
  CONSTRAINT job_outputs_pkey PRIMARY KEY (job, key),
  CONSTRAINT job_outputs_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);

CREATE TABLE tidemark.job_pauses (
  kind text NOT NULL,
  name text NOT NULL,
  paused_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  paused_by text NOT NULL,
  CONSTRAINT job_pauses_pkey PRIMARY KEY (kind, name),
  CONSTRAINT job_pauses_kind_check CHECK ((kind = ANY (ARRAY['queue'::text, 'type'::text])))
);

CREATE TABLE tidemark.job_rates (
  kind text NOT NULL,
  name text NOT NULL,
  key text NOT NULL,
  since timestamp with time zone[] NOT NULL DEFAULT '{}'::timestamp with time zone[],
  starts integer[] NOT NULL DEFAULT '{}'::integer[],
  ready_at timestamp with time zone,
  CONSTRAINT job_rates_pkey PRIMARY KEY (key, name, kind)
) WITH (fillfactor=50);
COMMENT ON TABLE tidemark.job_rates IS 'Starts of jobs under a rate limit, lately.';
CREATE INDEX job_rates_next ON tidemark.job_rates USING btree (ready_at) WHERE (ready_at IS NOT NULL);
CREATE INDEX job_rates_ready ON tidemark.job_rates USING btree (kind, name, ready_at) WHERE (ready_at IS NOT NULL);

CREATE TABLE tidemark.job_requests (
  id uuid NOT NULL,
  request text NOT NULL,
  job uuid,
  CONSTRAINT job_requests_pkey PRIMARY KEY (id),
  CONSTRAINT job_requests_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);
CREATE INDEX job_requests_job ON tidemark.job_requests USING btree (job);

CREATE TABLE tidemark.job_signals (
  job uuid NOT NULL,
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  name text NOT NULL,
  payload jsonb NOT NULL,
  payload_meta jsonb,
  step text,
  sent_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_signals_pkey PRIMARY KEY (job, number),
  CONSTRAINT job_signals_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);
CREATE INDEX job_signals_untaken ON tidemark.job_signals USING btree (job, name, number) WHERE (step IS NULL);
CREATE TRIGGER note_signal AFTER INSERT ON tidemark.job_signals FOR EACH ROW EXECUTE FUNCTION tidemark.note_signal();

CREATE TABLE tidemark.job_states (
  job uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  state jsonb,
  state_meta jsonb,
  variables jsonb NOT NULL DEFAULT '{}'::jsonb,
  variables_meta jsonb NOT NULL DEFAULT '{}'::jsonb,
  writings jsonb,
  progress jsonb,
  checkpoint_at timestamp with time zone,
  patience double precision,
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT job_states_pkey PRIMARY KEY (job),
  CONSTRAINT job_states_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
) WITH (fillfactor=50);

CREATE TABLE tidemark.job_steps (
  job uuid NOT NULL,
  step text NOT NULL,
  kind text NOT NULL DEFAULT 'step'::text,
  "position" integer,
  output jsonb,
  output_meta jsonb,
  error jsonb,
  started_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  completed_at timestamp with time zone,
  CONSTRAINT job_steps_pkey PRIMARY KEY (job, step),
  CONSTRAINT job_steps_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE
);
CREATE INDEX job_steps_children ON tidemark.job_steps USING btree (((output ->> 'child'::text))) WHERE ((kind = 'child'::text) AND ("position" IS NULL));
CREATE INDEX job_steps_events ON tidemark.job_steps USING btree (job) WHERE (kind = 'event'::text);
CREATE INDEX job_steps_parents ON tidemark.job_steps USING btree (job) WHERE ((kind = 'child'::text) AND ("position" IS NULL));

CREATE TABLE tidemark.job_wait_cursor (
  one boolean NOT NULL DEFAULT true,
  sequence bigint NOT NULL DEFAULT 0,
  seen pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
  forgets_at timestamp with time zone NOT NULL DEFAULT '-infinity'::timestamp with time zone,
  forgotten uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'::uuid,
  CONSTRAINT job_wait_cursor_pkey PRIMARY KEY (one),
  CONSTRAINT job_wait_cursor_one_check CHECK (one)
) WITH (fillfactor=50);

CREATE TABLE tidemark.job_waits (
  job uuid NOT NULL,
  step text NOT NULL,
  kind text NOT NULL,
  target text,
  key text,
  sequence bigint,
  child uuid,
  born xid8 NOT NULL DEFAULT pg_current_xact_id(),
  CONSTRAINT job_waits_pkey PRIMARY KEY (job, step),
  CONSTRAINT job_waits_job_fkey FOREIGN KEY (job) REFERENCES tidemark.jobs(id) ON DELETE CASCADE,
  CONSTRAINT job_waits_kind_check CHECK ((kind = ANY (ARRAY['event'::text, 'cursor'::text, 'job'::text, 'signal'::text])))
);
CREATE INDEX job_waits_born ON tidemark.job_waits USING btree (born) WHERE (kind <> 'cursor'::text);
CREATE INDEX job_waits_child ON tidemark.job_waits USING btree (child) WHERE (kind = 'job'::text);
CREATE INDEX job_waits_cursor ON tidemark.job_waits USING btree (target, sequence) WHERE (kind = 'cursor'::text);
CREATE INDEX job_waits_event ON tidemark.job_waits USING btree (target, key) WHERE (kind = 'event'::text);

CREATE TABLE tidemark.job_wakes (
  child uuid,
  job uuid,
  signal text
);
ALTER TABLE tidemark.job_wakes REPLICA IDENTITY FULL;

CREATE TABLE tidemark.jobs (
  id uuid NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  run_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  token bigint NOT NULL DEFAULT 0,
  priority integer NOT NULL DEFAULT 0,
  attempt integer NOT NULL DEFAULT 0,
  version integer NOT NULL DEFAULT 1,
  needs integer NOT NULL DEFAULT 1,
  concurrency_limit integer NOT NULL DEFAULT 1,
  deaths smallint NOT NULL DEFAULT 0,
  limited boolean NOT NULL DEFAULT false,
  successor boolean NOT NULL DEFAULT false,
  status text NOT NULL DEFAULT 'queued'::text,
  name text NOT NULL,
  queue text NOT NULL DEFAULT 'default'::text,
  parked text,
  requested text,
  process uuid,
  started_at timestamp with time zone,
  finished_at timestamp with time zone,
  parent uuid,
  concurrency_key text,
  turn_key text,
  rate_key text,
  unique_key text,
  awaited boolean NOT NULL DEFAULT false,
  request text,
  triggered_by text NOT NULL DEFAULT 'sql'::text,
  correlation_id text,
  causation_id text,
  traceparent text,
  tracestate text,
  input jsonb NOT NULL,
  input_meta jsonb,
  context jsonb,
  context_meta jsonb,
  output jsonb,
  output_meta jsonb,
  error jsonb,
  waiting jsonb,
  lifecycle text[],
  CONSTRAINT jobs_pkey PRIMARY KEY (id),
  CONSTRAINT jobs_parked_check CHECK ((parked = ANY (ARRAY['new'::text, 'key'::text, 'type'::text, 'limit'::text, 'pause'::text]))),
  CONSTRAINT jobs_requested_check CHECK ((requested = ANY (ARRAY['pause'::text, 'cancel'::text]))),
  CONSTRAINT jobs_status_check CHECK ((status = ANY (ARRAY['completed'::text, 'running'::text, 'queued'::text, 'scheduled'::text, 'paused'::text, 'failed'::text, 'cancelled'::text])))
) WITH (fillfactor=70);
COMMENT ON TABLE tidemark.jobs IS 'Durable jobs. Spawn with the library or with the function spawn(); change the status with the library only.';
CREATE INDEX jobs_admitted ON tidemark.jobs USING btree (turn_key) WHERE ((turn_key IS NOT NULL) AND (status = ANY (ARRAY['queued'::text, 'running'::text])) AND ((parked IS NULL) OR (parked = 'limit'::text)));
CREATE INDEX jobs_behind ON tidemark.jobs USING btree (turn_key, priority, run_at, id) WHERE (parked = 'key'::text);
CREATE INDEX jobs_by_concurrency_key ON tidemark.jobs USING btree (((concurrency_key || ''::text)), id) WHERE (concurrency_key IS NOT NULL);
CREATE INDEX jobs_by_queue ON tidemark.jobs USING btree (((queue || ''::text)), id) WHERE (queue <> 'default'::text);
CREATE INDEX jobs_by_type ON tidemark.jobs USING btree (tidemark.job_place(name, status), id) WHERE ((status <> 'running'::text) OR (process IS NULL));
CREATE INDEX jobs_by_unique_key ON tidemark.jobs USING btree (((unique_key || ''::text)), id) WHERE (unique_key IS NOT NULL);
CREATE INDEX jobs_claim ON tidemark.jobs USING btree (queue, priority, run_at, id) WHERE ((status = 'queued'::text) AND (parked IS NULL));
CREATE INDEX jobs_due ON tidemark.jobs USING btree (run_at) WHERE (status = 'scheduled'::text);
CREATE INDEX jobs_held ON tidemark.jobs USING btree (queue, name, priority, run_at, id) WHERE (parked = 'pause'::text);
CREATE INDEX jobs_limited ON tidemark.jobs USING btree (queue, name, COALESCE(rate_key, ''::text), priority, run_at, id) WHERE ((parked = 'limit'::text) AND (status = 'queued'::text));
CREATE INDEX jobs_new ON tidemark.jobs USING btree (turn_key) WHERE (parked = 'new'::text);
CREATE INDEX jobs_parent ON tidemark.jobs USING btree (parent, id) WHERE (parent IS NOT NULL);
CREATE INDEX jobs_quarantined ON tidemark.jobs USING btree (name, ((error ->> 'code'::text))) WHERE ((status = 'failed'::text) AND ((error ->> 'code'::text) = ANY (ARRAY['TIDEMARK_INVALID_INPUT'::text, 'TIDEMARK_INVALID_STATE'::text, 'TIDEMARK_INVALID_OUTPUT'::text, 'TIDEMARK_JOB_KILLS'::text])));
CREATE INDEX jobs_retrying ON tidemark.jobs USING btree (id) WHERE ((error IS NOT NULL) AND (status = ANY (ARRAY['scheduled'::text, 'queued'::text, 'running'::text])));
CREATE INDEX jobs_running ON tidemark.jobs USING btree (process) WHERE ((status = 'running'::text) AND (process IS NOT NULL));
CREATE INDEX jobs_running_in_queue ON tidemark.jobs USING btree (queue) WHERE (limited AND (status = 'running'::text));
CREATE INDEX jobs_running_of_type ON tidemark.jobs USING btree (name) WHERE (limited AND (status = 'running'::text));
CREATE UNIQUE INDEX jobs_successors ON tidemark.jobs USING btree (unique_key, name) WHERE (successor AND (status = ANY (ARRAY['scheduled'::text, 'paused'::text])));
CREATE INDEX jobs_trouble ON tidemark.jobs USING btree (status, id) WHERE (status = ANY (ARRAY['failed'::text, 'paused'::text, 'cancelled'::text]));
CREATE UNIQUE INDEX jobs_unique ON tidemark.jobs USING btree (unique_key, name) WHERE ((unique_key IS NOT NULL) AND (NOT successor) AND (status = ANY (ARRAY['scheduled'::text, 'queued'::text, 'running'::text, 'paused'::text])));
CREATE INDEX jobs_unknown ON tidemark.jobs USING btree (name) WHERE (parked = 'type'::text);
CREATE TRIGGER count_deleted_jobs AFTER DELETE ON tidemark.jobs REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION tidemark.count_deleted_jobs();
CREATE TRIGGER count_spawned_jobs AFTER INSERT ON tidemark.jobs REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tidemark.count_spawned_jobs();
CREATE TRIGGER forget_job_counts AFTER TRUNCATE ON tidemark.jobs FOR EACH STATEMENT EXECUTE FUNCTION tidemark.forget_job_counts();
CREATE TRIGGER job_changed AFTER UPDATE ON tidemark.jobs FOR EACH ROW WHEN (((new.lifecycle IS NOT NULL) OR (new.parent IS NOT NULL) OR new.awaited OR (old.concurrency_key IS NOT NULL) OR (old.name <> new.name) OR ((old.status <> new.status) AND (NOT ((old.status = ANY (ARRAY['queued'::text, 'running'::text])) AND (new.status = ANY (ARRAY['queued'::text, 'running'::text])))) AND (current_setting('tidemark.jobs_counted'::text, true) IS DISTINCT FROM 'yes'::text)))) EXECUTE FUNCTION tidemark.job_changed();
CREATE TRIGGER keep_changed_turn_key AFTER UPDATE OF name, concurrency_key, turn_key ON tidemark.jobs FOR EACH ROW WHEN ((new.turn_key IS DISTINCT FROM ((new.name || ' '::text) || new.concurrency_key))) EXECUTE FUNCTION tidemark.keep_changed_turn_key();
CREATE TRIGGER keep_turn_key BEFORE INSERT ON tidemark.jobs FOR EACH ROW WHEN ((new.concurrency_key IS NOT NULL)) EXECUTE FUNCTION tidemark.keep_turn_key();
CREATE TRIGGER note_deleted_child AFTER DELETE ON tidemark.jobs FOR EACH ROW WHEN ((((old.parent IS NOT NULL) OR old.awaited) AND (old.status <> ALL (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])))) EXECUTE FUNCTION tidemark.note_deleted_child();
CREATE TRIGGER publish_job_spawn AFTER INSERT ON tidemark.jobs FOR EACH ROW WHEN (('spawned'::text = ANY (new.lifecycle))) EXECUTE FUNCTION tidemark.publish_job_spawn();
CREATE TRIGGER release_deleted_job_key AFTER DELETE ON tidemark.jobs FOR EACH ROW WHEN (((old.concurrency_key IS NOT NULL) AND ((old.parked IS NULL) OR (old.parked = 'limit'::text)) AND (old.status = ANY (ARRAY['queued'::text, 'running'::text])))) EXECUTE FUNCTION tidemark.release_job_key();
CREATE TRIGGER ring_for_jobs AFTER INSERT ON tidemark.jobs FOR EACH STATEMENT EXECUTE FUNCTION tidemark.ring_for_jobs();

CREATE TABLE tidemark.listeners (
  name text NOT NULL,
  kind text NOT NULL,
  mode text NOT NULL DEFAULT 'async'::text,
  version integer NOT NULL DEFAULT 1,
  generation integer NOT NULL DEFAULT 1,
  partitions integer NOT NULL DEFAULT 1,
  resize_to integer,
  resize_at bigint,
  last_generation integer NOT NULL DEFAULT 1,
  rebuild_generation integer,
  rebuild_version integer,
  rebuild_partitions integer,
  rebuild_paused boolean NOT NULL DEFAULT false,
  rebuild_started_at timestamp with time zone,
  status text NOT NULL DEFAULT 'active'::text,
  definition jsonb NOT NULL DEFAULT '{}'::jsonb,
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT listeners_pkey PRIMARY KEY (name),
  CONSTRAINT listeners_kind_check CHECK ((kind = ANY (ARRAY['listener'::text, 'projection'::text, 'relay'::text, 'intake'::text]))),
  CONSTRAINT listeners_mode_check CHECK ((mode = ANY (ARRAY['async'::text, 'inline'::text]))),
  CONSTRAINT listeners_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text, 'halted'::text, 'rebuilding'::text])))
);

CREATE TABLE tidemark.locks (
  key text NOT NULL,
  token bigint NOT NULL,
  holder text NOT NULL,
  held_until timestamp with time zone NOT NULL,
  CONSTRAINT locks_pkey PRIMARY KEY (key)
) WITH (fillfactor=50);

CREATE TABLE tidemark.migrations (
  version integer NOT NULL,
  name text NOT NULL,
  breaking boolean NOT NULL,
  checksum text NOT NULL,
  applied_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  applied_by text NOT NULL DEFAULT CURRENT_USER,
  CONSTRAINT migrations_pkey PRIMARY KEY (version)
);

CREATE TABLE tidemark.processes (
  id uuid NOT NULL,
  hostname text NOT NULL,
  pid integer NOT NULL,
  library text NOT NULL,
  definitions jsonb NOT NULL DEFAULT '{}'::jsonb,
  started_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  heartbeat_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  vitals jsonb,
  runs bigint GENERATED ALWAYS AS (hashtextextended((definitions)::text, (0)::bigint)),
  CONSTRAINT processes_pkey PRIMARY KEY (id)
) WITH (fillfactor=50);

CREATE TABLE tidemark.projection_states (
  projection text NOT NULL,
  generation integer NOT NULL,
  key text NOT NULL,
  state jsonb NOT NULL,
  state_meta jsonb,
  sequence bigint NOT NULL,
  CONSTRAINT projection_states_pkey PRIMARY KEY (projection, generation, key),
  CONSTRAINT projection_states_projection_fkey FOREIGN KEY (projection) REFERENCES tidemark.listeners(name) ON UPDATE CASCADE ON DELETE CASCADE
) WITH (fillfactor=70);

CREATE TABLE tidemark.pruned_partitions (
  lower_bound bigint NOT NULL,
  upper_bound bigint NOT NULL,
  events bigint NOT NULL,
  types text[] NOT NULL,
  archive text,
  pruned_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT pruned_partitions_pkey PRIMARY KEY (lower_bound)
);

CREATE TABLE tidemark.samples (
  at timestamp with time zone NOT NULL,
  last_sequence bigint NOT NULL,
  handled bigint NOT NULL,
  lag_seconds double precision NOT NULL,
  dead_letters integer NOT NULL,
  processes integer NOT NULL,
  queued bigint NOT NULL,
  running bigint NOT NULL,
  failed bigint NOT NULL,
  CONSTRAINT samples_pkey PRIMARY KEY (at)
);

CREATE TABLE tidemark.schedule_ticks (
  schedule text NOT NULL,
  tick timestamp with time zone NOT NULL,
  outcome text NOT NULL,
  error jsonb,
  job uuid,
  recorded_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT schedule_ticks_pkey PRIMARY KEY (schedule, tick),
  CONSTRAINT schedule_ticks_outcome_check CHECK ((outcome = ANY (ARRAY['fired'::text, 'missed'::text, 'overlapped'::text, 'paused'::text, 'failed'::text]))),
  CONSTRAINT schedule_ticks_schedule_fkey FOREIGN KEY (schedule) REFERENCES tidemark.schedules(name) ON DELETE CASCADE
);

CREATE TABLE tidemark.schedules (
  name text NOT NULL,
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  source text NOT NULL DEFAULT 'code'::text,
  version integer NOT NULL DEFAULT 1,
  job text NOT NULL,
  input jsonb,
  input_meta jsonb,
  input_version integer,
  cron text NOT NULL,
  time_zone text NOT NULL,
  overlap text NOT NULL,
  catch_up text NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  next_at timestamp with time zone NOT NULL,
  last_job uuid,
  updated_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT schedules_pkey PRIMARY KEY (name),
  CONSTRAINT schedules_catch_up_check CHECK ((catch_up = ANY (ARRAY['none'::text, 'last'::text, 'all'::text]))),
  CONSTRAINT schedules_overlap_check CHECK ((overlap = ANY (ARRAY['allow'::text, 'skip'::text]))),
  CONSTRAINT schedules_source_check CHECK ((source = ANY (ARRAY['code'::text, 'runtime'::text]))),
  CONSTRAINT schedules_status_check CHECK ((status = ANY (ARRAY['active'::text, 'paused'::text])))
);
CREATE INDEX schedules_due ON tidemark.schedules USING btree (next_at) WHERE (source = 'runtime'::text);

CREATE TABLE tidemark.snapshots (
  stream text NOT NULL,
  stream_version bigint NOT NULL,
  entity_version integer NOT NULL,
  state jsonb NOT NULL,
  state_meta jsonb,
  CONSTRAINT snapshots_pkey PRIMARY KEY (stream)
) WITH (fillfactor=70);

CREATE TABLE tidemark.states (
  store text NOT NULL,
  key text NOT NULL,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  expires_at timestamp with time zone,
  forget_at timestamp with time zone,
  version bigint NOT NULL,
  token bigint NOT NULL,
  write_id text NOT NULL,
  name text,
  status text,
  fields jsonb NOT NULL,
  body text,
  CONSTRAINT states_pkey PRIMARY KEY (store, key)
);
CREATE INDEX states_created ON tidemark.states USING btree (store, created_at DESC, key DESC);
CREATE INDEX states_fields ON tidemark.states USING gin (fields jsonb_path_ops);
CREATE INDEX states_forget ON tidemark.states USING btree (forget_at) WHERE (forget_at IS NOT NULL);
CREATE INDEX states_status ON tidemark.states USING btree (store, status, created_at DESC, key DESC) WHERE (status IS NOT NULL);

CREATE TABLE tidemark.streams (
  stream text NOT NULL,
  version bigint NOT NULL,
  CONSTRAINT streams_pkey PRIMARY KEY (stream)
) WITH (fillfactor=70);

CREATE TABLE tidemark.unseen_events (
  projection text NOT NULL,
  sequence bigint NOT NULL,
  CONSTRAINT unseen_events_pkey PRIMARY KEY (projection, sequence),
  CONSTRAINT unseen_events_projection_fkey FOREIGN KEY (projection) REFERENCES tidemark.listeners(name) ON UPDATE CASCADE ON DELETE CASCADE
);

CREATE VIEW tidemark.publishers AS
 SELECT ((((classid)::bigint & (65535)::bigint) << 32) | (objid)::bigint) AS floor,
    pid
   FROM pg_locks l
  WHERE ((locktype = 'advisory'::text) AND (objsubid = 1) AND (mode = 'ShareLock'::text) AND (((classid)::bigint >> 16) = 6177) AND (database = ( SELECT pg_database.oid
           FROM pg_database
          WHERE (pg_database.datname = current_database()))));

CREATE OR REPLACE FUNCTION tidemark.admit_jobs()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
  fresh      uuid[];
  fresh_keys text[];
  entering   uuid[];
  keys       text[];
  lock_key   bigint;
  one        text;
  -- The key under all names of its type.
  same       text[];
  aliased    boolean;
  turns      integer;
  pausing    boolean := EXISTS (SELECT FROM "tidemark".job_pauses);
  held       uuid[];
  -- Keys of which not all that wait were looked at, perhaps.
  again      text[];
  candidates refcursor;
  candidate  record;
BEGIN
  SELECT array_agg(n.id) FILTER (WHERE n.turn_key IS NOT NULL AND NOT n.held),
      array_agg(n.turn_key) FILTER (WHERE n.turn_key IS NOT NULL AND NOT n.held),
      array_agg(n.id) FILTER (WHERE n.turn_key IS NULL AND NOT n.held),
      array_agg(n.id) FILTER (WHERE n.held)
    INTO fresh, fresh_keys, entering, held
    FROM (SELECT j.id, j.turn_key, pausing AND "tidemark".is_paused(j.queue, j.name) AS held
          FROM "tidemark".jobs j WHERE j.parked = 'new'
          LIMIT 500 FOR UPDATE SKIP LOCKED) AS n;
  WITH notes AS (
    DELETE FROM "tidemark".job_key_releases r WHERE r.ctid = ANY (ARRAY(
      SELECT i.ctid FROM "tidemark".job_key_releases i LIMIT 500 FOR UPDATE SKIP LOCKED))
    RETURNING r.key)
  SELECT array_agg(DISTINCT n.key) INTO keys FROM notes n;
  keys := coalesce(fresh_keys, '{}') || coalesce(keys, '{}');
  IF keys <> '{}' THEN
    UPDATE "tidemark".jobs j SET parked = 'key' WHERE j.id = ANY (fresh);
    SELECT EXISTS (SELECT FROM "tidemark".job_aliases) INTO aliased;
    IF aliased THEN
      -- The first name stands for all of them.
      keys := ARRAY(
        SELECT DISTINCT ("tidemark".names_of_type(ARRAY[split_part(k, ' ', 1)]))[1] || substr(k, strpos(k, ' ')) FROM unnest(keys) AS k);
    END IF;
    FOR lock_key IN SELECT DISTINCT hashtextextended('tidemark' || '.jobs.' || k, 0) | (1::bigint << 63) FROM unnest(keys) AS k ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock(lock_key);
    END LOOP;
    FOR one IN SELECT DISTINCT k FROM unnest(keys) AS k LOOP
      same := ARRAY[one];
      IF aliased THEN
        same := ARRAY(SELECT n || substr(one, strpos(one, ' ')) FROM unnest("tidemark".names_of_type(ARRAY[split_part(one, ' ', 1)])) AS n);
      END IF;
      SELECT count(*) INTO turns FROM "tidemark".jobs j
        WHERE j.turn_key = ANY (same) AND j.status IN ('queued', 'running') AND (j.parked IS NULL OR j.parked = 'limit');
      IF cardinality(same) = 1 THEN
        OPEN candidates FOR
          SELECT j.id, j.queue, j.name, j.concurrency_limit FROM "tidemark".jobs j
          WHERE j.turn_key = one AND j.parked = 'key'
          ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED;
      ELSE
        OPEN candidates FOR
          SELECT c.id, c.queue, c.name, c.concurrency_limit FROM unnest(same) AS s (key), LATERAL (
            SELECT j.id, j.queue, j.name, j.concurrency_limit, j.priority, j.run_at FROM "tidemark".jobs j
            WHERE j.turn_key = s.key AND j.parked = 'key'
            ORDER BY j.priority, j.run_at, j.id LIMIT 100 FOR UPDATE SKIP LOCKED) AS c
          ORDER BY c.priority, c.run_at, c.id;
      END IF;
      LOOP
        FETCH candidates INTO candidate;
        EXIT WHEN NOT FOUND OR turns >= candidate.concurrency_limit;
        IF pausing AND "tidemark".is_paused(candidate.queue, candidate.name) THEN
          held := held || candidate.id;
          again := array_append(again, one);
        ELSE
          entering := entering || candidate.id;
          turns := turns + 1;
        END IF;
      END LOOP;
      CLOSE candidates;
    END LOOP;
    INSERT INTO "tidemark".job_key_releases (key) SELECT DISTINCT a FROM unnest(again) AS a;
  END IF;
  UPDATE "tidemark".jobs j SET parked = 'pause' WHERE j.id = ANY (held);
  IF entering IS NOT NULL THEN PERFORM "tidemark".enter_jobs(entering); END IF;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.append_calls(calls integer[], ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[], keys text[], idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[], causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[], wait boolean DEFAULT true, patience integer DEFAULT NULL::integer)
 RETURNS TABLE(ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
  with_streams boolean := array_remove(streams, NULL) <> '{}';
  with_keys    boolean := array_remove(idempotency_keys, NULL) <> '{}';
  -- The calls that append nothing.
  refused  integer[] := '{}';
  ordinals bigint[];
  actuals  bigint[];
  claimed  text[];
  sequences bigint[];
  stream_versions bigint[];
BEGIN
  IF NOT wait OR patience IS NOT NULL THEN
    PERFORM set_config('lock_timeout', coalesce(patience, 100)::text, true);
  END IF;
  IF with_streams THEN
    INSERT INTO "tidemark".streams AS t (stream, version)
      SELECT DISTINCT s.name, 0 FROM unnest(streams) AS s (name)
      WHERE s.name IS NOT NULL AND NOT EXISTS (SELECT FROM "tidemark".streams e WHERE e.stream = s.name)
      ORDER BY s.name
      ON CONFLICT DO NOTHING;
    IF wait THEN
      PERFORM FROM "tidemark".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream FOR UPDATE;
    ELSE
      WITH held AS (
        SELECT t.stream FROM "tidemark".streams t WHERE t.stream = ANY (streams) ORDER BY t.stream
        FOR UPDATE SKIP LOCKED)
      SELECT coalesce(array_agg(u.ordinal), '{}'), coalesce(array_agg(DISTINCT u.call), '{}')
        INTO ordinals, refused
        FROM unnest(calls, streams) WITH ORDINALITY AS u (call, stream, ordinal)
        WHERE u.stream IS NOT NULL AND NOT EXISTS (SELECT FROM held h WHERE h.stream = u.stream);
      RETURN QUERY SELECT o, NULL::bigint, NULL::bigint, 'busy', NULL::bigint FROM unnest(ordinals) AS o;
    END IF;

    IF array_remove(expected_versions, NULL) <> '{}' THEN
      SELECT array_agg(i.ordinal), array_agg(t.version + i.nth - 1), refused || coalesce(array_agg(DISTINCT i.call), '{}')
        INTO ordinals, actuals, refused
        FROM (SELECT u.*, row_number() OVER (PARTITION BY u.call, u.stream ORDER BY u.ordinal) AS nth
              FROM unnest(calls, streams, expected_versions) WITH ORDINALITY
                AS u (call, stream, expected, ordinal)) AS i
        JOIN "tidemark".streams t ON t.stream = i.stream
        WHERE i.expected <> t.version + i.nth - 1 AND i.call <> ALL (refused);
      RETURN QUERY
        SELECT u.ordinal, NULL::bigint, NULL::bigint, 'stream', u.actual
        FROM unnest(ordinals, actuals) AS u (ordinal, actual) ORDER BY u.ordinal;
    END IF;
  END IF;

  IF with_keys THEN
    WITH claims AS (
      INSERT INTO "tidemark".idempotency_keys AS k (key)
        SELECT DISTINCT u.key FROM unnest(calls, idempotency_keys) AS u (call, key)
        WHERE u.key IS NOT NULL AND u.call <> ALL (refused) ORDER BY u.key
        ON CONFLICT DO NOTHING RETURNING k.key)
    SELECT coalesce(array_agg(c.key), '{}') INTO claimed FROM claims c;
    SELECT coalesce(array_agg(i.ordinal), '{}'), refused || coalesce(array_agg(DISTINCT i.call), '{}')
      INTO ordinals, refused
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.key ORDER BY u.ordinal) AS nth
            FROM unnest(calls, idempotency_keys) WITH ORDINALITY AS u (call, key, ordinal)
            WHERE u.key IS NOT NULL AND u.call <> ALL (refused)) AS i
      WHERE i.nth > 1 OR i.key <> ALL (claimed);
    IF ordinals <> '{}' THEN
      -- What a refused call has claimed is given back.
      DELETE FROM "tidemark".idempotency_keys k WHERE k.key = ANY (claimed)
        AND EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                    WHERE u.key = k.key AND u.call = ANY (refused))
        AND NOT EXISTS (SELECT FROM unnest(calls, idempotency_keys) AS u (call, key)
                        WHERE u.key = k.key AND u.call <> ALL (refused));
      RETURN QUERY
        SELECT o, NULL::bigint, NULL::bigint, 'duplicate', k.sequence
        FROM unnest(ordinals) AS o
        LEFT JOIN "tidemark".idempotency_keys k ON k.key = idempotency_keys[o]
        ORDER BY o;
    END IF;
  END IF;

  SELECT array_agg(u.ordinal ORDER BY u.ordinal) INTO ordinals
    FROM unnest(calls) WITH ORDINALITY AS u (call, ordinal) WHERE u.call <> ALL (refused);
  IF ordinals IS NULL THEN RETURN; END IF;

  -- Numbers are drawn above the sort, so that the n-th sequence belongs to the n-th event.
  WITH inserted AS (
    INSERT INTO "tidemark".events AS e (id, type, version, stream, stream_version, key, payload, payload_meta,
                                correlation_id, causation_id, traceparent, tracestate, metadata)
      SELECT i.id, i.type, i.version, i.stream, t.version + i.nth, i.key, i.payload, i.payload_meta,
             i.correlation_id, i.causation_id, i.traceparent, i.tracestate, i.metadata
      FROM (SELECT u.*, row_number() OVER (PARTITION BY u.stream ORDER BY u.ordinal) AS nth
            FROM unnest(calls, ids, types, versions, streams, keys, payloads, payload_metas, correlation_ids,
                        causation_ids, traceparents, tracestates, metadatas) WITH ORDINALITY
              AS u (call, id, type, version, stream, key, payload, payload_meta, correlation_id, causation_id,
                    traceparent, tracestate, metadata, ordinal)
            WHERE u.call <> ALL (refused)) AS i
      LEFT JOIN "tidemark".streams t ON t.stream = i.stream
      ORDER BY i.ordinal
      RETURNING e.sequence, e.stream_version)
  SELECT array_agg(n.sequence ORDER BY n.sequence), array_agg(n.stream_version ORDER BY n.sequence)
    INTO sequences, stream_versions FROM inserted n;

  IF with_streams THEN
    UPDATE "tidemark".streams t SET version = t.version + n.events
      FROM (SELECT u.stream, count(*) AS events FROM unnest(calls, streams) AS u (call, stream)
            WHERE u.stream IS NOT NULL AND u.call <> ALL (refused) GROUP BY u.stream) AS n
      WHERE t.stream = n.stream;
  END IF;
  IF with_keys THEN
    UPDATE "tidemark".idempotency_keys k SET sequence = u.sequence
      FROM unnest(ordinals, sequences) AS u (ordinal, sequence) WHERE k.key = idempotency_keys[u.ordinal];
  END IF;
  RETURN QUERY
    SELECT u.ordinal, u.sequence, u.stream_version, NULL::text, NULL::bigint
    FROM unnest(ordinals, sequences, stream_versions) AS u (ordinal, sequence, stream_version);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.append_events(ids uuid[], types text[], versions integer[], streams text[], expected_versions bigint[], keys text[], idempotency_keys text[], payloads jsonb[], payload_metas jsonb[], correlation_ids text[], causation_ids text[], traceparents text[], tracestates text[], metadatas jsonb[])
 RETURNS TABLE(ordinal bigint, sequence bigint, stream_version bigint, conflict text, actual bigint)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT * FROM "tidemark".append_calls(
    array_fill(0, ARRAY[cardinality(ids)]), ids, types, versions, streams, expected_versions, keys, idempotency_keys,
    payloads, payload_metas, correlation_ids, causation_ids, traceparents, tracestates, metadatas);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.awaits_children(parent uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
  SELECT EXISTS (
    SELECT FROM "tidemark".job_steps s JOIN "tidemark".jobs c ON c.id = (s.output ->> 'child')::uuid
    WHERE s.job = awaits_children.parent AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'wait'
      AND c.parent = s.job
      AND c.status NOT IN ('completed', 'failed', 'cancelled'))
$function$;

CREATE OR REPLACE FUNCTION tidemark.cancel_children()
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
  children uuid[];
BEGIN
  IF NOT EXISTS (SELECT FROM "tidemark".job_cancellations) THEN RETURN; END IF;
  children := ARRAY(
    SELECT j.id FROM "tidemark".jobs j JOIN "tidemark".job_cancellations c ON c.child = j.id
    WHERE j.requested IS DISTINCT FROM 'cancel' OR j.status <> 'scheduled' OR NOT "tidemark".awaits_children(j.id)
    ORDER BY j.id LIMIT 1000 FOR UPDATE OF j SKIP LOCKED);
  UPDATE "tidemark".jobs j
  SET requested = CASE WHEN j.status = 'running' THEN 'cancel' END,
    finished_at = CASE WHEN j.status = 'running' THEN j.finished_at ELSE clock_timestamp() END,
    status = "tidemark".job_after(j.status, j.requested, 'cancel'), parked = NULL, waiting = NULL
  WHERE j.id = ANY (children) AND "tidemark".job_after(j.status, j.requested, 'cancel') IS NOT NULL;
  -- One that is held itself by now stays.
  DELETE FROM "tidemark".job_cancellations c
  WHERE (c.child = ANY (children) AND NOT EXISTS (
      SELECT FROM "tidemark".jobs j WHERE j.id = c.child AND j.status = 'scheduled' AND j.requested = 'cancel'))
    OR NOT EXISTS (SELECT FROM "tidemark".jobs j WHERE j.id = c.child);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.cancel_parent(job tidemark.jobs, was tidemark.jobs)
 RETURNS tidemark.jobs
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_cancellations (child)
  SELECT c.id FROM "tidemark".job_steps s JOIN "tidemark".jobs c ON c.id = (s.output ->> 'child')::uuid
  WHERE s.job = was.id AND s.kind = 'child' AND s.position IS NULL AND s.output ->> 'onCancel' = 'cancel'
    -- One that another spawn has replaced is the job of that one.
    AND c.parent = s.job
  ON CONFLICT DO NOTHING;
  IF "tidemark".awaits_children(was.id) THEN
    INSERT INTO "tidemark".job_cancellations (child) VALUES (was.id) ON CONFLICT DO NOTHING;
    DELETE FROM "tidemark".job_waits w WHERE w.job = was.id;
    UPDATE "tidemark".jobs j
      SET status = "tidemark".job_after(was.status, was.requested, 'held'), requested = 'cancel', run_at = 'infinity',
        waiting = '{"for": "children", "then": "cancelled"}', finished_at = NULL, parked = NULL
      WHERE j.id = was.id RETURNING j.* INTO job;
  END IF;
  RETURN job;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.check_published(caller text, ids text[], metas jsonb[], traceparent text, tracestate text)
 RETURNS void
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
BEGIN
  IF EXISTS (SELECT FROM unnest(ids) AS i WHERE octet_length(i) NOT BETWEEN 1 AND 1000) THEN
    RAISE EXCEPTION '%: a stream, a key or an id must have 1 to 1000 bytes', caller
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF EXISTS (SELECT FROM unnest(metas) AS m WHERE jsonb_typeof(m) <> 'object') THEN
    RAISE EXCEPTION '%: metadata, payload_meta and input_meta must be JSON objects', caller
      USING ERRCODE = 'invalid_parameter_value';
  ELSIF traceparent !~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN
    RAISE EXCEPTION '%: "%" is no traceparent', caller, left(traceparent, 80) USING ERRCODE = 'invalid_parameter_value',
      HINT = 'It is made of a version, a trace id, a span id and flags (W3C Trace Context).';
  ELSIF octet_length(tracestate) > 512 OR tracestate COLLATE "C" ~ '[^ -~]' THEN
    RAISE EXCEPTION '%: a tracestate has at most 512 printable characters of ASCII', caller
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.choose_lock_namespace()
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
DECLARE
  present integer;
  taken   integer[];
  chosen  integer;
BEGIN
  -- One install of the database after the other.
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark.lock_namespaces', 0) | (1::bigint << 63));
  IF to_regprocedure('"tidemark".lock_namespace()') IS NOT NULL THEN
    EXECUTE 'SELECT "tidemark".lock_namespace()' INTO present;
  END IF;
  taken := ARRAY(SELECT * FROM "tidemark".other_lock_namespaces());
  IF present IS NOT NULL AND present <> ALL (taken) THEN RETURN present; END IF;
  SELECT n INTO chosen FROM generate_series(0, 32765) AS i, LATERAL (SELECT (6177 - 1 + i) % 32766 + 1) AS c (n)
    WHERE n <> ALL (taken) ORDER BY i LIMIT 1;
  IF chosen IS NULL THEN
    RAISE program_limit_exceeded USING MESSAGE = 'each of the 32,766 lock namespaces of this database has an install';
  END IF;
  IF present IS NOT NULL THEN LOCK TABLE "tidemark".events IN SHARE ROW EXCLUSIVE MODE; END IF;
  PERFORM "tidemark".use_lock_namespace(chosen);
  RETURN chosen;
END $function$;
REVOKE EXECUTE ON FUNCTION tidemark.choose_lock_namespace() FROM PUBLIC;

CREATE OR REPLACE FUNCTION tidemark.claim_jobs(process uuid, queue text, names text[], most integer, versions integer[] DEFAULT NULL::integer[])
 RETURNS TABLE(id uuid, token bigint, attempt integer, version integer, name text, input jsonb, input_meta jsonb, created_at timestamp with time zone, priority integer, resumes boolean, keyed boolean, parent uuid, triggered_by text, correlation_id text, causation_id text, requested text, deaths smallint)
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
#variable_conflict use_column
DECLARE
  paused text[] := ARRAY(SELECT p.name FROM "tidemark".job_pauses p WHERE p.kind = 'type' AND p.name = ANY (names));
  next   tid[];
BEGIN
  UPDATE "tidemark".jobs j
    SET status = 'queued', waiting = NULL,
      parked = CASE WHEN j.concurrency_key IS NULL AND NOT j.limited THEN NULL ELSE 'new' END
    WHERE j.id = ANY (ARRAY(
      SELECT d.id FROM "tidemark".jobs d WHERE d.status = 'scheduled' AND d.run_at <= statement_timestamp()
      ORDER BY d.run_at LIMIT 1000 FOR UPDATE SKIP LOCKED));
  IF EXISTS (SELECT FROM "tidemark".jobs j WHERE j.parked = 'new')
     OR EXISTS (SELECT FROM "tidemark".job_key_releases) THEN
    PERFORM "tidemark".admit_jobs();
  END IF;
  IF EXISTS (SELECT FROM "tidemark".job_pauses p WHERE p.kind = 'queue' AND p.name = claim_jobs.queue) THEN
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM "tidemark".job_limits) THEN
    RETURN QUERY
      SELECT j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
        j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
        j.deaths
      FROM "tidemark".claim_limited_jobs(process, queue, names, most, versions, paused) AS j;
    RETURN;
  END IF;
  next := "tidemark".next_jobs(queue, names, most, versions, paused);
  RETURN QUERY
    UPDATE "tidemark".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_jobs.process,
        started_at = clock_timestamp()
    WHERE j.ctid = ANY (next)
    RETURNING j.id, j.token, j.attempt, j.version, j.name, j.input, j.input_meta, j.created_at, j.priority,
      j.token > 1, j.concurrency_key IS NOT NULL, j.parent, j.triggered_by, j.correlation_id, j.causation_id, j.requested,
      j.deaths;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.claim_limited_jobs(process uuid, queue text, names text[], most integer, versions integer[], paused text[])
 RETURNS SETOF tidemark.jobs
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
#variable_conflict use_column
DECLARE
  at          timestamptz;
  room        integer := most;
  queue_limit "tidemark".job_limits;
  type_limit  "tidemark".job_limits;
  bucket      "tidemark".job_rates;
  type_room   integer;
  found_ids   uuid[];
  picks       uuid[] := '{}';
  visited     "tidemark".job_rates[] := '{}';
  chosen      uuid[];
  n           integer;
BEGIN
  SELECT * INTO queue_limit FROM "tidemark".job_limits l
    WHERE l.kind = 'queue' AND l.name = claim_limited_jobs.queue FOR UPDATE;
  IF queue_limit.concurrency IS NOT NULL THEN
    SELECT least(room, queue_limit.concurrency - count(*)::integer) INTO room FROM "tidemark".jobs j
      WHERE j.queue = claim_limited_jobs.queue AND j.status = 'running' AND j.limited;
  END IF;
  IF queue_limit.rate IS NOT NULL THEN
    SELECT least(room, "tidemark".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, clock_timestamp()))
      INTO n FROM "tidemark".job_rates r WHERE r.kind = 'queue' AND r.name = claim_limited_jobs.queue AND r.key = '';
    room := coalesce(n, least(room, queue_limit.rate));
  END IF;
  IF room <= 0 THEN RETURN; END IF;

  FOR type_limit IN
    SELECT l.* FROM "tidemark".job_limits l
    WHERE l.kind = 'type' AND l.name = ANY (names) AND l.name <> ALL (paused)
      -- In this order: mostly nothing is ready. OFFSET keeps the planner from walking along all that wait.
      AND CASE WHEN EXISTS (
        SELECT FROM "tidemark".job_rates r WHERE r.kind = 'type' AND r.name = l.name AND r.ready_at <= statement_timestamp())
      THEN EXISTS (
        SELECT FROM "tidemark".jobs q
        WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = l.name
        OFFSET 0) END
    ORDER BY l.name FOR UPDATE
  LOOP
    type_room := room;
    IF type_limit.concurrency IS NOT NULL THEN
      SELECT least(room, type_limit.concurrency - count(*)::integer) INTO type_room FROM "tidemark".jobs j
        WHERE j.name = type_limit.name AND j.status = 'running' AND j.limited;
    END IF;
    CONTINUE WHEN type_room <= 0;
    FOR bucket IN
      SELECT r.* FROM "tidemark".job_rates r
      WHERE r.kind = 'type' AND r.name = type_limit.name AND r.ready_at <= statement_timestamp()
        -- Whose jobs are all in other queues are left to those: claims of two queues would take turns at each other's.
        AND EXISTS (
          SELECT FROM "tidemark".jobs q
          WHERE q.status = 'queued' AND q.parked = 'limit' AND q.queue = claim_limited_jobs.queue AND q.name = r.name
            AND coalesce(q.rate_key, '') = r.key
          OFFSET 0)
      ORDER BY r.ready_at LIMIT least(type_room, 100) FOR UPDATE SKIP LOCKED
    LOOP
      n := least(type_room, "tidemark".rate_room(bucket.since, bucket.starts, type_limit.rate, type_limit.period, clock_timestamp()));
      found_ids := ARRAY(
        SELECT q.id FROM "tidemark".jobs q
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
    SELECT j.id FROM "tidemark".jobs j WHERE j.id = ANY (picks || ARRAY(
      SELECT q.id FROM "tidemark".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = claim_limited_jobs.queue AND q.name = ANY (names)
        AND q.name NOT IN (SELECT l.name FROM "tidemark".job_limits l WHERE l.kind = 'type')
        AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
      ORDER BY q.priority, q.run_at, q.id LIMIT room FOR UPDATE SKIP LOCKED))
    ORDER BY j.priority, j.run_at, j.id LIMIT room);

  -- One time for the starts and for what is noted of them.
  at := clock_timestamp();
  IF queue_limit.rate IS NOT NULL AND chosen <> '{}' THEN
    PERFORM "tidemark".note_starts('queue', queue_limit.name, '', cardinality(chosen), queue_limit.period, at);
    UPDATE "tidemark".job_rates r SET ready_at = CASE
        WHEN "tidemark".rate_room(r.since, r.starts, queue_limit.rate, queue_limit.period, at) > 0 THEN NULL
        ELSE r.since[1] + queue_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'queue' AND r.name = queue_limit.name AND r.key = '';
  END IF;
  FOREACH bucket IN ARRAY visited LOOP
    SELECT * INTO type_limit FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = bucket.name;
    SELECT count(*)::integer INTO n FROM "tidemark".jobs j
      WHERE j.id = ANY (chosen) AND j.name = bucket.name AND coalesce(j.rate_key, '') = bucket.key;
    IF n > 0 AND type_limit.rate IS NOT NULL THEN
      PERFORM "tidemark".note_starts('type', bucket.name, bucket.key, n, type_limit.period, at);
    END IF;
    UPDATE "tidemark".job_rates r SET ready_at = CASE
        WHEN NOT "tidemark".waits_for_limit(bucket.name, bucket.key, chosen) THEN NULL
        WHEN "tidemark".rate_room(r.since, r.starts, type_limit.rate, type_limit.period, at) > 0 THEN at
        ELSE r.since[1] + type_limit.period * 1.05 * interval '1 ms' END
      WHERE r.kind = 'type' AND r.name = bucket.name AND r.key = bucket.key;
  END LOOP;

  RETURN QUERY
    UPDATE "tidemark".jobs j
    SET status = 'running', token = j.token + 1, attempt = j.attempt + 1, process = claim_limited_jobs.process,
        started_at = at, parked = NULL, limited = true
    WHERE j.id = ANY (chosen)
    RETURNING j.*;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.complete_jobs(ids uuid[], tokens bigint[], outputs jsonb[], output_metas jsonb[])
 RETURNS uuid[]
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
DECLARE
  completed uuid[];
  names     text[];
BEGIN
  -- Not with the function's other settings: only a superuser may store one that the server does not know.
  PERFORM set_config('tidemark.jobs_counted', 'yes', true);
  IF outputs IS NULL THEN
    WITH done AS (
      UPDATE "tidemark".jobs j SET status = 'completed', finished_at = clock_timestamp(), requested = NULL
      FROM unnest(ids, tokens) AS u (id, token)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  ELSE
    WITH done AS (
      UPDATE "tidemark".jobs j
      SET status = 'completed', finished_at = clock_timestamp(), output = u.output, output_meta = u.output_meta,
        requested = NULL
      FROM unnest(ids, tokens, outputs, output_metas) AS u (id, token, output, output_meta)
      WHERE j.id = u.id AND j.token = u.token AND j.status = 'running'
      RETURNING j.id, j.name)
    SELECT array_agg(d.id), array_agg(d.name) INTO completed, names FROM done d;
  END IF;
  PERFORM set_config('tidemark.jobs_counted', 'no', true);
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
    SELECT c.name, s.status, s.sign * c.jobs FROM (SELECT n AS name, count(*) AS jobs FROM unnest(names) AS n GROUP BY 1) c,
      (VALUES ('queued', -1), ('completed', 1)) AS s (status, sign);
  RETURN coalesce(completed, '{}');
END $function$;

CREATE OR REPLACE FUNCTION tidemark.count_deleted_jobs()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
  SELECT d.name, CASE d.status WHEN 'running' THEN 'queued' ELSE d.status END, -count(*) FROM deleted d GROUP BY 1, 2;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.count_spawned_jobs()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_count_changes (name, status, jobs)
  SELECT a.name, CASE a.status WHEN 'running' THEN 'queued' ELSE a.status END, count(*) FROM added a GROUP BY 1, 2;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.counted_jobs()
 RETURNS TABLE(name text, status text, jobs bigint)
 LANGUAGE sql
 STABLE
AS $function$
  SELECT c.name, c.status, sum(c.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs FROM "tidemark".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs FROM "tidemark".job_count_changes h
    UNION ALL
    SELECT r.name, s.status, s.sign * r.jobs FROM (
      SELECT j.name, count(*) AS jobs FROM "tidemark".jobs j
      WHERE j.status = 'running' AND j.process IS NOT NULL GROUP BY 1) AS r,
      (VALUES ('running', 1), ('queued', -1)) AS s (status, sign)) AS c
  GROUP BY 1, 2 HAVING sum(c.jobs) <> 0
$function$;

CREATE OR REPLACE FUNCTION tidemark.draw_sequence()
 RETURNS bigint
 LANGUAGE sql
AS $function$
  SELECT CASE
    WHEN current_setting('tidemark.publisher_tidemark', true) = 'registered'
      THEN nextval('"tidemark".events_sequence'::regclass)
    WHEN pg_advisory_xact_lock_shared((6177::bigint << 48)
           | pg_sequence_last_value('"tidemark".events_sequence'::regclass)) IS NULL
      THEN NULL
    WHEN set_config('tidemark.publisher_tidemark', 'registered', true) IS NULL
      THEN NULL
    WHEN CASE pg_sequence_last_value('"tidemark".armed'::regclass) WHEN 0 THEN false ELSE "tidemark".ring() END
      THEN NULL
    ELSE nextval('"tidemark".events_sequence'::regclass)
  END
$function$;

CREATE OR REPLACE FUNCTION tidemark.ensure_partitions(ahead integer DEFAULT 2, size bigint DEFAULT 10000000)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
  made  integer := 0;
  lower bigint;
  upper bigint;
  name  text;
BEGIN
  IF (ahead BETWEEN 1 AND 1000 AND size BETWEEN 1 AND 1000000000000000) IS NOT TRUE THEN
    RAISE EXCEPTION 'ensure_partitions: "ahead" is from 1 to 1000, and "size" from 1 to 10^15'
      USING ERRCODE = 'invalid_parameter_value',
            HINT = 'They say for how many ranges there are to be partitions, and how many events each holds.';
  END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark' || '.ensure_partitions', 0) | (1::bigint << 63));
  LOOP
    SELECT coalesce(max(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO [(]''([0-9]+)''[)]')::bigint), 0)
      INTO lower
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = '"tidemark".events'::regclass;
    EXIT WHEN lower > coalesce(pg_sequence_last_value('"tidemark".events_sequence'::regclass), 0)
                      + (ahead - 1) * size;
    upper := lower + size;
    name := 'events_' || lower;
    EXECUTE format('CREATE TABLE %I.%I (LIKE %I.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                   'tidemark', name, 'tidemark');
    EXECUTE format('ALTER TABLE %I.%I ADD CONSTRAINT bounds CHECK (sequence >= %s AND sequence < %s)',
                   'tidemark', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.events ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                   'tidemark', 'tidemark', name, lower, upper);
    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT bounds', 'tidemark', name);
    made := made + 1;
  END LOOP;
  RETURN made;
END $function$;
REVOKE EXECUTE ON FUNCTION tidemark.ensure_partitions(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tidemark.enter_jobs(ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE "tidemark".jobs j
    SET parked = CASE WHEN EXISTS (SELECT FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = j.name)
      THEN 'limit' END
    WHERE j.id = ANY (ids);
  INSERT INTO "tidemark".job_rates AS r (kind, name, key, ready_at)
    SELECT DISTINCT 'type', j.name, coalesce(j.rate_key, ''), statement_timestamp() FROM "tidemark".jobs j
    WHERE j.id = ANY (ids) AND j.parked = 'limit' ORDER BY 2, 3
    ON CONFLICT (key, name, kind) DO UPDATE SET ready_at = excluded.ready_at WHERE r.ready_at IS NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.fence_jobs(ids uuid[], tokens bigint[])
 RETURNS SETOF uuid
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
BEGIN
  RETURN QUERY
    SELECT j.id FROM "tidemark".jobs j
    JOIN unnest(ids, tokens) AS u (id, token) ON j.id = u.id AND j.token = u.token
    WHERE j.status = 'running' ORDER BY j.id FOR KEY SHARE OF j;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.fold_job_counts(most integer DEFAULT 20000)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
  began timestamptz := clock_timestamp();
BEGIN
  -- A time that far ahead is from a clock that was.
  PERFORM FROM "tidemark".job_count_turn t
    WHERE t.folds_at <= began OR t.folds_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  WITH folded AS (
    DELETE FROM "tidemark".job_count_changes h
    WHERE h.ctid = ANY (ARRAY(SELECT i.ctid FROM "tidemark".job_count_changes i LIMIT most))
    RETURNING h.name, h.status, h.jobs)
  INSERT INTO "tidemark".job_counts AS k (name, status, jobs)
    SELECT f.name, f.status, sum(f.jobs) FROM folded f GROUP BY 1, 2 HAVING sum(f.jobs) <> 0
    ON CONFLICT (name, status) DO UPDATE SET jobs = k.jobs + excluded.jobs;
  DELETE FROM "tidemark".job_counts k WHERE k.jobs = 0;
  UPDATE "tidemark".job_count_turn SET folds_at = clock_timestamp()
    + greatest(interval '1 s', least(49 * (clock_timestamp() - began), interval '1 minute'));
END $function$;

CREATE OR REPLACE FUNCTION tidemark.forget_job_counts()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  DELETE FROM "tidemark".job_counts;
  DELETE FROM "tidemark".job_count_changes;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.forget_waits(most integer DEFAULT 1000)
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  began timestamptz := clock_timestamp();
  after uuid;
  page  uuid[];
BEGIN
  -- A time that far ahead is from a clock that was.
  SELECT c.forgotten INTO after FROM "tidemark".job_wait_cursor c
    WHERE c.forgets_at <= began OR c.forgets_at > began + interval '1 minute' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN; END IF;
  page := ARRAY(SELECT w.job FROM "tidemark".job_waits w WHERE w.job > after ORDER BY w.job LIMIT most);
  DELETE FROM "tidemark".job_waits w WHERE w.job = ANY (page) AND NOT EXISTS (
    SELECT FROM "tidemark".jobs j WHERE j.id = w.job AND j.status IN ('scheduled', 'paused') AND j.waiting IS NOT NULL);
  UPDATE "tidemark".job_wait_cursor SET forgets_at = clock_timestamp() + interval '1.9 s',
    forgotten = coalesce(page[most], '00000000-0000-0000-0000-000000000000');
END $function$;

CREATE OR REPLACE FUNCTION tidemark.horizon(OUT last_sequence bigint, OUT lowest_floor bigint, OUT still boolean)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
BEGIN
  last_sequence := pg_sequence_last_value('"tidemark".events_sequence'::regclass);
  -- What newer versions of Postgres answer who may not look: a reader would take it for an empty outbox.
  IF last_sequence IS NULL THEN
    RAISE insufficient_privilege USING
      MESSAGE = 'permission denied for sequence events_sequence',
      HINT = 'Readers of the outbox need SELECT on the sequence.';
  END IF;
  SELECT min(p.floor) INTO lowest_floor FROM "tidemark".publishers p;
  -- Whether last_sequence is as good as taken after the look: what a process must know before it sleeps.
  still := last_sequence = pg_sequence_last_value('"tidemark".events_sequence'::regclass);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.is_paused(queue text, name text)
 RETURNS boolean
 LANGUAGE sql
 STABLE
AS $function$
  SELECT EXISTS (
    SELECT FROM "tidemark".job_pauses p
    WHERE (p.kind = 'queue' AND p.name = is_paused.queue) OR (p.kind = 'type' AND p.name = is_paused.name))
$function$;

CREATE OR REPLACE FUNCTION tidemark.job_after(status text, requested text, what text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION tidemark.job_changed()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
  job "tidemark".jobs := NEW;
BEGIN
  -- It was held by cancel_parent(), and whoever has asked for that goes on with what it is now.
  IF OLD.status = 'cancelled' AND NEW.status = 'scheduled' AND NEW.requested = 'cancel' THEN RETURN NULL; END IF;
  IF job.status = 'cancelled' AND OLD.status <> 'cancelled' THEN job := "tidemark".cancel_parent(NEW, OLD); END IF;
  IF (job.parent IS NOT NULL OR job.awaited) AND job.status IN ('completed', 'failed', 'cancelled')
    AND OLD.status NOT IN ('completed', 'failed', 'cancelled')
  THEN
    INSERT INTO "tidemark".job_wakes (child) VALUES (OLD.id);
  END IF;
  IF OLD.concurrency_key IS NOT NULL AND (OLD.parked IS NULL OR OLD.parked = 'limit') AND OLD.status IN ('queued', 'running')
    AND NOT ((job.parked IS NULL OR job.parked = 'limit') AND job.status IN ('queued', 'running')
      AND job.concurrency_key IS NOT DISTINCT FROM OLD.concurrency_key AND job.name = OLD.name)
  THEN
    INSERT INTO "tidemark".job_key_releases (key) VALUES (OLD.turn_key);
  END IF;
  IF job.lifecycle IS NOT NULL AND job.status <> OLD.status THEN
    PERFORM "tidemark".publish_transition(job, OLD);
  END IF;
  IF (job.name <> OLD.name OR job.status <> OLD.status AND NOT (
      OLD.status IN ('queued', 'running') AND job.status IN ('queued', 'running')))
    AND current_setting('tidemark.jobs_counted', true) IS DISTINCT FROM 'yes'
  THEN
    INSERT INTO "tidemark".job_count_changes (name, status, jobs) VALUES
      (OLD.name, CASE OLD.status WHEN 'running' THEN 'queued' ELSE OLD.status END, -1),
      (job.name, CASE job.status WHEN 'running' THEN 'queued' ELSE job.status END, 1);
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.job_place(name text, status text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ SELECT hashtext(name || ' ' || status) $function$;

CREATE OR REPLACE FUNCTION tidemark.job_trace(job uuid, around interval DEFAULT '01:00:00'::interval)
 RETURNS TABLE(depth integer, kind text, id text, cause text, name text, status text, at timestamp with time zone, ended_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE
AS $function$
#variable_conflict use_column
DECLARE
  subject "tidemark".jobs%ROWTYPE;
  chain   text;
  began   timestamptz;
  ended   timestamptz;
  most    CONSTANT integer := 50000;
  first_id uuid;
  last_id uuid;
  low     bigint;
  high    bigint;
  middle  bigint;
BEGIN
  SELECT j.* INTO subject FROM "tidemark".jobs j WHERE j.id = job_trace.job;
  IF NOT FOUND THEN RETURN; END IF;
  -- What a job without a correlation causes has the job's id as its own.
  chain := coalesce(subject.correlation_id, subject.id::text);
  -- Whatever a clock, or somebody by hand, has written there.
  began := least(greatest(subject.created_at, 'epoch'), clock_timestamp()) - around;
  ended := least(greatest(coalesce(subject.finished_at, 'infinity'), 'epoch'), clock_timestamp()) + around;
  first_id := (lpad(to_hex(greatest(extract(epoch FROM began) * 1000, 0)::bigint), 12, '0') || repeat('0', 20))::uuid;
  last_id := (lpad(to_hex(greatest(extract(epoch FROM ended) * 1000, 0)::bigint), 12, '0') || repeat('f', 20))::uuid;
  low := "tidemark".sequence_at(began - interval '1 minute');
  high := "tidemark".sequence_at(ended + interval '1 minute');
  middle := greatest(low + most, high - most);
  RETURN QUERY
    WITH RECURSIVE found_jobs AS (
      SELECT j.* FROM "tidemark".jobs j WHERE j.id IN (
        SELECT subject.id
        UNION SELECT c.id FROM "tidemark".jobs c WHERE c.parent = subject.id
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM "tidemark".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id LIMIT most) AS f
        WHERE f.correlation_id = chain
        UNION SELECT f.id FROM (
          SELECT c.id, c.correlation_id FROM "tidemark".jobs c
          WHERE c.id >= first_id AND c.id <= last_id ORDER BY c.id DESC LIMIT most) AS f
        WHERE f.correlation_id = chain)
    ), found_steps AS (
      SELECT s.job, s.step, s.kind, s.started_at, s.completed_at,
        "tidemark".step_status(j.status, s.position, s.error) AS status
      FROM found_jobs j JOIN "tidemark".job_steps s ON s.job = j.id
    ), nodes AS (
      SELECT 'event' AS kind, e.id::text AS id, e.type AS name, 'published' AS status, e.recorded_at AS at,
        e.recorded_at AS ended_at, coalesce(
          (SELECT s.job || '#' || s.step FROM found_steps s
           WHERE s.job::text = e.causation_id AND s.step = e.metadata ->> 'tidemark.step'),
          e.causation_id) AS cause
      FROM (
        SELECT f.* FROM "tidemark".events f WHERE f.sequence >= low AND f.sequence < least(high, low + most)
        UNION ALL
        SELECT f.* FROM "tidemark".events f WHERE f.sequence >= middle AND f.sequence < high) AS e
      WHERE e.correlation_id = chain OR e.id::text = chain
      UNION ALL
      SELECT 'job', j.id::text, j.name, j.status, j.created_at, j.finished_at, coalesce(j.causation_id, j.parent::text)
      FROM found_jobs j
      UNION ALL
      SELECT s.kind, s.job || '#' || s.step, s.step, s.status,
        s.started_at, s.completed_at, s.job::text
      FROM found_steps s
    ), tree AS (
      SELECT 0 AS depth, n.*, ARRAY[to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id] AS place
      FROM nodes n WHERE n.cause IS NULL OR NOT EXISTS (SELECT FROM nodes c WHERE c.id = n.cause)
      UNION ALL
      SELECT t.depth + 1, n.*, t.place || (to_char(n.at AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISSUS') || n.id)
      FROM tree t JOIN nodes n ON n.cause = t.id
      WHERE NOT n.id = ANY (SELECT right(p, length(n.id)) FROM unnest(t.place) AS p)
    )
    SELECT t.depth, t.kind, t.id, t.cause, t.name, t.status, t.at, t.ended_at FROM tree t ORDER BY t.place;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.jobs_awaiting_events(low bigint, high bigint, most integer, OUT reached bigint, OUT jobs uuid[])
 RETURNS record
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  types text[];
  keys  text[];
  lasts bigint[];
BEGIN
  SELECT max(e.sequence) INTO reached FROM (
    SELECT e.sequence FROM "tidemark".events e WHERE e.sequence > low AND e.sequence <= high
    ORDER BY e.sequence LIMIT most) e;
  IF reached IS NULL OR NOT EXISTS (SELECT FROM "tidemark".events e WHERE e.sequence > reached AND e.sequence <= high)
  THEN
    reached := high;
  END IF;
  SELECT array_agg(e.type), array_agg(e.key), array_agg(e.last) INTO types, keys, lasts FROM (
    SELECT e.type, coalesce(e.key, e.stream) AS key, max(e.sequence) AS last FROM "tidemark".events e
    WHERE e.sequence > low AND e.sequence <= reached GROUP BY 1, 2) e;
  jobs := ARRAY(
    SELECT w.job FROM unnest(types, keys, lasts) AS e (type, key, last), LATERAL (
      SELECT w.job FROM "tidemark".job_waits w
      WHERE w.kind = 'event' AND w.target = e.type AND w.key = e.key AND w.sequence < e.last OFFSET 0) AS w
    UNION
    SELECT w.job FROM (
      SELECT u.type, max(u.last) AS last FROM unnest(types, lasts) AS u (type, last) GROUP BY 1) AS e, LATERAL (
      SELECT w.job FROM "tidemark".job_waits w
      WHERE w.kind = 'event' AND w.target = e.type AND w.key IS NULL AND w.sequence < e.last OFFSET 0) AS w);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.keep_changed_turn_key()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE "tidemark".jobs j SET turn_key = j.name || ' ' || j.concurrency_key WHERE j.id = NEW.id;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.keep_key(names text[], unique_key text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
  place tid;
BEGIN
  INSERT INTO "tidemark".job_key_takers AS t (key) VALUES (names[1] || ' ' || unique_key)
    ON CONFLICT DO NOTHING RETURNING t.ctid INTO place;
  -- By its place: all that the transaction has taken before is still in the table.
  DELETE FROM "tidemark".job_key_takers t WHERE t.ctid = place;
  RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.keep_turn_key()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  NEW.turn_key := NEW.name || ' ' || NEW.concurrency_key;
  RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.lock_namespace()
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$ SELECT 6177 $function$;

CREATE OR REPLACE FUNCTION tidemark.may_take_key(known text[], unique_key text, successor boolean DEFAULT false)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
  names  text[] := "tidemark".names_of_type(known);
  others text[];
BEGIN
  IF cardinality(names) = 1 THEN RETURN true; END IF;
  others := array_remove(names, known[1]);
  -- Looked at before, too: then a key that is taken is not kept from others.
  FOR look IN 1 .. 2 LOOP
    IF EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND NOT j.successor AND NOT successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    OR EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.unique_key = unique_key AND j.name = ANY (others) AND j.successor AND successor
        AND j.status IN ('scheduled', 'paused'))
    THEN
      RETURN false;
    END IF;
    IF look = 1 THEN PERFORM "tidemark".keep_key(names, unique_key); END IF;
  END LOOP;
  RETURN true;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.miscounted_jobs()
 RETURNS TABLE(name text, status text, counted bigint, jobs bigint)
 LANGUAGE sql
 STABLE
AS $function$
  SELECT a.name, a.status, sum(a.counted)::bigint, sum(a.jobs)::bigint FROM (
    SELECT k.name, k.status, k.jobs AS counted, 0 AS jobs FROM "tidemark".job_counts k
    UNION ALL
    SELECT h.name, h.status, h.jobs, 0 FROM "tidemark".job_count_changes h
    UNION ALL
    SELECT j.name, CASE j.status WHEN 'running' THEN 'queued' ELSE j.status END, 0, count(*)
    FROM "tidemark".jobs j GROUP BY 1, 2) AS a
  GROUP BY 1, 2 HAVING sum(a.counted) <> sum(a.jobs)
$function$;

CREATE OR REPLACE FUNCTION tidemark.names_of_type(known text[])
 RETURNS text[]
 LANGUAGE plpgsql
 STABLE
AS $function$
BEGIN
  IF cardinality(known) = 1 AND NOT EXISTS (SELECT FROM "tidemark".job_aliases) THEN RETURN known; END IF;
  RETURN ARRAY(
    WITH RECURSIVE names (name) AS (
      SELECT unnest(known)
      UNION
      SELECT CASE WHEN a.name = n.name THEN a.alias ELSE a.name END
      FROM names n JOIN "tidemark".job_aliases a ON n.name IN (a.name, a.alias))
    SELECT n.name FROM names n ORDER BY 1);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.next_job_due()
 RETURNS double precision
 LANGUAGE sql
 STABLE
 SET enable_seqscan TO 'off'
AS $function$
  SELECT least(
    (SELECT 0::float8 WHERE EXISTS (SELECT FROM "tidemark".jobs j WHERE j.parked = 'new')),
    (SELECT greatest(0, extract(epoch FROM j.run_at - statement_timestamp()) * 1000)::float8
     FROM "tidemark".jobs j WHERE j.status = 'scheduled' AND j.run_at < 'infinity' ORDER BY j.run_at LIMIT 1),
    (SELECT (extract(epoch FROM r.ready_at - statement_timestamp()) * 1000)::float8
     FROM "tidemark".job_rates r WHERE r.ready_at > statement_timestamp() ORDER BY r.ready_at LIMIT 1))
$function$;

CREATE OR REPLACE FUNCTION tidemark.next_jobs(queue text, names text[], most integer, versions integer[], paused text[])
 RETURNS tid[]
 LANGUAGE plpgsql
AS $function$
DECLARE
  began    bigint := extract(epoch FROM clock_timestamp()) * 1000000;
  setting  text := 'tidemark.next_' || encode(convert_to('tidemark' || '.' || queue, 'UTF8'), 'hex');
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
    SELECT q.ctid FROM "tidemark".jobs q
    WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
      AND (q.priority, q.run_at, q.id) >= (rank, since, first) AND q.name <> ALL (paused)
      AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
    ORDER BY q.priority, q.run_at, q.id LIMIT most FOR UPDATE SKIP LOCKED);
  IF noted AND cardinality(jobs) < most AND began > note[2]::bigint + 5 * note[3]::bigint THEN
    noted := false;
    urgent := ARRAY(
      SELECT q.ctid FROM "tidemark".jobs q
      WHERE q.status = 'queued' AND q.parked IS NULL AND q.queue = next_jobs.queue AND q.name = ANY (names)
        AND (q.priority, q.run_at, q.id) < (rank, since, first) AND q.name <> ALL (paused)
        AND (q.needs = 1 OR versions IS NULL OR q.needs <= versions[array_position(names, q.name)])
      ORDER BY q.priority, q.run_at, q.id LIMIT most - cardinality(jobs) FOR UPDATE SKIP LOCKED);
  END IF;
  late := CASE WHEN noted THEN note[3]::bigint
    ELSE extract(epoch FROM clock_timestamp()) * 1000000 - began - 20 * cardinality(jobs || urgent) END;
  IF late > 100 AND cardinality(jobs) > 0 THEN
    SELECT j.priority, j.run_at, j.id INTO rank, since, first FROM "tidemark".jobs j WHERE j.ctid = jobs[cardinality(jobs)];
  END IF;
  IF late > 100 AND isfinite(since) THEN
    PERFORM set_config(setting, ARRAY[looker, CASE WHEN noted THEN note[2] ELSE began::text END, late::text, rank::text,
      (extract(epoch FROM since) * 1000000)::bigint::text, first::text]::text, false);
  END IF;
  RETURN jobs || urgent;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.note_armed()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
  wanted bigint;
BEGIN
  -- A crash empties `doorbells`, and who slept arms again: nothing here has to reach the disk.
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock(hashtextextended('tidemark' || '.armed', 0) | (1::bigint << 63));
  -- A snapshot from before the lock may miss who armed meanwhile.
  wanted := CASE WHEN current_setting('transaction_isolation') <> 'read committed'
                   OR EXISTS (SELECT FROM "tidemark".doorbells WHERE armed) THEN 1 ELSE 0 END;
  IF pg_sequence_last_value('"tidemark".armed'::regclass) IS DISTINCT FROM wanted THEN
    PERFORM setval('"tidemark".armed'::regclass, wanted);
  END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.note_deleted_child()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_wakes (child) VALUES (OLD.id);
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.note_signal()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_wakes (job, signal) VALUES (NEW.job, NEW.name);
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.note_starts(kind text, name text, key text, n integer, period double precision, at timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
  width float8 := period / 20;
  -- The stretch that `at` lies in.
  this timestamptz := to_timestamp(floor(extract(epoch FROM at) * 1000 / width) * width / 1000);
BEGIN
  INSERT INTO "tidemark".job_rates AS r (kind, name, key) VALUES (kind, name, key) ON CONFLICT DO NOTHING;
  UPDATE "tidemark".job_rates r SET since = l.since, starts = l.starts
    FROM (SELECT array_agg(g.s ORDER BY g.s) AS since, array_agg(g.n ORDER BY g.s) AS starts
          FROM (SELECT u.s, sum(u.n)::integer AS n
                FROM (SELECT s, c FROM "tidemark".job_rates o, unnest(o.since, o.starts) AS e (s, c)
                      WHERE o.kind = kind AND o.name = name AND o.key = key
                        AND e.s > at - period * 1.05 * interval '1 ms'
                      UNION ALL SELECT this, n) AS u (s, n)
                GROUP BY u.s) AS g) AS l
    WHERE r.kind = kind AND r.name = name AND r.key = key;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.note_unseen(type text, sequence bigint)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  INSERT INTO "tidemark".unseen_events (projection, sequence)
    SELECT l.name, note_unseen.sequence FROM "tidemark".listeners l
    WHERE l.mode = 'inline' AND l.definition -> 'types' ? note_unseen.type
$function$;
REVOKE EXECUTE ON FUNCTION tidemark.note_unseen(text,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tidemark.other_lock_namespaces()
 RETURNS SETOF integer
 LANGUAGE sql
 STABLE
AS $function$
  SELECT substring(p.prosrc FROM '[0-9]+')::integer FROM pg_proc p
  WHERE p.proname = 'lock_namespace' AND p.pronamespace <> '"tidemark"'::regnamespace AND p.prosrc ~ '^ *SELECT [0-9]+ *$'
$function$;

CREATE OR REPLACE FUNCTION tidemark.pruned_after(types text[], after bigint)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('tidemark.prune.' || 'tidemark', 0) | (1::bigint << 63));
  RETURN (
    SELECT max(p.upper_bound) FROM "tidemark".pruned_partitions p
    WHERE p.types && pruned_after.types AND p.upper_bound > pruned_after.after + 1);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.publish(type text, payload jsonb, stream text DEFAULT NULL::text, expected_version bigint DEFAULT NULL::bigint, key text DEFAULT NULL::text, version integer DEFAULT 1, idempotency_key text DEFAULT NULL::text, correlation_id text DEFAULT NULL::text, causation_id text DEFAULT NULL::text, metadata jsonb DEFAULT NULL::jsonb, id uuid DEFAULT gen_random_uuid(), payload_meta jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text, tracestate text DEFAULT NULL::text)
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
  answer record;
BEGIN
  IF type IS NULL OR octet_length(type) NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'publish: the name of a type must have 1 to 1000 bytes' USING ERRCODE = 'invalid_parameter_value';
  ELSIF payload IS NULL OR id IS NULL OR version IS NULL OR version < 1 THEN
    RAISE EXCEPTION 'publish: an event needs a payload, an id, and a version of at least 1'
      USING ERRCODE = 'invalid_parameter_value', HINT = 'The payload null is written ''null''::jsonb.';
  ELSIF expected_version < 0 OR (expected_version IS NOT NULL AND stream IS NULL) THEN
    RAISE EXCEPTION 'publish: an expected_version is 0 or more, and that of a stream'
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  PERFORM "tidemark".check_published('publish', ARRAY[stream, key, idempotency_key, correlation_id, causation_id],
    ARRAY[metadata, payload_meta], traceparent, tracestate);
  SELECT * INTO answer FROM "tidemark".append_events(
    ARRAY[id], ARRAY[type], ARRAY[version], ARRAY[stream], ARRAY[expected_version], ARRAY[key],
    ARRAY[idempotency_key], ARRAY[payload], ARRAY[payload_meta], ARRAY[correlation_id], ARRAY[causation_id],
    ARRAY[traceparent], ARRAY[tracestate], ARRAY[metadata]);
  IF answer.conflict = 'stream' THEN
    RAISE EXCEPTION 'TIDEMARK_STREAM_CONFLICT: stream "%" is at version %, not %', stream, answer.actual, expected_version
      USING ERRCODE = 'TM001', HINT = 'Load the stream again, decide again, and publish with its present version.';
  ELSIF answer.conflict = 'duplicate' THEN
    RAISE EXCEPTION 'TIDEMARK_DUPLICATE_EVENT: idempotency key "%" was used by event %', idempotency_key, answer.actual
      USING ERRCODE = 'TM002', HINT = 'The event is published already; nothing is left to do.';
  END IF;
  PERFORM "tidemark".note_unseen(type, answer.sequence);
  RETURN answer.sequence;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.publish_job_spawn()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM "tidemark".publish_transition(NEW, NULL);
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.publish_transition(job tidemark.jobs, was tidemark.jobs)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
  transition text := 'spawned';
BEGIN
  IF was.id IS NOT NULL THEN
    transition := CASE
      WHEN job.status = 'running' THEN 'started'
      WHEN job.status IN ('completed', 'failed', 'cancelled', 'paused') THEN job.status
      WHEN was.status = 'paused' THEN 'resumed'
      WHEN was.status IN ('failed', 'cancelled') THEN 'retried'
      WHEN was.status = 'running' AND job.status = 'scheduled' AND job.waiting IS NOT NULL THEN 'suspended'
      WHEN was.status = 'running' AND job.status = 'scheduled' THEN 'retried'
      WHEN was.status = 'running' AND job.error IS DISTINCT FROM was.error THEN 'rescued'
    END;
  END IF;
  IF transition = ANY (job.lifecycle) THEN
    INSERT INTO "tidemark".events (type, version, key, payload, correlation_id, causation_id, traceparent, tracestate)
    VALUES ('job.' || transition, 1, job.id::text,
      jsonb_build_object('job', job.id, 'name', job.name, 'queue', job.queue, 'attempt', job.attempt,
        'triggeredBy', job.triggered_by, 'parent', job.parent,
        'error', CASE WHEN transition IN ('failed', 'retried', 'rescued') THEN job.error END,
        -- The process that runs it, or did until now.
        'status', job.status, 'createdAt', job.created_at, 'process', coalesce(job.process, was.process)),
      coalesce(job.correlation_id, job.id::text), job.id::text, job.traceparent, job.tracestate);
  END IF;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.queues_of(names text[], known text[])
 RETURNS SETOF text
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  one text := '';
BEGIN
  LOOP
    one := least(
      (SELECT j.queue FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue > one
       ORDER BY j.queue LIMIT 1),
      (SELECT j.queue FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
       ORDER BY j.queue LIMIT 1));
    EXIT WHEN one IS NULL;
    IF one <> ALL (known) AND (
      EXISTS (
        SELECT FROM (
          SELECT j.name FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked IS NULL AND j.queue = one
          ORDER BY j.priority, j.run_at, j.id LIMIT 100) AS f
        WHERE f.name = ANY (names))
      OR EXISTS (
        SELECT FROM unnest(names) AS n (name), LATERAL (
          SELECT FROM "tidemark".jobs j
          WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue = one AND j.name = n.name LIMIT 1) AS f))
    THEN
      RETURN NEXT one;
    END IF;
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.rate_room(since timestamp with time zone[], starts integer[], rate integer, period double precision, at timestamp with time zone)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT CASE WHEN rate IS NULL THEN 2147483647 ELSE greatest(0, rate - coalesce((
    SELECT sum(u.n)::integer FROM unnest(since, starts) AS u (s, n)
    WHERE u.s > at - period * 1.05 * interval '1 ms'), 0)) END
$function$;

CREATE OR REPLACE FUNCTION tidemark.recount_jobs()
 RETURNS bigint
 LANGUAGE sql
AS $function$
  WITH added AS (
    INSERT INTO "tidemark".job_count_changes (name, status, jobs)
    SELECT m.name, m.status, m.jobs - m.counted FROM "tidemark".miscounted_jobs() m RETURNING 1)
  SELECT count(*) FROM added
$function$;

CREATE OR REPLACE FUNCTION tidemark.refuse_sequence()
 RETURNS xid8
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION 'an event was given a sequence by a transaction that is not registered as a publisher'
    USING ERRCODE = 'check_violation',
          HINT = 'Leave the column "sequence" to its default: it registers the transaction before it draws the number.';
END $function$;

CREATE OR REPLACE FUNCTION tidemark.release_job_key()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO "tidemark".job_key_releases (key) VALUES (OLD.turn_key);
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.release_successors()
 RETURNS bigint
 LANGUAGE plpgsql
AS $function$
DECLARE
  released bigint := 0;
  one      uuid;
BEGIN
  FOR one IN
    SELECT s.id FROM "tidemark".jobs s
    WHERE s.successor AND s.status IN ('scheduled', 'paused') AND NOT EXISTS (
      SELECT FROM "tidemark".jobs j WHERE j.unique_key = s.unique_key
        AND j.name = ANY ("tidemark".names_of_type(ARRAY[s.name])) AND NOT j.successor
        AND j.status IN ('scheduled', 'queued', 'running', 'paused'))
    -- As spawners take them.
    ORDER BY s.unique_key, s.id LIMIT 1000 FOR UPDATE SKIP LOCKED
  LOOP
    BEGIN
      UPDATE "tidemark".jobs s
        SET successor = false, run_at = greatest((s.waiting ->> 'runAt')::timestamptz, s.created_at), waiting = NULL
        WHERE s.id = one AND "tidemark".may_take_key(ARRAY[s.name], s.unique_key);
      IF FOUND THEN released := released + 1; END IF;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
  RETURN released;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.ring(what text DEFAULT ''::text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
  -- Postgres cannot PREPARE a transaction that has notified; such publishers turn the doorbell off.
  IF current_setting('tidemark.doorbell', true) IS DISTINCT FROM 'off' AND pg_notification_queue_usage() < 0.5 THEN
    PERFORM pg_notify('tidemark_tidemark', what);
  END IF;
  RETURN false;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.ring_for_jobs()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF EXISTS (SELECT FROM "tidemark".job_doorbells WHERE armed) THEN PERFORM "tidemark".ring('jobs'); END IF;
  RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.sequence_at(moment timestamp with time zone)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
AS $function$
DECLARE
  low    bigint;
  high   bigint;
  middle bigint;
  found  bigint;
  at     timestamptz;
BEGIN
  SELECT min(e.sequence), max(e.sequence) + 1 INTO low, high FROM "tidemark".events e;
  WHILE low < high LOOP
    middle := low + (high - low) / 2;
    SELECT e.sequence, e.recorded_at INTO found, at FROM "tidemark".events e
      WHERE e.sequence >= middle AND e.sequence < high ORDER BY e.sequence LIMIT 1;
    IF found IS NULL OR at >= moment THEN high := middle; ELSE low := found + 1; END IF;
  END LOOP;
  RETURN coalesce(low, 0);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.spawn(name text, input jsonb, run_at timestamp with time zone DEFAULT NULL::timestamp with time zone, priority integer DEFAULT 0, queue text DEFAULT 'default'::text, unique_key text DEFAULT NULL::text, concurrency_key text DEFAULT NULL::text, triggered_by text DEFAULT 'sql'::text, version integer DEFAULT 1, id uuid DEFAULT gen_random_uuid(), input_meta jsonb DEFAULT NULL::jsonb, traceparent text DEFAULT NULL::text, tracestate text DEFAULT NULL::text, correlation_id text DEFAULT NULL::text, causation_id text DEFAULT NULL::text)
 RETURNS uuid
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
  answer  uuid;
  limited boolean := EXISTS (SELECT FROM "tidemark".job_limits l WHERE l.kind = 'type' AND l.name = spawn.name);
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
  PERFORM "tidemark".check_published('spawn',
    ARRAY[unique_key, concurrency_key, triggered_by, correlation_id, causation_id], ARRAY[input_meta], traceparent,
    tracestate);
  -- A job that stands in the way may end before it is looked at: then there is room, and it is tried again.
  FOR tries IN 1 .. 10 LOOP
    INSERT INTO "tidemark".jobs AS j
      (id, name, input, input_meta, run_at, status, priority, queue, unique_key, concurrency_key, parked, triggered_by,
       version, needs, limited, traceparent, tracestate, correlation_id, causation_id)
    SELECT id, name, input, input_meta, coalesce(run_at, statement_timestamp()),
      CASE WHEN run_at > statement_timestamp() THEN 'scheduled' ELSE 'queued' END, priority, queue, unique_key,
      concurrency_key,
      CASE WHEN (concurrency_key IS NULL AND NOT limited) OR run_at > statement_timestamp() THEN NULL ELSE 'new' END,
      triggered_by, version, version, limited, traceparent, tracestate, correlation_id, causation_id
    WHERE unique_key IS NULL OR "tidemark".may_take_key(ARRAY[name], unique_key)
    ON CONFLICT DO NOTHING RETURNING j.id INTO answer;
    IF answer IS NULL THEN
      SELECT j.id INTO answer FROM "tidemark".jobs j WHERE j.id = spawn.id AND j.name = spawn.name;
      IF answer IS NULL AND EXISTS (SELECT FROM "tidemark".jobs j WHERE j.id = spawn.id) THEN
        RAISE EXCEPTION 'spawn: % is the id of a job of another type', spawn.id USING ERRCODE = 'unique_violation';
      ELSIF answer IS NULL THEN
        SELECT j.id INTO answer FROM "tidemark".jobs j
          WHERE j.unique_key = spawn.unique_key AND j.name = ANY ("tidemark".names_of_type(ARRAY[name]))
            AND NOT j.successor AND j.status IN ('scheduled', 'queued', 'running', 'paused') LIMIT 1;
      END IF;
    END IF;
    IF answer IS NOT NULL THEN
      RETURN answer;
    END IF;
  END LOOP;
  RAISE EXCEPTION 'spawn: an unfinished job that is not visible here has the key "%"', unique_key
    USING ERRCODE = 'serialization_failure', HINT = 'Try the transaction again.';
END $function$;

CREATE OR REPLACE FUNCTION tidemark.step_status(job_status text, "position" integer, error jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
  SELECT CASE
    WHEN error IS NULL AND "position" IS NULL THEN 'open'
    WHEN error IS NULL THEN 'completed'
    WHEN "position" IS NULL AND job_status NOT IN ('completed', 'failed', 'cancelled') THEN 'retrying'
    ELSE 'failed' END
$function$;

CREATE OR REPLACE FUNCTION tidemark.unpark_resumed(most integer DEFAULT 1000)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  place record;
  back  uuid[] := '{}';
BEGIN
  SELECT '' AS queue, '' AS name INTO place;
  LOOP
    SELECT j.queue, j.name INTO place FROM "tidemark".jobs j
      WHERE j.parked = 'pause' AND (j.queue, j.name) > (place.queue, place.name) ORDER BY j.queue, j.name LIMIT 1;
    EXIT WHEN NOT FOUND;
    IF NOT "tidemark".is_paused(place.queue, place.name) THEN
      back := back || ARRAY(
        SELECT j.id FROM "tidemark".jobs j
        WHERE j.parked = 'pause' AND j.queue = place.queue AND j.name = place.name
        ORDER BY j.priority, j.run_at, j.id LIMIT most - cardinality(back) FOR UPDATE SKIP LOCKED);
    END IF;
    EXIT WHEN cardinality(back) >= most;
  END LOOP;
  UPDATE "tidemark".jobs j SET parked = CASE WHEN j.concurrency_key IS NOT NULL OR j.limited THEN 'new' END
    WHERE j.id = ANY (back);
  RETURN cardinality(back);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.use_lock_namespace(namespace integer)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION "tidemark".draw_sequence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT CASE
    WHEN current_setting('tidemark.publisher_tidemark', true) = 'registered'
      THEN nextval('"tidemark".events_sequence'::regclass)
    WHEN pg_advisory_xact_lock_shared((%1$s::bigint << 48)
           | pg_sequence_last_value('"tidemark".events_sequence'::regclass)) IS NULL
      THEN NULL
    WHEN set_config('tidemark.publisher_tidemark', 'registered', true) IS NULL
      THEN NULL
    WHEN CASE pg_sequence_last_value('"tidemark".armed'::regclass) WHEN 0 THEN false ELSE "tidemark".ring() END
      THEN NULL
    ELSE nextval('"tidemark".events_sequence'::regclass)
  END
$$
  $ddl$, namespace);

  -- The transactions that publish now, each with its floor. A prepared transaction has no pid.
  EXECUTE format($ddl$
CREATE OR REPLACE VIEW "tidemark".publishers AS
  SELECT ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS floor, l.pid
  FROM pg_locks l
  WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode = 'ShareLock'
    AND l.classid::bigint >> 16 = %1$s
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  $ddl$, namespace);

  -- What other installs look at.
  EXECUTE format($ddl$
CREATE OR REPLACE FUNCTION "tidemark".lock_namespace() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT %1$s $$
  $ddl$, namespace);
END $function$;
REVOKE EXECUTE ON FUNCTION tidemark.use_lock_namespace(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION tidemark.waits_for_limit(name text, rate_key text, chosen uuid[])
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  one text := '';
BEGIN
  LOOP
    SELECT j.queue INTO one FROM "tidemark".jobs j WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue > one
      ORDER BY j.queue LIMIT 1;
    IF NOT FOUND THEN RETURN false; END IF;
    IF EXISTS (
      SELECT FROM "tidemark".jobs j
      WHERE j.status = 'queued' AND j.parked = 'limit' AND j.queue = one AND j.name = waits_for_limit.name
        AND coalesce(j.rate_key, '') = waits_for_limit.rate_key AND NOT (j.id = ANY (chosen)))
    THEN
      RETURN true;
    END IF;
  END LOOP;
END $function$;

CREATE OR REPLACE FUNCTION tidemark.wake_jobs(horizon bigint, most integer DEFAULT 20000)
 RETURNS bigint
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET enable_bitmapscan TO 'off'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET jit TO 'off'
AS $function$
DECLARE
  place    "tidemark".job_wait_cursor%ROWTYPE;
  sees     pg_snapshot;
  upto     bigint;
  fresh    "tidemark".job_waits[];
  -- Waits for jobs and signals that are to be looked at.
  asked    "tidemark".job_waits[];
  children uuid[];
  told     uuid[];
  signals  text[];
  back     bigint;
  page     record;
  ready    uuid[] := '{}';
  woken    uuid[];
BEGIN
  SELECT * INTO place FROM "tidemark".job_wait_cursor FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  -- Before anything is read: what commits later is new to the next look, too.
  SELECT pg_current_snapshot() INTO sees;
  IF pg_snapshot_xmax(place.seen) > pg_snapshot_xmax(sees) THEN
    -- Restored into a server whose transactions have other numbers: all waits are new.
    UPDATE "tidemark".job_waits SET born = pg_current_xact_id();
    place.seen := sees;
  END IF;
  fresh := ARRAY(
    SELECT w FROM "tidemark".job_waits w
    WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen) AND NOT pg_visible_in_snapshot(w.born, place.seen));

  upto := greatest(place.sequence, horizon);
  -- What nobody has waited for needs no look.
  IF NOT EXISTS (
    SELECT FROM "tidemark".job_waits w WHERE w.kind = 'event' AND pg_visible_in_snapshot(w.born, place.seen))
  THEN
    place.sequence := upto;
  END IF;
  SELECT min(f.sequence) INTO back FROM unnest(fresh) AS f WHERE f.kind = 'event';
  IF back < place.sequence THEN
    SELECT * INTO page FROM "tidemark".jobs_awaiting_events(back, place.sequence, most);
    ready := page.jobs;
    -- A page at a time: the rest is looked at next, and they stay new until then.
    IF page.reached < place.sequence THEN
      UPDATE "tidemark".job_waits w SET sequence = greatest(w.sequence, page.reached), born = pg_current_xact_id()
      FROM unnest(fresh) AS f
      WHERE w.job = f.job AND w.step = f.step AND w.kind = 'event' AND w.sequence < place.sequence;
    END IF;
  END IF;
  IF place.sequence < upto THEN
    SELECT * INTO page FROM "tidemark".jobs_awaiting_events(place.sequence, upto, most);
    ready := ready || page.jobs;
    upto := page.reached;
  END IF;

  IF EXISTS (SELECT FROM "tidemark".job_waits w WHERE w.kind = 'cursor') THEN
    ready := ready || ARRAY(
      SELECT w.job FROM "tidemark".listeners l, LATERAL (
        SELECT min(c.cursor) AS reached FROM "tidemark".cursors c
        WHERE c.listener = l.name AND c.generation = l.generation OFFSET 0) AS r, LATERAL (
        SELECT w.job FROM "tidemark".job_waits w
        WHERE w.kind = 'cursor' AND w.target = l.name AND w.sequence <= r.reached OFFSET 0) AS w
      UNION ALL
      -- It has another name by now, or is gone: its job must learn of it. Along the names, however many wait for each.
      SELECT w.job FROM (
        WITH RECURSIVE names AS (
          (SELECT w.target FROM "tidemark".job_waits w WHERE w.kind = 'cursor' ORDER BY w.target LIMIT 1)
          UNION ALL
          SELECT (SELECT w.target FROM "tidemark".job_waits w WHERE w.kind = 'cursor' AND w.target > n.target
            ORDER BY w.target LIMIT 1)
          FROM names n WHERE n.target IS NOT NULL)
        SELECT n.target FROM names n
        WHERE n.target IS NOT NULL AND NOT EXISTS (SELECT FROM "tidemark".listeners l WHERE l.name = n.target)) AS n, LATERAL (
        SELECT w.job FROM "tidemark".job_waits w WHERE w.kind = 'cursor' AND w.target = n.target OFFSET 0) AS w);
  END IF;

  WITH notes AS (
    DELETE FROM "tidemark".job_wakes n WHERE n.ctid = ANY (ARRAY(SELECT i.ctid FROM "tidemark".job_wakes i LIMIT most))
    RETURNING n.child, n.job, n.signal)
  SELECT array_agg(n.child) FILTER (WHERE n.child IS NOT NULL), array_agg(n.job) FILTER (WHERE n.signal IS NOT NULL),
      array_agg(n.signal) FILTER (WHERE n.signal IS NOT NULL),
      ready || coalesce(array_agg(n.job) FILTER (WHERE n.job IS NOT NULL AND n.signal IS NULL), '{}')
    INTO children, told, signals, ready FROM notes n;
  asked := fresh || ARRAY(
    SELECT w.* FROM unnest(children) AS c, LATERAL (
      SELECT w FROM "tidemark".job_waits w WHERE w.kind = 'job' AND w.child = c OFFSET 0) AS w
    UNION ALL
    SELECT w.* FROM unnest(told, signals) AS t (job, name), LATERAL (
      SELECT w FROM "tidemark".job_waits w
      WHERE w.job = t.job AND w.kind = 'signal' AND w.target = t.name OFFSET 0) AS w);
  ready := ready || ARRAY(
    SELECT a.job FROM unnest(asked) AS a
    WHERE (a.kind = 'job' AND NOT EXISTS (
        SELECT FROM "tidemark".jobs c WHERE c.id = a.child AND c.status NOT IN ('completed', 'failed', 'cancelled')))
      OR (a.kind = 'signal' AND EXISTS (
        SELECT FROM "tidemark".job_signals s WHERE s.job = a.job AND s.name = a.target AND s.step IS NULL)));

  -- A snapshot that is older than all waits stays, and nothing is written where nothing happens. One beside which others
  -- were writing goes on, too: from it each look would walk along the waits that were stored then.
  IF fresh = '{}' AND NOT EXISTS (
    SELECT FROM "tidemark".job_waits w WHERE w.kind <> 'cursor' AND w.born >= pg_snapshot_xmin(place.seen))
  THEN
    sees := place.seen;
  END IF;
  UPDATE "tidemark".job_wait_cursor c SET sequence = upto, seen = sees
    WHERE c.sequence <> upto OR c.seen::text <> sees::text;
  IF ready = '{}' THEN RETURN 0; END IF;
  woken := ARRAY(
    SELECT j.id FROM "tidemark".jobs j
    WHERE j.id = ANY (ready) AND j.status = 'scheduled' AND j.waiting IS NOT NULL AND j.requested IS NULL
    ORDER BY j.id FOR UPDATE SKIP LOCKED);
  -- A job that somebody holds just now is woken next time.
  INSERT INTO "tidemark".job_wakes (job)
    SELECT j.id FROM (SELECT unnest(ready) AS id EXCEPT SELECT unnest(woken)) AS r
    JOIN "tidemark".jobs j ON j.id = r.id AND j.status = 'scheduled' AND j.waiting IS NOT NULL;
  UPDATE "tidemark".jobs j SET run_at = statement_timestamp() WHERE j.id = ANY (woken);
  DELETE FROM "tidemark".job_waits w WHERE w.job = ANY (woken);
  RETURN cardinality(woken);
END $function$;

CREATE OR REPLACE FUNCTION tidemark.write_state(in_store text, in_key text, op text, in_write_id text, in_token bigint, if_version bigint, changes text[], in_body text, in_name text, in_status text, in_fields jsonb, ttl double precision, remember double precision)
 RETURNS TABLE(outcome text, state tidemark.states, live boolean)
 LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
  at      timestamptz;
  current "tidemark".states%ROWTYPE;
  next    "tidemark".states%ROWTYPE;
  there   boolean;
  lives   boolean;
  keeps   boolean;
BEGIN
  LOOP
    SELECT s.* INTO current FROM "tidemark".states s WHERE s.store = in_store AND s.key = in_key FOR UPDATE;
    there := FOUND;
    -- After the lock: whoever held it may have written at a later time than this call began. Milliseconds, so that
    -- what is read compares with what is stored.
    at := date_trunc('milliseconds', clock_timestamp());
    IF there AND current.forget_at <= at THEN
      DELETE FROM "tidemark".states s WHERE s.store = in_store AND s.key = in_key;
      there := false;
    END IF;
    lives := there AND current.body IS NOT NULL AND (current.expires_at IS NULL OR current.expires_at > at);
    IF there AND current.write_id = in_write_id THEN
      RETURN QUERY SELECT 'written', current, lives;
      RETURN;
    END IF;
    outcome := CASE
      WHEN there AND in_token < current.token THEN 'fenced'
      WHEN lives AND op = 'create' THEN 'exists'
      WHEN NOT lives AND op IN ('update', 'delete') THEN 'missing'
      WHEN if_version IS NULL OR if_version = CASE WHEN there THEN current.version ELSE 0 END THEN 'written'
      WHEN there THEN 'conflict'
      ELSE 'missing'
    END;
    IF outcome <> 'written' THEN
      IF there THEN RETURN QUERY SELECT outcome, current, lives; END IF;
      RETURN;
    END IF;

    keeps := lives AND op = 'update';
    next.store := in_store;
    next.key := in_key;
    next.write_id := in_write_id;
    next.token := in_token;
    next.version := CASE WHEN there THEN current.version ELSE 0 END + 1;
    -- A clock that was set back must not make it younger than it was.
    next.updated_at := CASE WHEN there THEN greatest(at, current.updated_at) ELSE at END;
    next.created_at := CASE WHEN lives THEN current.created_at ELSE next.updated_at END;
    IF op = 'delete' THEN
      next.fields := '{}';
      next.expires_at := at;
    ELSE
      next.body := CASE WHEN 'value' = ANY (changes) OR NOT keeps THEN in_body ELSE current.body END;
      next.name := CASE WHEN 'name' = ANY (changes) OR NOT keeps THEN in_name ELSE current.name END;
      next.status := CASE WHEN 'status' = ANY (changes) OR NOT keeps THEN in_status ELSE current.status END;
      next.fields := CASE WHEN 'fields' = ANY (changes) OR NOT keeps THEN coalesce(in_fields, '{}') ELSE current.fields END;
      next.expires_at := CASE WHEN 'ttl' = ANY (changes) OR NOT keeps THEN at + ttl * interval '1 ms'
        ELSE current.expires_at END;
    END IF;
    next.forget_at := next.expires_at + remember * interval '1 ms';

    IF there THEN
      UPDATE "tidemark".states s SET created_at = next.created_at, updated_at = next.updated_at,
        expires_at = next.expires_at, forget_at = next.forget_at, version = next.version, token = next.token,
        write_id = next.write_id, name = next.name, status = next.status, fields = next.fields, body = next.body
      WHERE s.store = in_store AND s.key = in_key;
    ELSE
      INSERT INTO "tidemark".states SELECT next.* ON CONFLICT DO NOTHING;
      -- Somebody else has made the row since it was looked for: it is judged by what that one wrote.
      CONTINUE WHEN NOT FOUND;
    END IF;
    RETURN QUERY SELECT 'written', next, next.body IS NOT NULL;
    RETURN;
  END LOOP;
END $function$;
