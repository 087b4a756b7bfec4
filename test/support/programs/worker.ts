/**
 * A process that runs one listener, for tests that kill, freeze or drain it. It reports to its parent what it
 * does; a note that begins with "wait" makes its handler wait, in the middle of its transaction, until the
 * parent says "release".
 */
import { once } from 'node:events'
import { defineApp, defineEvent, defineListener, defineProjection } from 'tidemark'
import { z } from 'zod'
import { noted as plain, recordEffect } from '../effects.ts'
import { LogBook } from '../log-book.ts'

/** What a worker is told. */
export interface WorkerOptions {
  readonly url: string
  /** Who it is, in its effects. */
  readonly name: string
  readonly leaseDuration: number
  readonly acquireInterval?: number
  readonly batchSize?: number
  /** The note at which it stops itself, once: when it has read the event, and before the fence of any batch with it. */
  readonly freezeAt?: string
}

/** What a worker tells. */
export interface WorkerReport {
  /** lost: another process runs the listener that is named by `note`. */
  readonly what: 'started' | 'entered' | 'leaving' | 'failed' | 'freezing' | 'lost'
  readonly note?: string
  readonly message?: string
}

const options = JSON.parse(process.argv[2] ?? '{}') as WorkerOptions

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

function report(message: WorkerReport): void {
  process.send?.(message)
}

let frozen = false

// Events are decoded between the reading of a page and the transaction of the batch.
const noted =
  options.freezeAt === undefined
    ? plain
    : defineEvent(plain.type, {
        payload: z.object({ note: z.string() }).refine(({ note }) => {
          if (note !== options.freezeAt || frozen) return true
          frozen = true
          report({ what: 'freezing', note })
          process.kill(process.pid, 'SIGSTOP')
          return true
        }),
      })

const ledger = defineListener('ledger', { batchSize: options.batchSize ?? 10 }).on(
  noted,
  async (event, { tx }) => {
    const { note } = event.payload
    await recordEffect(tx, 'ledger', event, options.name)
    report({ what: 'entered', note })
    if (note.startsWith('wait')) {
      await once(process, 'message')
      try {
        await tx.query('select 1')
      } catch (error) {
        report({ what: 'failed', note, message: String(error) })
        throw error
      }
    }
    report({ what: 'leaving', note })
  },
)

const tally = defineProjection('tally', { version: 1, initial: () => ({ notes: 0 }) }).on(
  noted,
  (state) => ({ notes: state.notes + 1 }),
)

const log = new LogBook()
for (const { name } of [ledger, tally]) {
  void log
    .wrote(new RegExp(`^${name} is run by another process now`))
    .then(() => report({ what: 'lost', note: name }))
}
const app = defineApp({ connectionString: options.url, modules: [ledger, tally], logger: log })
await app.start({
  leaseDuration: options.leaseDuration,
  acquireInterval: options.acquireInterval ?? 100,
})
process.on('SIGTERM', () => {
  // The runner's own handler drains; then nothing keeps the process but this channel.
  void app.close().then(() => process.disconnect())
})
report({ what: 'started' })
