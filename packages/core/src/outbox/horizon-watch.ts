import { run } from '../database/executor.ts'
import type { Database } from '../database/pool.ts'
import { oldestPublisher } from '../database/sql/publishers.ts'
import type { EventSequence } from '../event/sequence.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { Horizon } from './horizon.ts'

// From when a publisher is named, and how often at most after that: after as long again, up to every ten minutes.
const firstWarning = 10_000
const longestInterval = 600_000

interface PublisherRow {
  readonly floor: string
  /** Null for a prepared transaction. */
  readonly pid: number | null
  readonly prepared: string | null
  readonly application: string | null
  readonly state: string | null
  readonly age_seconds: number | null
  readonly query: string | null
}

/**
 * Watches how long one publisher holds the horizon: every number drawn after it has to wait for it. The one that does
 * so for longer than ten seconds is named in the log.
 */
export class HorizonWatch {
  readonly #database: Database
  readonly #schema: string
  readonly #logger: Logger
  readonly #now: () => number
  #heldAt: EventSequence | undefined
  #since = 0
  #nextWarning = firstWarning
  #naming: Promise<void> | undefined

  /** @param now - the clock, in milliseconds. */
  constructor(
    database: Database,
    schema: string,
    logger: Logger,
    now: () => number = () => performance.now(),
  ) {
    this.#database = database
    this.#schema = schema
    this.#logger = logger
    this.#now = now
  }

  /** For how long the horizon has been held at the same sequence, in milliseconds; 0 when nobody holds it. */
  get age(): number {
    return this.#heldAt === undefined ? 0 : this.#now() - this.#since
  }

  /** Takes note of a look at the outbox. */
  saw({ publishing, sequence, lastSequence }: Horizon): void {
    // A floor is drawn anew by each publisher: the same one again is the same publisher still.
    if (!publishing) this.#letGo()
    else if (sequence !== this.#heldAt) {
      this.#letGo()
      this.#heldAt = sequence
      this.#since = this.#now()
    } else if (this.age >= this.#nextWarning) {
      this.#nextWarning = this.age + Math.min(this.age, longestInterval)
      this.#naming ??= this.#name(sequence, lastSequence).finally(() => {
        this.#naming = undefined
      })
    }
  }

  /** Nobody looks any more, so nobody knows. */
  forget(): void {
    this.#heldAt = undefined
    this.#nextWarning = firstWarning
  }

  /** Resolves when nothing of it is under way. */
  async idle(): Promise<void> {
    await this.#naming
  }

  #letGo(): void {
    if (this.#heldAt !== undefined && this.#nextWarning > firstWarning) {
      const seconds = Math.round(this.age / 1000)
      this.#logger.info({ seconds }, `the horizon moves again, after ${seconds} s`)
    }
    this.forget()
  }

  async #name(floor: EventSequence, lastSequence: EventSequence): Promise<void> {
    const seconds = Math.round(this.age / 1000)
    try {
      const { rows } = await run(this.#database, oldestPublisher(this.#schema), [])
      const [row] = rows as unknown as readonly PublisherRow[]
      if (row === undefined || BigInt(row.floor) !== floor) return
      const { pid, prepared, application, state, age_seconds: age, query } = row
      const who =
        pid === null
          ? `the prepared transaction "${prepared ?? 'unknown'}"`
          : `pid ${pid} (${application || 'no application name'})`
      this.#logger.warn(
        { pid, prepared, application, state, ageSeconds: age, query, floor, lastSequence },
        `${who} has held the horizon for ${seconds} s: nothing after sequence ${floor} is read until it ends`,
      )
    } catch (error) {
      this.#logger.debug({ err: error }, 'the publisher that holds the horizon could not be named')
    }
  }
}
