import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import {
  findSurplus,
  forgetLocks,
  forgetRates,
  forgetTicks,
  lockRetention,
  sweepJobs,
} from '../../database/sql/job/job-retention.ts'
import { newerTypes } from '../../database/sql/job/known-types.ts'
import {
  brief,
  inTransaction,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import type { DeclaredRetention } from '../declared/retention.ts'
import type { JobRegistry } from '../defined/job-registry.ts'
import { DataDirs } from '../remembered/data-dir.ts'

// Small enough that a page is short work for vacuum and for who waits for a row.
const pageSize = 2_000
// What is left comes with the next round.
const mostPages = 25
const nil = '00000000-0000-0000-0000-000000000000'

/** How long is kept what nobody looks at, in milliseconds. */
const keepTicks = 30 * 86_400_000
const keepLocks = 7 * 86_400_000

/** The end, in microseconds since 1970, and the id of the newest job that is one too many. */
interface Surplus {
  readonly id: string
  readonly ended: string
}

interface Policy extends DeclaredRetention {
  readonly name: string
  /** Of its definition. */
  readonly version: number
}

/**
 * Deletes what is past its time: finished jobs, ticks of schedules, locks and rates that nobody uses. It walks along
 * the jobs in the order of their ids, a page a transaction, and begins again when it has come to the end.
 */
export class JobKeeper {
  readonly #database: Database
  readonly #schema: string
  readonly #all: readonly Policy[]
  /** Those for the present walk: of types that no other process has in a higher version. */
  #policies: readonly Policy[] = []
  readonly #dirs: DataDirs
  #after = nil
  #surplus: ReadonlyMap<string, Surplus> = new Map()

  /**
   * @param fallback - for types that say nothing.
   * @param dataDir - where the directories of jobs are.
   */
  constructor(
    database: Database,
    schema: string,
    registry: JobRegistry,
    fallback: DeclaredRetention | undefined,
    dataDir: string | undefined,
  ) {
    this.#dirs = new DataDirs(database, schema, dataDir)
    this.#database = database
    this.#schema = schema
    this.#all = [...registry].flatMap(({ name, aliases, version, retention = fallback }) =>
      retention === undefined
        ? []
        : [name, ...aliases].map((each) => ({ ...retention, name: each, version })),
    )
  }

  /** One round; answers how many jobs were deleted. While another process is at it, none. */
  async run(): Promise<number> {
    await this.#dirs.sweep()
    await run(this.#database, forgetTicks(this.#schema), [keepTicks])
    await run(this.#database, forgetLocks(this.#schema), [keepLocks])
    await run(this.#database, forgetRates(this.#schema), [])
    if (this.#all.length === 0) return 0
    let deleted = 0
    for (let page = 0; page < mostPages; page++) {
      const swept = await this.#alone((transaction) => this.#sweep(transaction))
      if (swept === undefined) break
      deleted += swept.deleted
      if (swept.end) break
    }
    return deleted
  }

  /** Runs `work` while no other process does; undefined when one does. */
  async #alone<T>(work: (transaction: OpenTransaction) => Promise<T>): Promise<T | undefined> {
    const [result] = await inTransaction(this.#database, brief, async (transaction) => {
      const { rows } = await run(transaction, lockRetention(this.#schema), [])
      return rows[0]?.['held'] === true ? work(transaction) : undefined
    })
    return result
  }

  async #sweep(transaction: OpenTransaction): Promise<{ deleted: number; end: boolean }> {
    // What is one too many stays so, whatever ends meanwhile: it is looked for once for each walk along all jobs.
    if (this.#after === nil) {
      this.#policies = await this.#findPolicies(transaction)
      this.#surplus = await this.#findSurplus(transaction)
    }
    const surplus = this.#surplus
    const { rows } = await run(transaction, sweepJobs(this.#schema), [
      this.#after,
      pageSize,
      this.#policies.map(({ name }) => name),
      this.#policies.map(({ age }) => age),
      this.#policies.map(({ failed }) => failed),
      this.#policies.map(({ name }) => surplus.get(name)?.id ?? null),
      this.#policies.map(({ name }) => surplus.get(name)?.ended ?? null),
      this.#policies.map(({ version }) => version),
    ])
    const { last, seen, deleted } = rows[0] as {
      last: string | null
      seen: number
      deleted: number
    }
    const end = seen < pageSize
    this.#after = end ? nil : (last ?? nil)
    return { deleted, end }
  }

  async #findPolicies(transaction: OpenTransaction): Promise<readonly Policy[]> {
    const { rows } = await run(transaction, newerTypes(this.#schema), [
      this.#all.map(({ name }) => name),
      this.#all.map(({ version }) => version),
    ])
    const newer = new Set(rows.map((row) => row['name']))
    return this.#all.filter(({ name }) => !newer.has(name))
  }

  async #findSurplus(transaction: OpenTransaction): Promise<ReadonlyMap<string, Surplus>> {
    const counted = this.#policies.filter(({ count }) => count !== null)
    if (counted.length === 0) return new Map()
    const { rows } = await run(transaction, findSurplus(this.#schema), [
      counted.map(({ name }) => name),
      counted.map(({ count }) => count),
    ])
    return new Map(rows.map((row) => [row['name'] as string, row as unknown as Surplus]))
  }
}
