import { configOf, sizeOf, type ConnectionSource } from '../../database/given/given-pool.ts'
import type { ConnectionOptions } from '../../database/pool.ts'
import { discreet } from '../../database/secrets.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { RunnerOptions } from './runner-options.ts'

/** By what each part of a runner reaches the database. */
export interface PoolShares {
  readonly listeners: ConnectionOptions
  readonly jobs: ConnectionOptions
  readonly doorbell: ConnectionOptions
}

const connectionsByDefault = 10
// Half of it is for listeners, of which batches leave three connections to heartbeats and the like.
const smallestShared = 8

/**
 * What a runner takes of a pool that was given to the application, or pools of its own at the same place.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when a pool cannot be shared, or does not say where it connects to.
 */
export function poolShares(connection: ConnectionOptions, options: RunnerOptions): PoolShares {
  const { listeners, jobs, doorbell } = divide(connection, options)
  return { listeners: discreet(listeners), jobs: discreet(jobs), doorbell: discreet(doorbell) }
}

function divide(connection: ConnectionOptions, options: RunnerOptions): PoolShares {
  const { pool, ...own } = connection
  const apart = { ...own, connection: { ...configOf(pool), ...own.connection } }
  if (options.doorbell?.enabled !== false) requirePlace('LISTEN', connection)
  const jobs = options.jobs === false ? undefined : options.jobs?.connections
  if (options.sharePool !== true) {
    requirePlace('the runner', { ...connection, listenConnectionString: '' })
    return {
      listeners: { ...apart, maxConnections: options.maxConnections ?? connectionsByDefault },
      jobs: { ...apart, maxConnections: jobs ?? connectionsByDefault },
      doorbell: apart,
    }
  }
  const size = shareable(pool)
  const part = (divisor: number): number =>
    Number.isFinite(size) ? Math.floor(size / divisor) : connectionsByDefault
  return {
    listeners: { ...connection, maxConnections: options.maxConnections ?? part(2) },
    jobs: { ...connection, maxConnections: jobs ?? part(4) },
    doorbell: apart,
  }
}

function shareable(pool: ConnectionSource | undefined): number {
  const size = pool === undefined ? 0 : sizeOf(pool)
  if (size >= smallestShared) return size
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    pool === undefined
      ? 'start: `sharePool` needs a pool to share'
      : `start: \`sharePool\` needs a pool of ${smallestShared} connections, and this has ${size}`,
    {
      hint:
        pool === undefined
          ? 'Give your pool to `defineApp({ pool })`.'
          : `Make it \`new pg.Pool({ max: ${smallestShared} })\` or larger: listeners work on half of it.`,
    },
  )
}

/** A function does not say where its connections lead to. */
function requirePlace(what: string, options: ConnectionOptions): void {
  const { pool, connectionString, connection, listenConnectionString } = options
  if (pool === undefined || configOf(pool) !== undefined) return
  if (connectionString !== undefined || connection !== undefined) return
  if (listenConnectionString !== undefined && listenConnectionString !== '') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `start: \`pool\` does not say where ${what} is to connect to`,
    {
      hint: 'Give `connectionString` to `defineApp`, too; or `sharePool: true` and `doorbell: { enabled: false }` to `start`.',
    },
  )
}
