import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { inPart } from '../../database/foreign/part.ts'
import { readSnapshot, writeSnapshot } from '../../database/sql/outbox/streams.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import { forget } from '../../errors/user-code.ts'
import { decodeTexts, encodeValue } from '../../event/encoded/codec.ts'
import { copyOf } from '../../event/encoded/isolation.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import { EventRegistry } from '../../event/registry.ts'
import { keepBySchema } from '../../event/schema/schema-codec.ts'
import { streamEvents } from '../read/read-events.ts'
import type { Entity, EntityReducer } from './define-entity.ts'

/** An entity as its stream has it. */
export interface LoadedEntity<State> {
  readonly state: State
  /** The version of its stream: what `expectedVersion` must be to append to it. 0 when it has no events. */
  readonly version: bigint
  /** How many events were read to load it; the rest was in a snapshot. */
  readonly eventsRead: number
}

/**
 * Loads an entity: its snapshot, if there is one that its reducers made, and the events after it.
 *
 * @throws TidemarkError TIDEMARK_EVENT_UNREADABLE.
 */
export async function loadEntity<State>(
  executor: Executor | PreparingExecutor,
  schema: string,
  entity: Entity<State>,
  id: string,
): Promise<LoadedEntity<State>> {
  const stream = entity.streamOf(id)
  const registry = new EventRegistry()
  const reducers = new Map<string, EntityReducer<State>>()
  for (const [definition, reducer] of entity.reducers) {
    registry.add(definition)
    reducers.set(definition.type, reducer)
  }
  const snapshot = await loadSnapshot(executor, schema, entity, stream)
  let state = snapshot === undefined ? initialState(entity) : snapshot.state
  let version = snapshot?.version ?? 0n
  let eventsRead = 0
  for await (const event of streamEvents(executor, schema, registry, stream, version)) {
    // Events that the entity has no reducer for do not change it, but are part of its stream.
    const reduce = reducers.get(event.type)
    if (reduce !== undefined) state = reduced(entity, event.type, reduce(state, event))
    version = event.streamVersion ?? version
    eventsRead += 1
  }
  return { state, version, eventsRead }
}

/**
 * What an entity makes of events, without a database. Events of other types are passed over.
 *
 * @throws what a reducer throws; TidemarkError TIDEMARK_INVALID_STATE.
 *
 * @example
 * ```ts
 * import { defineEntity, foldEntity } from 'tidemark'
 *
 * const account = defineEntity('account', { initial: () => ({ cents: 0n }) })
 * console.log(foldEntity(account, [])) // { cents: 0n }
 * ```
 */
export function foldEntity<State>(entity: Entity<State>, events: readonly RecordedEvent[]): State {
  const reducers = new Map([...entity.reducers].map(([{ type }, reduce]) => [type, reduce]))
  return events.reduce((state, event) => {
    const reduce = reducers.get(event.type)
    return reduce === undefined ? state : reduced(entity, event.type, reduce(state, event))
  }, initialState(entity))
}

/** The initial state, as a value of its own where it can be copied: `initial` may answer the same object each time. */
function initialState<State>(entity: Entity<State>): State {
  const state = entity.options.initial()
  try {
    return copyOf(`the initial state of ${entity.name}`, state)
  } catch (error) {
    // Instances of classes are no states that can be kept, but may be folded.
    if (isTidemarkError(error, 'TIDEMARK_PAYLOAD_NOT_STORABLE')) return state
    throw error
  }
}

/**
 * What a reducer answered. Nothing at all is what it answers that changed its state in place and forgot to return it,
 * unless the entity begins as nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE.
 */
function reduced<State>(entity: Entity<State>, type: string, state: State): State {
  const promised = typeof (state as { then?: unknown } | null | undefined)?.then === 'function'
  if (promised) forget(state)
  else if (state !== undefined || entity.options.initial() === undefined) return state
  throw new TidemarkError(
    'TIDEMARK_INVALID_STATE',
    `${entity.name}: the reducer of ${type} answered ${promised ? 'a promise' : 'nothing'}`,
    { details: { entity: entity.name, type }, hint: 'A reducer returns the next state, at once.' },
  )
}

/** A snapshot that is worth keeping, as it is stored. */
export interface DueSnapshot {
  readonly stream: string
  readonly values: readonly unknown[]
}

/**
 * The snapshot of an entity, if enough events were read to be worth one, made before a command is decided: whoever
 * decides may change the state in place. A state that cannot be stored is a shortcut lost, nothing else.
 */
export function dueSnapshot<State>(
  entity: Entity<State>,
  id: string,
  { state, version, eventsRead }: LoadedEntity<State>,
  onFailure: (error: unknown) => void,
): DueSnapshot | undefined {
  if (entity.snapshotEvery === 0 || eventsRead < entity.snapshotEvery) return undefined
  const what = `the snapshot of ${entity.name} ${id}`
  const { state: schema } = entity.options
  try {
    const { json, meta } =
      schema === undefined
        ? encodeValue(what, state)
        : keepBySchema(what, schema, state, (error) => error).encoded
    const stream = entity.streamOf(id)
    return { stream, values: [stream, version, entity.version, json, meta] }
  } catch (error) {
    onFailure(error)
    return undefined
  }
}

/** Keeps a snapshot as a part of its own: what goes wrong with it does not fail the transaction. */
export async function keepSnapshot(
  executor: Executor | PreparingExecutor,
  schema: string,
  { values }: DueSnapshot,
  onFailure: (error: unknown) => void,
): Promise<void> {
  try {
    await inPart(executor, () => run(executor, writeSnapshot(schema), [...values]))
  } catch (error) {
    onFailure(error)
  }
}

async function loadSnapshot<State>(
  executor: Executor | PreparingExecutor,
  schema: string,
  entity: Entity<State>,
  stream: string,
): Promise<{ state: State; version: bigint } | undefined> {
  if (entity.snapshotEvery === 0) return undefined
  const { rows } = await run(executor, readSnapshot(schema), [stream, entity.version])
  const row = rows[0] as
    | { stream_version: string; state: string; state_meta: string | null }
    | undefined
  if (row === undefined) return undefined
  try {
    const stored = decodeTexts({ json: row.state, meta: row.state_meta })
    const { state: shape } = entity.options
    const state = shape === undefined ? stored : shape.parse(stored)
    return { state: state as State, version: BigInt(row.stream_version) }
  } catch {
    // A snapshot that does not fit, or that nobody can read, is a shortcut lost, nothing else.
    return undefined
  }
}
