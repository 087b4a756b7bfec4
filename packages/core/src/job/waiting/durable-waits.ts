import { run } from '../../database/executor.ts'
import { readJobResult } from '../../database/sql/job/job-admin.ts'
import { progressOf } from '../../database/sql/listener/cursors.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import { readEventsAt, readLastSettled, readPage } from '../../outbox/read/page.ts'
import type { Attempt } from '../attempted/attempt.ts'
import { Suspension, type JobWait } from '../attempted/suspension.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { decodeOutput } from '../defined/job-codec.ts'
import type { JobEventOptions, JobWaitOptions, JobWaits } from '../defined/waits.ts'
import type { JobMemory, StoredStep } from '../remembered/job-memory.ts'
import { runJobTransaction } from '../settled/job-transaction.ts'
import { repeatableJobId } from '../spawned/job-id.ts'

const pageSize = 1000

interface EventWait extends Deadline {
  readonly after: string
}

interface Deadline {
  /** In milliseconds since 1970; null: none. */
  readonly until: number | null
}

/** The waits of a context: each is a step that has begun, and a suspension until it is over. */
export class DurableWaits implements JobWaits {
  readonly attempt: Attempt
  readonly memory: JobMemory

  constructor(attempt: Attempt, memory: JobMemory) {
    this.attempt = attempt
    this.memory = memory
  }

