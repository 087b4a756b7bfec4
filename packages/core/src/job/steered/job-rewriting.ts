import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import {
  dropOutputKey,
  readJobsToRewrite,
  readStepsToRewrite,
  rewriteJobOutput,
  rewriteJobState,
  rewriteJobVariable,
  rewriteLargeOutput,
  rewriteStepOutput,
  writeIdleOutputKey,
} from '../../database/sql/job/job-rewrite.ts'
import type { SchemaStatement } from '../../database/statement.ts'
import { requireUuid } from '../../errors/checked-values.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'
import { orAborted } from '../../outbox/woken/wait.ts'
import type { ValueOf } from '../coded/job-values.ts'
import { referenceIn, type OutputColumns, type OutputReference } from '../outputs/large-output.ts'
import { storePatience, type OutputClaim, type Outputs } from '../outputs/outputs.ts'

/** What is rewritten, and how one hears of it. */
export interface JobRewriteOptions {
  /** Only looks, and changes nothing: `rewritten` is what would be. Defaults to false. */
  readonly dryRun?: boolean
  /** The `next` of a report, to go on where that one ended. Defaults to the beginning. */
  readonly after?: string
  /** Ends it between two pages of jobs. Defaults to never. */
  readonly signal?: AbortSignal
  /** Called after each page of jobs. */
  readonly onProgress?: (report: JobRewriteReport) => void
}

/** How far it came. */
export interface JobRewriteReport {
  readonly jobs: number
  /** Values looked at: states, variables, outputs of steps and jobs. */
  readonly values: number
  readonly rewritten: number
  /** Written by somebody else meanwhile, or in a store, of a job that runs: what is left of them, the next time finds. */
  readonly passed: number
  /** Values that cannot be read. They are left as they are. */
  readonly unreadable: number
  /** The first 20 of these. */
  readonly unreadables: readonly {
    readonly id: string
    readonly part: string
    readonly reason: string
  }[]
  /** Where to go on: the last job that was looked at. Null: all were. */
  readonly next: string | null
}

/** A value where it is, as texts of its columns. */
interface Found {
  readonly of: ValueOf
  readonly output: string
  readonly meta: string | null
  /** Writes another one in its place: false when it is another by now. */
  readonly write: SchemaStatement
  readonly more: readonly unknown[]
  /** The claim that the job had; only where it may be kept apart. */
  readonly token?: string
}

const jobsAtOnce = 100
const stepsAtOnce = 500
const valuesAtOnce = 8
const mostNamed = 20
const first = '00000000-0000-0000-0000-000000000000'

/** Writes values again as the application's codec writes them now. */
export class JobRewriting {
  readonly #database: Database
  readonly #outputs: Outputs
  readonly #dryRun: boolean
  readonly #unreadables: { id: string; part: string; reason: string }[] = []
  readonly #counts = { jobs: 0, values: 0, rewritten: 0, passed: 0, unreadable: 0 }

  constructor(database: Database, outputs: Outputs, dryRun: boolean) {
    this.#database = database
    this.#outputs = outputs
    this.#dryRun = dryRun
  }

