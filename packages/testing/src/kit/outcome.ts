import assert from 'node:assert/strict'
import type {
  App,
  Entity,
  EventDraft,
  KeyedProjection,
  RecordedEvent,
  StateProjection,
} from 'tidemark'

/** What came of an action. Its assertions throw AssertionErrors, which test runners show as a difference. */
export class Outcome {
  /** What was published because of the action, without the action's own events, in order. */
  readonly published: readonly RecordedEvent[]
  readonly #app: App
  readonly #failure: { readonly error: unknown } | undefined

  constructor(
    app: App,
    published: readonly RecordedEvent[],
    failure: { readonly error: unknown } | undefined,
  ) {
    this.#app = app
    this.published = published
    this.#failure = failure
  }

  /** Exactly these events were published, in this order. Without arguments: none. */
  thenPublished(...drafts: readonly EventDraft[]): this {
    this.#requireSuccess()
    assert.deepEqual(
      this.published.map(({ type, payload }) => ({ type, payload })),
      drafts.map(({ definition, payload }) => ({ type: definition.type, payload })),
    )
    return this
  }

  /** The command failed, with an error that has these properties, or whose message matches. */
  thenFailed(expected: RegExp | Readonly<Record<string, unknown>>): this {
    if (this.#failure === undefined) {
      assert.fail('the command succeeded, and was expected to fail')
    }
    const { error } = this.#failure
    assert.throws(() => {
      throw error
    }, expected)
    return this
  }

  /** A state projection has this state, or a keyed one has it for this key. */
  thenState<State>(projection: StateProjection<State>, expected: NoInfer<State>): Promise<this>
  thenState<State>(
    projection: KeyedProjection<State>,
    key: string,
    expected: NoInfer<State>,
  ): Promise<this>
  async thenState<State>(
    projection: StateProjection<State> | KeyedProjection<State>,
    ...rest: readonly [State] | readonly [string, State]
  ): Promise<this> {
    this.#requireSuccess()
    const actual =
      rest.length === 2
        ? await this.#app.read(projection as KeyedProjection<State>, rest[0])
        : await this.#app.read(projection as StateProjection<State>)
    assert.deepEqual(actual, rest.at(-1))
    return this
  }

  /** An entity has this state. */
  async thenEntity<State>(
    entity: Entity<State>,
    id: string,
    expected: NoInfer<State>,
  ): Promise<this> {
    this.#requireSuccess()
    assert.deepEqual((await this.#app.load(entity, id)).state, expected)
    return this
  }

  /** A query answers these rows. */
  async thenRows(
    text: string,
    expected: readonly Readonly<Record<string, unknown>>[],
    values: readonly unknown[] = [],
  ): Promise<this> {
    this.#requireSuccess()
    const { result } = await this.#app.transaction((tx) => tx.query(text, [...values]))
    assert.deepEqual(result.rows, expected)
    return this
  }

  /** A listener has set these events aside, in the order of their sequences: their types and messages. */
  async thenDeadLetters(
    listener: string | { readonly name: string },
    ...expected: readonly { readonly type: string; readonly message: string }[]
  ): Promise<this> {
    this.#requireSuccess()
    const name = typeof listener === 'string' ? listener : listener.name
    const letters = await this.#app.deadLetters.list({ listener: name })
    assert.deepEqual(
      letters.map(({ type, error }) => ({
        type,
        message: error?.cause?.message ?? error?.message ?? '',
      })),
      expected,
    )
    return this
  }

  /** A command that failed unexpectedly is the reason for whatever else differs. */
  #requireSuccess(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
