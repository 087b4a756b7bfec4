import assert from 'node:assert/strict'
import type { EventDraft, SendableQuery } from 'tidemark'
import { payloadAsRead } from '../kit/recorded.ts'
import type { InMemoryTransaction, SentStatement, SpecifiedSpawn } from './in-memory.ts'

/** What came of an action that was specified. Its assertions throw AssertionErrors, which test runners show as a difference. */
export class Specification<State = undefined> {
  /** What was published, in order. */
  readonly published: readonly EventDraft[]
  /** The jobs that were spawned, in order. */
  readonly spawned: readonly SpecifiedSpawn[]
  /** The statements that were sent, in order. */
  readonly statements: readonly SentStatement[]
  readonly #state: State
  readonly #failure: { readonly error: unknown } | undefined

  constructor(
    done: Pick<InMemoryTransaction, 'published' | 'spawned' | 'statements'>,
    state: State,
    failure: { readonly error: unknown } | undefined,
  ) {
    this.published = done.published.map(({ draft }) => draft)
    this.spawned = done.spawned
    this.statements = done.statements
    this.#state = state
    this.#failure = failure
  }

  /** Exactly these events are published, in this order. Without arguments: none. */
  thenPublished(...drafts: readonly EventDraft[]): this {
    this.#requireSuccess()
    assert.deepEqual(this.published.map(typeAndPayload), drafts.map(typeAndPayload))
    return this
  }

  /** Exactly these jobs are spawned, in this order: each with its input. Without arguments: none. */
  thenSpawned(
    ...jobs: readonly (readonly [job: { readonly name: string }, input: unknown])[]
  ): this {
    this.#requireSuccess()
    assert.deepEqual(
      this.spawned.map(({ name, input }) => [name, input]),
      jobs.map(([{ name }, input]) => [name, input]),
    )
    return this
  }

  /** Exactly these statements are sent, in this order: queries of Kysely's, or a text with its values. */
  thenSent(
    ...expected: readonly (SendableQuery | readonly [sql: string, ...values: unknown[]])[]
  ): this {
    this.#requireSuccess()
    assert.deepEqual(this.statements.map(flat), expected.map(flatExpected))
    return this
  }

  /** The entity has this state after what was published. */
  thenState(expected: NoInfer<State>): this {
    this.#requireSuccess()
    assert.deepEqual(this.#state, expected)
    return this
  }

  /** It failed, with an error that has these properties, or whose message matches. */
  thenFailed(expected: RegExp | Readonly<Record<string, unknown>>): this {
    if (this.#failure === undefined) assert.fail('it succeeded, and was expected to fail')
    const { error } = this.#failure
    assert.throws(() => {
      throw error
    }, expected)
    return this
  }

  /** What failed unexpectedly is the reason for whatever else differs. */
  #requireSuccess(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

function typeAndPayload(draft: EventDraft): object {
  return { type: draft.definition.type, payload: payloadAsRead(draft) }
}

function flat({ sql, values }: SentStatement): readonly unknown[] {
  return [sql, ...values]
}

function flatExpected(expected: SendableQuery | readonly unknown[]): readonly unknown[] {
  if (!('compile' in expected)) return expected
  const { sql, parameters } = expected.compile()
  return [sql, ...parameters]
}
