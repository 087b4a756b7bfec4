import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { TestingError } from '../testing-error.ts'
import type { FaultyDatabase } from './faults.ts'
import type { Fault } from './sql-fault.ts'

const longestWait = 15_000
const pollInterval = 5

/** Transactions that wait at their COMMIT. Disposing it releases them. */
export class HeldCommits implements Fault {
  readonly #fault: Fault
  readonly #gate: number
  readonly #holder: pg.Client

  private constructor(fault: Fault, gate: number, holder: pg.Client) {
    this.#fault = fault
    this.#gate = gate
    this.#holder = holder
  }

  /** Closes the gate at which they wait: an advisory lock. */
  static async close(database: FaultyDatabase, fault: Fault, gate: number): Promise<HeldCommits> {
    const holder = await database.connect({ application_name: 'tidemark test fault' })
    await holder.query('select pg_advisory_lock($1)', [gate])
    return new HeldCommits(fault, gate, holder)
  }

  /**
   * Resolves when so many transactions wait.
   *
   * @throws TestingError TIDEMARK_TESTING_NOT_IDLE after 15 s.
   */
  async reached(count = 1): Promise<void> {
    const deadline = Date.now() + longestWait
    for (;;) {
      const { rows } = await this.#holder.query<{ waiting: number }>(
        `select count(*)::integer as waiting from pg_locks
         where locktype = 'advisory' and not granted and classid = 0 and objid = $1
           and database = (select oid from pg_database where datname = current_database())`,
        [this.#gate],
      )
      const waiting = rows[0]?.waiting ?? 0
      if (waiting >= count) return
      if (Date.now() > deadline) {
        throw new TestingError(
          'TIDEMARK_TESTING_NOT_IDLE',
          `${waiting} transactions wait at their COMMIT, not ${count}, after ${longestWait} ms`,
          'Publish, or run the listener, before you wait for it to commit.',
        )
      }
      await delay(pollInterval)
    }
  }

  /** Lets those that wait commit, and all later ones. */
  async release(): Promise<void> {
    await this.#holder.query('select pg_advisory_unlock_all()')
  }

  hits(): Promise<number> {
    return this.#fault.hits()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release()
    await this.#holder.end()
    await this.#fault[Symbol.asyncDispose]()
  }
}
