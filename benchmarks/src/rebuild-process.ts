import { defineApp, toEventSequence, type Logger } from 'tidemark'
import { projections } from './rebuild-projections.ts'

/** What a process of its own is to do, so that its memory is that of one rebuild. */
export interface RebuildRequest {
  readonly url: string
  /** Which projection: a name of `rebuild-projections.ts`. */
  readonly projection: string
  readonly version: number
  /** Up to where there are events to handle. */
  readonly last: string
  /** Whether it goes on to run the projection until it is told to stop. */
  readonly stay: boolean
}

/** What it did. */
export interface RebuildResult {
  /** From the start of the runner to the switch. */
  readonly seconds: number
  /** The processor time that it took, in seconds. */
  readonly cpuSeconds: number
  /** The most memory that the process had, in bytes, … */
  readonly peakBytes: number
  /** … and what it had before it began. */
  readonly baseBytes: number
  /** For how long the switch held the live generation, in milliseconds; null: there was none. */
  readonly heldMs: number | null
  /** For how long attempts in vain held it, in milliseconds each. */
  readonly attemptsMs: readonly number[]
}

/** Keeps what the log says of switches. */
class SwitchLog implements Logger {
  readonly #switched = Promise.withResolvers<number>()
  readonly attempts: number[] = []

  debug({ outcome, held }: { readonly outcome?: string; readonly held?: number }): void {
    if (outcome !== undefined && held !== undefined) this.attempts.push(held)
  }

  info({ held }: { readonly held?: number }): void {
    if (held !== undefined) this.#switched.resolve(held)
  }

  /** For how long the switch held the live generation, once it is over. */
  get held(): Promise<number> {
    return this.#switched.promise
  }

  warn(_: object, message: string): void {
    process.stderr.write(`${message}\n`)
  }

  error(_: object, message: string): void {
    process.stderr.write(`${message}\n`)
  }
}

async function rebuild(request: RebuildRequest): Promise<void> {
  const { url, projection, version, last, stay } = request
  const define = projections[projection]
  if (define === undefined) throw new Error(`there is no projection "${projection}"`)
  const definition = define(version)
  const logger = new SwitchLog()
  await using app = defineApp({ connectionString: url, modules: [definition], logger })
  const stopped = new Promise<void>((resolve) => process.once('message', () => resolve()))
  const baseBytes = process.memoryUsage.rss()
  const before = process.cpuUsage()
  const started = performance.now()
  // A raised version begins the rebuild, as a deploy does.
  await using runner = await app.start({ handleSignals: false })
  while ((await app.rebuilds.progress(definition.name)) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await app.waitFor(definition.name, toEventSequence(last), { timeout: '60m' })
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(before)
  const result: RebuildResult = {
    seconds,
    cpuSeconds: (user + system) / 1e6,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    baseBytes,
    heldMs: version === 1 ? null : await logger.held,
    attemptsMs: logger.attempts,
  }
  await new Promise<void>((resolve) =>
    process.send?.(result, undefined, undefined, () => resolve()),
  )
  if (stay) await stopped
  await runner.stop()
}

process.once('message', (request) => {
  rebuild(request as RebuildRequest)
    .catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exitCode = 1
    })
    .finally(() => process.disconnect())
})
