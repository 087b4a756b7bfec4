import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { readLargeOutputs } from '../../database/sql/job/job-outputs.ts'
import { referenceIn } from '../outputs/large-output.ts'
import type { Outputs } from '../outputs/outputs.ts'
import type { ContextStore } from './context-store.ts'
import { sha256Of, type ShownOutput } from './job-document.ts'

/** An output as a row has it. */
interface OutputRow {
  readonly output: unknown
  readonly output_meta: unknown
}

const mostRemembered = 10_000

/**
 * The large outputs of jobs, which are objects of their own: a document is written after every step, and must not have
 * them in it each time.
 */
export class LargeObjects {
  readonly #database: Database
  readonly #outputs: Outputs
  readonly #store: ContextStore
  /** The notes on those that this process has put, by their keys. */
  readonly #put = new Map<string, unknown>()

  constructor(database: Database, outputs: Outputs, store: ContextStore) {
    this.#database = database
    this.#outputs = outputs
    this.#store = store
  }

  /**
   * Puts the large outputs among some rows that Postgres keeps.
   *
   * @returns how the document shows any of these rows.
   */
  async put(
    job: string,
    folder: string,
    rows: readonly OutputRow[],
    signal: AbortSignal,
  ): Promise<(row: OutputRow) => ShownOutput> {
    const keys = rows.flatMap(({ output, output_meta: meta }) => {
      const reference = referenceIn({ output, meta })
      return reference === undefined || reference.store !== undefined ? [] : [reference.key]
    })
    const missing = keys.filter((key) => !this.#put.has(key))
    if (missing.length > 0) {
      if (this.#put.size > mostRemembered) this.#put.clear()
      const read = readLargeOutputs(this.#outputs.schema)
      const { rows: found } = await run(this.#database, read, [job, missing])
      for (const { key, output, output_meta: meta } of found) {
        const text = `${JSON.stringify(output)}\n`
        const options = { version: 1, sha256: sha256Of(text), signal }
        await this.#store.put(largeAt(folder, key as string), text, options)
        this.#put.set(key as string, meta)
      }
    }
    return (row) => this.#shown(folder, row)
  }

  #shown(folder: string, { output, output_meta: meta }: OutputRow): ShownOutput {
    const reference = referenceIn({ output, meta })
    if (reference === undefined) {
      return { output, ...(meta === null ? {} : { outputMeta: meta }) }
    }
    const { key, store } = reference
    if (store !== undefined) {
      return { output: null, outputAt: this.#outputs.store?.locate?.(key) ?? `${store}:${key}` }
    }
    const notes = this.#put.get(key)
    return {
      output: null,
      ...(notes === null || notes === undefined ? {} : { outputMeta: notes }),
      outputAt: largeAt(folder, key),
    }
  }
}

function largeAt(folder: string, key: string): string {
  return `${folder}outputs/${key}.json`
}
