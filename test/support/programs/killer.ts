/**
 * A process whose listener ends it, in the middle of a transaction, at notes that begin with "kill", unless the table
 * `mended` has a row. It says "started" when it runs.
 */
import { defineApp, defineListener, defineProjection, type FailurePolicy } from 'tidemark'
import { noted, recordEffect } from '../effects.ts'
import { LogBook } from '../log-book.ts'

/** What a killer is told. */
export interface KillerOptions {
  readonly url: string
  readonly policy: FailurePolicy
  readonly how: 'exit' | 'abort'
  readonly kind: 'listener' | 'projection'
}

const { url, policy, how, kind } = JSON.parse(process.argv[2] ?? '{}') as KillerOptions

function die(): void {
  if (how === 'exit') process.exit(1)
  process.abort()
}

const listener = defineListener('ledger', { onFailure: policy, batchSize: 20 }).on(
  noted,
  async (event, { tx }) => {
    await recordEffect(tx, 'ledger', event)
    if (!event.payload.note.startsWith('kill')) return
    if ((await tx.query('select from mended')).rowCount === 0) die()
  },
)

const projection = defineProjection('ledger', {
  version: 1,
  onFailure: policy,
  initial: (): string[] => [],
}).on(noted, (notes, event) => {
  if (event.payload.note.startsWith('kill')) die()
  return [...notes, event.payload.note]
})

const app = defineApp({
  connectionString: url,
  modules: [kind === 'listener' ? listener : projection],
  logger: new LogBook(),
})
// The lease of a process that died is short, so that its successor need not wait.
await app.start({ leaseDuration: 600, acquireInterval: 50 })
process.send?.('started')
