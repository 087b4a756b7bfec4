import { createHash, randomUUID } from 'node:crypto'
import { addFile, beginUploads } from '../../database/sql/job/job-documents.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { DocumentFile } from '../defined/context-document.ts'
import type { FileContent, JobFiles, WriteFileOptions } from '../defined/job-document.ts'
import type { Documents } from '../documented/documents.ts'
import { fileOf, requirePath } from '../documented/job-file.ts'
import { mediaTypeOf } from '../documented/media-type.ts'
import { folderOf, type JobPlace } from '../documented/place.ts'
import { RowCount } from '../documented/row-count.ts'
import type { JobMemory } from '../remembered/job-memory.ts'

/** The files of one attempt. */
export class RunFiles implements JobFiles {
  readonly #attempt: Attempt
  readonly #memory: JobMemory

  constructor(attempt: Attempt, memory: JobMemory) {
    this.#attempt = attempt
    this.#memory = memory
  }

  readonly write = (
    path: string,
    content: FileContent,
    options: WriteFileOptions = {},
  ): Promise<DocumentFile> =>
    this.#memory.branches.give(async () => {
      const attempt = this.#attempt
      const documents = documentsOf(attempt)
      requirePath(attempt.definition.name, path)
      const { mimeType = mediaTypeOf(path) } = options
      // INVARIANT: before the object: what is put and never named is looked for when the job has finished.
      const [place] = await attempt.persist(beginUploads, [])
      const folder = folderOf(attempt.job.id, place as unknown as JobPlace)
      // A name of its own: an attempt that comes late writes over nothing.
      const location = `${folder}files/${randomUUID()}/${path}`
      const measured = new Measured(content, RowCount.of(mimeType))
      const { cutSignal: signal, cut } = attempt
      await Promise.race([
        documents.store.write(location, measured, { type: mimeType, signal }),
        cut,
      ])
      const { size, sha256 } = measured
      const rowCount = options.rowCount ?? measured.rowCount
      const given = { path, location, size, mimeType, sha256 }
      const file = fileOf(attempt.definition.name, {
        ...given,
        ...(rowCount === undefined ? {} : { rowCount }),
      })
      await attempt.persist(addFile, [path, JSON.stringify(file)])
      await documents.save(attempt.job)
      return file
    })

  readonly read = (path: string): Promise<AsyncIterable<Uint8Array>> =>
    this.#memory.branches.give(async () => {
      const attempt = this.#attempt
      const documents = documentsOf(attempt)
      const file = (await documents.files(attempt.job.id)).find((one) => one.path === path)
      if (file === undefined) throw unreadable(attempt, path, 'the job has no such file')
      const { cutSignal: signal } = attempt
      const chunks = await documents.store.read(file.location, { signal })
      if (chunks === undefined) {
        throw unreadable(attempt, path, `there is nothing at ${file.location}`)
      }
      return verified(chunks, file, (reason) => unreadable(attempt, path, reason))
    })

  readonly list = (): Promise<readonly DocumentFile[]> =>
    this.#memory.branches.give(async () => documentsOf(this.#attempt).files(this.#attempt.job.id))
}

/** @throws TidemarkError TIDEMARK_NO_CONTEXT_STORE. */
export function documentsOf({ definition, environment }: Attempt): Documents {
  const { documents } = environment
  if (documents?.keeps(definition.name) === true) return documents
  throw new TidemarkError(
    'TIDEMARK_NO_CONTEXT_STORE',
    `the context of ${definition.name} is kept in no store`,
    { details: { name: definition.name } },
  )
}

/** Content in bytes, with what there is to say of it when it has been read. */
class Measured implements AsyncIterable<Uint8Array> {
  size = 0
  readonly #content: FileContent
  readonly #rows: RowCount | undefined
  readonly #hash = createHash('sha256')
  #digest: string | undefined

  constructor(content: FileContent, rows: RowCount | undefined) {
    this.#content = content
    this.#rows = rows
  }

  get sha256(): string {
    this.#digest ??= this.#hash.digest('hex')
    return this.#digest
  }

  get rowCount(): number | undefined {
    return this.#rows?.total()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const content = this.#content
    const whole = typeof content === 'string' || content instanceof Uint8Array
    for await (const chunk of whole ? [content] : content) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      this.size += bytes.byteLength
      this.#hash.update(bytes)
      this.#rows?.add(bytes)
      yield bytes
    }
  }
}

async function* verified(
  chunks: AsyncIterable<Uint8Array>,
  { sha256, size }: DocumentFile,
  failure: (reason: string) => TidemarkError,
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of chunks) {
    hash.update(chunk)
    bytes += chunk.byteLength
    yield chunk
  }
  if (bytes !== size) throw failure(`it has ${bytes} bytes, and ${size} were written`)
  if (sha256 !== null && hash.digest('hex') !== sha256) throw failure('its hash is another')
}

function unreadable({ definition, job }: Attempt, path: string, reason: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_FILE_UNREADABLE',
    `the file "${path}" of ${definition.name} ${job.id} cannot be read: ${reason}`,
    { details: { name: definition.name, id: job.id, path } },
  )
}
