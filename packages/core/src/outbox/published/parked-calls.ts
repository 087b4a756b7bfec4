import { errorCodeOf, isConnectionError, isRetryableConflict } from '../../errors/postgres-error.ts'
import { wait } from '../woken/wait.ts'
import type { CallOutcome } from './append.ts'
import { busy, locksOf, refuse, type PublishCall } from './publish-call.ts'

// How often they are tried again, in milliseconds, and how many at once.
const poll = 50
const mostAtOnce = 500
const lockNotAvailable = '55P03'

/**
 * Calls whose stream or key another transaction has held for long. They are tried again together, without waiting and on
 * one connection, so that none of them stands in the way of another; calls that share a lock keep their order. One that
 * has waited for longer than it may is refused.
 */
export class ParkedCalls {
  readonly #append: (calls: readonly PublishCall[]) => Promise<CallOutcome[]>
  #calls: PublishCall[] = []
  readonly #locks = new Map<string, number>()
  #polling: Promise<void> | undefined

  /** @param append - appends the calls whose streams are free, each judged on its own; the others are `busy`. */
  constructor(append: (calls: readonly PublishCall[]) => Promise<CallOutcome[]>) {
    this.#append = append
  }

  /** Whether a call has to wait behind one that is parked. */
  blocks(call: PublishCall): boolean {
    return this.#locks.size > 0 && [...locksOf(call)].some((lock) => this.#locks.has(lock))
  }

  add(call: PublishCall): void {
    this.#calls.push(call)
    for (const lock of locksOf(call)) this.#locks.set(lock, (this.#locks.get(lock) ?? 0) + 1)
    this.#polling ??= this.#poll().finally(() => {
      this.#polling = undefined
    })
  }

  /** Resolves when none is left. */
  async idle(): Promise<void> {
    await this.#polling
  }

  async #poll(): Promise<void> {
    while (this.#calls.length > 0) {
      const now = performance.now()
      for (const call of this.#calls.filter(({ deadline }) => deadline <= now)) {
        this.#remove(call)
        call.reject(busy(call))
      }
      const settled = await this.#try(this.#first())
      if (settled === 0 && this.#calls.length > 0) await wait(poll)
    }
  }

  /** The calls that no other of theirs stands before. */
  #first(): PublishCall[] {
    const taken = new Set<string>()
    const calls: PublishCall[] = []
    for (const call of this.#calls) {
      if (calls.length === mostAtOnce) break
      const locks = locksOf(call)
      if (taken.isDisjointFrom(locks)) calls.push(call)
      for (const lock of locks) taken.add(lock)
    }
    return calls
  }

  /** Tries calls without waiting; answers how many are done with. */
  async #try(calls: readonly PublishCall[]): Promise<number> {
    if (calls.length === 0) return 0
    try {
      let settled = 0
      for (const [index, outcome] of (await this.#append(calls)).entries()) {
        if (outcome === 'busy') continue
        const call = calls[index] as PublishCall
        this.#remove(call)
        if (Array.isArray(outcome)) call.resolve(outcome)
        else call.reject(outcome)
        settled += 1
      }
      return settled
    } catch (error) {
      // One of them waits for a name that is not committed, or is refused: it is found by halves.
      if (calls.length > 1 && !isConnectionError(error)) {
        const middle = calls.length >>> 1
        return (await this.#try(calls.slice(0, middle))) + (await this.#try(calls.slice(middle)))
      }
      if (errorCodeOf(error) === lockNotAvailable || isRetryableConflict(error)) return 0
      for (const call of calls) {
        this.#remove(call)
        refuse(call, error)
      }
      return calls.length
    }
  }

  #remove(call: PublishCall): void {
    this.#calls = this.#calls.filter((one) => one !== call)
    for (const lock of locksOf(call)) {
      const left = (this.#locks.get(lock) ?? 0) - 1
      if (left > 0) this.#locks.set(lock, left)
      else this.#locks.delete(lock)
    }
  }
}
