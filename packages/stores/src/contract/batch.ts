import type { TidemarkError } from 'tidemark'
import type { NewState, State, StateChange, WriteOptions } from './state.ts'

/** One of many writes. */
export type BatchWrite<Value = unknown> = WriteOptions & { readonly key: string } & (
    | { readonly op: 'create'; readonly state: NewState<Value> }
    | { readonly op: 'put'; readonly state: NewState<Value> }
    | { readonly op: 'update'; readonly change: StateChange<Value> }
    | { readonly op: 'delete' }
  )

/** What became of it. */
export type BatchOutcome<Value = unknown> =
  /** `state` is undefined for one that was deleted. */
  | { readonly ok: true; readonly state: State<Value> | undefined }
  | { readonly ok: false; readonly error: TidemarkError }
