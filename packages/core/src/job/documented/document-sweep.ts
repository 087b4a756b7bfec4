import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { findOrphanedDocuments, forgetDocument } from '../../database/sql/job/job-documents.ts'
import type { Documents } from './documents.ts'

const pageSize = 100
// A slow store must not keep the rest of the maintenance waiting.
const patience = 30_000

/** Finds documents that are late, and deletes all that the store has of jobs that were deleted. */
export class DocumentSweep {
  readonly #database: Database
  readonly #schema: string
  readonly #documents: Documents | undefined
  readonly #stopping: AbortSignal

  /** @param stopping - aborts when the process stops: what is left is another's. */
  constructor(
    database: Database,
    schema: string,
    documents: Documents | undefined,
    stopping: AbortSignal,
  ) {
    this.#database = database
    this.#schema = schema
    this.#documents = documents
    this.#stopping = stopping
  }

  /** One round; answers of how many jobs the store was cleaned up. */
  async run(): Promise<number> {
    if (this.#documents === undefined) return 0
    const { store } = this.#documents
    await this.#documents.findLate()
    const signal = AbortSignal.any([this.#stopping, AbortSignal.timeout(patience)])
    const values = [store.name, pageSize]
    const { rows } = await run(this.#database, findOrphanedDocuments(this.#schema), values)
    let cleaned = 0
    for (const { id, root } of rows) {
      if (signal.aborted) break
      const prefix = root as string
      await store.abandon(prefix, { signal })
      for (;;) {
        const names = await store.names(prefix, { signal })
        if (names.length === 0) break
        await store.delete(names, { signal })
      }
      // INVARIANT: after the store: what no row knows of is never looked for again.
      await run(this.#database, forgetDocument(this.#schema), [id])
      cleaned += 1
    }
    return cleaned
  }
}
