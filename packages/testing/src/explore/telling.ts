import { setTimeout as delay } from 'node:timers/promises'
import { defineApp, silentLogger, type App, type AppOptions } from 'tidemark'
import { createTestDatabase, type TestDatabase } from '../database/test-database.ts'
import { waitForRest } from '../kit/drain-jobs.ts'
import { inTime, realNow } from '../kit/real-time.ts'
import { skipBackoff } from '../kit/skip-backoff.ts'
import { TestingError } from '../testing-error.ts'
import type { ExploredFault } from './boundary.ts'
import type { Scenario } from './scenario.ts'
import { Plan, Wire } from './wire.ts'

/** How a scenario went under a schedule of faults. */
export interface Told {
  /** How often each statement of the workers was sent. */
  readonly seen: ReadonlyMap<string, number>
  /** Whether every fault has struck. */
  readonly struck: boolean
  /** What did not hold, if anything. */
  readonly error: unknown
}

/** A database, as far as it is asked. */
type Asked = Pick<TestDatabase, 'schema' | 'query'>

const mostLives = 20

/** Tells a scenario in a database of its own; `when` may be left out, to see what workers do when nothing happens. */
export async function tell(
  app: App,
  { template, before, when, invariant }: Partial<Scenario>,
  faults: readonly ExploredFault[],
  patience: number,
): Promise<Told> {
  await using database = await createTestDatabase({
    schema: app.schema,
    ...(template !== undefined && { template }),
  })
  const part = (name: keyof Scenario, done: unknown): Promise<unknown> =>
    inTime(patience, Promise.resolve(done), () => neverEnded(name, patience))
  await part('before', before?.())
  const plan = new Plan(faults)
  await using watcher = appAt(app, database.url)
  using _ = skipBackoff(watcher)
  try {
    await part('when', when?.(watcher))
    await live(watcher, database, plan, patience)
    await part('invariant', invariant?.(watcher, database))
    return { seen: plan.seen, struck: plan.left === 0, error: undefined }
  } catch (error) {
    return { seen: plan.seen, struck: plan.left === 0, error: error ?? new Error('it failed') }
  }
}

/** Lives of a worker, one after the other, until one has come to rest. */
async function live(
  watcher: App,
  database: TestDatabase,
  plan: Plan,
  patience: number,
): Promise<void> {
  const deadline = realNow() + patience
  for (let life = 1; life <= mostLives; life++) {
    await using wire = await Wire.open(database.url, plan)
    const worker = appAt(watcher, wire.url)
    try {
      const end = await Promise.race([work(worker, watcher, database, deadline), wire.died])
      if (end === 'rest') return
    } catch (error) {
      // A process that cannot start because its connection was cut is started again by whoever supervises it.
      if (life === mostLives || realNow() > deadline || !isLost(error)) throw error
    } finally {
      wire.die()
      await inTime(patience, worker.close(), () => new Error('it does not close')).catch(() => {
        // It is dead, and cannot say goodbye.
      })
    }
    await bury(database)
  }
  throw new Error(`it did not come to rest in ${mostLives} lives of a worker`)
}

/** Runs a worker until nothing is left to do now. @param watcher - an application whose connections are not cut. */
export async function work(
  worker: App,
  watcher: App,
  database: Asked,
  deadline: number,
): Promise<'rest'> {
  await worker.start({
    handleSignals: false,
    acquireInterval: 20,
    drainTimeout: 0,
    doorbell: { enabled: false },
    jobs: { drainTimeout: 0 },
  })
  for (;;) {
    await waitForRest(watcher, deadline)
    // Jobs that will be tried again are tried now; what sleeps or waits goes on doing so.
    const { rowCount } = await database.query(
      `UPDATE "${watcher.schema}".jobs SET run_at = clock_timestamp()
       WHERE status = 'scheduled' AND attempt > 0 AND error IS NOT NULL AND run_at > clock_timestamp()
         AND run_at < 'infinity' AND waiting IS NULL`,
    )
    if (rowCount === 0) return 'rest'
    await delay(10)
  }
}

function neverEnded(part: keyof Scenario, patience: number): TestingError {
  return new TestingError(
    'TIDEMARK_TESTING_INVARIANT',
    `the scenario's \`${part}\` did not end within ${patience} ms`,
    'Await only what comes about by itself: workers begin when `when` has ended. For what takes longer there is the option `patience`.',
  )
}

/** Lets the time pass after which a dead process is known to be dead. */
export async function bury(database: Asked): Promise<void> {
  const { schema } = database
  await database.query(
    `UPDATE "${schema}".processes SET heartbeat_at = heartbeat_at - interval '1 day'`,
  )
  await database.query(
    `UPDATE "${schema}".cursors SET lease_until = clock_timestamp() WHERE owner IS NOT NULL`,
  )
}

function appAt({ options }: App, connectionString: string): App {
  const {
    pool: _pool,
    connection: _connection,
    listenConnectionString: _,
    ...rest
  } = options as AppOptions & {
    readonly [name: string]: unknown
  }
  return defineApp({ ...rest, connectionString, logger: silentLogger, maxConnections: 6 })
}

function isLost(error: unknown): boolean {
  const text = String(error)
  return /connection|ECONN|terminated|TIDEMARK_NO_CONNECTION/iu.test(text)
}
