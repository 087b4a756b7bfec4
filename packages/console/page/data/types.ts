/** What the API answers, as far as the page reads it: see its OpenAPI document. Times are ISO texts, sequences texts. */

export interface ErrorView {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly hint?: string
  readonly stack?: string
  readonly cause?: ErrorView
}

export const jobStatuses = [
  'scheduled',
  'queued',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled',
] as const
export type JobStatus = (typeof jobStatuses)[number]

export interface Job {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly status: JobStatus
  readonly parked: 'new' | 'key' | 'type' | 'limit' | 'pause' | null
  readonly retrying: boolean
  readonly requested: 'pause' | 'cancel' | null
  readonly needs: number
  readonly priority: number
  readonly attempt: number
  readonly input: unknown
  readonly output?: unknown
  readonly largeOutput: number | null
  readonly encodedOutput?: boolean
  readonly unreadable?: string | null
  readonly error: ErrorView | null
  readonly waiting: Readonly<Record<string, unknown>> | null
  readonly progress: unknown
  readonly uniqueKey: string | null
  readonly concurrencyKey: string | null
  readonly triggeredBy: string
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly parent: string | null
  readonly process: string | null
  readonly createdAt: string
  readonly runAt: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly checkpointAt: string | null
}

export interface Attempt {
  readonly token: string
  readonly attempt: number
  readonly outcome: string
  readonly triggeredBy: string
  readonly process: string | null
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly duration: number | null
  readonly error: ErrorView | null
}

export interface Step {
  readonly id: string
  readonly status?: 'completed' | 'failed' | 'retrying'
  readonly output?: unknown
  readonly unreadable?: string | null
  readonly error?: ErrorView | null
  readonly startedAt: string
  readonly completedAt: string | null
}

export interface LogLine {
  readonly number: string
  readonly at: string
  readonly level: string
  readonly message: string
  readonly fields: unknown
}

export interface TraceNode {
  readonly depth: number
  readonly kind: string
  readonly id: string
  readonly cause: string | null
  readonly name: string
  readonly status: string
  readonly at: string
  readonly endedAt: string | null
  readonly sequence?: string | null
}

export interface JobType {
  readonly name: string
  readonly version: number
  readonly description?: string
  readonly queue: string
  readonly input: Schema | null
  readonly output: Schema | null
  readonly processes: number
  readonly spawnable: boolean
}

/** JSON Schema, as far as the form reads it. */
export interface Schema {
  readonly type?: string | readonly string[]
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly [other: string]: unknown
}

export interface Group {
  readonly name: string
  readonly limit: {
    readonly concurrency: number | null
    readonly rate: number | null
    readonly period: number | null
  } | null
  readonly paused: { readonly since: string; readonly by: string } | null
  readonly processes: number
  readonly scheduled: number
  readonly queued: number
  readonly running: number
  readonly oldestQueuedAt: string | null
}

export interface Schedule {
  readonly name: string
  readonly source: 'code' | 'runtime'
  readonly version: number
  readonly job: string
  readonly cron: string
  readonly timeZone: string
  readonly status: 'active' | 'paused'
  readonly overlap: string
  readonly catchUp: string
  readonly input: unknown
  readonly nextAt: string | null
  readonly lastJob: string | null
}

export interface Tick {
  readonly tick: string
  readonly outcome: 'fired' | 'missed' | 'overlapped' | 'paused' | 'failed'
  readonly job: string | null
  readonly error: ErrorView | null
}

export interface Bulk {
  readonly done: number
  readonly asked: number
  readonly refused: number
}

export interface Rebuild {
  readonly projection: string
  readonly version: number
  readonly state: 'running' | 'paused' | 'halted'
  readonly cursor: string
  readonly liveCursor: string
  readonly fraction: number
  readonly rate: number
  readonly secondsLeft: number | null
  readonly startedAt: string
  readonly error: ErrorView | null
  readonly setAside: number
  readonly liveSetAside: number
}

export interface Partition {
  readonly partition: number
  readonly cursor: string
  readonly lag: string
  readonly owner: string | null
  readonly process: string | null
  readonly attempts: number
  readonly failedSequence: string | null
  readonly nextAttemptAt: string | null
  readonly haltedAt: string | null
  readonly lastError: ErrorView | null
  readonly awaits: { readonly type: string; readonly version: number } | null
}

