import { run } from '../../database/executor.ts'
import { advanceState } from '../../database/sql/listener/cursors.ts'
import { inWork } from '../../errors/blame.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import { leaseLost, type Lease } from '../../listener/leased/lease.ts'
import type { Batch, Environment, Handling } from '../../listener/read/consumer.ts'
import { fencedWrite } from '../stored/fenced-write.ts'
import { PostponedWrite } from '../stored/postponed-write.ts'
import { decodeState, encodeState } from './state-codec.ts'
import type { Reducer, StateProjection } from './state-projection.ts'

/**
 * Folds in memory and writes state and cursor with one fenced statement: per batch, or less often while more follow. The state in memory is the
 * stored one for as long as the fence holds: nobody else can have written it.
 */
export class StateHandling<State> implements Handling {
  readonly #projection: StateProjection<State>
  readonly #reducers: ReadonlyMap<string, Reducer<State>>
  readonly #lease: Lease
  readonly #environment: Environment
  /** What is stored, as text: a reducer that changes its state in place cannot reach it. */
  #stored: EncodedValue | null
  /** Decoded when it is needed: a state that cannot be read fails the batch, not the process. */
  #state: { readonly value: State } | undefined
  readonly #write = new PostponedWrite()

  constructor(projection: StateProjection<State>, lease: Lease, environment: Environment) {
    this.#projection = projection
    this.#reducers = reducersOf(projection)
    this.#lease = lease
    this.#environment = environment
    this.#stored =
      lease.state === null
        ? null
        : {
            json: JSON.stringify(lease.state),
            meta: lease.stateMeta === null ? null : JSON.stringify(lease.stateMeta),
          }
  }

  async handle(batch: Batch): Promise<Batch> {
    const lease = this.#lease
    const { outbox, leaseDuration } = this.#environment
    this.#state ??= { value: decodeState(this.#projection, this.#stored) }
    const { value: before } = this.#state
    // Until the new state is stored, whatever is in memory counts for nothing.
    this.#state = undefined
    const after = inWork(() => fold(this.#reducers, before, batch.events))
    if (this.#write.mayWait(batch)) {
      this.#state = { value: after }
      return batch
    }
    const started = performance.now()
    const { value, encoded } = encodeState(this.#projection, after)
    await fencedWrite(this.#environment, lease, batch, true, async (executor) => {
      const { rowCount } = await run(executor, advanceState(outbox.schema), [
        ...lease.fence,
        lease.cursor,
        batch.through,
        leaseDuration,
        encoded.json,
        encoded.meta,
      ])
      if (rowCount !== 1) throw leaseLost(lease)
    })
    this.#stored = encoded
    this.#state = { value }
    this.#write.wrote(performance.now() - started)
    lease.movedTo(batch.through)
    return batch
  }
}

/** The reducers by the type of their event. */
export function reducersOf<State>(
  projection: StateProjection<State>,
): ReadonlyMap<string, Reducer<State>> {
  return new Map(
    [...projection.handlers].map(([definition, reducer]) => [definition.type, reducer]),
  )
}

/** The state after all of the events. */
export function fold<State>(
  reducers: ReadonlyMap<string, Reducer<State>>,
  state: State,
  events: readonly RecordedEvent[],
): State {
  let value = state
  for (const event of events) {
    const after = (reducers.get(event.type) as Reducer<State>)(value, event)
    if (after === undefined && value !== undefined) throw answeredNothing(event)
    value = after
  }
  return value
}

function answeredNothing({ sequence, type }: RecordedEvent): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_STATE',
    `the reducer of ${type} answered undefined for event ${sequence}`,
    {
      hint: 'Return the state, also where you have changed it in place.',
      details: { sequence, type },
    },
  )
}
