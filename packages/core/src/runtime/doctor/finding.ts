import { actionsFor, type FindingAction } from './finding-action.ts'

/** What one check found. */
export interface Finding {
  /** The part that was looked at. */
  readonly check: string
  /** What it is, the same in every version: `listener-halted`, say; `ok` when nothing is wrong. */
  readonly code: string
  readonly status: 'ok' | 'warning' | 'failed'
  /** What is wrong, and why, in a sentence. */
  readonly summary: string
  /** What to do about it; null when nothing is wrong. */
  readonly remedy: string | null
  /** What it is about, when that has a name. */
  readonly subject: FindingSubject | null
  /** The facts behind the summary, for programs. */
  readonly details: unknown
  /** What can be done about it at once, and loses nothing. */
  readonly actions: readonly FindingAction[]
}

/** What a finding is about. */
export interface FindingSubject {
  readonly kind:
    | 'listener'
    | 'projection'
    | 'job type'
    | 'queue'
    | 'schedule'
    | 'event type'
    | 'process'
  readonly name: string
}

/** Makes the findings of a check. */
export interface FindingMaker {
  readonly ok: (summary: string, details?: unknown) => Finding
  readonly warning: (
    code: string,
    summary: string,
    remedy: string,
    details?: unknown,
    subject?: FindingSubject,
  ) => Finding
  readonly failed: FindingMaker['warning']
}

/** Makes the findings of a check. */
export function findings(check: string): FindingMaker {
  const problem =
    (status: 'warning' | 'failed'): FindingMaker['warning'] =>
    (code, summary, remedy, details = null, subject) => ({
      check,
      code,
      status,
      summary,
      remedy,
      subject: subject ?? null,
      details,
      actions: actionsFor(code, subject, details),
    })
  return {
    ok: (summary, details = null) => ({
      check,
      code: 'ok',
      status: 'ok',
      summary,
      remedy: null,
      subject: null,
      details,
      actions: [],
    }),
    warning: problem('warning'),
    failed: problem('failed'),
  }
}

/** A number with its thousands set apart. */
export function count(value: number | bigint): string {
  return value.toLocaleString('en-US')
}

/** `1 event`, `2 events`. */
export function plural(value: number | bigint, noun: string, nouns: string = `${noun}s`): string {
  return `${count(value)} ${BigInt(value) === 1n ? noun : nouns}`
}
