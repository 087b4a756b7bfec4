-- breaking: no
--
-- Transitions of jobs as events in the outbox, for the jobs that ask for it.

-- The transitions that are published; NULL: none.
ALTER TABLE :"schema".jobs ADD COLUMN lifecycle text[];

-- Whoever makes the transition, its event commits with it: an attempt, a rescue, an operator, SQL.
CREATE FUNCTION :"schema".publish_job_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  transition text := 'spawned';
BEGIN
  IF TG_OP = 'UPDATE' THEN
    transition := CASE
      WHEN NEW.status = 'running' THEN 'started'
      WHEN NEW.status IN ('completed', 'failed', 'cancelled', 'paused') THEN NEW.status
      WHEN OLD.status = 'paused' THEN 'resumed'
      WHEN OLD.status IN ('failed', 'cancelled') THEN 'retried'
      WHEN OLD.status = 'running' AND NEW.status = 'scheduled' AND NEW.waiting IS NOT NULL THEN 'suspended'
      WHEN OLD.status = 'running' AND NEW.status = 'scheduled' THEN 'retried'
      WHEN OLD.status = 'running' AND NEW.error IS DISTINCT FROM OLD.error THEN 'rescued'
    END;
  END IF;
  IF transition = ANY (NEW.lifecycle) THEN
    INSERT INTO :"schema".events (type, version, key, payload, correlation_id, causation_id, traceparent, tracestate)
    VALUES ('job.' || transition, 1, NEW.id::text,
      jsonb_build_object('job', NEW.id, 'name', NEW.name, 'queue', NEW.queue, 'attempt', NEW.attempt,
        'triggeredBy', NEW.triggered_by, 'parent', NEW.parent,
        'error', CASE WHEN transition IN ('failed', 'retried', 'rescued') THEN NEW.error END),
      coalesce(NEW.correlation_id, NEW.id::text), NEW.id::text, NEW.traceparent, NEW.tracestate);
  END IF;
  RETURN NULL;
END $$;

CREATE TRIGGER publish_job_transition AFTER UPDATE OF status ON :"schema".jobs FOR EACH ROW
  WHEN (NEW.lifecycle IS NOT NULL AND OLD.status <> NEW.status)
  EXECUTE FUNCTION :"schema".publish_job_transition();
CREATE TRIGGER publish_job_spawn AFTER INSERT ON :"schema".jobs FOR EACH ROW
  WHEN ('spawned' = ANY (NEW.lifecycle))
  EXECUTE FUNCTION :"schema".publish_job_transition();
