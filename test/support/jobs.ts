import type { TestDatabase } from '@tidemark/testing'
import { vi } from 'vitest'

/** A promise that a test keeps open, and what it has seen of it. */
export class Latch {
  readonly #opened = Promise.withResolvers<void>()
  readonly #reached = Promise.withResolvers<void>()
  /** How often somebody has come. */
  count = 0

  /** To be awaited by the job: says that it is there, and waits. */
  async pass(): Promise<void> {
    this.count += 1
    this.#reached.resolve()
    await this.#opened.promise
  }

  /** Resolves when somebody has come. */
  get reached(): Promise<void> {
    return this.#reached.promise
  }

  /** Resolves when it has been opened. */
  get opened(): Promise<void> {
    return this.#opened.promise
  }

  open(): void {
    this.#opened.resolve()
  }
}

/** Waits until a query answers this value in its first column. */
export async function until(
  database: TestDatabase,
  text: string,
  expected: unknown,
  values: readonly unknown[] = [],
): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await database.query(text, values)
      const [value] = Object.values(rows[0] ?? {})
      if (value !== expected) throw new Error(`${text}: ${String(value)}, not ${String(expected)}`)
    },
    { timeout: 20_000, interval: 10 },
  )
}

/** Waits until a job has this status. */
export async function untilStatus(
  database: TestDatabase,
  id: string,
  status: string,
): Promise<void> {
  await until(database, 'select status from tidemark.jobs where id = $1', status, [id])
}