export interface Listener {
  readonly name: string
  readonly kind: 'listener' | 'projection' | 'relay' | 'intake'
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly status: 'active' | 'paused' | 'halted' | 'rebuilding'
  readonly cursor: string
  readonly lag: string
  readonly lagSeconds: number
  readonly types: readonly string[]
  readonly deadLetters: number
  readonly resize: { readonly to: number; readonly at: string } | null
  readonly rebuild: Rebuild | null
  readonly partitions: readonly Partition[]
}

export interface StoredState {
  readonly key: string | null
  readonly state: unknown
  readonly sequence: string
  readonly bytes: number
  readonly cut: boolean
  readonly stateHidden: boolean
}

export interface StoredEvent {
  readonly sequence: string
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly streamVersion: string | null
  readonly key: string | null
  readonly payload: unknown
  readonly payloadBytes: number
  readonly payloadCut: boolean
  readonly payloadHidden: boolean
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly metadata: unknown
  readonly recordedAt: string
}

export interface Received {
  readonly listener: string
  readonly kind: string
  readonly state: string
  readonly attempts: number
  readonly error: ErrorView | null
}

export interface DeadLetter {
  readonly listener: string
  readonly sequence: string
  readonly type: string
  readonly eventId: string
  readonly key: string | null
  readonly holdsKey: boolean
  readonly state: 'parked' | 'waiting' | 'retry' | 'skipped'
  readonly attempts: number
  readonly error: ErrorView | null
  readonly createdAt: string
}

export interface DeadLetterGroup {
  readonly group: string
  readonly listener: string
  readonly type: string
  readonly code: string | null
  readonly error: ErrorView | null
  readonly events: number
  readonly states: Readonly<Partial<Record<DeadLetter['state'], number>>>
  readonly heldKeys: number
  readonly firstSequence: string
  readonly lastSequence: string
  readonly firstAt: string
  readonly lastAt: string
}

export interface Finding {
  readonly check: string
  readonly code: string
  readonly status: 'ok' | 'warning' | 'failed'
  readonly summary: string
  readonly remedy: string | null
  readonly subject: { readonly kind: string; readonly name: string } | null
  readonly actions: readonly FindingAction[]
}

/** What can be done about a finding at once. */
export interface FindingAction {
  readonly title: string
  readonly effect: string
  readonly count: number | null
  readonly command: string
  readonly request: {
    readonly needs: string
    readonly method: 'POST'
    readonly path: string
    readonly body: unknown
  }
}

export interface Publisher {
  readonly floor: string
  readonly pid: number | null
  readonly prepared: string | null
  readonly application: string | null
  readonly state: string | null
  readonly ageSeconds: number | null
  readonly query: string | null
}

export interface Process {
  readonly id: string
  readonly hostname: string
  readonly pid: number
  readonly library: string
  readonly startedAt: string
  readonly heartbeatAt: string
  readonly silentSeconds: number
  readonly alive: boolean
  readonly definitions: readonly {
    readonly kind: string
    readonly name: string
    readonly version: number
  }[]
  readonly leases: readonly { readonly listener: string; readonly partition: number }[]
  readonly jobs: number
  readonly vitals: {
    readonly residentBytes: number
    readonly heapBytes: number
    readonly loopDelay: number
    readonly loopDelayMax: number
    readonly clockAhead: number | null
    readonly troubles: readonly {
      readonly code: string
      readonly name: string
      readonly seconds: number
      readonly why: string
    }[]
  } | null
}

export interface AuditEntry {
  readonly id: string
  readonly at: string
  readonly via: string
  readonly by: string
  readonly databaseUser: string
  readonly action: string
  readonly subject: { readonly kind: string; readonly name: string } | null
  readonly asked: Readonly<Record<string, unknown>>
  readonly outcome: 'done' | 'refused' | 'failed' | null
  readonly code: string | null
  readonly result: Readonly<Record<string, unknown>>
}

/** How things stand. */
export interface Overview {
  readonly at: string
  readonly lastSequence: string
  readonly horizon: string
  readonly publishRate: number | null
  readonly publishers: readonly Publisher[]
  readonly listeners: readonly {
    readonly name: string
    readonly status: string
    readonly lagSeconds: number
    readonly deadLetters: number
    readonly rate: number | null
  }[]
  readonly processes: readonly { readonly alive: boolean }[]
  readonly jobs: Readonly<Record<string, number>>
  readonly ok: boolean
  /** What is wrong. */
  readonly findings: readonly Finding[]
}

export interface Sample {
  readonly at: string
  readonly lastSequence: string
  readonly handled: string
  readonly lagSeconds: number
  readonly queued: number
  readonly failed: number
}
