import type { Duration } from '../../listener/declared/backoff.ts'
import { milliseconds } from '../../listener/declared/backoff.ts'

/** What a job waits for besides the time. */
export interface JobWait {
  readonly kind: 'event' | 'cursor' | 'jobs'
  readonly target?: string
  readonly key?: string
  readonly sequence?: bigint
  readonly jobs?: readonly string[]
}

/**
 * Leaves the attempt without having failed: the job goes on later, from its first line, past the steps that it has
 * finished. It is thrown, so that nothing after it runs; catch it only to throw it again.
 */
export class Suspension extends Error {
  override readonly name = 'Suspension'
  /** In how many milliseconds it goes on at the latest; infinity: when what it waits for is there. */
  readonly delay: number
  /** For people: what it waits for. */
  readonly waiting: Readonly<Record<string, unknown>>
  readonly wait: JobWait | undefined

  constructor(
    delay: Duration | undefined,
    waiting: Readonly<Record<string, unknown>>,
    wait?: JobWait,
  ) {
    super(`the job waits: ${JSON.stringify(waiting)}`)
    this.delay = delay === undefined ? Number.POSITIVE_INFINITY : milliseconds(delay)
    this.waiting = waiting
    this.wait = wait
  }
}
