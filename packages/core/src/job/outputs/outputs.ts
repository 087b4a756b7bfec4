import { createHash } from 'node:crypto'
import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { watchJob } from '../../database/sql/job/job-admin.ts'
import { readLargeOutputs, writeOutputKey } from '../../database/sql/job/job-outputs.ts'
import type { SchemaStatement } from '../../database/statement.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { decodeValue, type EncodedValue } from '../../event/encoded/codec.ts'
import { orAborted } from '../../outbox/woken/wait.ts'
import { JobValues } from '../coded/job-values.ts'
import {
  outputSize,
  referenceIn,
  referTo,
  type OutputColumns,
  type OutputReference,
  type PlacedOutput,
} from './large-output.ts'
import type { OutputsOptions, OutputStore } from './output-store.ts'

const defaultLimit = 65_536
/** How long a store may take to read or to delete, in milliseconds. */
export const storePatience = 30_000
// A job may have many large steps: read together, but not all of them.
const readsAtOnce = 8

/** The right to write a job's outputs: an attempt, for as long as it is not cut off. */
export interface OutputClaim {
  readonly job: { readonly id: string }
  /** Runs a fenced statement. */
  write(statement: SchemaStatement, values: readonly unknown[]): Promise<unknown>
  /** Aborts when the attempt is cut off. */
  readonly cutSignal: AbortSignal
  /** What some work comes to; rejects as soon as the attempt is cut off. */
  orCut<T>(work: T | PromiseLike<T>): Promise<T>
}

/** An output as a row has it, with what it is of: `output`, or `step/` and the id. Undefined: no codec has seen it. */
export interface OutputOf extends OutputColumns {
  readonly part: string | undefined
}

/** Where the outputs of jobs and steps go, and how they are read back. */
export class Outputs {
  readonly schema: string
  readonly values: JobValues
  readonly store: OutputStore | undefined
  readonly #limit: number
  /** What the store said when it last refused an output; null: it took the last one. */
  #refusal: string | null = null

  constructor(
    schema: string,
    { store, limit = defaultLimit }: OutputsOptions = {},
    values: JobValues = new JobValues(),
  ) {
    this.schema = schema
    this.values = values
    this.store = store
    this.#limit = limit
  }

  /**
   * Decides where an output goes. One that is large leaves a reference in its row. Postgres keeps it by the very
   * statement that writes the reference, so there is nothing to do before; a store of the application's has it when
   * this resolves.
   *
   * @param part - what it is of: as in {@link OutputOf}.
   * @throws TidemarkError TIDEMARK_JOB_LOST, and whatever the store or the codec throws.
   */
  place(
    claim: OutputClaim,
    value: EncodedValue | null,
    part: string | undefined,
  ): PlacedOutput | Promise<PlacedOutput> {
    if (value === null || part === undefined || !this.values.codes) return this.#keep(claim, value)
    const coded = Promise.resolve(this.values.encode({ job: claim.job.id, part }, value))
    return claim.orCut(coded).then((row) => this.#keep(claim, row))
  }

  #keep(claim: OutputClaim, value: EncodedValue | null): PlacedOutput | Promise<PlacedOutput> {
    if (value === null || outputSize(value) <= this.#limit) return { row: value, large: null }
    if (this.store !== undefined) return this.#put(this.store, claim, value)
    const { key, row } = referTo(value)
    return { row, large: { key, value } }
  }

  /**
   * Puts a text into the application's store in the place of another one, for whoever writes values again. Nothing refers
   * to it yet: see {@link place}.
   */
  async replace(
    claim: OutputClaim,
    { store: name }: OutputReference,
    value: EncodedValue,
  ): Promise<EncodedValue> {
    const store = this.store
    if (store === undefined || store.name !== name) {
      throw new TidemarkError('TIDEMARK_OUTPUT_UNREADABLE', `there is no store "${name}" here`)
    }
    const { row } = await put(store, claim, value)
    return row as EncodedValue
  }

  /** What the application's store said when it last refused an output; null: it took the last one. */
  get refusal(): string | null {
    return this.#refusal
  }

  async #put(store: OutputStore, claim: OutputClaim, value: EncodedValue): Promise<PlacedOutput> {
    try {
      const placed = await put(store, claim, value)
      this.#refusal = null
      return placed
    } catch (error) {
      // An attempt that was cut off says nothing of the store.
      if (!claim.cutSignal.aborted) this.#refusal = messageOf(error)
      throw error
    }
  }

  /**
   * The rows of one job with what they refer to in its place.
   *
   * @param signal - aborts what a store is asked for. Defaults to 30 s from now.
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB when the job was deleted meanwhile, TIDEMARK_OUTPUT_UNREADABLE, and
   * whatever the store throws.
   */
  async fetch<Row extends OutputColumns>(
    executor: Executor | PreparingExecutor,
    job: string,
    rows: readonly Row[],
    signal?: AbortSignal,
  ): Promise<Row[]> {
    const references = rows.flatMap((row) => referenceIn(row) ?? [])
    const kept =
      references.length === 0
        ? new Map<string, OutputColumns>()
        : await this.#readKept(executor, job, references, signal)
    const whole: Row[] = []
    for (const row of rows) {
      const reference = referenceIn(row)
      if (reference === undefined) {
        whole.push(row)
        continue
      }
      const columns = kept.get(reference.key)
      if (columns === undefined) throw await this.#missing(executor, job, reference)
      whole.push({ ...row, ...columns })
    }
    return whole
  }

