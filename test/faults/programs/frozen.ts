/**
 * A process that stops itself (SIGSTOP) in the middle of a transaction of Tidemark's: as soon as a statement that
 * contains `after` was answered on a connection that is in a transaction.
 */
import { writeSync } from 'node:fs'
import pg from 'pg'
import {
  defineApp,
  defineEvent,
  defineProjection,
  migrateUp,
  type App,
  type Module,
} from 'tidemark'
import { z } from 'zod'
import { LogBook } from '../../support/log-book.ts'

/** What it is told. */
export interface FrozenOptions {
  readonly url: string
  readonly deed: keyof typeof deeds
  /** A part of the text of the statement. */
  readonly after: string
}

const noted = defineEvent('test.noted', { payload: z.object({ note: z.string() }) })

function tallies(version: number, mode: 'async' | 'inline' = 'async') {
  return defineProjection('tallies', { version, mode, tables: ['tally'] }).on(
    noted,
    async ({ sequence }, { tx }) =>
      void (await tx.query('insert into tally values ($1)', [sequence])),
  )
}

const state = defineProjection('counted', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)
const started = { handleSignals: false, partitionSize: 100 } as const
const forever = new Promise<never>(() => {})

const deeds = {
  switch: { modules: [tallies(2)], run: (app: App) => app.start(started).then(() => forever) },
  sync: { modules: [tallies(1)], run: (app: App) => app.start(started) },
  mode: { modules: [tallies(2, 'inline')], run: (app: App) => app.start(started) },
  partitions: { modules: [], run: (app: App) => app.start(started).then(() => forever) },
  prune: { modules: [], run: (app: App) => app.outbox.prune({ evenProjections: true }) },
  resize: {
    modules: [
      defineProjection('keyed', { version: 1, keyed: true, partitions: 2, initial: () => 0 }).on(
        noted,
        (n) => n + 1,
        { key: () => 'k' },
      ),
    ],
    run: (app: App) => app.start(started).then(() => forever),
  },
  reset: { modules: [state], run: (app: App) => app.reset(state) },
  rewind: { modules: [], run: (app: App) => app.listeners.reset('effects') },
  pause: { modules: [], run: (app: App) => app.listeners.pause('effects') },
  transaction: {
    modules: [],
    run: (app: App) =>
      app.transaction(async (tx) => tx.publish(noted({ note: 'x' }), { stream: 's' })),
  },
  inline: { modules: [tallies(1, 'inline')], run: (app: App) => app.publish(noted({ note: 'x' })) },
  migrate: {
    modules: [],
    run: () => migrateUp({ connectionString: url, schema: 'second', connection }),
  },
} satisfies Record<string, { modules: Module[]; run(app: App): Promise<unknown> }>

const connection = { application_name: 'frozen' }
const { url, deed, after } = JSON.parse(process.argv[2] ?? '{}') as FrozenOptions

type Query = (...given: unknown[]) => unknown
const client = pg.Client.prototype as unknown as { query: Query }
const { query } = client
client.query = function freezing(this: unknown, ...given: unknown[]): unknown {
  const answer = query.apply(this, given)
  const text = typeof given[0] === 'string' ? given[0] : (given[0] as { text?: string }).text
  if (text?.includes(after) !== true || !(answer instanceof Promise)) return answer
  return answer.then((result: unknown) => {
    writeSync(1, 'frozen\n')
    process.kill(process.pid, 'SIGSTOP')
    return result
  })
}

const { modules, run } = deeds[deed]
const app = defineApp({
  connectionString: url,
  connection,
  logger: new LogBook(),
  modules: [...modules],
})
await run(app)
process.exit(0)
