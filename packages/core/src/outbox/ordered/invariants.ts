import type { Executor } from '../../database/executor.ts'
import { migrations } from '../../database/generated/migrations.ts'
import { schemaObjects } from '../../database/generated/objects.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Something about the tables that docs/protocols.md forbids: with it, events are skipped or nobody is woken for them. */
export interface BrokenInvariant {
  /** What is not as it must be: a sequence, a column, a table or a trigger. */
  readonly object: string
  readonly problem: string
  /** The statements that mend it, and what else there is to do. */
  readonly remedy: string
}

// INVARIANT: numbers are drawn one by one, above every floor that was read before (docs/protocols.md, `CACHED_NUMBERS`).
const ofSequence = `
  SELECT '"' || $1 || '".events_sequence' AS object,
    concat_ws(', ',
      CASE WHEN s.seqcache <> 1 THEN format('has CACHE %s instead of 1', s.seqcache) END,
      CASE WHEN s.seqincrement <> 1 THEN format('has INCREMENT %s instead of 1', s.seqincrement) END,
      CASE WHEN s.seqcycle THEN 'has CYCLE' END,
      CASE WHEN c.relpersistence <> 'p' THEN 'is not logged: a crash resets it' END) AS problem,
    format('ALTER SEQUENCE %I.events_sequence INCREMENT 1 CACHE 1 NO CYCLE;', $1)
      || CASE WHEN c.relpersistence <> 'p' THEN format(' ALTER SEQUENCE %I.events_sequence SET LOGGED;', $1) ELSE '' END
      || ' then restart whatever publishes: a session keeps the numbers that it has cached' AS remedy
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = 'events_sequence'`

// A publisher registers by the default of the first column; the default of the second refuses who has not.
const ofDefaults = `
  SELECT format('%I.events.%s', $1, w.name), CASE WHEN d.oid IS NULL THEN 'has no default' ELSE 'has another default' END,
    format('ALTER TABLE %I.events ALTER COLUMN %s SET DEFAULT %s', $1, w.name, format(w.expression, $1))
  FROM (VALUES ('sequence', 'draw_sequence', '%I.draw_sequence()'),
    ('xid', 'refuse_sequence', 'CASE WHEN current_setting(''tidemark.publisher_%1$s'', true) = ''registered'' THEN pg_current_xact_id() ELSE %1$I.refuse_sequence() END')
  ) AS w (name, calls, expression)
  JOIN pg_namespace n ON n.nspname = $1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'events'
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = w.name AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  WHERE NOT EXISTS (
    SELECT FROM pg_depend p JOIN pg_proc f ON f.oid = p.refobjid
    WHERE p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid AND p.refclassid = 'pg_proc'::regclass
      AND f.pronamespace = n.oid AND f.proname = w.calls)`

// A crash empties what is not logged, and readers have gone past it.
const ofPersistence = `
  SELECT format('%I.%I', $1, c.relname), 'is UNLOGGED: a crash empties it',
    format('ALTER TABLE %I.%I SET LOGGED', $1, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND c.relpersistence <> 'p'
    AND (c.relname IN ('events', 'cursors', 'listeners', 'streams', 'idempotency_keys', 'dead_letters', 'jobs')
      OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i JOIN pg_class e ON e.oid = i.inhparent
                   WHERE e.relname = 'events' AND e.relnamespace = n.oid))`

// A sequence that was set back draws numbers that events have, and that readers have passed. The number is read last.
const ofPosition = `
  SELECT '"' || $1 || '".events_sequence', format('stands at %s, before the last event, %s', s.last_value, e.last),
    format('SELECT setval(''%I.events_sequence'', %s)', $1, e.last)
  FROM (SELECT max(sequence) AS last FROM "{schema}".events OFFSET 0) AS e, LATERAL (
    SELECT coalesce(pg_sequence_last_value('"{schema}".events_sequence'::regclass), 0) AS last_value
    WHERE e.last IS NOT NULL AND has_sequence_privilege('"{schema}".events_sequence', 'USAGE, SELECT')) AS s
  WHERE s.last_value < e.last`

// What keeps a key from being taken twice, and rows from being left without what they belong to.
const ofConstraints = `
  SELECT format('%s of %I.%I', w.name, $1, w.tab), 'is missing', 'make it again as migrations/schema.sql has it'
  FROM (SELECT x ->> 0 AS tab, x ->> 1 AS name FROM jsonb_array_elements($2::jsonb) AS x) AS w
  JOIN pg_namespace n ON n.nspname = $1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.tab
  WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.conname = w.name)
    AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                    WHERE i.indrelid = c.oid AND x.relname = w.name AND i.indisunique AND i.indisvalid)`

const ofTriggers = `
  SELECT format('the trigger %s on %I.%I', w.name, $1, w.tab),
    CASE WHEN t.oid IS NULL THEN 'is missing' ELSE 'is disabled' END,
    CASE WHEN t.oid IS NULL THEN 'make it again as migrations/schema.sql has it'
      ELSE format('ALTER TABLE %I.%I ENABLE TRIGGER %s', $1, w.tab, w.name) END
  FROM (SELECT x ->> 0 AS tab, x ->> 1 AS name FROM jsonb_array_elements($3::jsonb) AS x) AS w
  JOIN pg_namespace n ON n.nspname = $1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.tab
  LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.name
  WHERE t.oid IS NULL OR t.tgenabled NOT IN ('O', 'A')`

