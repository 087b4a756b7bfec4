import type { TestDatabase } from '@tidemark/testing'
import type pg from 'pg'
import { vi } from 'vitest'

/**
 * An advisory lock that the test holds. SQL waits at it with `pg_advisory_xact_lock_shared(key)`, and the test
 * sees it wait.
 */
export class Gate implements AsyncDisposable {
  readonly key: number
  readonly #holder: pg.Client

  private constructor(key: number, holder: pg.Client) {
    this.key = key
    this.#holder = holder
  }

  static async close(database: TestDatabase, key = 4711): Promise<Gate> {
    const holder = await database.connect()
    await holder.query('select pg_advisory_lock($1)', [key])
    return new Gate(key, holder)
  }

  /** Resolves when somebody stands before the gate. */
  async reached(): Promise<void> {
    await vi.waitFor(
      async () => {
        const { rowCount } = await this.#holder.query(
          `select from pg_locks where locktype = 'advisory' and objid = $1 and not granted
           and database = (select oid from pg_database where datname = current_database())`,
          [this.key],
        )
        if (rowCount === 0) throw new Error(`nobody waits at gate ${this.key}`)
      },
      { timeout: 15_000, interval: 5 },
    )
  }

  /** Lets everybody through, for good. */
  async open(): Promise<void> {
    await this.#holder.query('select pg_advisory_unlock_all()')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder.end()
  }
}
