import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { countOpenJobs } from '../../database/sql/job/job-counts.ts'
import { awaitedSchedules, countAwaited } from '../../database/sql/job/known-types.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { ListenerAdmin } from '../../listener/steered/admin.ts'
import type { HorizonWatch } from '../../outbox/ordered/horizon-watch.ts'
import type { Doorbell } from '../../outbox/woken/doorbell.ts'
import { RebuildAdmin } from '../../projection/rebuilt/rebuild-admin.ts'
import { attribute, convention } from '../../telemetry/conventions.ts'
import { observeDoorbell } from '../../telemetry/doorbell-metrics.ts'
import { observe, type Observe } from '../../telemetry/meter.ts'
import { FindingsGauge, type Wrong } from './findings-gauge.ts'

/** What the gauges of a runner look at. */
export interface ObservedRunner {
  readonly database: Database
  readonly schema: string
  readonly consumers: readonly Consumer[]
  readonly horizon: HorizonWatch
  readonly doorbell: Doorbell
  /** Whether jobs run here. */
  readonly jobs: boolean
  hears(): boolean
  /** What is wrong with the system. */
  readonly examine: () => Promise<readonly Wrong[]>
}

/** Shows the gauges of a runner from now on; answers how to stop. The database is asked only when they are collected. */
export function observeRunner(runner: ObservedRunner): () => void {
  const findings = new FindingsGauge(runner.schema, () => runner.examine())
  const awaited: Awaited = new Map()
  return observe(async (show) => {
    const { schema, doorbell, horizon } = runner
    const present = doorbell.polling ? 'polling' : doorbell.armed ? 'armed' : 'awake'
    observeDoorbell(show, schema, runner.hears() ? present : 'deaf')
    show('tidemark.horizon.age', horizon.age / 1000, { [attribute.schema]: schema })
    await observeListeners(runner, show)
    findings.show(show)
    if (!runner.jobs) return
    await observeJobs(runner, awaited, show)
  })
}

/** What has been shown of jobs that wait for a process, by type and version: an SDK repeats a point until it is told another. */
type Awaited = Map<string, { readonly name: string; readonly version: number; jobs: number }>

async function observeJobs(
  { database, schema }: ObservedRunner,
  awaited: Awaited,
  show: Observe,
): Promise<void> {
  const given = { [attribute.schema]: schema }
  const { rows } = await run(database, countOpenJobs(schema), [])
  for (const row of rows) {
    const { status, jobs } = row as { status: string; jobs: number }
    show('tidemark.jobs', jobs, { ...given, [attribute.jobStatus]: status })
  }
  const present = await run(database, countAwaited(schema), [])
  for (const one of awaited.values()) one.jobs = 0
  for (const row of present.rows) {
    const one = row as { name: string; version: number; jobs: number }
    awaited.set(`${one.name} ${one.version}`, one)
  }
  for (const { name, version, jobs } of awaited.values()) {
    show('tidemark.jobs.awaiting_process', jobs, {
      ...given,
      [attribute.job]: name,
      [attribute.jobVersion]: String(version),
    })
  }
  const schedules = await run(database, awaitedSchedules(schema), [])
  show('tidemark.schedules.awaiting_process', schedules.rows.length, given)
}

async function observeListeners(
  { database, schema, consumers }: ObservedRunner,
  show: Observe,
): Promise<void> {
  const mine = new Set(consumers.map(({ name }) => name))
  const rebuilds = new RebuildAdmin(database, schema)
  for (const listener of await new ListenerAdmin(database, schema).list()) {
    if (!mine.has(listener.name) || listener.mode === 'inline') continue
    const given = { [attribute.schema]: schema, [convention.listener]: listener.name }
    show('tidemark.listener.lag', Number(listener.lag), given)
    show('tidemark.listener.lag_time', listener.lagSeconds, given)
    if (listener.kind === 'listener') continue
    const progress = await rebuilds.progress(listener.name)
    if (progress !== undefined) show('tidemark.rebuild.progress', progress.fraction, given)
  }
}
