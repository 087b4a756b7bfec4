import { run, type PreparingExecutor } from '../database/executor.ts'
import { readState } from '../database/sql/inline.ts'
import type { StateProjection } from './define-projection.ts'
import { decodeState } from './state-codec.ts'

/**
 * The stored state of a state projection; its initial state when no event has reached it yet.
 *
 * @throws TidemarkError TIDEMARK_INVALID_STATE when it does not satisfy the projection's schema.
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
