import { rejectUnknownOptions } from '../errors/options.ts'
import { defaultSchema, requireSchemaName } from './schema.ts'

/** Whose roles, and what they are called. */
export interface RolesOptions {
  /** Defaults to `tidemark`. */
  readonly schema?: string
  /** What the names of the roles begin with. Defaults to the schema's name. */
  readonly prefix?: string
}

/**
 * A script for `psql` that makes four roles, each with what its part takes and no more, and can be run again after
 * each migration. They cannot log in: grant them to the users of your programs.
 *
 * - `…_publisher` publishes, with streams and idempotency keys; it reads no event.
 * - `…_worker` runs listeners and projections. It changes no event, and makes no tables of its own.
 * - `…_reader` looks at everything and changes nothing.
 * - `…_migrator` owns the schema: it migrates and prunes.
 *
 * @throws TidemarkError TIDEMARK_INVALID_SCHEMA_NAME.
 *
 * @example
 * ```ts
 * import { rolesSql } from 'tidemark'
 *
 * console.log(rolesSql({ schema: 'tidemark' }))
 * ```
 */
export function rolesSql(options: RolesOptions = {}): string {
  rejectUnknownOptions('rolesSql', options, ['schema', 'prefix'])
  const schema = requireSchemaName(options.schema ?? defaultSchema)
  const prefix = requireSchemaName(options.prefix ?? schema)
  const [publisher, worker, reader, migrator] = ['publisher', 'worker', 'reader', 'migrator'].map(
    (part) => `"${prefix}_${part}"`,
  )
  return `BEGIN;

DO $$ DECLARE part text; BEGIN
  FOREACH part IN ARRAY ARRAY['publisher', 'worker', 'reader', 'migrator'] LOOP
    IF to_regrole(quote_ident('${prefix}_' || part)) IS NULL THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', '${prefix}_' || part);
    END IF;
  END LOOP;
END $$;

-- Who migrates owns all of it, and may make schemas: another install, or the copies of a rebuild.
DO $$ DECLARE object text; BEGIN
  EXECUTE format('GRANT CREATE ON DATABASE %I TO ${migrator}', current_database());
  EXECUTE 'ALTER SCHEMA "${schema}" OWNER TO ${migrator}';
  FOR object IN
    SELECT format('%s %s', CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
                  c.oid::regclass)
    FROM pg_class c
    WHERE c.relnamespace = '"${schema}"'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
      -- The sequence of an identity column goes with its table.
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                      AND d.deptype = 'i' AND c.relkind = 'S')
    UNION ALL
    SELECT format('FUNCTION %s', p.oid::regprocedure) FROM pg_proc p
    WHERE p.pronamespace = '"${schema}"'::regnamespace
  LOOP
    EXECUTE format('ALTER %s OWNER TO ${migrator}', object);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA "${schema}" TO ${publisher}, ${worker}, ${reader};

GRANT INSERT, SELECT (sequence, stream_version) ON "${schema}".events TO ${publisher}, ${worker};
GRANT USAGE ON SEQUENCE "${schema}".events_sequence TO ${publisher}, ${worker};
GRANT SELECT, INSERT, UPDATE ON "${schema}".streams TO ${publisher};
GRANT SELECT, INSERT, UPDATE, DELETE ON "${schema}".idempotency_keys TO ${publisher};
GRANT SELECT ON "${schema}".doorbells TO ${publisher};
-- So that publish() in SQL can say which inline projections it has passed by.
GRANT EXECUTE ON FUNCTION "${schema}".note_unseen(text, bigint) TO ${publisher}, ${worker};
GRANT SELECT ON SEQUENCE "${schema}".armed TO ${publisher}, ${worker};

-- All tables but the events, and the records of what was done to the schema.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO ${worker};
REVOKE INSERT, UPDATE, DELETE ON "${schema}".migrations, "${schema}".pruned_partitions FROM ${worker};
DO $$ DECLARE part text; BEGIN
  FOR part IN SELECT t.relid::regclass FROM pg_partition_tree('"${schema}".events') AS t LOOP
    EXECUTE format('REVOKE UPDATE, DELETE ON %s FROM ${worker}', part);
  END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION "${schema}".ensure_partitions(integer, bigint) TO ${worker};

GRANT SELECT ON ALL TABLES IN SCHEMA "${schema}" TO ${reader};
GRANT SELECT ON ALL SEQUENCES IN SCHEMA "${schema}" TO ${reader};

COMMIT;
`
}