  /**
   * What there is in columns that are whole.
   *
   * @throws TidemarkError TIDEMARK_VALUE_UNREADABLE.
   */
  valueOf(job: string, { output, meta, part }: OutputOf): unknown {
    if (output === null) return undefined
    return part === undefined
      ? decodeValue(output, meta)
      : this.values.decode({ job, part }, output, meta)
  }

  /**
   * One output of a job.
   *
   * @param signal - aborts what a store is asked for. Defaults to 30 s from now.
   * @throws TidemarkError what {@link fetch} and {@link valueOf} throw.
   */
  async read(
    executor: Executor | PreparingExecutor,
    job: string,
    row: OutputOf,
    signal?: AbortSignal,
  ): Promise<unknown> {
    const [whole = row] = await this.fetch(executor, job, [row], signal)
    return this.valueOf(job, whole)
  }

  async #readKept(
    executor: Executor | PreparingExecutor,
    job: string,
    references: readonly OutputReference[],
    signal: AbortSignal = AbortSignal.timeout(storePatience),
  ): Promise<ReadonlyMap<string, OutputColumns>> {
    const kept = new Map<string, OutputColumns>()
    const inPostgres = references.filter(({ store }) => store === undefined)
    if (inPostgres.length > 0) {
      const keys = inPostgres.map(({ key }) => key)
      const { rows } = await run(executor, readLargeOutputs(this.schema), [job, keys])
      for (const { key, output, output_meta: meta } of rows) {
        kept.set(key as string, { output, meta })
      }
    }
    const elsewhere = references.filter(({ store }) => store !== undefined)
    for (let start = 0; start < elsewhere.length; start += readsAtOnce) {
      await Promise.all(
        elsewhere.slice(start, start + readsAtOnce).map(async (reference) => {
          const text = await this.#get(job, reference, signal)
          if (text !== undefined) kept.set(reference.key, storedIn(job, reference, text))
        }),
      )
    }
    return kept
  }

  /** What a store has under a key. Nobody waits for it longer than the signal says, whatever the store does. */
  async #get(
    job: string,
    reference: OutputReference,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { key, size, store } = reference
    try {
      return await orAborted(signal, this.#storeOf(job, reference).get(key, { signal }))
    } catch (cause) {
      if ((signal.reason as Error | undefined)?.name !== 'TimeoutError') throw cause
      throw new TidemarkError(
        'TIDEMARK_OUTPUT_UNREADABLE',
        `the store "${store}" did not say in time what it has as the output ${key} of job ${job}`,
        {
          hint: 'Ask again: the output may well be there.',
          cause,
          details: { id: job, key, size, store },
        },
      )
    }
  }

  #storeOf(job: string, { key, size, store }: OutputReference): OutputStore {
    if (this.store !== undefined && this.store.name === store) return this.store
    const here = this.store === undefined ? 'none' : `"${this.store.name}"`
    throw new TidemarkError(
      'TIDEMARK_OUTPUT_UNREADABLE',
      `an output of job ${job} is in the store "${store}", and this application has ${here}`,
      {
        hint: `Give this process the store too: defineApp({ outputs: { store } }), where store.name is "${store}".`,
        details: { id: job, key, size, store },
      },
    )
  }

  async #missing(
    executor: Executor | PreparingExecutor,
    job: string,
    { key, size, store }: OutputReference,
  ): Promise<TidemarkError> {
    const { rows } = await run(executor, watchJob(this.schema), [job])
    if (store === undefined || rows.length === 0) {
      return new TidemarkError('TIDEMARK_UNKNOWN_JOB', `job ${job} was deleted meanwhile`, {
        details: { id: job },
      })
    }
    return new TidemarkError(
      'TIDEMARK_OUTPUT_UNREADABLE',
      `the store "${store}" has lost the output ${key} of job ${job}`,
      { details: { id: job, key, size, store } },
    )
  }
}

/**
 * INVARIANT: first the row of the key, then the output, then (by the caller, fenced) the reference. Whatever ends in
 * between leaves a key that nothing refers to, which the sweep finds.
 */
async function put(
  store: OutputStore,
  claim: OutputClaim,
  value: EncodedValue,
): Promise<PlacedOutput> {
  const { json, meta } = value
  const text = meta === null ? `{"value":${json}}` : `{"value":${json},"meta":${meta}}`
  const { key, row } = referTo(value, { store: store.name, sha256: sha256Of(text) })
  // On a connection of its own also where the reference is part of a transaction: it must be there if that rolls back.
  await claim.write(writeOutputKey, [key, store.name])
  await claim.orCut(store.put(key, text, { signal: claim.cutSignal }))
  return { row, large: null }
}

function storedIn(
  job: string,
  { key, size, store, sha256 }: OutputReference,
  text: string,
): OutputColumns {
  try {
    if (sha256 !== undefined && sha256Of(text) !== sha256) throw new Error('its hash is another')
    const { value, meta = null } = JSON.parse(text) as { value: unknown; meta?: unknown }
    return { output: value, meta }
  } catch (cause) {
    throw new TidemarkError(
      'TIDEMARK_OUTPUT_UNREADABLE',
      `what the store "${store}" has as the output ${key} of job ${job} is not what was put`,
      { cause, details: { id: job, key, size, store } },
    )
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
