import type { Database } from '../../database/pool.ts'
import { describePublisher, readPublishers } from '../../outbox/ordered/publishers.ts'
import type { Tail } from '../../outbox/read/tail.ts'
import type { Logger } from '../../telemetry/logger.ts'

/** What the watch works with. */
export interface PublisherWatchEnvironment {
  readonly database: Database
  readonly schema: string
  readonly tail: Tail
  readonly logger: Logger
  /** How long a transaction may hold the horizon back before it is named, in milliseconds. */
  readonly patience: number
}

const longestPause = 600_000

/** Names the transactions that hold the horizon back for long: at once, and then less and less often. */
export class PublisherWatch {
  readonly #environment: PublisherWatchEnvironment
  #pause: number
  #next = 0
  #named = false

  constructor(environment: PublisherWatchEnvironment) {
    this.#environment = environment
    this.#pause = environment.patience
  }

  /** One look. It costs the database nothing unless the horizon has stood still for long. */
  async look(): Promise<void> {
    const { database, schema, tail, logger, patience } = this.#environment
    const now = performance.now()
    if (tail.heldBackFor(now) < patience) {
      if (this.#named) logger.info({}, 'nobody holds the horizon back any more')
      this.#named = false
      this.#next = 0
      this.#pause = patience
      return
    }
    if (now < this.#next) return
    this.#next = now + this.#pause
    this.#pause = Math.min(this.#pause * 2, longestPause)
    const all = await readPublishers(database, schema)
    const lowest = all[0]?.floor
    for (const publisher of all) {
      // Who began later stands behind the first one, and will be named when it is the first.
      if (publisher.floor !== lowest) continue
      this.#named = true
      logger.warn({ publisher }, describePublisher(publisher))
    }
  }
}
