import { once } from 'node:events'
import { startPostgres } from '@tidemark/testing'
import { migrateUp } from 'tidemark'
import { listeners, openApp } from './app.ts'
import { checkFigures, type Finding } from './check.ts'
import { openConsole } from './console.ts'
import { crash, untilAllRun, whoRunsWhat } from './crash.ts'
import { Crew } from './crew.ts'
import { createTables } from './database.ts'
import { computeExpected } from './expected.ts'
import { say } from './frame.ts'
import { Monitor } from './monitor.ts'
import type { Options } from './options.ts'
import { Progress } from './progress.ts'
import { publishFlights } from './publisher.ts'
import { openFlights } from './read-flights.ts'
import type { View } from './view.ts'

/** What a run was and what its check found. */
export interface Report {
  readonly file: string
  readonly flights: number
  readonly rollbacks: number
  /** From the first event to the last effect. */
  readonly seconds: number
  readonly findings: readonly Finding[]
}

// Long enough to watch. Three million take long enough by themselves.
const pacedSeconds = 15
const publishers = 4

/**
 * Runs the whole example. What it started is gone when it ends, in whatever way that is.
 *
 * @param tell is given what came of it; with the console open the run goes on after that, until it is aborted.
 * @param abort ends the run when it is aborted, and is aborted when something fails in the background.
 * @throws whatever went wrong; after an abort, whatever that led to.
 */
export async function run(
  options: Options,
  view: View,
  tell: (report: Report) => void,
  abort: AbortController,
): Promise<void> {
  const { signal } = abort
  const file = await openFlights(options)
  view.note(`${say(file.count)} flights in ${file.name}`)

  // Durable: its rates are those of a server that could lose its power at any moment.
  await using server = await startPostgres({ source: 'embedded', durable: true })
  const connectionString = server.url()
  await migrateUp({ connectionString })
  await using app = openApp(connectionString)
  await createTables(app)
  view.note(`Postgres ${server.version} runs, the tables are there`)
  await using console = options.console ? await openConsole(app) : undefined
  if (console !== undefined) view.note(`the console is open; this link works once: ${console.link}`)
  signal.throwIfAborted()

  await using crew = new Crew(connectionString, {
    onMessage: (worker, text) => view.note(`${worker}: ${text}`),
    onFailure: (error) => abort.abort(error),
  })
  const progress = new Progress(file.count, signal)
  await using monitor = new Monitor(app, (error) => abort.abort(error))

  const stage = { crew, monitor, view, signal }
  await Promise.all([crew.hire(), crew.hire()])
  view.note(whoRunsWhat(await untilAllRun(stage, { workers: 2 }), crew))

  const unwatch = monitor.watch((sample) => view.show(progress.moment(sample, crew)))
  const startedAt = performance.now()
  const publishing = publishFlights(app, file.read(), {
    publishers,
    batchSize: options.all ? 250 : 20,
    flightsPerSecond: options.all || options.fast ? undefined : file.count / pacedSeconds,
    signal,
    onCommit: (flights) => progress.commit(flights),
    onRollback: () => progress.rollBack(),
  })
  const crashing = progress.halfway.then(() => crash(stage))
  const [last] = await Promise.all([publishing, crashing])
  view.note('all flights are published')
  for (const listener of listeners) await app.waitFor(listener, last, { timeout: '1h', signal })
  const seconds = (performance.now() - startedAt) / 1000
  view.note('all events are handled')
  unwatch()
  view.end()

  const findings = await checkFigures(app, await computeExpected(file.read()))
  tell({
    file: file.name,
    flights: file.count,
    rollbacks: progress.rollbacks,
    seconds,
    findings,
  })
  if (console === undefined) return
  view.note('the workers and the console go on until Ctrl-C')
  if (!signal.aborted) await once(signal, 'abort')
  signal.throwIfAborted()
}
