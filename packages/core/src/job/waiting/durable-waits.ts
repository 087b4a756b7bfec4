import type { z } from 'zod'
import { run } from '../../database/executor.ts'
import { takeSignal } from '../../database/sql/job/job-memory.ts'
import { progressOf } from '../../database/sql/listener/cursors.ts'
import { shown } from '../../errors/checked-text.ts'
import { field } from '../../errors/foreign-value.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventDefinition } from '../../event/define-event.ts'
import { decodeValue } from '../../event/encoded/codec.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import { readBySchema } from '../../event/schema/schema-codec.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'
import { readEventsAt } from '../../outbox/read/page.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { OpenWait, Turn } from '../attempted/branches.ts'
import type { JobWait } from '../attempted/suspension.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import type {
  ChildOptions,
  JobEventOptions,
  JobSignalOptions,
  JobWaitOptions,
  JobWaits,
} from '../defined/waits.ts'
import type { EventQuest, JobMemory } from '../remembered/job-memory.ts'
import type { StoredStep } from '../remembered/job-steps.ts'
import {
  checkChild,
  checkEventWait,
  checkListenerWait,
  checkSignalWait,
  timeoutOf,
} from './checked-waits.ts'
import { Child } from './child.ts'
import { EventSearch } from './event-search.ts'

/** What a wait that is not over has stored. */
interface Begun {
  /** When it ends, by the server's clock; null: never. */
  readonly until: number | null
  readonly after?: string
  /** Up to where the events that it asks for were gone when it began; null or none: they were there. */
  readonly pruned?: string | null
}

/** The waits of a context: each is a step that has begun, until it is over. */
export class DurableWaits implements JobWaits {
  readonly attempt: Attempt
  readonly memory: JobMemory

  constructor(attempt: Attempt, memory: JobMemory) {
    this.attempt = attempt
    this.memory = memory
  }

