import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import {
  findLateDocuments,
  noteStored,
  readDocument,
  readDocumentSteps,
  readReference,
  referToDocument,
  referToIdleDocument,
} from '../../database/sql/job/job-documents.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { orAborted, wait, withTimeout } from '../../outbox/woken/wait.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { ContextDocument, DocumentFile, DocumentWebhook } from '../defined/context-document.ts'
import type { Outputs } from '../outputs/outputs.ts'
import { LargeObjects } from './apart.ts'
import type { ContextStore } from './context-store.ts'
import {
  documentOf,
  filesOf,
  sha256Of,
  textOf,
  webhookOf,
  type DocumentRow,
  type DocumentStepRow,
} from './job-document.ts'
import { definitionAt, folderOf, rootOf, type JobPlace } from './place.ts'

/** The claim of the attempt whose job it is. */
export interface DocumentClaim {
  readonly id: string
  readonly token: string
}

/** The reference that Postgres has. */
interface ReferenceRow extends JobPlace {
  readonly id: string
  readonly store: string
  readonly version: number
  readonly sha256: string | null
}

/** What a type of jobs is, for other tools. */
export interface DescribedJob {
  readonly version: number
}

/** How long a store may take for one document, in milliseconds. */
const documentPatience = 5_000
const shortestPause = 250
const longestPause = 10_000
const mostFound = 100
// A document whose job has just ended is about to be written by the process that ran it.
const grace = 2_000
const finished: ReadonlySet<string> = new Set(['completed', 'failed', 'cancelled'])

/**
 * Brings what Postgres has of jobs into an object store, for other tools.
 *
 * INVARIANT: a document is made of committed rows only, and the reference to its text, with version and hash, is
 * committed before the text is put. Versions are drawn from the row by compare-and-set, and the store refuses the lower
 * one: so what is in the store at rest is what was read last, whoever was late.
 */
export class Documents {
  readonly store: ContextStore
  readonly #database: Database
  readonly #schema: string
  readonly #logger: Logger
  readonly #describe: (name: string) => DescribedJob | undefined
  readonly #large: LargeObjects
  readonly #waiting = new Map<string, Promise<void>>()
  readonly #tails = new Map<string, Promise<void>>()
  readonly #late = new Set<string>()
  readonly #continuing = new Set<string>()
  #pause = 0
  #away = 0
  #ring = Promise.withResolvers<void>()

  constructor(
    database: Database,
    outputs: Outputs,
    store: ContextStore,
    logger: Logger,
    describe: (name: string) => DescribedJob | undefined,
  ) {
    this.store = store
    this.#database = database
    this.#schema = outputs.schema
    this.#logger = logger
    this.#describe = describe
    this.#large = new LargeObjects(database, outputs, store)
  }

  /** Whether the context of jobs of this type is kept. */
  keeps(name: string): boolean {
    return this.store.jobs?.includes(name) ?? true
  }

  rootOf(job: string, name: string): string {
    return rootOf(this.store, job, name)
  }

  /**
   * Writes the document as the rows have it by now, and resolves when it is in the store. Never throws: where the store
   * is away, the job goes on, and the document follows.
   *
   * @param claim - of the attempt whose job it is; without a token: of whoever brings it up to date.
   */
  save({ id, token }: { readonly id: string; readonly token?: string }): Promise<void> {
    // What waits for its turn will read what is committed now.
    const waiting = this.#waiting.get(id)
    if (waiting !== undefined) return waiting
    if (performance.now() < this.#away) {
      this.#fallBehind(id)
      return Promise.resolve()
    }
    const mine = (this.#tails.get(id) ?? Promise.resolve()).then(() => {
      this.#waiting.delete(id)
      return this.#try(id, token)
    })
    this.#waiting.set(id, mine)
    this.#tails.set(id, mine)
    return mine.finally(() => {
      if (this.#tails.get(id) === mine) this.#tails.delete(id)
    })
  }

