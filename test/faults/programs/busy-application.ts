/** An application under load, in every way that it has of using connections. It is judged by whether it lives. */
import { defineApp, defineEvent, defineJob, defineListener, defineProjection } from 'tidemark'
import { z } from 'zod'

// A test that is given up cannot end it: without a parent there is nobody to judge it.
process.on('disconnect', () => process.exit())

const noted = defineEvent('test.noted', { payload: z.object({ note: z.string() }) })
const counted = defineEvent('test.counted', { payload: z.object({ note: z.string() }) })

const listener = defineListener('busy', { retry: { attempts: 1_000 } }).on(
  noted,
  async (event, { db, send, tx, publish, spawn }) => {
    send(db.insertInto('effects').values({ listener: 'busy', sequence: event.sequence }))
    await tx.query('select pg_sleep(0.001)')
    publish(counted({ note: event.payload.note }))
    if (event.sequence % 20n === 0n) await spawn(work, { note: event.payload.note })
  },
)
const tally = defineProjection('tally', { version: 1, initial: () => ({ notes: 0 }) }).on(
  counted,
  (state) => ({ notes: state.notes + 1 }),
)
const inline = defineProjection('inline', {
  version: 1,
  mode: 'inline',
  initial: () => ({ notes: 0 }),
}).on(counted, (state) => ({ notes: state.notes + 1 }))
const work = defineJob('work', {
  input: z.object({ note: z.string() }),
  retry: { attempts: 1_000, backoff: () => 50 },
  run: async (job, context) => {
    await context.step('one', () => job.input.note)
    await context.transaction((tx) => tx.tx.query('select 1'))
  },
})
const short = defineJob('short', {
  input: z.object({}),
  retry: { attempts: 1_000, backoff: () => 50 },
  transact: async (_job, { tx }) => {
    await tx.query('select 1')
  },
})

const app = defineApp({
  connectionString: process.argv[2] ?? '',
  modules: [{ noted, counted, listener, tally, inline, work, short }],
  logger: { debug() {}, info() {}, warn() {}, error() {} },
})

/** Does something again and again: what goes wrong is the server's doing here. */
async function repeat(what: () => Promise<unknown>): Promise<never> {
  for (;;) {
    try {
      await what()
      process.send?.('done')
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

await app.start({ leaseDuration: 2_000, acquireInterval: 100, handleSignals: false })
process.send?.('started')
for (let client = 0; client < 4; client++) {
  void repeat(() => app.publish(noted({ note: 'alone' })))
  void repeat(() =>
    app.transaction(async (tx) => {
      tx.publish(noted({ note: 'together' }))
    }),
  )
}
void repeat(() => app.publish(counted({ note: 'inline' }), { stream: 'one' }))
void repeat(() => app.jobs.spawn(short, {}))
void repeat(() => app.listeners.list())
void repeat(async () => {
  let left = 50
  for await (const event of app.events()) if (event.sequence < 0n || (left -= 1) === 0) break
})
