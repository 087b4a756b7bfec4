import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import {
  findOrphanedOutputs,
  forgetOutputKeys,
  judgeOutputKeys,
} from '../../database/sql/job/job-outputs.ts'
import { withTimeout } from '../../outbox/woken/wait.ts'
import type { OutputStore } from './output-store.ts'
import { storePatience, type Outputs } from './outputs.ts'

// Few enough for a store that deletes them one by one: a page is repeated as a whole.
const pageSize = 100
// What is left comes with the next round.
const mostPages = 100
// A put that was under way when its attempt ended has come to its end by then: what it puts later, nobody looks for.
const grace = 86_400_000

/**
 * Deletes from the application's store what nothing refers to any more: the outputs of jobs that were deleted, at once,
 * and what attempts have put and never referred to, after a day.
 *
 * Several processes may do so at the same time: what the other one has deleted is not there, which is no error.
 */
export class OutputSweep {
  readonly #database: Database
  readonly #outputs: Outputs
  readonly #stopping: AbortSignal

  /** @param stopping - aborts when the process stops: what is left is another's. */
  constructor(database: Database, outputs: Outputs, stopping: AbortSignal) {
    this.#database = database
    this.#outputs = outputs
    this.#stopping = stopping
  }

  /** One round; answers how many outputs were deleted. Keys of stores that this process does not have are left. */
  async run(): Promise<number> {
    const { store, schema } = this.#outputs
    if (store === undefined) return 0
    const until = performance.now() + storePatience
    await run(this.#database, judgeOutputKeys(schema), [store.name, grace, pageSize * mostPages])
    let deleted = 0
    // A slow store must not keep the rest of the maintenance waiting.
    for (let page = 0; page < mostPages && performance.now() < until; page++) {
      const found = await run(this.#database, findOrphanedOutputs(schema), [store.name, pageSize])
      const keys = found.rows.map((row) => row['key'] as string)
      if (keys.length === 0 || !(await this.#delete(store, keys))) break
      // INVARIANT: after the store: a key whose row is gone is never looked for again.
      await run(this.#database, forgetOutputKeys(schema), [keys])
      deleted += keys.length
      if (keys.length < pageSize) break
    }
    return deleted
  }

  /** Answers false when the process stops meanwhile. */
  async #delete(store: OutputStore, keys: readonly string[]): Promise<boolean> {
    if (this.#stopping.aborted) return false
    const signal = AbortSignal.any([this.#stopping, AbortSignal.timeout(storePatience)])
    const what = `deleting from the store "${store.name}"`
    try {
      await withTimeout(storePatience, what, store.delete(keys, { signal }))
      return true
    } catch (error) {
      if (this.#stopping.aborted) return false
      throw error
    }
  }
}
