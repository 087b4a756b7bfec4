import type { StateStore } from '../contract/state-store.ts'
import { openStore, type StoreOptions } from '../opened/open-store.ts'
import { MemoryBackend } from './memory-backend.ts'

/**
 * A store in the memory of this process: for tests, and for what may be lost with it. Values are encoded as in every
 * other store, so what is read is a copy.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * await using store = memoryStore<string>()
 * await store.put('greeting', { value: 'hello', ttl: 60_000 })
 * console.log((await store.get('greeting'))?.value)
 * ```
 */
export function memoryStore<Value = unknown>(options: StoreOptions = {}): StateStore<Value> {
  return openStore<Value>(new MemoryBackend(), options)
}
