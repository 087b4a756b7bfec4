import type { Database } from '../../database/pool.ts'
import type { Together } from '../../database/together.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import type { EventRegistry } from '../../event/registry.ts'
import { readOpenCounts } from '../../job/steered/job-reading.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { ListenerAdmin, type ListenerStatus } from '../../listener/steered/admin.ts'
import { DeadLetterAdmin } from '../../listener/steered/dead-letter-admin.ts'
import { ProcessAdmin, type ProcessStatus } from '../../listener/steered/process-admin.ts'
import { OutboxAdmin } from '../../outbox/kept/admin.ts'
import type { Publisher } from '../../outbox/ordered/publishers.ts'
import { RebuildAdmin, type RebuildProgress } from '../../projection/rebuilt/rebuild-admin.ts'
import { Doctor } from './doctor.ts'
import type { Finding } from './finding.ts'
import type { ExaminedApp } from './patient.ts'

/** How things stand at one moment. */
export interface Snapshot {
  readonly at: Date
  /** The same by a clock that never goes back, in milliseconds. */
  readonly tick: number
  readonly lastSequence: bigint
  readonly horizon: bigint
  readonly publishers: readonly Publisher[]
  readonly listeners: readonly ListenerStatus[]
  readonly rebuilds: readonly RebuildProgress[]
  readonly processes: readonly ProcessStatus[]
  /** How many jobs are in each status that is not an end without a complaint. */
  readonly jobs: Readonly<Record<string, number>>
  /** What the doctor found last. */
  readonly findings: readonly Finding[]
}

/** How an observer looks. */
export interface ObserverOptions {
  /** How long what the doctor finds counts, in milliseconds. Defaults to 4,000. */
  readonly examineEvery?: number
  /** How long a look at a sample of all stored types of events counts, in milliseconds. Defaults to 60,000. */
  readonly sampleEvery?: number
  /** How long a transaction may publish before it is named, in milliseconds. Defaults to 5,000. */
  readonly publisherAge?: number
}

/**
 * Looks at the whole system again and again, for all who want to know, at the cost of one statement a look. Made by
 * `app.observe()`.
 */
export class Observer {
  readonly #app: ExaminedApp
  readonly #together: Together
  readonly #doctor: Doctor
  readonly #examineEvery: number
  readonly #sampleEvery: number
  readonly #publisherAge: number
  #findings: readonly Finding[] = []
  #types: readonly Finding[] = []
  #examinedAt = -Infinity
  #sampledAt = -Infinity

  constructor(
    app: { readonly database: Database; readonly schema: string } & {
      readonly registry: EventRegistry
      readonly consumers: readonly Consumer[]
    },
    options: ObserverOptions = {},
  ) {
    rejectUnknownOptions('observe', options, ['examineEvery', 'sampleEvery', 'publisherAge'])
    const { examineEvery = 4_000, sampleEvery = 60_000, publisherAge = 5_000 } = options
    requireWhole('observe', 'examineEvery', examineEvery, 0)
    requireWhole('observe', 'sampleEvery', sampleEvery, 0)
    requireWhole('observe', 'publisherAge', publisherAge, 0)
    const { schema, registry, consumers } = app
    const { database, together } = app.database.together()
    this.#app = {
      schema,
      database,
      registry,
      consumers,
      listeners: new ListenerAdmin(database, schema),
      deadLetters: new DeadLetterAdmin(database, schema),
      outbox: new OutboxAdmin(database, schema, registry),
      rebuilds: new RebuildAdmin(database, schema),
      processes: new ProcessAdmin(database, schema),
    }
    this.#together = together
    this.#doctor = new Doctor(this.#app)
    this.#examineEvery = examineEvery
    this.#sampleEvery = sampleEvery
    this.#publisherAge = publisherAge
  }

  /**
   * How things stand now.
   *
   * @throws TidemarkError TIDEMARK_CONNECTION_FAILED, or what else keeps it from looking.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * const observer = app.observe()
   * const { lastSequence, findings } = await observer.look()
   * console.log(lastSequence, findings.filter(({ status }) => status !== 'ok').length, 'to look at')
   * ```
   */
  async look(): Promise<Snapshot> {
    const tick = performance.now()
    const wrong = this.#types.some(({ status }) => status !== 'ok')
    if (tick - this.#sampledAt >= (wrong ? this.#examineEvery : this.#sampleEvery)) {
      // A sample is another one each time.
      this.#types = await this.#doctor.examine({ checks: ['types'] })
      this.#sampledAt = tick
    }
    const examines = tick - this.#examinedAt >= this.#examineEvery
    return this.#together.during(examines ? 'examine' : 'look', async () => {
      const snapshot = await this.#read(tick)
      if (!examines) return { ...snapshot, findings: this.#found() }
      this.#findings = await this.#doctor.examine({
        quick: true,
        publisherAge: this.#publisherAge,
      })
      this.#examinedAt = tick
      return { ...snapshot, findings: this.#found() }
    })
  }

  async #read(tick: number): Promise<Omit<Snapshot, 'findings'>> {
    const { outbox, listeners, rebuilds, processes, database, schema } = this.#app
    // Before the first look has said what is asked, one after the other: it takes one connection, not six.
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
      jobs: await readOpenCounts(database, schema),
    }
  }

  #found(): readonly Finding[] {
    const known = new Set(this.#types.map(idOf))
    return [...this.#findings.filter((one) => !known.has(idOf(one))), ...this.#types]
  }
}

function idOf({ check, code, subject }: Finding): string {
  return `${check} ${code} ${subject?.name ?? ''}`
}
