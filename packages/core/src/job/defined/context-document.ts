/** Why something failed, for other tools. */
export interface DocumentError {
  readonly name: string
  readonly message: string
  readonly code?: string
}

/** What a document says of a step, or of a wait. */
export interface DocumentStep {
  /** `step`, or what it waits for: `sleep`, `event`, `cursor`, `signal`, `child`. */
  readonly kind: string
  /** `failed` also where it is going to be tried again; `waiting`: a wait that is not over. */
  readonly status: 'completed' | 'failed' | 'waiting'
  readonly startedAt: string
  /** null: it has not ended, or is going to be tried again. */
  readonly completedAt: string | null
  /** As JSON; null also where it is kept apart. */
  readonly output: unknown
  /** superjson's notes on what JSON cannot say, where there is something. */
  readonly outputMeta?: unknown
  /** The name of the object that has the output, where it is a large one. */
  readonly outputAt?: string
  readonly error: DocumentError | null
}

/** A file that belongs to a job. */
export interface DocumentFile {
  /** Its name within the job. */
  readonly path: string
  /** The last part of the path. */
  readonly name: string
  /** In bytes. */
  readonly size: number
  readonly mimeType: string
  /** Of a table or a list of records; null: nobody has counted. */
  readonly rowCount: number | null
  /** Of its bytes, in hexadecimal; null: nobody has said. */
  readonly sha256: string | null
  /** Where it is: the name of an object of this store, a path, or a URL. */
  readonly location: string
  /** When it was added, as ISO 8601. */
  readonly createdAt: string
}

/** A webhook as a document has it. */
export interface DocumentWebhook {
  readonly method: string | null
  readonly url: string | null
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly payload: unknown
  readonly receivedAt: string | null
}

/** What `context.json` says of an execution of a job. */
export interface ContextDocument {
  readonly format: 1
  readonly jobId: string
  readonly executionId: string
  readonly name: string
  /** Grows with each text of the document. */
  readonly version: number
  /** Of the job, when the document was written. */
  readonly status: string
  readonly triggeredBy: string
  readonly parent: string | null
  readonly createdAt: string
  readonly startedAt: string | null
  readonly completedAt: string | null
  readonly input: unknown
  readonly inputMeta?: unknown
  readonly output: unknown
  readonly outputMeta?: unknown
  readonly outputAt?: string
  readonly error: DocumentError | null
  readonly variables: Readonly<Record<string, unknown>>
  readonly variablesMeta?: unknown
  /** By their ids. */
  readonly steps: Readonly<Record<string, DocumentStep>>
  readonly webhook: DocumentWebhook | null
  readonly files: readonly DocumentFile[]
}
