import { run, type Executor } from '../../database/executor.ts'
import { awaitJob, lockJoins, waitsFor } from '../../database/sql/job/awaited-job.ts'
import { readJobResult, retryJob } from '../../database/sql/job/job-admin.ts'
import { shown } from '../../errors/checked-text.ts'
import { requireOneOf } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Turn } from '../attempted/branches.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { decodeOutput } from '../defined/job-codec.ts'
import type { ChildOptions } from '../defined/waits.ts'
import type { JobMemory } from '../remembered/job-memory.ts'
import type { StoredStep } from '../remembered/job-steps.ts'
import { runJobTransaction } from '../settled/job-transaction.ts'

interface ChildRow {
  readonly status: string
  readonly output: unknown
  readonly output_meta: unknown
  readonly error: { readonly message?: string } | null
}

/** A job that another one spawns, once, and waits for. */
export class Child<Output> {
  readonly #attempt: Attempt
  readonly #memory: JobMemory
  readonly #id: string
  readonly #job: JobDefinition

  constructor(attempt: Attempt, memory: JobMemory, id: string, job: JobDefinition) {
    this.#attempt = attempt
    this.#memory = memory
    this.#id = id
    this.#job = job
  }

  /** What the parent gets of an output that is stored. */
  outputOf(output: unknown): Output {
    return decodeOutput(this.#job, output) as Output
  }

  /** Spawns the child unless it has been, waits for its end, and stores that. */
  async run(
    input: unknown,
    options: ChildOptions,
    stored: StoredStep | undefined,
    turn: Turn,
  ): Promise<Output> {
    checkOptions(this.#id, options)
    const child =
      stored?.text == null
        ? await this.#spawn(input, options)
        : (JSON.parse(stored.text) as { child: string }).child
    // It has failed before, and so has the attempt that waited for it.
    if (stored?.error != null && options.retry !== false) await this.#retry(child, options)
    let row = await this.#read(child)
    if (!hasEnded(row)) {
      const id = this.#id
      await this.#memory.branches.wait({
        id,
        left: Number.POSITIVE_INFINITY,
        waiting: { for: 'child', id, child },
        wait: () => ({ step: id, kind: 'job', child }),
        look: async () => {
          row = await this.#read(child)
          return hasEnded(row)
        },
      })
    }
    return this.#end(child, row, options, stored, turn)
  }

  async #spawn(input: unknown, { onCancel = 'cancel' }: ChildOptions): Promise<string> {
    return runJobTransaction(this.#attempt, this.#memory, async (tx, executor) => {
      const { id, outcome } = await tx.spawn(this.#job, input)
      if (id === this.#attempt.job.id) throw this.#itself(id)
      // With a unique key that is taken it is the job that has it: whoever spawned that one decides about it.
      const policy = outcome === 'kept' ? 'abandon' : onCancel
      if (outcome === 'kept') await this.#join(id, executor)
      await this.#memory.changeWait(this.#id, 'child', { child: id, onCancel: policy }, executor)
      return id
    })
  }

  /** Waits for a job that somebody else has spawned: it has the unique key of the child. */
  async #join(child: string, executor: Executor): Promise<void> {
    const { job, definition, environment } = this.#attempt
    const { schema } = environment.outbox
    // Before the look, in a statement of its own: what it waited for is seen.
    await run(executor, lockJoins(schema), [])
    const { rows } = await run(executor, waitsFor(schema), [child, job.id])
    if (rows[0]?.['waits'] === true) {
      const { name } = this.#job
      throw new TidemarkError(
        'TIDEMARK_CHILD_CYCLE',
        `${definition.name} ${job.id} would wait for itself: ${name} ${child} has the unique key of the child, and waits for it`,
        { details: { name, id: job.id, child } },
      )
    }
    await run(executor, awaitJob(schema), [child])
  }

  async #retry(child: string, options: ChildOptions): Promise<void> {
    const { database, outbox } = this.#attempt.environment
    const { onCancel = 'cancel' } = options
    await this.#memory.changeWait(this.#id, 'child', { child, onCancel })
    const row = await this.#read(child)
    if (row?.status !== 'failed') return
    const { definition } = this.#attempt
    // Somebody else may have retried it, or have its unique key by now: what it is then is read next.
    await run(database, retryJob(outbox.schema), [child, `job:${definition.name}`])
  }

  async #read(child: string): Promise<ChildRow | undefined> {
    const { database, outbox } = this.#attempt.environment
    const { rows } = await run(database, readJobResult(outbox.schema), [child])
    return rows[0] as unknown as ChildRow | undefined
  }

  async #end(
    child: string,
    row: ChildRow | undefined,
    options: ChildOptions,
    stored: StoredStep | undefined,
    turn: Turn,
  ): Promise<Output> {
    const step = { id: this.#id, kind: 'child', startedAt: stored?.startedAt ?? new Date() }
    if (row?.status !== 'completed') {
      const thrown = this.#failure(child, row)
      await this.#memory.end({ ...step, output: { child }, error: { thrown } }, turn)
      if (options.onFailure === 'fail') this.#memory.branches.fail(thrown)
      throw thrown
    }
    const { database, outputs } = this.#attempt.environment
    const { cutSignal } = this.#attempt
    const { output, output_meta: meta } = row
    const reading = outputs.read(database, child, { output, meta, part: 'output' }, cutSignal)
    const value = await this.#attempt.orCut(reading)
    await this.#memory.end({ ...step, output: value }, turn)
    return this.outputOf(value)
  }

  #itself(id: string): TidemarkError {
    const { name } = this.#job
    const message = `the child job ${name} of ${id} would be that job itself: it has the unique key`
    return new TidemarkError('TIDEMARK_DUPLICATE_JOB', message, {
      hint: 'Give the child another unique key: a job cannot wait for its own end.',
      details: { id, name },
    })
  }

  #failure(child: string, row: ChildRow | undefined): TidemarkError {
    const { name } = this.#job
    if (row === undefined) {
      return new TidemarkError(
        'TIDEMARK_CHILD_GONE',
        `the child job ${name} ${child} was deleted`,
        {
          details: { id: child, name },
        },
      )
    }
    const { status, error } = row
    const why = error?.message === undefined ? '' : `: ${error.message}`
    return new TidemarkError(
      'TIDEMARK_JOB_FAILED',
      status === 'failed'
        ? `the child job ${name} ${child} was failed${why}`
        : `the child job ${name} ${child} was ${status}`,
      { details: { id: child, name, status, error } },
    )
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION, before anything is spawned. */
function checkOptions(id: string, options: ChildOptions): void {
  const where = `the child ${shown(id)}`
  rejectUnknownOptions(where, options, ['onCancel', 'onFailure', 'retry'])
  const { onCancel = 'cancel', onFailure = 'throw' } = options
  requireOneOf(where, 'onCancel', onCancel, ['cancel', 'abandon', 'wait'])
  requireOneOf(where, 'onFailure', onFailure, ['throw', 'fail'])
}

function hasEnded(row: ChildRow | undefined): boolean {
  return row === undefined || ['completed', 'failed', 'cancelled'].includes(row.status)
}
