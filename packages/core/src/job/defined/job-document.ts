import type { ContextDocument, DocumentFile } from './context-document.ts'
import type { Webhook } from './webhook.ts'

/** What is said of a file. */
export interface NewFile {
  /** Its name within the job; a file of the same path is replaced. */
  readonly path: string
  /** Where others find it: a path, a URL, or the name of an object. */
  readonly location: string
  /** In bytes. */
  readonly size: number
  /** Defaults to what the end of the path says, else `application/octet-stream`. */
  readonly mimeType?: string
  readonly rowCount?: number
  /** Of its bytes, in hexadecimal. */
  readonly sha256?: string
}

/** What a webhook has said. */
export type WebhookData = Partial<Omit<Webhook<unknown>, 'receivedAt'>> & {
  /** Defaults to that of the URL. */
  readonly query?: Readonly<Record<string, string>>
  /** Defaults to now. */
  readonly receivedAt?: Date
}

/**
 * What a job has come to so far, as code and as the document that a context store has of it. Where the application has
 * no such store, what needs one throws TIDEMARK_NO_CONTEXT_STORE.
 */
export interface JobDocument {
  /** Has the document in the store; it is there when a job begins, so this waits for a store that was away. */
  initialize(): Promise<ContextDocument>
  /** Reads the document from the store. What is not what Postgres calls current is written anew, and never believed. */
  load(): Promise<ContextDocument>
  /** Writes the document now. It is written after each step anyway. */
  save(): Promise<ContextDocument>
  /** What a step has answered that has ended well; undefined for any other. */
  getStepOutput<T = unknown>(id: string): Promise<T | undefined>
  /** Ends a step with an output: as `ctx.step(id, () => output)`. */
  setStepOutput(id: string, output: unknown): Promise<void>
  hasStepOutput(id: string): boolean
  /** The steps that have ended well, in the order in which they have. */
  stepIds(): readonly string[]
  readonly stepCount: number
  getVariable(name: string): unknown
  setVariable(name: string, value: unknown): Promise<void>
  hasVariable(name: string): boolean
  variableNames(): readonly string[]
  readonly variableCount: number
  /** Says what webhook the job is about, in the place of one that came with it. */
  setWebhookData(webhook: WebhookData): Promise<void>
  /** Adds a file that something else has written; `ctx.files` adds its own. */
  addFileMetadata(file: NewFile): Promise<DocumentFile>
  /**
   * Puts values in the place of references such as `{{steps.fetch.output.id}}`, at any depth of `value`. A text that is
   * nothing but a reference becomes the value itself; within a text, its JSON, or a text as it is.
   *
   * References begin with `steps.<id>.output`, `variables.<name>`, `input`, `webhook`, `files` or `job`. A backslash
   * before the braces leaves them as they are; `["a.b"]` is for names with a dot.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_REFERENCE.
   */
  resolve<T>(value: T): Promise<T>
}

/** How a file is written. */
export interface WriteFileOptions {
  /** Defaults to what the end of the path says, else `application/octet-stream`. */
  readonly mimeType?: string
  /** Defaults to what is counted in CSV (without its first line), TSV and lines of JSON, else null. */
  readonly rowCount?: number
}

/** What a file may be written from. */
export type FileContent = string | Uint8Array | AsyncIterable<string | Uint8Array>

/** The files of a job in the application's context store. */
export interface JobFiles {
  /**
   * Writes a file, part by part as it comes, and adds it to the document. A path that is written again is another
   * object: the one before stays for whoever reads it until the job has finished.
   *
   * @throws TidemarkError TIDEMARK_NO_CONTEXT_STORE, TIDEMARK_JOB_LOST.
   */
  write(path: string, content: FileContent, options?: WriteFileOptions): Promise<DocumentFile>
  /**
   * Reads a file that a job has written, and checks what it reads.
   *
   * @throws TidemarkError TIDEMARK_FILE_UNREADABLE when it is not there, and at the end when it is not what was written.
   */
  read(path: string): Promise<AsyncIterable<Uint8Array>>
  /** All of the job's. */
  list(): Promise<readonly DocumentFile[]>
}
