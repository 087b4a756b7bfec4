/** A process that runs many listeners, each of which records its effects; for tests that kill one of several. */
import { defineApp, defineListener } from 'tidemark'
import { noted, recordEffect } from '../effects.ts'
import { LogBook } from '../log-book.ts'

/** What a member of the team is told. */
export interface TeamOptions {
  readonly url: string
  readonly name: string
  readonly listeners: number
}

const { url, name, listeners } = JSON.parse(process.argv[2] ?? '{}') as TeamOptions

const all = Array.from({ length: listeners }, (_, n) =>
  defineListener(`listener-${n}`, { batchSize: 5 }).on(noted, async (event, { tx }) => {
    await recordEffect(tx, `listener-${n}`, event, name)
  }),
)
const app = defineApp({ connectionString: url, modules: all, logger: new LogBook() })
// With the lease that is the default: what users have.
await app.start()
process.on('SIGTERM', () => {
  // The runner's own handler drains; then nothing keeps the process but this channel.
  void app.close().then(() => process.disconnect())
})
process.send?.('started')
