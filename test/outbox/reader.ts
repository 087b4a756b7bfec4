import { defineApp, defineListener, silentLogger } from 'tidemark'
import { blob } from './blob.ts'

/** What the reading process is given. */
export interface ReaderRequest {
  readonly url: string
  readonly listeners: number
  /** How many events each listener has to see. */
  readonly events: number
  /** Read the outbox, or a stream of this name, as an iterable instead. */
  readonly iterate?: 'outbox' | { readonly stream: string }
}

/** What it found. */
export interface ReaderReport {
  /** The numbers of the events, as each listener saw them, are 0, 1, 2, … */
  readonly inOrder: boolean
  /** The most memory that the process ever had, in MiB. */
  readonly peak: number
}

async function iterate({ url, events, iterate: what }: ReaderRequest): Promise<ReaderReport> {
  await using app = defineApp({ connectionString: url, modules: [blob], logger: silentLogger })
  let next = 0
  let inOrder = true
  const all = typeof what === 'object' ? app.stream(what.stream) : app.events()
  for await (const event of all) {
    if ((event.payload as { n: number }).n !== next) inOrder = false
    next += 1
  }
  return { inOrder: inOrder && next === events, peak: peak() }
}

/** The most memory that the process ever had, in MiB. */
function peak(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024)
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
  return { inOrder, peak: peak() }
}

process.once('message', (message) => {
  const request = message as ReaderRequest
  const reading = request.iterate === undefined ? read(request) : iterate(request)
  reading.then(
    (report) => process.send?.(report, undefined, undefined, () => process.disconnect()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`)
      process.exitCode = 1
      process.disconnect()
    },
  )
})
