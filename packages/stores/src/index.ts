export type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from './backend/backend.ts'
export { isRepeated, refusal, written, type KeptState } from './backend/judge.ts'
export { matches } from './backend/matches.ts'
export { inOrder, placeOf, placeText, type Place } from './backend/place.ts'
export type { StateCodec, ValuePlace } from './codec/codec.ts'
export { jsonCodec } from './codec/json-codec.ts'
export type { BatchOutcome, BatchWrite } from './contract/batch.ts'
export type { StateStore, StoreHealth } from './contract/state-store.ts'
export type {
  FieldValue,
  ListOptions,
  NewState,
  State,
  StateChange,
  StateFilter,
  StatePage,
  UnreadableState,
  WriteOptions,
} from './contract/state.ts'
export type { SyncEntry, SyncOptions, SyncReport } from './contract/sync.ts'
export type { StateEvent, WatchOptions } from './contract/watch.ts'
export { openStore, type StoreOptions } from './opened/open-store.ts'