  /** Resolves when nothing is being written. What is late stays so: another process, or the next start, sees to it. */
  async drained(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values())
  }

  /** Brings documents up to date that are late, of this process and of those that have died, until the signal aborts. */
  async mend(signal: AbortSignal): Promise<void> {
    await this.findLate()
    while (!signal.aborted) {
      if (this.#late.size === 0) {
        this.#ring = Promise.withResolvers<void>()
        const stop = Promise.withResolvers<void>()
        signal.addEventListener('abort', () => stop.resolve(), { once: true })
        await Promise.race([this.#ring.promise, stop.promise])
      }
      await wait(Math.max(0, this.#away - performance.now()), signal)
      for (const id of this.#late) {
        if (signal.aborted || performance.now() < this.#away) break
        this.#late.delete(id)
        await this.save({ id })
      }
    }
  }

  /** Looks for documents that are late although nobody runs their jobs; answers how many are. */
  async findLate(): Promise<number> {
    const values = [this.store.name, grace, mostFound]
    const { rows } = await run(this.#database, findLateDocuments(this.#schema), values)
    for (const { id } of rows) this.#fallBehind(id as string)
    return rows.length
  }

  /**
   * The document of a job, as the store has it if that is what Postgres says is current, and else as it is written
   * anew.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_CONTEXT, and whatever the store throws.
   */
  async load(id: string): Promise<ContextDocument> {
    const signal = AbortSignal.timeout(documentPatience)
    for (let turn = 0; ; turn++) {
      const reference = await this.#reference(id)
      const text = await orAborted(signal, this.store.get(nameOf(reference), { signal }))
      // INVARIANT: what was put late, never, or by somebody else is never believed.
      if (text !== undefined && sha256Of(text) === reference.sha256) {
        return JSON.parse(text) as ContextDocument
      }
      // Somebody may be writing it just now.
      await this.#write(id, undefined, signal, turn > 0)
    }
  }

  /** The files of a job. */
  async files(id: string): Promise<DocumentFile[]> {
    return filesOf(await this.#row(id))
  }

  /** The webhook of a job; null: none. */
  async webhook(id: string): Promise<DocumentWebhook | null> {
    return webhookOf(await this.#row(id))
  }

  /** Writes the last document of an execution that is about to begin anew, and lets `work` do that. */
  async continued(claim: DocumentClaim, work: () => Promise<unknown>): Promise<void> {
    this.#continuing.add(claim.id)
    try {
      await this.save(claim)
      await work()
    } finally {
      this.#continuing.delete(claim.id)
    }
  }

  /** The name of a job's document in the store. */
  async nameOf(id: string): Promise<string> {
    return nameOf(await this.#reference(id))
  }

  async #row(id: string): Promise<DocumentRow> {
    const { rows } = await run(this.#database, readDocument(this.#schema), [id, this.store.name])
    if (rows[0] === undefined) throw this.#unknown(id)
    return rows[0] as unknown as DocumentRow
  }

  async #reference(id: string): Promise<ReferenceRow> {
    const { rows } = await run(this.#database, readReference(this.#schema), [id])
    const [row] = rows
    if (row !== undefined && row['store'] === this.store.name) return row as unknown as ReferenceRow
    throw this.#unknown(id)
  }

  #unknown(id: string): TidemarkError {
    return new TidemarkError(
      'TIDEMARK_UNKNOWN_CONTEXT',
      `the store "${this.store.name}" has no context of a job ${id}`,
      { details: { id, store: this.store.name } },
    )
  }

  #fallBehind(id: string): void {
    this.#late.add(id)
    this.#ring.resolve()
  }

  async #try(id: string, token: string | undefined): Promise<void> {
    const signal = AbortSignal.timeout(documentPatience)
    try {
      await withTimeout(documentPatience, 'the context store', this.#write(id, token, signal))
      this.#pause = 0
    } catch (error) {
      // Jobs do not wait for a store that is away, each of them anew.
      if (this.#pause === 0) {
        const fields = { err: error, job: id, store: this.store.name }
        this.#logger.warn(fields, 'the context of a job could not be stored; it is tried again')
      }
      this.#pause = Math.min(Math.max(this.#pause * 2, shortestPause), longestPause)
      this.#away = performance.now() + this.#pause
      this.#fallBehind(id)
    }
  }

  /** @param anew - puts it although it should be there. */
  async #write(
    id: string,
    token: string | undefined,
    signal: AbortSignal,
    anew = false,
  ): Promise<void> {
    // The store may be ahead of a database that was restored from a backup.
    let floor = 0
    for (;;) {
      signal.throwIfAborted()
      const { rows } = await run(this.#database, readDocument(this.#schema), [id, this.store.name])
      const row = rows[0] as unknown as DocumentRow | undefined
      if (row === undefined) return
      const steps = (await run(this.#database, readDocumentSteps(this.#schema), [id]))
        .rows as unknown as DocumentStepRow[]
      const folder = folderOf(id, row)
      const shown = await this.#large.put(id, folder, [row, ...steps], signal)
      const status = this.#continuing.has(id) ? 'continued' : row.status
      const document = documentOf({ ...row, status }, steps, shown)
      const same = sha256Of(textOf(document, row.version)) === row.sha256 && row.version > floor
      if (same && row.stored === row.version && !anew) {
        if (row.final || !finished.has(row.status)) return
      }
      const version = same ? row.version : Math.max(row.version, floor) + 1
      const text = textOf(document, version)
      const sha256 = sha256Of(text)
      const reference = { row, version, sha256, bytes: Buffer.byteLength(text) }
      if (!same && !(await this.#refer(id, token, reference))) {
        // Another was faster, and is read again; or the job is another attempt's, which writes it.
        if (token !== undefined && !(await this.#isOwn(id, token))) return
        continue
      }
      if (row.stored === 0) await this.#putDefinition(row, signal)
      const name = `${folder}context.json`
      const there = await this.store.put(name, text, { version, sha256, signal })
      if (there.version === version) {
        const final = finished.has(row.status)
        if (final && row.uploads) await this.#removeStrays(folder, row, signal)
        await run(this.#database, noteStored(this.#schema), [id, version, final])
        return
      }
      const reached = (await this.#reference(id)).version
      // Somebody has written a later one, with all that this one has in it.
      if (reached >= there.version) return
      floor = there.version
    }
  }

  async #refer(
    id: string,
    token: string | undefined,
    given: {
      readonly row: DocumentRow
      readonly version: number
      readonly sha256: string
      readonly bytes: number
    },
  ): Promise<boolean> {
    const { row, version, sha256, bytes } = given
    const refer = token === undefined ? referToIdleDocument : referToDocument
    const values = [id, token ?? row.token, row.version, version, sha256, bytes]
    return (await run(this.#database, refer(this.#schema), values)).rowCount === 1
  }

  async #isOwn(id: string, token: string): Promise<boolean> {
    const { rows } = await run(this.#database, readDocument(this.#schema), [id, this.store.name])
    return rows[0]?.['token'] === token && rows[0]['status'] === 'running'
  }

  async #putDefinition(row: DocumentRow, signal: AbortSignal): Promise<void> {
    const described = this.#describe(row.name)
    if (described === undefined) return
    const text = `${JSON.stringify({ format: 1, ...described }, null, 2)}\n`
    const sha256 = sha256Of(text)
    const { version } = described
    await this.store.put(definitionAt(row.root), text, { version, sha256, signal })
  }

  /** Files that attempts have begun to write, and never named: nobody looks for them any more. */
  async #removeStrays(folder: string, { files }: DocumentRow, signal: AbortSignal): Promise<void> {
    const prefix = `${folder}files/`
    const known = new Set(Object.values(files).map(({ location }) => location))
    await this.store.abandon(prefix, { signal })
    for (let after = ''; ;) {
      const names = await this.store.names(prefix, { after, signal })
      const strays = names.filter((name) => !known.has(name))
      if (strays.length > 0) await this.store.delete(strays, { signal })
      const last = names.at(-1)
      if (last === undefined) return
      after = last
    }
  }
}

function nameOf(reference: ReferenceRow): string {
  return `${folderOf(reference.id, reference)}context.json`
}
