import type { ListenerStatus, Snapshot } from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { rebuildBody } from '../system/consumers.ts'
import { findingBody } from '../system/whole.ts'

/** A snapshot as a request may see it, with rates since the one before; null: there is none to compare with. */
export function overviewBody(snapshot: Snapshot, before: Snapshot | undefined, veil: Veil): object {
  const seconds = before === undefined ? 0 : (snapshot.tick - before.tick) / 1000
  const rate = (now: bigint, then: bigint | undefined): number | null =>
    then === undefined || seconds <= 0 ? null : Math.max(0, Number(now - then)) / seconds
  const cursors = new Map(before?.listeners.map(({ name, cursor }) => [name, cursor]))
  const { at, lastSequence, horizon, publishers, listeners, rebuilds } = snapshot
  const { processes, jobs, findings } = snapshot
  return {
    at,
    lastSequence,
    horizon,
    publishRate: rate(lastSequence, before?.lastSequence),
    // A statement may hold values.
    publishers: publishers.slice(0, 10).map((one) => (veil.open ? one : { ...one, query: null })),
    listeners: listeners.map((one) => ({
      ...briefly(one),
      rate: rate(one.cursor, cursors.get(one.name)),
    })),
    rebuilds: rebuilds.map((rebuild) => rebuildBody(rebuild, veil)),
    processes: processes.map(({ definitions, leases, ...one }) => ({
      ...one,
      definitions: definitions.length,
      leases: leases.length,
    })),
    jobs,
    ok: findings.every(({ status }) => status !== 'failed'),
    findings: findings
      .filter(({ status }) => status !== 'ok')
      .map((finding) => findingBody(finding, veil)),
  }
}

/** A listener in a line: its partitions are counted. */
function briefly(listener: ListenerStatus): object {
  const { partitions, types: _, ...rest } = listener
  return {
    ...rest,
    partitions: partitions.length,
    owned: partitions.filter(({ owner }) => owner !== null).length,
    halted: partitions.filter(({ haltedAt }) => haltedAt !== null).length,
    failing: partitions.filter(({ attempts, haltedAt }) => attempts > 0 && haltedAt === null)
      .length,
  }
}
