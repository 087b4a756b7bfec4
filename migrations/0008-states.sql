-- breaking: no
--
-- States of the package @tidemark/stores in Postgres. Nothing of Tidemark's own reads or writes them.

-- A row per key, live or remembered.
--
-- INVARIANT: version and token never fall, not over a deletion or an expiry either, until the row is forgotten.
CREATE TABLE :"schema".states (
  store      text        NOT NULL,
  key        text        COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  expires_at timestamptz,
  -- From when on the row may be removed: a while after its end, so that a late write is still recognised.
  forget_at  timestamptz,
  version    bigint      NOT NULL,
  token      bigint      NOT NULL,
  -- Of the write that made it: one that is repeated because its answer was lost finds itself.
  write_id   text        NOT NULL,
  name       text,
  status     text,
  fields     jsonb       NOT NULL,
  -- The value as its codec wrote it. NULL: deleted.
  body       text,
  PRIMARY KEY (store, key)
);

CREATE INDEX states_created ON :"schema".states (store, created_at DESC, key DESC);
CREATE INDEX states_status ON :"schema".states (store, status, created_at DESC, key DESC) WHERE status IS NOT NULL;
CREATE INDEX states_fields ON :"schema".states USING gin (fields jsonb_path_ops);
CREATE INDEX states_forget ON :"schema".states (forget_at) WHERE forget_at IS NOT NULL;

-- Judges a write and makes it, under the lock of its row. What is kept under the key afterwards, and what became of the
-- write: written, fenced, exists, missing or conflict, in the order of StateBackend. `changes` names what is given: what
-- an update does not name stays, what another write does not name is empty. No row: missing, and nothing is kept.
CREATE FUNCTION :"schema".write_state(in_store text, in_key text, op text, in_write_id text, in_token bigint,
  if_version bigint, changes text[], in_body text, in_name text, in_status text, in_fields jsonb, ttl double precision,
  remember double precision)
RETURNS TABLE (outcome text, state :"schema".states, live boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  at      timestamptz;
  current :"schema".states%ROWTYPE;
  next    :"schema".states%ROWTYPE;
  there   boolean;
  lives   boolean;
  keeps   boolean;
BEGIN
  LOOP
    SELECT s.* INTO current FROM :"schema".states s WHERE s.store = in_store AND s.key = in_key FOR UPDATE;
    there := FOUND;
    -- After the lock: whoever held it may have written at a later time than this call began. Milliseconds, so that
    -- what is read compares with what is stored.
    at := date_trunc('milliseconds', clock_timestamp());
    IF there AND current.forget_at <= at THEN
      DELETE FROM :"schema".states s WHERE s.store = in_store AND s.key = in_key;
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
      UPDATE :"schema".states s SET created_at = next.created_at, updated_at = next.updated_at,
        expires_at = next.expires_at, forget_at = next.forget_at, version = next.version, token = next.token,
        write_id = next.write_id, name = next.name, status = next.status, fields = next.fields, body = next.body
      WHERE s.store = in_store AND s.key = in_key;
    ELSE
      INSERT INTO :"schema".states SELECT next.* ON CONFLICT DO NOTHING;
      -- Somebody else has made the row since it was looked for: it is judged by what that one wrote.
      CONTINUE WHEN NOT FOUND;
    END IF;
    RETURN QUERY SELECT 'written', next, next.body IS NOT NULL;
    RETURN;
  END LOOP;
END $$;