// In a session as a replica's, triggers do not fire at all.
const ofReplicas = `
  SELECT 'the setting session_replication_role', 'is replica for this role: no trigger fires',
    format('ALTER ROLE %1$I RESET session_replication_role; ALTER ROLE %1$I IN DATABASE %2$I RESET session_replication_role;'
      || ' ALTER DATABASE %2$I RESET session_replication_role; then restart whatever uses it', session_user, current_database())
  WHERE current_setting('session_replication_role') = 'replica'`

// Both change what is written and read without an error: rows are discarded, written elsewhere or hidden.
const ofRules = `
  SELECT format('%I.%I', $1, c.relname),
    CASE WHEN r.oid IS NULL THEN 'has row level security: events and cursors are hidden'
      ELSE format('has the rule %s, which changes what is written', r.rulename) END,
    CASE WHEN r.oid IS NULL THEN format('ALTER TABLE %I.%I DISABLE ROW LEVEL SECURITY', $1, c.relname)
      ELSE format('DROP RULE %I ON %I.%I', r.rulename, $1, c.relname) END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_rewrite r ON r.ev_class = c.oid AND r.ev_enabled <> 'D'
  WHERE n.nspname = $1 AND c.relname IN (SELECT jsonb_array_elements_text($4::jsonb)) AND c.relkind IN ('r', 'p')
    AND (r.oid IS NOT NULL OR c.relrowsecurity)`

// A trigger before the rows has the last word of what is written of an event, its number included, and may discard it.
const ofEarlyTriggers = `
  SELECT format('%I.%I', $1, c.relname), format('has the trigger %s, which may change or discard events', t.tgname),
    format('DROP TRIGGER %I ON %I.%I; then do AFTER INSERT what it is for', t.tgname, $1, c.relname)
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled <> 'D' AND t.tgtype & 7 = 7
    AND (c.relname = 'events' OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i JOIN pg_class e ON e.oid = i.inhparent
                                           WHERE e.relname = 'events' AND e.relnamespace = n.oid))`

/** Looks in the catalogs for what docs/protocols.md forbids. */
export async function brokenInvariants(
  executor: Executor,
  schema: string,
): Promise<readonly BrokenInvariant[]> {
  const looks = [
    ofSequence,
    ofDefaults,
    ofPersistence,
    ofPosition,
    ofConstraints,
    ofTriggers,
    ofReplicas,
    ofRules,
    ofEarlyTriggers,
  ].join('\n  UNION ALL')
  const quoted = schema.replaceAll('"', '""')
  const { constraints, uniqueIndexes, triggers, tables } = await objectsOf(executor, quoted)
  const { rows } = await executor.query(
    `SELECT object, problem, remedy FROM (${looks.replaceAll(/\$1\b(?!\$)/gu, () => '$1::text').replaceAll('{schema}', () => quoted)}) AS b
     WHERE problem <> '' ORDER BY object`,
    [
      schema,
      ...[[...constraints, ...uniqueIndexes], triggers, tables].map((list) => JSON.stringify(list)),
    ],
  )
  return rows as unknown as readonly BrokenInvariant[]
}

/** Indexes that are missing or not valid: nothing is wrong without them, but slow. */
export async function missingIndexes(
  executor: Executor,
  schema: string,
): Promise<readonly string[]> {
  const { indexes } = await objectsOf(executor, schema.replaceAll('"', '""'))
  const { rows } = await executor.query(
    `SELECT w.name FROM (SELECT x ->> 0 AS tab, x ->> 1 AS name FROM jsonb_array_elements($2::jsonb) AS x) AS w
     JOIN pg_namespace n ON n.nspname = $1::text
     JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.tab
     WHERE NOT EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                       WHERE i.indrelid = c.oid AND x.relname = w.name AND i.indisvalid)
     ORDER BY 1`,
    [schema, JSON.stringify(indexes)],
  )
  return rows.map((row) => row['name'] as string)
}

const nothing: typeof schemaObjects = {
  tables: [],
  constraints: [],
  uniqueIndexes: [],
  indexes: [],
  triggers: [],
}

/** What the database must have; nothing where it has another version, which may have more or less. */
async function objectsOf(executor: Executor, quoted: string): Promise<typeof schemaObjects> {
  const { rows } = await executor.query(
    `SELECT max(version) AS version FROM "${quoted}".migrations`,
  )
  return Number(rows[0]?.['version']) === migrations.length ? schemaObjects : nothing
}

/** @throws TidemarkError TIDEMARK_INVARIANT_BROKEN. */
export async function requireInvariants(executor: Executor, schema: string): Promise<void> {
  const broken = await brokenInvariants(executor, schema)
  if (broken.length === 0) return
  throw new TidemarkError(
    'TIDEMARK_INVARIANT_BROKEN',
    broken.map(({ object, problem }) => `${object} ${problem}`).join('; '),
    {
      hint: `Mend it: ${broken.map(({ remedy }) => remedy).join('; ')}.`,
      details: { schema, broken },
    },
  )
}
