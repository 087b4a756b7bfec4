import { createHash } from 'node:crypto'
import type {
  ContextDocument,
  DocumentError,
  DocumentFile,
  DocumentStep,
  DocumentWebhook,
} from '../defined/context-document.ts'
import { executionId, type JobPlace } from './place.ts'

/** An output as it is to be shown. */
export interface ShownOutput {
  readonly output: unknown
  readonly outputMeta?: unknown
  readonly outputAt?: string
}

/** A row of a job with its document, as it is read. */
export interface DocumentRow extends JobPlace {
  readonly id: string
  readonly version: number
  readonly sha256: string | null
  readonly stored: number
  readonly final: boolean
  readonly uploads: boolean
  readonly webhook: unknown
  readonly files: Readonly<Record<string, DocumentFile>>
  readonly name: string
  readonly status: string
  readonly token: string
  readonly triggered_by: string
  readonly parent: string | null
  readonly created_at: Date
  readonly started_at: Date | null
  readonly finished_at: Date | null
  readonly error: DocumentError | null
  readonly input: unknown
  readonly input_meta: unknown
  readonly output: unknown
  readonly output_meta: unknown
  readonly context: unknown
  readonly variables: Record<string, unknown> | null
  readonly variables_meta: Record<string, unknown> | null
}

/** A row of a step, as it is read. */
export interface DocumentStepRow {
  readonly step: string
  readonly kind: string
  readonly position: number | null
  readonly error: DocumentError | null
  readonly started_at: Date
  readonly completed_at: Date | null
  readonly output: unknown
  readonly output_meta: unknown
}

/** The document of a job, but for its version. */
export type UnnumberedDocument = Omit<ContextDocument, 'version'>

/** Makes a document of rows. The same rows make the same document, byte for byte. */
export function documentOf(
  row: DocumentRow,
  steps: readonly DocumentStepRow[],
  shown: (row: { readonly output: unknown; readonly output_meta: unknown }) => ShownOutput,
): UnnumberedDocument {
  const named = Object.entries(row.variables ?? {})
  const notes = Object.entries(row.variables_meta ?? {}).filter(([, note]) => note !== null)
  return {
    format: 1,
    jobId: row.id,
    executionId: executionId(row.id, row.execution),
    name: row.name,
    status: row.status,
    triggeredBy: row.triggered_by,
    parent: row.parent,
    createdAt: row.created_at.toISOString(),
    startedAt: row.started_at?.toISOString() ?? null,
    completedAt: row.finished_at?.toISOString() ?? null,
    input: row.input,
    ...noted('inputMeta', row.input_meta),
    ...shown(row),
    // The row of a job that has completed still says why the attempt before did not.
    error: row.status === 'completed' ? null : errorOf(row.error),
    variables: recordOf(named),
    ...(notes.length === 0 ? {} : { variablesMeta: recordOf(notes) }),
    steps: recordOf(steps.map((step) => [step.step, stepOf(step, shown(step))])),
    webhook: webhookOf(row),
    files: filesOf(row),
  }
}

/** A document as it is stored. */
export function textOf(document: UnnumberedDocument, version: number): string {
  const { format, jobId, executionId: execution, name, ...rest } = document
  const whole: ContextDocument = { format, jobId, executionId: execution, name, version, ...rest }
  return `${JSON.stringify(whole, null, 2)}\n`
}

export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function stepOf(row: DocumentStepRow, shown: ShownOutput): DocumentStep {
  const ended = row.position !== null
  return {
    kind: row.kind,
    status: row.error !== null ? 'failed' : ended ? 'completed' : 'waiting',
    startedAt: row.started_at.toISOString(),
    completedAt: ended ? (row.completed_at?.toISOString() ?? null) : null,
    ...shown,
    error: errorOf(row.error),
  }
}

/** Without its stack, which is for those who can read the code. */
function errorOf(error: DocumentError | null): DocumentError | null {
  if (error === null) return null
  const { name, message, code } = error
  return { name, message, ...(code === undefined ? {} : { code }) }
}

function noted(key: string, meta: unknown): object {
  return meta === null || meta === undefined ? {} : { [key]: meta }
}

/** An object with exactly these keys, whatever they are. */
function recordOf<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  const record: Record<string, T> = {}
  for (const [key, value] of entries) {
    Object.defineProperty(record, key, { value, enumerable: true, configurable: true })
  }
  return record
}

/** What an application says came with a job is the application's: whatever is missing of a webhook is null. */
export function webhookOf({ webhook: said, context }: DocumentRow): DocumentWebhook | null {
  const webhook = said ?? field(context, 'webhook')
  if (typeof webhook !== 'object' || webhook === null) return null
  const text = (name: string): string | null => {
    const value = field(webhook, name)
    return typeof value === 'string' ? value : null
  }
  const url = text('url')
  return {
    method: text('method'),
    url,
    query: (field(webhook, 'query') ?? queryOf(url)) as DocumentWebhook['query'],
    headers: (field(webhook, 'headers') ?? {}) as DocumentWebhook['headers'],
    payload: field(webhook, 'payload') ?? null,
    receivedAt: text('receivedAt'),
  }
}

function queryOf(url: string | null): Record<string, string> {
  const query = url === null ? '' : (url.split('?')[1] ?? '').split('#')[0]
  return recordOf([...new URLSearchParams(query)])
}

/** Those that came with the job first, then those that were added, in the order of their times. */
export function filesOf({ context, files, created_at: createdAt }: DocumentRow): DocumentFile[] {
  const came = field(context, 'files')
  const given = (Array.isArray(came) ? (came as unknown[]) : []).flatMap((file) => {
    const { name, location, size, type, sha256 } = (file ?? {}) as Record<string, unknown>
    if (typeof name !== 'string' || Object.hasOwn(files, name)) return []
    return {
      path: name,
      name: name.split('/').at(-1) as string,
      size: size as number,
      mimeType: (type as string | undefined) ?? 'application/octet-stream',
      rowCount: null,
      sha256: (sha256 as string | undefined) ?? null,
      location: location as string,
      createdAt: createdAt.toISOString(),
    }
  })
  const added = Object.values(files).map(
    ({ path, name, size, mimeType, rowCount, sha256, location, createdAt: at }) => ({
      path,
      name,
      size,
      mimeType,
      rowCount,
      sha256,
      location,
      createdAt: at,
    }),
  )
  return [
    ...given,
    ...added.toSorted((a, b) =>
      a.createdAt === b.createdAt ? (a.path < b.path ? -1 : 1) : a.createdAt < b.createdAt ? -1 : 1,
    ),
  ]
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}