  readonly sleep = (id: string, duration: Duration): Promise<void> =>
    this.#wait(id, 'sleep', async (stored, turn) => {
      const left = await this.#begin(id, 'sleep', stored, milliseconds(duration), {})
      await this.memory.branches.wait({ id, waiting: { for: 'sleep', id }, left })
      await this.#end(id, 'sleep', stored, turn)
    })

  readonly waitForEvent = <Definition extends EventDefinition<string, unknown>>(
    id: string,
    definition: Definition,
    options: JobEventOptions<Definition> = {},
  ): Promise<EventOf<Definition> | undefined> =>
    this.#wait(
      id,
      'event',
      async (stored, turn) => {
        checkEventWait(id, definition, options)
        const begun = begunOf(stored)
        const search = await EventSearch.begin(
          this.attempt.environment,
          definition,
          options,
          begun?.after,
        )
        const left = await this.#beginEvent(id, stored, search, options, turn)
        let event = await search.look()
        if (event === undefined && left > 0) {
          // What was looked at and not wanted is not looked at again.
          if (search.passed) await this.memory.changeWait(id, 'event', search.quest)
          const { key } = options
          await this.memory.branches.wait({
            id,
            left,
            waiting: { for: 'event', id, target: definition.type, key },
            wait: () => waitsFor(id, search.quest),
            look: async () => {
              event ??= await search.look()
              return event !== undefined
            },
          })
        }
        await this.#end(id, 'event', stored, turn, event && String(event.sequence))
        return event
      },
      (output) => this.#eventAt<Definition>(id, output as string | undefined),
    )

  readonly waitFor = (
    listener: string | { readonly name: string },
    sequence: EventSequence | null,
    options: JobWaitOptions = {},
  ): Promise<boolean> => {
    if (sequence === null) return Promise.resolve(true)
    const target: unknown = typeof listener === 'string' ? listener : field(listener, 'name')
    // It has no id of its own: the second time is another wait.
    const name = `waitFor ${String(target)} ${sequence}`
    let id = name
    for (let number = 2; this.memory.branches.has(id); number++) id = `${name} #${number}`
    return this.#wait(
      id,
      'cursor',
      async (stored, turn) => {
        checkListenerWait(id, target, sequence, options)
        const left = await this.#begin(id, 'cursor', stored, timeoutOf(options), {})
        const look = (): Promise<boolean> => this.#hasReached(target, sequence)
        const reached =
          (await look()) ||
          (left > 0 &&
            (await this.memory.branches.wait({
              id,
              left,
              look,
              waiting: { for: 'cursor', id, target },
              wait: () => ({ step: id, kind: 'cursor', target, sequence: String(sequence) }),
            })))
        await this.#end(id, 'cursor', stored, turn, reached)
        return reached
      },
      (output) => output === true,
    )
  }

  readonly waitForSignal = <T = unknown>(
    id: string,
    name: string,
    options: JobSignalOptions<T> = {},
  ): Promise<T | undefined> => {
    const read = (payload: unknown): T | undefined =>
      payload === undefined || options.schema === undefined
        ? (payload as T | undefined)
        : (readSignal(name, options.schema, payload) as T)
    return this.#wait(
      id,
      'signal',
      async (stored, turn) => {
        checkSignalWait(this.attempt.definition.name, id, name, options)
        const left = await this.#begin(id, 'signal', stored, timeoutOf(options), {})
        let taken = await this.#takeSignal(id, name, turn)
        if (taken === undefined && left > 0) {
          const wait: OpenWait = {
            id,
            left,
            waiting: { for: 'signal', id, target: name },
            wait: () => ({ step: id, kind: 'signal', target: name }),
            look: async () => {
              taken ??= await this.#takeSignal(id, name, turn)
              return taken !== undefined
            },
          }
          await this.memory.branches.wait(wait)
        }
        // One may have come, or been taken by a look whose answer was lost, since the last that was answered.
        taken ??= left > 0 ? await this.#takeSignal(id, name, turn) : undefined
        if (taken === undefined) await this.#end(id, 'signal', stored, turn)
        return read(taken?.payload)
      },
      read,
    )
  }

  readonly child = <Input, Output>(
    id: string,
    job: JobDefinition<Input, Output>,
    input: NoInfer<Input>,
    options: ChildOptions = {},
  ): Promise<Output> => {
    const child = new Child<Output>(this.attempt, this.memory, id, job)
    return this.#wait(
      id,
      'child',
      async (stored, turn) => {
        checkChild(id, job)
        this.attempt.requireNoTransaction('ctx.child')
        return child.run(input, options, stored, turn)
      },
      (output) => child.outputOf(output),
    )
  }

  /**
   * One wait: what is stored of its end, or the waiting.
   *
   * @param work - waits, and stores the end.
   * @param read - makes of what is stored what the code gets.
   */
  #wait<T>(
    id: string,
    kind: string,
    work: (stored: StoredStep | undefined, turn: Turn) => Promise<T>,
    read: (output: unknown) => Promise<T> | T = (output) => output as T,
  ): Promise<T> {
    return this.memory.branches.give(async (turn) => {
      const stored = this.memory.take(id, kind)
      this.attempt.requireOutside(id)
      if (stored?.position != null) return read(await this.memory.replay(stored, turn))
      this.attempt.throwIfInterrupted()
      return work(stored, turn)
    })
  }

  /** Stores that a wait has begun; answers how many milliseconds are left of it. */
  async #begin(
    id: string,
    kind: string,
    stored: StoredStep | undefined,
    duration: number,
    what: object,
  ): Promise<number> {
    const begun = begunOf(stored)
    if (begun !== undefined) return this.memory.left(begun.until)
    await this.memory.beginWait(id, kind, what, duration)
    return duration
  }

  #end(
    id: string,
    kind: string,
    stored: StoredStep | undefined,
    turn: Turn,
    output?: unknown,
  ): Promise<void> {
    return this.memory.end({ id, kind, output, startedAt: stored?.startedAt ?? new Date() }, turn)
  }

  async #takeSignal(
    id: string,
    name: string,
    turn: Turn,
  ): Promise<{ readonly payload: unknown } | undefined> {
    const { deliveries } = this.memory.branches
    const { database, outbox } = this.attempt.environment
    const position = deliveries.take()
    const values = [...this.attempt.fence, id, name, position]
    let rows: readonly Record<string, unknown>[] = []
    try {
      ;({ rows } = await run(database, takeSignal(outbox.schema), values))
    } finally {
      if (rows[0]?.['position'] !== position) deliveries.giveBack(position)
    }
    const [row] = rows
    if (row === undefined) return undefined
    turn.position = row['position'] as number
    this.memory.noteEnd({ id, kind: 'signal', startedAt: new Date() }, turn.position)
    this.attempt.progressed = true
    await this.memory.onEnd?.()
    return { payload: decodeValue(row['payload'], row['payload_meta']) }
  }

  async #hasReached(target: string, sequence: EventSequence): Promise<boolean> {
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
    return BigInt((row['cursor'] as string | null) ?? 0) >= sequence
  }

  /**
   * Begins to wait for an event, and has the outbox keep those that it asks for; answers how many milliseconds are left.
   *
   * @throws TidemarkError TIDEMARK_EVENTS_PRUNED when they are asked for after a sequence, and are gone.
   */
  async #beginEvent(
    id: string,
    stored: StoredStep | undefined,
    search: EventSearch<EventDefinition<string, unknown>>,
    options: JobWaitOptions & { readonly after?: EventSequence },
    turn: Turn,
  ): Promise<number> {
    const begun = begunOf(stored)
    if (begun !== undefined && begun.pruned == null) return this.memory.left(begun.until)
    const duration = timeoutOf(options)
    for (;;) {
      const pruned = await this.memory.beginEventWait(id, search.quest, duration)
      if (pruned === null) return duration
      if (options.after !== undefined) {
        const { types, after } = search.quest
        const thrown = this.#gone(
          `the wait ${shown(id)} asks for events of ${types[0]} after ${after}, and those below ${pruned} were pruned`,
          { wait: id, after: BigInt(after), below: pruned },
        )
        const startedAt = stored?.startedAt ?? new Date()
        await this.memory.end({ id, kind: 'event', error: { thrown }, startedAt }, turn)
        throw thrown
      }
      // Without a sequence it begins now, and these are of before.
      search.after = (pruned - 1n) as EventSequence
    }
  }

  #gone(what: string, details: Readonly<Record<string, unknown>>): TidemarkError {
    const { definition, job } = this.attempt
    return new TidemarkError('TIDEMARK_EVENTS_PRUNED', `${definition.name} ${job.id}: ${what}`, {
      hint: 'The outbox keeps what unfinished jobs ask for. Attach the archived partitions again and delete their rows of `pruned_partitions`, then retry the job; or spawn it anew.',
      details: { job: job.id, name: definition.name, ...details },
    })
  }

  async #eventAt<Definition>(
    id: string,
    sequence: string | undefined,
  ): Promise<EventOf<Definition> | undefined> {
    if (sequence === undefined) return undefined
    const { database, outbox, registry } = this.attempt.environment
    const at = [BigInt(sequence) as EventSequence]
    const [stored] = await readEventsAt(database, outbox.schema, at)
    // That it is gone must not be taken for a time-out.
    if (stored === undefined) {
      throw this.#gone(`the event ${sequence} that ended the wait ${shown(id)} was pruned`, {
        wait: id,
        sequence: at[0],
      })
    }
    return stored.decode(registry) as EventOf<Definition>
  }
}

// Longer than any id: what is behind it is taken for no other wait's.
const longestId = 500

/** One wait for each name that the event may be stored under. */
function waitsFor(id: string, { types, key, after }: EventQuest): readonly JobWait[] {
  return types.map((target, index) => ({
    step: index === 0 ? id : `${id.padEnd(longestId + 1)}${target}`,
    kind: 'event',
    target,
    ...(key === undefined ? {} : { key }),
    sequence: after,
  }))
}

/** @throws TidemarkError TIDEMARK_INVALID_INPUT: what a signal carries does not fit, or the schema is of no use. */
function readSignal(name: string, schema: z.ZodType, payload: unknown): unknown {
  const what = `the signal ${name}`
  const refuse = (cause: z.ZodError): TidemarkError => {
    const [issue] = cause.issues
    const message = `${what} is invalid: ${issue?.message ?? 'its schema refuses it'}`
    return new TidemarkError('TIDEMARK_INVALID_INPUT', message, { cause, details: { name } })
  }
  // A program may have told it, or a request, which has nothing but JSON.
  return readBySchema(what, schema, payload, refuse, true)
}

function begunOf(stored: StoredStep | undefined): Begun | undefined {
  return stored?.text == null ? undefined : (JSON.parse(stored.text) as Begun)
}
