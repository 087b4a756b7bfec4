import { leaseDuration, listeners } from './app.ts'
import type { Crew } from './crew.ts'
import { ownerOf, type Monitor, type Sample } from './monitor.ts'
import type { View } from './view.ts'
import { vouchers } from './vouchers.ts'

/** Where a worker is killed. */
export interface Stage {
  readonly crew: Crew
  readonly monitor: Monitor
  readonly view: View
  readonly signal: AbortSignal
}

/** Waits until every listener is run, by as many workers as `workers` says or more, and none of them is `except`. */
export function untilAllRun(
  { monitor, signal }: Stage,
  { workers = 1, except }: { workers?: number; except?: string } = {},
): Promise<Sample> {
  return monitor.until((sample) => {
    const owners = new Set(sample.listeners.map(ownerOf))
    return (
      sample.listeners.length === listeners.length &&
      owners.size >= workers &&
      [...owners].every((owner) => owner !== null && owner !== except)
    )
  }, signal)
}

/** Kills the worker that issues vouchers, starts another one, and waits until all listeners are run again. */
export async function crash(stage: Stage): Promise<void> {
  const { crew, monitor, view, signal } = stage
  let victim = ownerOfVouchers(monitor.latest)
  // They may be changing hands just now.
  victim ??= ownerOfVouchers(await monitor.until((sample) => !!ownerOfVouchers(sample), signal))
  if (victim === null) throw new Error('nobody issues vouchers')
  view.note(
    `${crew.nameOf(victim)} is killed with SIGKILL; its leases last ${leaseDuration / 1000} s more`,
  )
  crew.kill(victim)
  const killedAt = performance.now()
  const [after] = await Promise.all([
    untilAllRun(stage, { except: victim }),
    crew.hire().then((name) => view.note(`${name} is started`)),
  ])
  const seconds = ((after.at - killedAt) / 1000).toFixed(1)
  view.note(`${whoRunsWhat(after, crew)}, ${seconds} s after the kill`)
}

/** Who runs what, in words. */
export function whoRunsWhat(sample: Sample, crew: Crew): string {
  const byOwner = Map.groupBy(sample.listeners, ownerOf)
  return [...byOwner]
    .map(([owner, taken]) => {
      const names = new Intl.ListFormat('en').format(taken.map(({ name }) => name))
      return `${owner === null ? 'nobody' : crew.nameOf(owner)} runs ${names}`
    })
    .join(', ')
}

function ownerOfVouchers(sample: Sample | undefined): string | null {
  const status = sample?.listeners.find(({ name }) => name === vouchers.name)
  return status === undefined ? null : ownerOf(status)
}
