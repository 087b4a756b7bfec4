import { createTestDatabase, type PostgresServer } from '@tidemark/testing'
import { defineApp, silentLogger, type App, type Module } from 'tidemark'
import {
  byPromise,
  faultKinds,
  type ExploredFault,
} from '../../packages/testing/src/explore/boundary.ts'
import { Draw } from '../../packages/testing/src/explore/draw.ts'
import { Plan, Wire } from '../../packages/testing/src/explore/wire.ts'

/** Something that one process does, and what must be true whatever becomes of that process. */
export interface Deed {
  readonly modules: readonly Module[]
  /** Whether the database has Tidemark's tables. Defaults to true. */
  readonly migrated?: boolean
  /** What there is before it. */
  readonly before?: (app: App, url: string) => unknown
  /** Done by an application whose wire ends at some statement; `url` leads to the database itself. */
  readonly deed: (app: App, url: string) => unknown
  /**
   * Does it again, as whoever asked for it would, and throws when something is not as it must be.
   *
   * @param done - whether it was told that it had been done.
   */
  readonly after: (app: App, url: string, done: boolean) => unknown
}

/** How much of it was tried. */
export interface Tried {
  readonly statements: number
  readonly tried: number
}

/** How it is tried. */
export interface TryOptions {
  readonly seed: number
  /** Milliseconds. */
  readonly budget: number
  /** The server that crashes when the process would die; without it, only the process does, or its connection. */
  readonly server?: PostgresServer
}

/** Does a deed again and again, and lets it end at another of its statements each time. */
export async function atEachStatement(
  deed: Deed,
  { seed, budget, server }: TryOptions,
): Promise<Tried> {
  const seen = await perform(deed, undefined, server)
  const kinds = faultKinds.filter((kind) => server === undefined || kind.startsWith('dies'))
  const points = [...seen].flatMap(([statement, times]) =>
    Array.from({ length: Math.min(times, 3) }, (_, n) => ({ statement, nth: n + 1 })),
  )
  const faults = new Draw(seed)
    .shuffled(kinds.flatMap((kind) => points.map((point): ExploredFault => ({ kind, ...point }))))
    .toSorted(byPromise)
  const deadline = Date.now() + budget
  let tried = 0
  for (const fault of faults) {
    if (tried > 0 && Date.now() > deadline) break
    tried += 1
    try {
      await perform(deed, fault, server)
    } catch (error) {
      const what = server === undefined ? 'the process' : 'the server'
      throw new Error(
        `when ${what} ${fault.kind} ${fault.statement} (${fault.nth}), seed ${seed}`,
        {
          cause: error,
        },
      )
    }
  }
  return { statements: points.length, tried }
}

async function perform(
  { modules, migrated = true, before, deed, after }: Deed,
  fault: ExploredFault | undefined,
  server: PostgresServer | undefined,
): Promise<ReadonlyMap<string, number>> {
  await using database = await createTestDatabase({
    migrate: migrated,
    ...(server !== undefined && { server, maxConnections: 1 }),
  })
  const { url } = database
  // Its own connection would not survive the server.
  if (server !== undefined) await database.pool.end()
  const appAt = (connectionString: string): App =>
    defineApp({ modules, connectionString, logger: silentLogger, maxConnections: 4 })
  {
    await using app = appAt(url)
    await before?.(app, url)
  }
  const plan = new Plan(fault === undefined ? [] : [fault])
  const done = await through(plan, url, appAt, deed, server)
  await using app = appAt(url)
  await after(app, url, done)
  return plan.seen
}

async function through(
  plan: Plan,
  url: string,
  appAt: (url: string) => App,
  deed: Deed['deed'],
  server: PostgresServer | undefined,
): Promise<boolean> {
  await using wire = await Wire.open(url, plan)
  const app = appAt(wire.url)
  const doing = (async () => deed(app, url))().then(
    () => true,
    (error: unknown) => {
      if (plan.left === 0 && isLost(error)) return false
      throw error
    },
  )
  doing.catch(() => {})
  try {
    const end = await Promise.race([doing, wire.died])
    if (end !== 'died') return end
    if (server !== undefined) {
      await server.kill()
      await server.restart()
    }
    return await doing.catch(() => false)
  } finally {
    wire.die()
    await app.close().catch(() => {
      // It is dead, and cannot say goodbye.
    })
  }
}

function isLost(error: unknown): boolean {
  const texts = [error, error instanceof Error ? error.cause : undefined].map(String)
  return /connect|ECONN|EPIPE|terminated|TIDEMARK_NO_CONNECTION|TIDEMARK_PUBLISH_UNKNOWN/iu.test(
    texts.join(' '),
  )
}
