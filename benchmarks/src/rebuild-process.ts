import { defineApp, silentLogger, type EventSequence } from 'tidemark'
import { projections } from './rebuild-projections.ts'

/** What a process of its own is to do, so that its memory is that of one rebuild. */
export interface RebuildRequest {
  readonly url: string
  /** Which projection: a name of `rebuild-projections.ts`. */
  readonly projection: string
  readonly version: number
  /** The last sequence of the outbox. */
  readonly last: string
}

/** What it did. */
export interface RebuildResult {
  /** From the start of the runner to the switch. */
  readonly seconds: number
  /** The processor time that it took, in seconds. */
  readonly cpu: number
  /** The most memory that the process had, in bytes, … */
  readonly peak: number
  /** … and what it had before it began. */
  readonly base: number
}

async function rebuild({ url, projection, version, last }: RebuildRequest): Promise<RebuildResult> {
  const define = projections[projection]
  if (define === undefined) throw new Error(`there is no projection "${projection}"`)
  const definition = define(version)
  await using app = defineApp({ connectionString: url, modules: [definition], logger: silentLogger })
  const base = process.memoryUsage.rss()
  const cpu = process.cpuUsage()
  const started = performance.now()
  // A raised version begins the rebuild, as a deploy does.
  await using runner = await app.start({ handleSignals: false })
  while ((await app.rebuilds.progress(definition.name)) !== undefined) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await app.waitFor(definition.name, BigInt(last) as EventSequence, { timeout: '60m' })
  const seconds = (performance.now() - started) / 1000
  const { user, system } = process.cpuUsage(cpu)
  await runner.stop()
  const peak = process.resourceUsage().maxRSS * 1024
  return { seconds, cpu: (user + system) / 1e6, peak, base }
}

process.once('message', (request) => {
  rebuild(request as RebuildRequest).then(
    (result) => {
      process.send?.(result)
      process.disconnect()
    },
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exitCode = 1
      process.disconnect()
    },
  )
})
