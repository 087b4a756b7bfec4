import { EventEmitter } from 'node:events'
import type pg from 'pg'
import type { DbBinding } from '../../database/bound/db-binding.ts'

/** The configuration of a pool whose connections are all in the running transaction. */
export interface PrismaPoolConfig {
  /** What the pool makes its connections of. */
  readonly Client: new () => pg.Client
  readonly idleTimeoutMillis: number
}

/**
 * The option `db`: a Prisma client, bound to the running transaction; its `$transaction` is a savepoint. A client is made
 * for each transaction that uses its `db`, which costs about a millisecond.
 *
 * @example
 * ```ts
 * import { bindPrisma, type PrismaPoolConfig } from 'tidemark/prisma'
 *
 * declare class PrismaPg {
 *   constructor(config: PrismaPoolConfig)
 * }
 * declare class PrismaClient {
 *   constructor(options: { adapter: PrismaPg })
 * }
 *
 * // defineApp({ modules, db: bindPrisma(…) })
 * const db = bindPrisma((config) => new PrismaClient({ adapter: new PrismaPg(config) }))
 * ```
 */
export function bindPrisma<Client>(make: (config: PrismaPoolConfig) => Client): DbBinding<Client> {
  return (client) => {
    class Connection extends PrismaConnection {
      constructor() {
        super(client)
      }
    }
    // The adapter has a pool of its own, and hands out connections for transactions while others are in use.
    return make({
      Client: Connection as unknown as new () => pg.Client,
      // A timer would keep what has ended.
      idleTimeoutMillis: 0,
    })
  }
}

/** One of several connections of a pool, all of which are the same. */
class PrismaConnection extends EventEmitter {
  readonly query: pg.PoolClient['query']

  constructor(client: pg.PoolClient) {
    super()
    this.query = client.query.bind(client)
  }

  connect(callback: (error: null) => void): void {
    callback(null)
  }

  end(callback?: () => void): void {
    callback?.()
  }
}
