import { ask, isThenable } from '../../errors/user-code.ts'
import { storedTypesOf, type EventDefinition } from '../../event/define-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import { readLastSettled, readPage } from '../../outbox/read/page.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { JobEventOptions } from '../defined/waits.ts'
import type { EventQuest } from '../remembered/job-memory.ts'

const pageSize = 1000

/** Looks along the outbox for the first event that a job waits for. */
export class EventSearch<Definition extends EventDefinition<string, unknown>> {
  readonly #environment: JobEnvironment
  readonly #definition: Definition
  readonly #options: JobEventOptions<Definition>
  /** Up to where it has looked. */
  after: EventSequence
  /** Whether there were events that the job does not want. */
  passed = false

  private constructor(
    environment: JobEnvironment,
    definition: Definition,
    options: JobEventOptions<Definition>,
    after: EventSequence,
  ) {
    this.#environment = environment
    this.#definition = definition
    this.#options = options
    this.after = after
  }

  /** @param begun - after which event it has begun, if it has. Without it and an option: what is settled now. */
  static async begin<Definition extends EventDefinition<string, unknown>>(
    environment: JobEnvironment,
    definition: Definition,
    options: JobEventOptions<Definition>,
    begun: string | undefined,
  ): Promise<EventSearch<Definition>> {
    const after =
      begun === undefined
        ? (options.after ?? (await settledOf(environment)))
        : (BigInt(begun) as EventSequence)
    return new EventSearch(environment, definition, options, after)
  }

  /** What is left to be looked for. */
  get quest(): EventQuest {
    const { key } = this.#options
    const types = [...storedTypesOf([this.#definition])]
    return { types, ...(key === undefined ? {} : { key }), after: String(this.after) }
  }

  /** The first event after the last look that the job wants. */
  async look(): Promise<EventOf<Definition> | undefined> {
    const { database, outbox, registry } = this.#environment
    const { key } = this.#options
    const upTo = await settledOf(this.#environment)
    const types = [...storedTypesOf([this.#definition])]
    while (this.after < upTo) {
      const request = { after: this.after, upTo, limit: pageSize, types }
      const page = await readPage(database, outbox.schema, request)
      for (const stored of page.events) {
        if (key === undefined || stored.key === key) {
          const event = stored.decode(registry) as EventOf<Definition>
          if (this.#accepts(event)) return event
        }
        this.passed = true
      }
      this.after = page.full ? (page.events.at(-1)?.sequence ?? upTo) : upTo
    }
    return undefined
  }

  /** @throws TidemarkError TIDEMARK_CALLBACK_FAILED when `where` throws, or answers a promise, which would be "yes". */
  #accepts(event: EventOf<Definition>): boolean {
    const { where } = this.#options
    if (where === undefined) return true
    const what = `\`where\` of a wait for ${this.#definition.type}`
    const answer = ask(what, () => where(event), isNoPromise, 'a boolean')
    if (!answer.ok) throw answer.error
    return Boolean(answer.value)
  }
}

function isNoPromise(answer: unknown): answer is unknown {
  return !isThenable(answer)
}

async function settledOf({ database, outbox }: JobEnvironment): Promise<EventSequence> {
  const horizon = await readHorizon(database, outbox.schema)
  return readLastSettled(database, outbox.schema, horizon.sequence)
}
