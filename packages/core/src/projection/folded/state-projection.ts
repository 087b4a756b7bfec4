import type { z } from 'zod'
import type { EventDefinition } from '../../event/define-event.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import { withHandler } from '../../listener/defined/define-listener.ts'
import type { Lease } from '../../listener/leased/lease.ts'
import type { Consumer, Environment, Handling } from '../../listener/read/consumer.ts'
import { Projection, type ProjectionOptions } from './projection.ts'
import { StateHandling } from './state-handling.ts'
import type { StateVersionOptions } from './state-version.ts'

/** A projection whose state is one value, stored beside its cursor. */
export interface StateProjectionOptions<State> extends ProjectionOptions, StateVersionOptions {
  /** The state before the first event. */
  readonly initial: () => State
  /** Checks the stored state when it is loaded. Defaults to no check. */
  readonly state?: z.ZodType<State>
  readonly keyed?: false
}

/** The state after an event. */
export type Reducer<State> = (state: State, event: RecordedEvent) => State

/** A projection whose state is one value. Immutable: `.on` answers a new one. */
export class StateProjection<State> extends Projection<Reducer<State>> implements Consumer {
  readonly tables: readonly string[] = []
  readonly options: StateProjectionOptions<State>

  constructor(
    name: string,
    options: StateProjectionOptions<State>,
    handlers: ReadonlyMap<EventDefinition, Reducer<State>>,
  ) {
    super(name, options, 1000, handlers)
    this.options = options
  }

  /** The version of its stored state that this process reads. */
  get stateVersion(): number {
    return this.options.stateVersion ?? 1
  }

  /** Adds a reducer: the state after the event, made from the state before it. It must be pure. */
  on<Definition extends EventDefinition<string, unknown>>(
    definition: Definition | readonly Definition[],
    reduce: (state: State, event: EventOf<Definition>) => State,
  ): StateProjection<State> {
    const handlers = withHandler(
      this.name,
      this.handlers,
      definition,
      reduce as unknown as Reducer<State>,
    )
    return new StateProjection(this.name, this.options, handlers)
  }

  begin(lease: Lease, environment: Environment): Handling {
    return new StateHandling(this, lease, environment)
  }
}