  readonly sleep = async (id: string, duration: Duration): Promise<void> => {
    const begun = this.memory.step(id)
    if (begun?.completedAt != null) return
    const { until } = await this.#begin<Deadline>(id, 'sleep', begun, () => ({
      until: Date.now() + milliseconds(duration),
    }))
    const left = (until ?? 0) - Date.now()
    if (left > 0) this.suspend(new Suspension(left, { for: 'sleep', id }))
    await this.#finish(id, 'sleep', null)
  }

  readonly waitForEvent = async <Definition extends EventDefinition<string, unknown>>(
    id: string,
    definition: Definition,
    options: JobEventOptions<Definition> = {},
  ): Promise<EventOf<Definition> | undefined> => {
    const { database, outbox, registry } = this.attempt.environment
    const { key, where = () => true } = options
    const begun = this.memory.step(id)
    if (begun?.completedAt != null) return this.#eventAt(begun.output as string | null)
    const horizon = await readHorizon(database, outbox.schema)
    const settled = await readLastSettled(database, outbox.schema, horizon.sequence)
    const wait = await this.#begin<EventWait>(id, 'event', begun, () => ({
      ...deadline(options),
      after: String(options.after ?? settled),
    }))
    let after = BigInt(wait.after) as EventSequence
    for (;;) {
      const request = { after, upTo: settled, limit: pageSize, types: [definition.type] }
      if (after >= settled) break
      const page = await readPage(database, outbox.schema, request)
      for (const stored of page.events) {
        if (key !== undefined && stored.key !== key) continue
        const event = stored.decode(registry) as EventOf<Definition>
        if (!where(event)) continue
        await this.#finish(id, 'event', String(stored.sequence))
        return event
      }
      if (!page.full) break
      after = page.events.at(-1)?.sequence ?? settled
    }
    const looked = settled > after ? settled : after
    const looking: EventWait = { ...wait, after: String(looked) }
    await this.#giveUpAt(id, 'event', wait, looking, () => ({
      kind: 'event',
      target: definition.type,
      ...(key === undefined ? {} : { key }),
      sequence: looked,
    }))
    return undefined
  }

  readonly waitFor = async (
    listener: string | { readonly name: string },
    sequence: EventSequence | null,
    options: JobWaitOptions = {},
  ): Promise<boolean> => {
    if (sequence === null) return true
    const target = typeof listener === 'string' ? listener : listener.name
    const id = `waitFor ${target} ${sequence}`
    const begun = this.memory.step(id)
    if (begun?.completedAt != null) return begun.output === true
    const { database, outbox } = this.attempt.environment
    const { rows } = await run(database, progressOf(outbox.schema), [[target]])
    const [row] = rows
    if (row === undefined) {
      throw new TidemarkError(
        'TIDEMARK_UNKNOWN_LISTENER',
        `no listener or projection is named "${target}"`,
        { details: { listener: target } },
      )
    }
    if (BigInt((row['cursor'] as string | null) ?? 0) >= sequence) {
      await this.#finish(id, 'cursor', true)
      return true
    }
    const wait = await this.#begin<Deadline>(id, 'cursor', begun, () => deadline(options))
    await this.#giveUpAt(id, 'cursor', wait, wait, () => ({ kind: 'cursor', target, sequence }))
    return false
  }

  readonly child = async <Input, Output>(
    id: string,
    job: JobDefinition<Input, Output>,
    input: NoInfer<Input>,
  ): Promise<Output> => {
    const begun = this.memory.step(id)
    if (begun?.completedAt != null) return decodeOutput(job, begun.output) as Output
    const child = repeatableJobId({
      seed: `${this.attempt.job.id} ${id}`,
      at: this.attempt.job.created_at,
    })
    const step = { id, kind: 'child', output: { child }, startedAt: new Date(), completedAt: null }
    if (begun === undefined) {
      await runJobTransaction(this.attempt, this.memory, async (tx, executor) => {
        await tx.spawn(job, input, { id: child })
        await this.memory.saveStep(step, executor)
      })
      this.memory.remember(step)
    }
    const { database, outbox, outputs } = this.attempt.environment
    const { rows } = await run(database, readJobResult(outbox.schema), [child])
    const { status, output, output_meta: meta, error } = rows[0] ?? { status: 'failed' }
    if (status === 'failed' || status === 'cancelled') {
      throw new TidemarkError(
        'TIDEMARK_JOB_FAILED',
        `the child job ${job.name} ${child} was ${status}`,
        {
          details: { id: child, name: job.name, status, error },
        },
      )
    }
    if (status !== 'completed') {
      const wait: JobWait = { kind: 'jobs', jobs: [child] }
      this.suspend(new Suspension(undefined, { for: 'child', id, child }, wait))
    }
    const { cut, cutSignal } = this.attempt
    const reading = outputs.read(database, child, { output, meta }, cutSignal)
    const value = await Promise.race([reading, cut])
    await this.#finish(id, 'child', value)
    return decodeOutput(job, value) as Output
  }

  /** Leaves the attempt. */
  protected suspend(suspension: Suspension): never {
    this.attempt.throwIfInterrupted()
    this.attempt.suspension = suspension
    throw suspension
  }

  async #begin<T>(
    id: string,
    kind: string,
    begun: StoredStep | undefined,
    what: () => T,
  ): Promise<T> {
    if (begun !== undefined) return begun.output as T
    const output = what()
    await this.memory.saveStep({ id, kind, output, startedAt: new Date(), completedAt: null })
    return output
  }

  async #finish(id: string, kind: string, output: unknown): Promise<void> {
    const startedAt = this.memory.step(id)?.startedAt ?? new Date()
    await this.memory.saveStep({ id, kind, output, startedAt, completedAt: new Date() })
  }

  /** Ends the wait when its time is over, and suspends the job otherwise. */
  async #giveUpAt(
    id: string,
    kind: string,
    { until }: Deadline,
    progress: Deadline,
    wait: () => JobWait,
  ): Promise<void> {
    const left = until === null ? undefined : until - Date.now()
    if (left !== undefined && left <= 0) {
      await this.#finish(id, kind, null)
      return
    }
    const startedAt = this.memory.step(id)?.startedAt ?? new Date()
    await this.memory.saveStep({ id, kind, output: progress, startedAt, completedAt: null })
    const { kind: what, target, key } = wait()
    this.suspend(new Suspension(left, { for: what, id, target, key }, wait()))
  }

  async #eventAt<Definition>(sequence: string | null): Promise<EventOf<Definition> | undefined> {
    if (sequence === null || sequence === undefined) return undefined
    const { database, outbox, registry } = this.attempt.environment
    const at = [BigInt(sequence) as EventSequence]
    const [stored] = await readEventsAt(database, outbox.schema, at)
    return stored?.decode(registry) as EventOf<Definition> | undefined
  }
}

function deadline({ timeout }: JobWaitOptions): Deadline {
  return { until: timeout === undefined ? null : Date.now() + milliseconds(timeout) }
}
