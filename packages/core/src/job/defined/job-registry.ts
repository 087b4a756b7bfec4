import type { z } from 'zod'
import { shown } from '../../errors/checked-text.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { closest } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { jsonSchemaOf } from '../../event/schema/json-schema.ts'
import type { DeclaredLimit } from '../declared/limit.ts'
import { isJobDefinition, type JobDefinition } from './define-job.ts'
import type { QueueDefinition } from './define-queue.ts'

/** A type of job as a process publishes it: for other processes, for a user interface, for an API. */
export interface PublishedJobType {
  readonly name: string
  readonly kind: 'job'
  readonly version: number
  readonly description?: string
  readonly aliases: readonly string[]
  readonly queue: string
  /** JSON Schema; null when the zod schema holds what JSON Schema cannot say. */
  readonly input: object | null
  readonly output: object | null
  readonly state: object | null
}

/** The job definitions of an application, by their names and by the names that they had before. */
export class JobRegistry {
  readonly #byName = new Map<string, JobDefinition>()
  readonly #definitions = new Set<JobDefinition>()
  readonly #queues = new Map<string, QueueDefinition>()
  #published: readonly PublishedJobType[] | undefined

  /** @throws TidemarkError TIDEMARK_NAME_TAKEN when another definition has the name or an alias. */
  add(definition: JobDefinition): void {
    if (this.#definitions.has(definition)) return
    for (const name of [definition.name, ...definition.aliases]) {
      if (this.#byName.has(name)) {
        throw new TidemarkError('TIDEMARK_NAME_TAKEN', `two jobs are named "${name}"`, {
          hint: 'The name of a job is stored with it: give each its own.',
          details: { name },
        })
      }
      this.#byName.set(name, definition)
    }
    if (definition.definedQueue !== undefined) this.addQueue(definition.definedQueue)
    this.#definitions.add(definition)
    this.#published = undefined
  }

  /** @throws TidemarkError TIDEMARK_NAME_TAKEN when another definition has the name. */
  addQueue(queue: QueueDefinition): void {
    const known = this.#queues.get(queue.name)
    if (known !== undefined && known !== queue) {
      throw new TidemarkError('TIDEMARK_NAME_TAKEN', `two queues are named "${queue.name}"`, {
        hint: 'Define a queue once, and share the definition.',
        details: { name: queue.name },
      })
    }
    this.#queues.set(queue.name, queue)
  }

  /** The limit of a queue; undefined when it has none. */
  queueLimit(name: string): DeclaredLimit | undefined {
    return this.#queues.get(name)?.limit
  }

  get(name: string): JobDefinition | undefined {
    return this.#byName.get(name)
  }

  get size(): number {
    return this.#definitions.size
  }

  /** The names of the queues that its definitions name. */
  get queues(): ReadonlySet<string> {
    return new Set([...[...this.#definitions].map(({ queue }) => queue), ...this.#queues.keys()])
  }

  /** The versions of the definitions of some names. */
  versionsOf(names: readonly string[]): readonly number[] {
    return names.map((name) => this.#byName.get(name)?.version ?? 1)
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()]
  }

  [Symbol.iterator](): SetIterator<JobDefinition> {
    return this.#definitions.values()
  }

  /**
   * The definition itself, or that of a name.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_JOB_TYPE.
   */
  require(job: string | { readonly name: string }): JobDefinition {
    if (isJobDefinition(job)) return job
    const name: unknown = typeof job === 'string' ? job : (job as { name?: unknown } | null)?.name
    if (typeof name !== 'string') {
      throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${shown(job)} is no type of job`, {
        hint: 'Give its definition, or its name.',
      })
    }
    const found = this.#byName.get(name)
    if (found !== undefined) return found
    const meant = closest(name, this.names)
    throw new TidemarkError('TIDEMARK_UNKNOWN_JOB_TYPE', `no job is named "${name}"`, {
      ...(meant === undefined ? {} : { hint: `Did you mean "${meant}"?` }),
      details: { name },
    })
  }

  /** What this process can run, with JSON Schemas. Made once. */
  publish(): readonly PublishedJobType[] {
    this.#published ??= [...this.#definitions].map((definition): PublishedJobType => {
      const { name, version, description, aliases, queue, schemas } = definition
      return {
        name,
        kind: 'job',
        version,
        ...(description === undefined ? {} : { description }),
        aliases,
        queue,
        input: jsonOf(schemas.input),
        output: jsonOf(schemas.output),
        state: jsonOf(schemas.state),
      }
    })
    return this.#published
  }
}

/** What people and tools are shown. A schema that has none (a default that throws, a bigint among its examples) stops nobody. */
function jsonOf(schema: z.ZodType | undefined): object | null {
  if (schema === undefined) return null
  try {
    return jsonSchemaOf(schema)
  } catch (error) {
    return { $comment: `no JSON Schema can be made of it: ${messageOf(error)}` }
  }
}
