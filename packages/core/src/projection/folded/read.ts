import { run, type PreparingExecutor } from '../../database/executor.ts'
import { readState } from '../../database/sql/projection/inline.ts'
import { listKeyedStates, readKeyedState } from '../../database/sql/projection/keyed-states.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import type { KeyedProjection } from './keyed-projection.ts'
import { decodeState } from './state-codec.ts'
import type { StateProjection } from './state-projection.ts'

/**
 * The stored state of a state projection; its initial state when no event has reached it yet.
 *
 * @throws TidemarkError TIDEMARK_PROJECTION_UNREADABLE when it does not satisfy the projection's schema;
 * TIDEMARK_PROJECTION_TOO_NEW when a newer process has written it.
 */
export async function readProjection<State>(
  executor: PreparingExecutor,
  schema: string,
  projection: StateProjection<State>,
): Promise<State> {
  const { rows } = await run(executor, readState(schema), [projection.name])
  const row = rows[0] as { state: string | null; state_meta: string | null } | undefined
  const json = row?.state ?? null
  return decodeState(projection, json === null ? null : { json, meta: row?.state_meta ?? null })
}

/** A key of a keyed projection and its state. */
export interface KeyedState<State> {
  readonly key: string
  readonly state: State
}

/** Which keys to list. */
export interface KeyPage {
  /** List the keys after this one. Defaults to the first. */
  readonly after?: string
  /** The most. Defaults to 100. */
  readonly limit?: number
}

/**
 * The stored state of a key; its initial state when no event has reached it yet, or the key was removed.
 *
 * @throws TidemarkError TIDEMARK_PROJECTION_UNREADABLE when it does not satisfy the projection's schema;
 * TIDEMARK_PROJECTION_TOO_NEW when a newer process has written it.
 */
export async function readKey<State>(
  executor: PreparingExecutor,
  schema: string,
  projection: KeyedProjection<State>,
  key: string,
): Promise<State> {
  // A process that only reads has not looked at the table. What is wrong with it is told to those who write it.
  if (projection.table?.checked === false) await projection.check(executor).catch(() => {})
  const spelled = projection.spelled(key)
  const { rows } = await run(executor, readKeyedState(schema), [projection.name, spelled])
  const row = rows[0] as { state: string; state_meta: string | null } | undefined
  return decodeState(
    projection,
    row === undefined ? null : { json: row.state, meta: row.state_meta },
    spelled ?? key,
  )
}

/** A page of keys and their states, in the order of the keys. */
export async function listKeys<State>(
  executor: PreparingExecutor,
  schema: string,
  projection: KeyedProjection<State>,
  page: KeyPage,
): Promise<KeyedState<State>[]> {
  rejectUnknownOptions('list', page, ['after', 'limit'])
  const { after, limit = 100 } = page
  if (after !== undefined) requireText('list', 'after', after, { least: 0 })
  requireWhole('list', 'limit', limit, 1)
  const { rows } = await run(executor, listKeyedStates(schema), [
    projection.name,
    after ?? null,
    limit,
  ])
  return (rows as unknown as { key: string; state: string; state_meta: string | null }[]).map(
    (row) => ({
      key: row.key,
      state: decodeState(projection, { json: row.state, meta: row.state_meta }, row.key),
    }),
  )
}