  /** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
  static async run(
    database: Database,
    outputs: Outputs,
    options: JobRewriteOptions,
  ): Promise<JobRewriteReport> {
    rejectUnknownOptions('jobs.rewrite', options, ['dryRun', 'after', 'signal', 'onProgress'])
    const { dryRun = false, after, signal, onProgress } = options
    if (after !== undefined) requireUuid('jobs.rewrite', 'after', after)
    const rewriting = new JobRewriting(database, outputs, dryRun)
    for (let next: string | null = after ?? first; ;) {
      if (signal?.aborted === true) return rewriting.#report(next === first ? null : next)
      next = await rewriting.#page(next)
      const report = rewriting.#report(next)
      onProgress?.(report)
      if (next === null) return report
    }
  }

  #report(next: string | null): JobRewriteReport {
    return { ...this.#counts, unreadables: [...this.#unreadables], next }
  }

  /** Answers the last job of the page; null: it was the last page. */
  async #page(after: string): Promise<string | null> {
    const read = readJobsToRewrite(this.#outputs.schema)
    const { rows } = await run(this.#database, read, [after, jobsAtOnce])
    const tokens = new Map(rows.map((row) => [row['id'] as string, row['token'] as string]))
    await this.#all(rows.flatMap((row) => valuesOf(row as unknown as JobRow)))
    await this.#steps(tokens)
    this.#counts.jobs += rows.length
    return rows.length < jobsAtOnce ? null : (rows.at(-1)?.['id'] as string)
  }

  async #steps(tokens: ReadonlyMap<string, string>): Promise<void> {
    const read = readStepsToRewrite(this.#outputs.schema)
    for (let [job, step] = [first, '']; ;) {
      const values = [[...tokens.keys()], job, step, stepsAtOnce]
      const { rows } = await run(this.#database, read, values)
      await this.#all(
        rows.map((row) => ({
          of: { job: row['job'] as string, part: `step/${row['step'] as string}` },
          output: row['output'] as string,
          meta: row['meta'] as string | null,
          write: rewriteStepOutput,
          more: [row['step']],
          token: tokens.get(row['job'] as string) as string,
        })),
      )
      const last = rows.at(-1)
      if (last === undefined || rows.length < stepsAtOnce) return
      ;[job, step] = [last['job'] as string, last['step'] as string]
    }
  }

  async #all(found: readonly Found[]): Promise<void> {
    for (let start = 0; start < found.length; start += valuesAtOnce) {
      await Promise.all(found.slice(start, start + valuesAtOnce).map((one) => this.#one(one)))
    }
  }

  async #one(found: Found): Promise<void> {
    const { of } = found
    this.#counts.values += 1
    try {
      const became = await this.#rewrite(found)
      if (became !== 'current') this.#counts[became] += 1
    } catch (error) {
      if (!isUnreadable(error)) throw error
      this.#counts.unreadable += 1
      if (this.#unreadables.length === mostNamed) return
      this.#unreadables.push({ id: of.job, part: of.part, reason: messageOf(error) })
    }
  }

  async #rewrite(found: Found): Promise<'current' | 'rewritten' | 'passed'> {
    const { of, output, meta, write, more, token } = found
    const columns = { output: JSON.parse(output), meta: parsed(meta) } satisfies OutputColumns
    const reference = token === undefined ? undefined : referenceIn(columns)
    if (reference !== undefined) return this.#apart(found, reference, columns)
    const next = await this.#outputs.values.renewed(of, columns.output, columns.meta)
    if (next === undefined) return 'current'
    if (this.#dryRun) return 'rewritten'
    return this.#write(write, [of.job, next.json, next.meta, output, meta, ...more])
  }

  /** What is kept apart: in Postgres it changes where it is, in a store another object takes its place. */
  async #apart(
    { of, output, meta, write, more, token }: Found,
    reference: OutputReference,
    columns: OutputColumns,
  ): Promise<'current' | 'rewritten' | 'passed'> {
    const [whole = columns] = await this.#outputs.fetch(this.#database, of.job, [columns])
    const next = await this.#outputs.values.renewed(of, whole.output, whole.meta)
    if (next === undefined) return 'current'
    if (this.#dryRun) return 'rewritten'
    const { key, store } = reference
    if (store === undefined) {
      const was = [JSON.stringify(whole.output), stringified(whole.meta)]
      return this.#write(rewriteLargeOutput, [of.job, next.json, next.meta, ...was, key])
    }
    const claim = idleClaim(this.#database, this.#outputs.schema, of.job, token as string)
    let row: EncodedValue
    try {
      row = await this.#outputs.replace(claim, reference, next)
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_JOB_LOST')) return 'passed'
      throw error
    }
    const became = await this.#write(write, [of.job, row.json, row.meta, output, meta, ...more])
    if (became === 'rewritten') {
      await run(this.#database, dropOutputKey(this.#outputs.schema), [key])
    }
    return became
  }

  async #write(
    write: SchemaStatement,
    values: readonly unknown[],
  ): Promise<'rewritten' | 'passed'> {
    const { rowCount } = await run(this.#database, write(this.#outputs.schema), [...values])
    return rowCount === 1 ? 'rewritten' : 'passed'
  }
}

interface JobRow {
  readonly id: string
  readonly token: string
  readonly output: string | null
  readonly meta: string | null
  readonly state: string | null
  readonly state_meta: string | null
  readonly variables: string | null
  readonly variables_meta: string | null
  readonly writings: string | null
}

function valuesOf(row: JobRow): Found[] {
  const { id: job, output, meta, token, state, writings } = row
  const versions = (parsed(writings) ?? {}) as Readonly<Record<string, number>>
  const of = (part: string): ValueOf => ({ job, part, version: versions[part] ?? 0 })
  const variables = (parsed(row.variables) ?? {}) as Readonly<Record<string, unknown>>
  const notes = (parsed(row.variables_meta) ?? {}) as Readonly<Record<string, unknown>>
  return [
    ...(output === null
      ? []
      : [{ of: { job, part: 'output' }, output, meta, write: rewriteJobOutput, more: [], token }]),
    ...(state === null
      ? []
      : [
          {
            of: of('state'),
            output: state,
            meta: row.state_meta,
            write: rewriteJobState,
            more: [writings],
          },
        ]),
    ...Object.entries(variables).map(([name, value]) => ({
      of: of(`variable/${name}`),
      output: JSON.stringify(value),
      meta: stringified(notes[name]),
      write: rewriteJobVariable,
      more: [writings, name],
    })),
  ]
}

/** The right to put something for a job that nobody runs. */
function idleClaim(database: Database, schema: string, id: string, token: string): OutputClaim {
  const cutSignal = AbortSignal.timeout(storePatience)
  return {
    job: { id },
    cutSignal,
    orCut: (work) => orAborted(cutSignal, work),
    async write(_, values) {
      const write = writeIdleOutputKey(schema)
      const { rowCount } = await run(database, write, [id, token, ...values])
      if (rowCount === 1) return
      throw new TidemarkError('TIDEMARK_JOB_LOST', `job ${id} runs, or ran meanwhile`)
    },
  }
}

function isUnreadable(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_VALUE_UNREADABLE') ||
    isTidemarkError(error, 'TIDEMARK_OUTPUT_UNREADABLE') ||
    isTidemarkError(error, 'TIDEMARK_UNKNOWN_JOB')
  )
}

function parsed(text: string | null): unknown {
  return text === null ? null : JSON.parse(text)
}

function stringified(value: unknown): string | null {
  return value === null || value === undefined ? null : JSON.stringify(value)
}
