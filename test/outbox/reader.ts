import { defineApp, defineListener, silentLogger } from 'tidemark'
import { blob } from './blob.ts'

/** What the reading process is given. */
export interface ReaderRequest {
  readonly url: string
  readonly listeners: number
  /** How many events each listener has to see. */
  readonly events: number
}

/** What it found. */
export interface ReaderReport {
  /** The numbers of the events, as each listener saw them, are 0, 1, 2, … */
  readonly inOrder: boolean
  /** The most memory that the process ever had, in MiB. */
  readonly peak: number
}

async function read({ url, listeners, events }: ReaderRequest): Promise<ReaderReport> {
  let inOrder = true
  const all = Array.from({ length: listeners }, (_, index) => {
    const done = Promise.withResolvers<void>()
    let next = 0
    const listener = defineListener(`reader-${index}`).on(blob, async ({ payload }) => {
      if (payload.n !== next) inOrder = false
      next += 1
      if (next === events) done.resolve()
    })
    return { listener, done: done.promise }
  })
  const modules = all.map(({ listener }) => listener)
  await using app = defineApp({ connectionString: url, modules, logger: silentLogger })
  await app.start()
  await Promise.all(all.map(({ done }) => done))
  return { inOrder, peak: Math.round(process.resourceUsage().maxRSS / 1024) }
}

process.once('message', (request) => {
  read(request as ReaderRequest).then(
    (report) => process.send?.(report, undefined, undefined, () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exitCode = 1
      process.disconnect()
    },
  )
})
