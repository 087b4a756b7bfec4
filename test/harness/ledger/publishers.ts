import { setTimeout as delay } from 'node:timers/promises'
import { operations, type Desk, type Operation } from './operations.ts'

/** What publishers know of what they did. */
export interface Books {
  readonly done: Set<string>
  readonly undone: Set<string>
  /** How often an operation ended without saying how. */
  lost: number
  /** The messages of the errors, by how often they came. */
  readonly errors: Map<string, number>
}

/** How publishers work. */
export interface PublisherOptions {
  readonly count: number
  /** The milliseconds that each rests after an operation, on average. */
  readonly pause: number
  /** How many events the slowest listener is behind: publishers wait for it while it is far. */
  readonly lag: () => Promise<number>
}

const farBehind = 400

/** Publishers that move money until they are stopped. */
export class Publishers {
  readonly books: Books = { done: new Set(), undone: new Set(), lost: 0, errors: new Map() }
  readonly #stopped = new AbortController()
  readonly #ended: Promise<unknown>
  #quiet: Promise<void> = Promise.resolve()
  #busy = 0
  #tooFast = false

  constructor(desk: Desk, { count, pause, lag }: PublisherOptions) {
    void this.#watch(lag)
    this.#ended = Promise.all(
      Array.from({ length: count }, (_, number) =>
        this.#publish({ ...desk, random: desk.random.fork() }, number, pause),
      ),
    )
  }

  /** Keeps all from beginning anything until `work` has ended. */
  async inQuiet(work: () => Promise<void>): Promise<void> {
    const over = Promise.withResolvers<void>()
    this.#quiet = over.promise
    try {
      while (this.#busy > 0) await delay(10)
      await work()
    } finally {
      over.resolve()
    }
  }

  /** Lets each finish what it does. */
  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#ended
  }

  async #watch(lag: () => Promise<number>): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      // While the server is away nobody is too fast.
      this.#tooFast = await lag().then(
        (behind) => behind > farBehind,
        () => false,
      )
      await delay(200)
    }
  }

  async #publish(desk: Desk, publisher: number, pause: number): Promise<void> {
    for (let n = 1; !this.#stopped.signal.aborted; n++) {
      const op = `op-${publisher}-${n}`
      await this.#quiet
      while (this.#tooFast && !this.#stopped.signal.aborted) await delay(50)
      this.#busy += 1
      try {
        const fate = await choose(desk)(desk, op)
        if (fate === 'done') this.books.done.add(op)
        if (fate === 'undone') this.books.undone.add(op)
      } catch (error) {
        this.books.lost += 1
        const message = error instanceof Error ? error.message.replaceAll(/\d+/gu, 'N') : ''
        this.books.errors.set(message, (this.books.errors.get(message) ?? 0) + 1)
        // The server may be away.
        await delay(20)
      } finally {
        this.#busy -= 1
      }
      await delay(desk.random.next() * 2 * pause)
    }
  }
}

const weights = operations.reduce((sum, [, weight]) => sum + weight, 0)

function choose({ random }: Desk): Operation {
  let left = random.next() * weights
  for (const [operation, weight] of operations) {
    left -= weight
    if (left < 0) return operation
  }
  return operations[0]?.[0] as Operation
}
