import type { Database } from '../database/pool.ts'
import { isConnectionError } from '../errors/postgres-error.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { Outbox } from './outbox.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'
import { publishingTransaction } from './publishing-transaction.ts'

interface Call {
  readonly events: readonly OutgoingEvent[]
  resolve(published: PublishedEvent[]): void
  reject(error: unknown): void
}

// Two batches in flight: one commits while the next is built. More would make batches smaller.
const mostInFlight = 2
const mostEvents = 1000
const mostBytes = 4 * 1024 * 1024

/**
 * Publishes the concurrent calls of a process together: one INSERT and one commit for all that arrived while
 * the last batch was under way. Each caller gets its own result or its own error.
 */
export class Coalescer {
  readonly #database: Database
  readonly #outbox: Outbox
  #waiting: Call[] = []
  #inFlight = 0
  #scheduled = false
  #closed = false
  #idle: (() => void) | undefined

  constructor(database: Database, outbox: Outbox) {
    this.#database = database
    this.#outbox = outbox
  }

  publish(events: readonly OutgoingEvent[]): Promise<PublishedEvent[]> {
    if (events.length === 0) return Promise.resolve([])
    if (this.#closed) {
      return Promise.reject(
        new TidemarkError('TIDEMARK_CLOSED', 'the application was closed before this publish'),
      )
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ events, resolve, reject })
      this.#schedule()
    })
  }

  /** Publishes what is waiting and refuses the rest. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#waiting.length === 0 && this.#inFlight === 0) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= mostInFlight || this.#waiting.length === 0) return
    this.#scheduled = true
    // After the callers that the last batch woke have had their turn: they belong into this one.
    setImmediate(() => {
      this.#scheduled = false
      void this.#flush()
    })
  }

  async #flush(): Promise<void> {
    const calls = this.#take()
    this.#inFlight += 1
    this.#schedule()
    try {
      await this.#send(calls)
    } finally {
      this.#inFlight -= 1
      this.#schedule()
      if (this.#inFlight === 0 && this.#waiting.length === 0) this.#idle?.()
    }
  }

  /** The calls of the next batch: in order of arrival, bounded in events and in bytes, at least one. */
  #take(): Call[] {
    let events = 0
    let bytes = 0
    let count = 0
    for (const call of this.#waiting) {
      events += call.events.length
      for (const event of call.events) bytes += event.payload.length
      if (count > 0 && (events > mostEvents || bytes > mostBytes)) break
      count += 1
    }
    const calls = this.#waiting.slice(0, count)
    this.#waiting = this.#waiting.slice(count)
    return calls
  }

  async #send(calls: readonly Call[]): Promise<void> {
    const plain: Call[] = []
    const single: Call[] = []
    for (const call of calls) (this.#outbox.isPlain(call.events) ? plain : single).push(call)
    await Promise.all([this.#sendPlain(plain), ...single.map((call) => this.#sendAlone(call))])
  }

  async #sendPlain(calls: readonly Call[]): Promise<void> {
    if (calls.length === 0) return
    try {
      const events = calls.flatMap((call) => call.events)
      // A statement of its own is a transaction of its own: all of it is published, or none.
      const published = await this.#outbox.insert(this.#database, events)
      let start = 0
      for (const call of calls) {
        const end = start + call.events.length
        call.resolve(published.slice(start, end))
        start = end
      }
    } catch (error) {
      // The server refused the batch because of one of them: let each be judged on its own.
      if (calls.length > 1 && !isConnectionError(error)) {
        await Promise.all(calls.map((call) => this.#sendPlain([call])))
        return
      }
      for (const call of calls) call.reject(explain(error))
    }
  }

  // Streams and idempotency keys take locks and inline projections run handlers: each call is judged, commits
  // and fails by itself.
  async #sendAlone(call: Call): Promise<void> {
    try {
      const [, { events }] = await publishingTransaction(
        this.#database,
        this.#outbox,
        {},
        async (_, buffer) => {
          buffer.push(...call.events)
        },
      )
      call.resolve([...events])
    } catch (error) {
      call.reject(explain(error))
    }
  }
}

function explain(error: unknown): unknown {
  if (!isConnectionError(error)) return error
  return new TidemarkError(
    'TIDEMARK_PUBLISH_UNKNOWN',
    'the connection was lost while the event was being published',
    { cause: error },
  )
}
