import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { putAliases, putLimits } from '../../database/sql/job/job-holds.ts'
import type { JobRegistry } from './job-registry.ts'

/**
 * Writes down the limits of what this process knows, and takes back those that it knows to be gone: the process that
 * was started last has the say, unless another one has the type in a higher version.
 */
export async function syncLimits(
  database: Database,
  schema: string,
  registry: JobRegistry,
): Promise<void> {
  const types = [...registry].map(({ name, version, limit }) => {
    return { kind: 'type', name, version, limit }
  })
  const queues = [...registry.queues].map((name) => {
    return { kind: 'queue', name, version: 1, limit: registry.queueLimit(name) }
  })
  // In one order, as everybody who locks several.
  const limits = [...queues, ...types].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  if (limits.length === 0) return
  await run(database, putLimits(schema), [
    limits.map(({ kind }) => kind),
    limits.map(({ name }) => name),
    limits.map(({ limit }) => limit?.concurrency ?? null),
    limits.map(({ limit }) => limit?.rate ?? null),
    limits.map(({ limit }) => limit?.period ?? null),
    limits.map(({ version }) => version),
  ])
}

/** Writes down which names the types that this process knows had before: their keys hold under these, too. */
export async function syncAliases(
  database: Database,
  schema: string,
  registry: JobRegistry,
): Promise<void> {
  const types = [...registry]
  if (types.length === 0) return
  const former = types.flatMap(({ name, aliases }) => aliases.map((alias) => ({ name, alias })))
  await run(database, putAliases(schema), [
    former.map(({ alias }) => alias),
    former.map(({ name }) => name),
    types.map(({ name }) => name),
    types.map(({ version }) => version),
  ])
}
