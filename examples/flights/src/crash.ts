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

/** Waits until every listener is run by a worker, and not by `except`. */
export function untilAllRun({ monitor, signal }: Stage, except?: string): Promise<Sample> {
  return monitor.until((sample) => {
    const owners = sample.listeners.map(ownerOf)
    return (
      owners.length === listeners.length &&
      owners.every((owner) => owner !== null && owner !== except)
    )
  }, signal)
}

/** Kills the worker that issues vouchers, starts another one, and waits until all listeners are run again. */
export async function crash(stage: Stage): Promise<void> {
  const { crew, monitor, view, signal } = stage
  let victim = ownerOfVouchers(monitor.latest)
  // Its lease may have run out just now, on a machine with too much to do.
  victim ??= ownerOfVouchers(await monitor.until((sample) => !!ownerOfVouchers(sample), signal))
  if (victim === null) throw new Error('nobody issues vouchers')
  view.note(
    `${crew.nameOf(victim)} is killed with SIGKILL; its leases last ${leaseDuration / 1000} s more`,
  )
  crew.kill(victim)
  const killedAt = performance.now()
  const [after] = await Promise.all([
    untilAllRun(stage, victim),
    crew.hire().then((name) => view.note(`${name} is started`)),
  ])
  const seconds = ((after.at - killedAt) / 1000).toFixed(1)
  const runs = Object.entries(
    Object.groupBy(after.listeners, (listener) => ownerOf(listener) as string),
  ).map(([owner, taken]) => `${crew.nameOf(owner)} runs ${names(taken ?? [])}`)
  view.note(`${runs.join(', ')}, ${seconds} s after the kill`)
}

function ownerOfVouchers(sample: Sample | undefined): string | null {
  const status = sample?.listeners.find(({ name }) => name === vouchers.name)
  return status === undefined ? null : ownerOf(status)
}

function names(taken: readonly { readonly name: string }[]): string {
  return new Intl.ListFormat('en').format(taken.map(({ name }) => name))
}
