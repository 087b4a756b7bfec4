import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { addFileFromOutside, setWebhookFromOutside } from '../../database/sql/job/job-documents.ts'
import type { SchemaStatement } from '../../database/statement.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { ContextDocument, DocumentFile, DocumentStep } from '../defined/context-document.ts'
import { encodeStored } from '../defined/job-codec.ts'
import type { NewFile, WebhookData } from '../defined/job-document.ts'
import type { Documents } from '../documented/documents.ts'
import { fileOf, webhookRow } from '../documented/job-file.ts'

/**
 * The document of a job, seen from outside of it.
 *
 * @example
 * ```ts
 * import { defineApp } from 'tidemark'
 *
 * const tidemark = defineApp({ modules: [] })
 *
 * export async function rowsOf(id: string): Promise<unknown> {
 *   const { steps, files } = await tidemark.jobs.document(id).load()
 *   return steps['fetch']?.output ?? files[0]?.rowCount
 * }
 * ```
 */
export class StoredDocument {
  readonly id: string
  readonly #database: Database
  readonly #schema: string
  readonly #documents: Documents

  constructor(id: string, database: Database, schema: string, documents: Documents) {
    this.id = id
    this.#database = database
    this.#schema = schema
    this.#documents = documents
  }

  /** The name of its object in the store. */
  name(): Promise<string> {
    return this.#documents.nameOf(this.id)
  }

  /**
   * Reads the document from the store. What is not what Postgres calls current is written anew, and never believed.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_CONTEXT: the job has not begun, or its context is not kept here.
   */
  load(): Promise<ContextDocument> {
    return this.#documents.load(this.id)
  }

  /** Writes the document as the job is now. */
  async save(): Promise<ContextDocument> {
    await this.#documents.save({ id: this.id })
    return this.load()
  }

  /** What the document says of a step; undefined: nothing. */
  async step(id: string): Promise<DocumentStep | undefined> {
    const { steps } = await this.load()
    return Object.hasOwn(steps, id) ? steps[id] : undefined
  }

  /** Says what webhook the job is about, while it has not finished. */
  async setWebhookData(webhook: WebhookData): Promise<void> {
    const { json, meta } = encodeStored('the webhook', webhookRow(webhook))
    await this.#change(setWebhookFromOutside, [json, meta])
  }

  /** Adds a file to the job, while it has not finished. */
  async addFileMetadata(file: NewFile): Promise<DocumentFile> {
    const added = fileOf(this.id, file)
    await this.#change(addFileFromOutside, [added.path, JSON.stringify(added)])
    return added
  }

  async #change(statement: SchemaStatement, values: readonly unknown[]): Promise<void> {
    const change = statement(this.#schema)
    const { rowCount } = await run(this.#database, change, [this.id, ...values])
    if (rowCount !== 1) {
      throw new TidemarkError(
        'TIDEMARK_UNKNOWN_CONTEXT',
        `job ${this.id} has no context that could be changed: it has not begun, or has finished`,
        { details: { id: this.id } },
      )
    }
    await this.#documents.save({ id: this.id })
  }
}
