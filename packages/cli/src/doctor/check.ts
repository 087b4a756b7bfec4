import type { App } from 'tidemark'
import type { Definitions } from '../session/definitions.ts'
import type { Place } from '../session/session.ts'

/** What one check found. */
export interface Finding {
  readonly check: string
  /** Only `failed` makes the doctor exit 3. */
  readonly status: 'ok' | 'warning' | 'failed'
  readonly summary: string
  /** What to do about it; null when nothing is wrong. */
  readonly remedy: string | null
  /** The facts behind the summary, for programs. */
  readonly details: unknown
}

/** What checks look at. */
export interface Patient {
  readonly app: App
  readonly place: Place
  /** The config's; undefined without one. */
  readonly definitions: Definitions | undefined
  /** How long a transaction may publish before it is named, in milliseconds. */
  readonly publisherAge: number
}

/** Looks at one thing. A check that finds several problems answers several findings. */
export interface Check {
  readonly name: string
  readonly look: (patient: Patient) => Promise<readonly Finding[]>
}

/** Makes the findings of a check. */
export function findings(check: string): {
  readonly ok: (summary: string, details?: unknown) => Finding
  readonly warning: (summary: string, remedy: string, details?: unknown) => Finding
  readonly failed: (summary: string, remedy: string, details?: unknown) => Finding
} {
  return {
    ok: (summary, details = null) => ({ check, status: 'ok', summary, remedy: null, details }),
    warning: (summary, remedy, details = null) => ({
      check,
      status: 'warning',
      summary,
      remedy,
      details,
    }),
    failed: (summary, remedy, details = null) => ({
      check,
      status: 'failed',
      summary,
      remedy,
      details,
    }),
  }
}
