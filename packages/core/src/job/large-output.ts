import { randomUUID } from 'node:crypto'
import { run, type Executor, type PreparingExecutor } from '../database/executor.ts'
import { readLargeOutputs } from '../database/sql/job-outputs.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { decodeValue, type EncodedValue } from '../event/codec.ts'

/** From how many characters of JSON on an output is kept apart, unless `start` says otherwise. */
const defaultOutputLimit = 65_536

/** An output that is kept apart from its row. */
export interface LargeOutput {
  readonly key: string
  readonly value: EncodedValue
}

/** An output as it is to be written: what goes into the row, and what is kept apart. */
export interface PlacedOutput {
  readonly row: EncodedValue | null
  readonly large: LargeOutput | null
}

/** An output as a row has it. */
export interface OutputColumns {
  readonly output: unknown
  readonly meta: unknown
}

// superjson refuses to read a custom type that nobody has registered, so a process that knows nothing of references
// fails on one. No value of an application has these notes.
const referenceType = 'tidemark.output'
const referenceMeta = JSON.stringify({ values: [['custom', referenceType]] })

/** Decides where an output goes: one of more than `limit` characters leaves a reference in its row. */
export function placeOutput(
  value: EncodedValue | null,
  limit: number = defaultOutputLimit,
): PlacedOutput {
  if (value === null) return { row: null, large: null }
  const size = value.json.length + (value.meta?.length ?? 0)
  if (size <= limit) return { row: value, large: null }
  const key = randomUUID()
  const row = { json: JSON.stringify({ key, size }), meta: referenceMeta }
  return { row, large: { key, value } }
}

/** How many characters an output has that is kept apart; null: it is in its row. */
export function largeOutputSize(columns: OutputColumns): number | null {
  return reference(columns)?.size ?? null
}

/**
 * The outputs of one job, in the order of the given rows; those that are kept apart are read together.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_JOB when the job was deleted meanwhile.
 */
export async function readOutputs(
  executor: Executor | PreparingExecutor,
  schema: string,
  job: string,
  rows: readonly OutputColumns[],
): Promise<unknown[]> {
  const keys = rows.flatMap((row) => reference(row)?.key ?? [])
  const kept = new Map<string, unknown>()
  if (keys.length > 0) {
    const found = await run(executor, readLargeOutputs(schema), [job, keys])
    for (const { key, output, output_meta: meta } of found.rows) {
      kept.set(key as string, decodeValue(output, meta))
    }
  }
  return rows.map((row) => {
    const key = reference(row)?.key
    if (key === undefined) {
      return row.output === null ? undefined : decodeValue(row.output, row.meta)
    }
    if (kept.has(key)) return kept.get(key)
    throw new TidemarkError('TIDEMARK_UNKNOWN_JOB', `job ${job} was deleted meanwhile`, {
      details: { id: job },
    })
  })
}

/**
 * One output of a job.
 *
 * @throws TidemarkError TIDEMARK_UNKNOWN_JOB when the job was deleted meanwhile.
 */
export async function readOutput(
  executor: Executor | PreparingExecutor,
  schema: string,
  job: string,
  row: OutputColumns,
): Promise<unknown> {
  const [value] = await readOutputs(executor, schema, job, [row])
  return value
}

function reference({ output, meta }: OutputColumns): { key: string; size: number } | undefined {
  const values = (meta as { values?: unknown } | null | undefined)?.values
  if (!Array.isArray(values)) return undefined
  const [first] = values as readonly unknown[]
  if (!Array.isArray(first) || first[0] !== 'custom' || first[1] !== referenceType) return undefined
  return output as { key: string; size: number }
}
