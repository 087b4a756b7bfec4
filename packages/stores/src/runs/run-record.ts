import { hostname } from 'node:os'
import type { ErrorDescription } from 'tidemark'
import type { NewState } from '../contract/state.ts'

/** A run as the history has it. */
export interface RunRecord {
  readonly id: string
  readonly name: string
  /** `lost`: nothing was heard of its process for three heartbeats. It may have ended, and nobody could say how. */
  readonly status: 'running' | 'succeeded' | 'failed' | 'lost'
  readonly triggeredBy: string
  readonly startedAt: Date
  /** The host and the process that ran it. */
  readonly node: string
  /** Null while it runs. */
  readonly finishedAt: Date | null
  /** In milliseconds; null while it runs. */
  readonly duration: number | null
  /** What it answered; undefined where that cannot be stored, and the log says why. */
  readonly output: unknown
  readonly error: ErrorDescription | null
}

const mostNameBytes = 100
const mostFieldBytes = 256

/** This process, among those that share a store. */
export const thisNode: string = `${hostname()}:${process.pid}`

/** What filters see of a name: the beginning of a long one, which is whole in the record. */
export function nameLabel(name: string): string {
  return cut(name, mostNameBytes)
}

/** The same of what has triggered a run. */
export function triggerLabel(triggeredBy: string): string {
  return cut(triggeredBy, mostFieldBytes)
}

/** A run as a store keeps it. */
export function stateOf(record: RunRecord, ttl: number | null): NewState<RunRecord> {
  const { name, status, triggeredBy, node } = record
  return {
    value: record,
    name: nameLabel(name) || null,
    status,
    fields: { triggeredBy: triggerLabel(triggeredBy), node: cut(node, mostFieldBytes) },
    ttl,
  }
}

function cut(text: string, most: number): string {
  const whole = Buffer.from(text.toWellFormed().replaceAll('\0', ' '))
  if (whole.length <= most) return whole.toString()
  // What is left of a character that was cut is a replacement character, which goes too.
  return whole
    .subarray(0, most - 3)
    .toString()
    .replace(/\uFFFD$/u, '')
}
