import type { Executor } from '../../database/executor.ts'
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

const ofTriggers = `
  SELECT format('the trigger %s on %I.%I', w.name, $1, w.tab),
    CASE WHEN t.oid IS NULL THEN 'is missing' ELSE 'is disabled' END,
    CASE WHEN t.oid IS NULL THEN 'make it again as migrations/schema.sql has it'
      ELSE format('ALTER TABLE %I.%I ENABLE TRIGGER %s', $1, w.tab, w.name) END
  FROM (VALUES ('doorbells', 'note_armed'), ('jobs', 'ring_for_jobs'), ('jobs', 'release_job_key'),
    ('jobs', 'release_deleted_job_key'), ('jobs', 'cancel_parent'), ('jobs', 'publish_job_transition'),
    ('jobs', 'publish_job_spawn')) AS w (tab, name)
  JOIN pg_namespace n ON n.nspname = $1
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.tab
  LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = w.name
  WHERE t.oid IS NULL OR t.tgenabled NOT IN ('O', 'A')`

/** Looks in the catalogs for what docs/protocols.md forbids. */
export async function brokenInvariants(
  executor: Executor,
  schema: string,
): Promise<readonly BrokenInvariant[]> {
  const looks = [ofSequence, ofDefaults, ofPersistence, ofTriggers].join('\n  UNION ALL')
  const { rows } = await executor.query(
    `SELECT object, problem, remedy FROM (${looks.replaceAll('$1', () => '$1::text')}) AS b
     WHERE problem <> '' ORDER BY object`,
    [schema],
  )
  return rows as unknown as readonly BrokenInvariant[]
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
