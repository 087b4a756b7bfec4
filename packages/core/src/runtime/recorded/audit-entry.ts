import { storableText } from '../../errors/foreign-value.ts'

/** An action by which somebody is about to change something. */
export interface AuditedAction {
  /** By which way it comes: `'http'`, `'console'`, `'cli'`, or one of the application's own. */
  readonly via: string
  /** Who does it. */
  readonly by: string
  /** What is done, as `authorize` of `@tidemark/http` calls it: `pauseListener`, say. */
  readonly action: string
  /** What it is about, when that has a name. */
  readonly subject?: AuditSubject | null
  /** What is asked for beside that. Leave payloads out: many may read this. Cut when it is large. */
  readonly asked?: Readonly<Record<string, unknown>>
}

/** What an action is about. */
export interface AuditSubject {
  readonly kind: string
  readonly name: string
}

/** What came of an action. */
export interface AuditOutcome {
  /** `refused`: nothing was done, because it cannot be; `failed`: something went wrong, and perhaps some of it was done. */
  readonly outcome: 'done' | 'refused' | 'failed'
  /** The code of the error. */
  readonly code?: string | null
  /** Ids and numbers: what was made, how many there were. */
  readonly result?: Readonly<Record<string, unknown>>
}

/** An action that was recorded. */
export interface AuditEntry {
  readonly id: bigint
  readonly at: Date
  readonly via: string
  readonly by: string
  /** The user of the database that recorded it. */
  readonly databaseUser: string
  readonly action: string
  readonly subject: AuditSubject | null
  readonly asked: Readonly<Record<string, unknown>>
  /** Null: it is under way, or its process has died. */
  readonly outcome: AuditOutcome['outcome'] | null
  readonly code: string | null
  readonly result: Readonly<Record<string, unknown>>
  readonly endedAt: Date | null
}

// What a line of a list can hold.
const longestText = 200
const longestDetails = 4_000
// A body can be nested as deeply as it is long.
const deepest = 10

/** A text of somebody else's, as a column can have it. */
export function auditText(text: string): string {
  return storableText(text, longestText)
}

/** Details as JSON that a column can have; of what is large only its size. */
export function auditDetails(details: Readonly<Record<string, unknown>> | undefined): string {
  const text = JSON.stringify(storable(details ?? {}))
  return text.length <= longestDetails ? text : JSON.stringify({ cut: true, length: text.length })
}

/** The value without what jsonb refuses. */
function storable(value: unknown, depth = deepest): unknown {
  if (typeof value === 'string') return storableText(value, longestDetails)
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (depth === 0) return '…'
  if (Array.isArray(value)) return value.map((inner) => storable(inner, depth - 1))
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      storableText(name, longestText),
      storable(inner, depth - 1),
    ]),
  )
}
