import type { Tail } from '../../outbox/read/tail.ts'
import type { Doorbell } from '../../outbox/woken/doorbell.ts'

/** Follows the outbox only while this process runs something: a standby must not make publishers ring. */
export class Follower {
  readonly #tail: Tail
  readonly #doorbell: Doorbell
  readonly #session: AbortController
  #abort: AbortController | undefined
  #following: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(tail: Tail, doorbell: Doorbell, session: AbortController) {
    this.#tail = tail
    this.#doorbell = doorbell
    this.#session = session
  }

  async follow(signal: AbortSignal): Promise<void> {
    if (this.#abort !== undefined) return
    this.#doorbell.forget()
    await this.#tail.open()
    this.#abort = new AbortController()
    this.#following = this.#tail
      .follow(AbortSignal.any([signal, this.#abort.signal]))
      .catch((error: unknown) => {
        this.#failure = { error }
        this.#session.abort()
      })
  }

  async pause(): Promise<void> {
    if (this.#abort === undefined) return
    this.#abort.abort()
    await this.#following
    this.#abort = undefined
    await this.#doorbell.disarm().catch(() => {})
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
