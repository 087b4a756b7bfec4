import type {
  App,
  Finding,
  ListenerStatus,
  ProcessStatus,
  Publisher,
  RebuildProgress,
} from 'tidemark'
import type { Veil } from '../access/veil.ts'
import { rebuildBody } from '../system/consumers.ts'
import { findingBody } from '../system/whole.ts'

/** How things stood at one moment. */
export interface Snapshot {
  readonly at: Date
  /** Of the monotonic clock, in milliseconds. */
  readonly tick: number
  readonly lastSequence: bigint
  readonly horizon: bigint
  readonly publishers: readonly Publisher[]
  readonly listeners: readonly ListenerStatus[]
  readonly rebuilds: readonly RebuildProgress[]
  readonly processes: readonly ProcessStatus[]
  readonly jobs: Readonly<Record<string, number>>
  readonly findings: readonly Finding[]
}

// What costs more than a row of an index each, and does not change from one second to the next, in intervals.
const examineEvery = 4
// Who has published for that long is named within ten seconds, in milliseconds.
const publisherAge = 5_000
const sampleEvery = 60

/** Takes snapshots, one after the other. */
export class Observer {
  readonly #app: App
  readonly #interval: number
  #findings: readonly Finding[] = []
  #types: readonly Finding[] = []
  #examinedAt = -Infinity
  #sampledAt = -Infinity

  /** @param interval - between two looks, in milliseconds. */
  constructor(app: App, interval: number) {
    this.#app = app
    this.#interval = interval
  }

  /** @throws TidemarkError TIDEMARK_CONNECTION_FAILED, or what else keeps it from looking. */
  async look(): Promise<Snapshot> {
    const { outbox, listeners, rebuilds, processes, jobs } = this.#app
    const tick = performance.now()
    // One after the other: a page that is open takes one connection, not six.
    const { lastSequence, horizon } = await outbox.position()
    const publishers = await outbox.publishers()
    return {
      at: new Date(),
      tick,
      horizon,
      lastSequence,
      publishers,
      listeners: await listeners.list(),
      rebuilds: await rebuilds.list(),
      processes: await processes.list(),
      jobs: await jobs.openCounts(),
      findings: await this.#examine(tick),
    }
  }

  async #examine(now: number): Promise<readonly Finding[]> {
    const { doctor } = this.#app
    const wrong = this.#types.some(({ status }) => status !== 'ok')
    if (now - this.#sampledAt >= (wrong ? examineEvery : sampleEvery) * this.#interval) {
      this.#types = await doctor.examine({ checks: ['types'] })
      this.#sampledAt = now
    }
    if (now - this.#examinedAt >= examineEvery * this.#interval) {
      this.#findings = await doctor.examine({ quick: true, publisherAge })
      this.#examinedAt = now
    }
    const known = new Set(this.#types.map(idOf))
    return [...this.#findings.filter((one) => !known.has(idOf(one))), ...this.#types]
  }
}

function idOf({ check, code, subject }: Finding): string {
  return `${check} ${code} ${subject?.name ?? ''}`
}

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
