import { exponential, isTidemarkError, type Logger } from 'tidemark'
import type { Held, HeldStates } from './held-states.ts'
import { LinkLost, type Link } from './link.ts'
import { writeText } from './service-store.ts'

// Under way at once: enough to keep the service busy, and little to send again when it dies.
const most = 64
// Between attempts while the service or its backend is away, in milliseconds.
const backoff = exponential(20, 1_000)

/** What a sender has done since it began. */
export interface Sent {
  written: number
  refused: number
  /** How often the service or its backend was away. */
  failures: number
}

/** Sends what is held to the service, in the background. It never throws, and never gives up. */
export class Sender {
  readonly sent: Sent = { written: 0, refused: 0, failures: 0 }
  /** What went wrong last; null when the last write was answered. */
  trouble: string | null = null
  readonly #held: HeldStates
  readonly #link: Link
  readonly #logger: Logger
  readonly #look: NodeJS.Timeout
  readonly #waiting = new Set<() => void>()
  #scheduled: NodeJS.Immediate | undefined
  #pause: NodeJS.Timeout | undefined
  #attempt = 1
  #underWay = 0
  #closed = false

  constructor(held: HeldStates, link: Link, timeout: number, logger: Logger) {
    this.#held = held
    this.#link = link
    this.#logger = logger
    this.#look = setInterval(() => link.giveUpSilent(), Math.max(10, Math.min(timeout / 4, 1_000)))
  }

  /** Says that there is something to send. It is sent later: whoever says so is not kept. */
  wake(): void {
    if (this.#closed || this.#pause !== undefined) return
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined
      this.#pump()
    })
  }

  /** Resolves when the service has everything, with true; or with false when the time is over. */
  async flushed(timeout: number): Promise<boolean> {
    if (this.#held.unsent === 0) return true
    const done = Promise.withResolvers<boolean>()
    const settled = (): void => done.resolve(true)
    this.#waiting.add(settled)
    const timer = setTimeout(() => done.resolve(false), timeout)
    const flushed = await done.promise
    clearTimeout(timer)
    this.#waiting.delete(settled)
    return flushed
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#look)
    clearTimeout(this.#pause)
    if (this.#scheduled !== undefined) clearImmediate(this.#scheduled)
  }

  #pump(): void {
    while (this.#underWay < most && !this.#closed && this.#pause === undefined) {
      const held = this.#held.take()
      if (held === undefined) return
      this.#underWay += 1
      void this.#send(held)
    }
  }

  async #send(held: Held): Promise<void> {
    try {
      const { job } = await this.#link.ask(requestOf(held))
      this.sent.written += 1
      this.#attempt = 1
      this.trouble = null
      this.#held.confirmed(held, job?.version)
    } catch (error) {
      this.#failed(held, error)
    }
    this.#underWay -= 1
    if (this.#held.unsent === 0) for (const settled of this.#waiting) settled()
    else this.wake()
  }

  #failed(held: Held, error: unknown): void {
    if (error instanceof LinkLost || isTidemarkError(error, 'TIDEMARK_STORE_UNAVAILABLE')) {
      this.#held.failed(held)
      this.#rest(error)
      return
    }
    const moved =
      isTidemarkError(error, 'TIDEMARK_STATE_CONFLICT') ||
      isTidemarkError(error, 'TIDEMARK_STATE_MISSING')
    if (moved && held.version !== undefined) {
      // Somebody else has written, or the service has forgotten: what was set last holds all the same.
      const { version } = error.details
      this.#held.failed(held, typeof version === 'number' ? version : undefined)
      return
    }
    this.sent.refused += 1
    this.#held.givenUp(held)
    this.#logger.warn({ key: held.key, err: error }, 'the state service refuses a state')
  }

  /** All that were under way fail together; one pause is for all of them. */
  #rest(error: Error): void {
    this.trouble = error.message
    if (this.#closed || this.#pause !== undefined) return
    this.sent.failures += 1
    this.#attempt += 1
    const pause = backoff(Math.min(this.#attempt, 30))
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      this.#pump()
    }, pause)
  }
}

/** A state whose time was over before it could be sent is removed instead. */
function requestOf({ key, text, token, expiresAt, version, writeId }: Held): string {
  const options = {
    writeId,
    ...(token === undefined ? {} : { token }),
    ...(version === undefined ? {} : { ifVersion: version }),
  }
  const ttl = expiresAt === undefined ? undefined : expiresAt - Date.now()
  if (text === undefined || (ttl !== undefined && ttl <= 0)) {
    return `"op":"delete",${writeText(key, options)}`
  }
  const job = ttl === undefined ? text : `${text.slice(0, -1)},"ttl":${ttl}}`
  return `"op":"put",${writeText(key, options)},"job":${job}`
}
