import { count, type Finding, findings, plural } from '../../finding.ts'
import { reading, type Check, type ExaminedApp } from '../../patient.ts'

const { ok, warning, failed } = findings('runners')

/** A generation with partitions to run that no live process has the definition for. */
export interface Orphan {
  readonly listener: string
  readonly version: number
  /** False: it is being built. */
  readonly live: boolean
  readonly partitions: number
  readonly lag: string
  /** The versions that live processes have. */
  readonly others: readonly number[]
}

// As long as a lease lasts by default: by then another process has taken over from a dead one.
const silence = '10 seconds'

/** Partitions that no live process can run: nobody has their definition in that version. */
export const runners: Check = {
  name: 'runners',
  look: async ({ app }) => {
    const { orphans, processes } = await readOrphans(app)
    const problems = [...orphans.map(nobodyCan), ...(await idle(app, orphans))]
    if (problems.length > 0) return problems
    return [ok(`${plural(processes, 'process', 'processes')} alive`)]
  },
}

function nobodyCan(orphan: Orphan): Finding {
  const { listener, version, live, partitions, lag, others } = orphan
  const what = live ? listener : `the rebuild of ${listener}`
  const has =
    others.length === 0
      ? 'no live process defines it'
      : `live processes have version ${others.join(', ')}`
  return failed(
    'listener-without-process',
    `nobody can run ${what} (version ${version}, ${plural(partitions, 'partition')}), which is ${lag} behind: ${has}`,
    others.length === 0
      ? 'Start a worker with its definition: `tidemark worker`.'
      : `Start a worker with version ${version} of its definition.`,
    orphan,
    { kind: 'listener', name: listener },
  )
}

/** Partitions that some live process could run, and none does. That is so for a moment while owners change. */
async function idle(app: ExaminedApp, orphans: readonly Orphan[]): Promise<Finding[]> {
  const known = new Set(orphans.filter(({ live }) => live).map(({ listener }) => listener))
  return (await app.listeners.list())
    .filter(({ name, mode, status }) => mode === 'async' && status !== 'paused' && !known.has(name))
    .flatMap(({ name, partitions, resize, lag }) => {
      const free = partitions.filter(
        ({ owner, haltedAt, cursor }) =>
          owner === null && haltedAt === null && (resize === null || cursor < resize.at),
      )
      if (free.length === 0) return []
      return [
        warning(
          'listener-not-run',
          `no process runs ${free.length === partitions.length ? name : `${plural(free.length, 'partition')} of ${name}`} at this moment, ${count(lag)} behind`,
          'Look again: a process that defines it should take it within seconds.',
          { name, partitions: free },
          { kind: 'listener', name },
        ),
      ]
    })
}

/** The generations that no live process can run, and how many processes are alive. */
export function readOrphans(
  app: ExaminedApp,
): Promise<{ readonly orphans: readonly Orphan[]; readonly processes: number }> {
  const { schema } = app
  return reading(app, async (query) => {
    const orphans = await query<Orphan>(
      `WITH offered AS (
         SELECT d.name, d.version FROM "${schema}".processes p,
           jsonb_to_recordset(CASE jsonb_typeof(p.definitions) WHEN 'array' THEN p.definitions ELSE '[]' END) AS d (name text, version integer)
         WHERE p.heartbeat_at > clock_timestamp() - interval '${silence}'
       ), wanted AS (
         SELECT c.listener, c.generation = l.generation AS live, c.cursor,
           CASE WHEN c.generation = l.generation THEN l.version ELSE l.rebuild_version END AS version
         FROM "${schema}".cursors c JOIN "${schema}".listeners l ON l.name = c.listener
         WHERE l.mode = 'async' AND c.halted_at IS NULL
           AND CASE WHEN c.generation = l.generation THEN l.status <> 'paused'
                 ELSE c.generation = l.rebuild_generation AND NOT l.rebuild_paused END
       )
       SELECT w.listener, w.version, w.live, count(*)::integer AS partitions,
         greatest(h.last_sequence - min(w.cursor), 0) AS lag,
         coalesce((SELECT jsonb_agg(DISTINCT o.version ORDER BY o.version) FROM offered o WHERE o.name = w.listener),
           '[]') AS others
       FROM wanted w, "${schema}".horizon() h
       WHERE NOT EXISTS (SELECT FROM offered o WHERE o.name = w.listener AND o.version = w.version)
       GROUP BY w.listener, w.version, w.live, h.last_sequence ORDER BY w.listener, w.live DESC`,
    )
    const [row] = await query<{ processes: number }>(
      `SELECT count(*)::integer AS processes FROM "${schema}".processes
       WHERE heartbeat_at > clock_timestamp() - interval '${silence}'`,
    )
    return { orphans, processes: row?.processes ?? 0 }
  })
}
