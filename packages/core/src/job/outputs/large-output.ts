import { randomUUID } from 'node:crypto'
import type { EncodedValue } from '../../event/encoded/codec.ts'

/** An output that is kept in Postgres, apart from its row. */
export interface LargeOutput {
  readonly key: string
  readonly value: EncodedValue
}

/** An output as it is to be written: what goes into the row, and what the same statement keeps apart. */
export interface PlacedOutput {
  readonly row: EncodedValue | null
  readonly large: LargeOutput | null
}

/** An output as a row has it. */
export interface OutputColumns {
  readonly output: unknown
  readonly meta: unknown
}

/** What a row has in the place of an output that is kept apart. */
export interface OutputReference {
  readonly key: string
  /** In characters of JSON. */
  readonly size: number
  /** The name of the application's store that it is in; undefined: it is in Postgres. */
  readonly store?: string
  /** Of the text that the store has, in hexadecimal. What it answers else is not believed. */
  readonly sha256?: string
}

// superjson refuses to read a custom type that nobody has registered, so a process that knows nothing of references
// fails on one. No value of an application has these notes.
const referenceType = 'tidemark.output'
const referenceMeta = JSON.stringify({ values: [['custom', referenceType]] })

/** How many characters of JSON a value has. */
export function outputSize({ json, meta }: EncodedValue): number {
  return json.length + (meta?.length ?? 0)
}

/** A new reference to a value, and what a row has of it. */
export function referTo(
  value: EncodedValue,
  kept?: { readonly store: string; readonly sha256: string },
): { readonly key: string; readonly row: EncodedValue } {
  const key = randomUUID()
  const reference: OutputReference = { key, size: outputSize(value), ...kept }
  return { key, row: { json: JSON.stringify(reference), meta: referenceMeta } }
}

/** The reference that a row has in the place of an output; undefined: it has the output itself, or none. */
export function referenceIn({ output, meta }: OutputColumns): OutputReference | undefined {
  const values = (meta as { values?: unknown } | null | undefined)?.values
  if (!Array.isArray(values)) return undefined
  const [first] = values as readonly unknown[]
  if (!Array.isArray(first) || first[0] !== 'custom' || first[1] !== referenceType) return undefined
  return output as OutputReference
}

/** How many characters an output has that is kept apart; null: it is in its row. */
export function largeOutputSize(columns: OutputColumns): number | null {
  return referenceIn(columns)?.size ?? null
}
