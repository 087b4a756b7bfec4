import { isTidemarkError } from 'tidemark'
import type { BatchOutcome, BatchWrite } from '../contract/batch.ts'
import type { StateStore } from '../contract/state-store.ts'
import type { WriteOptions } from '../contract/state.ts'
import { checkBatchWrite } from './checked.ts'

/** Those of one key in their order, one after the other; those of different keys side by side. */
export async function inOrderOfKeys<Value>(
  writes: readonly BatchWrite<Value>[],
  concurrency: number,
  outcome: (write: BatchWrite<Value>) => Promise<BatchOutcome<Value>>,
): Promise<readonly BatchOutcome<Value>[]> {
  const outcomes: BatchOutcome<Value>[] = []
  const queue = Map.groupBy(writes.entries(), ([, write]) => keyOf(write)).values()
  const work = async (): Promise<void> => {
    for (const some of queue) {
      for (const [index, write] of some) outcomes[index] = await outcome(write)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  return outcomes
}

/** What is no write at all has no key; what becomes of it is said with the others. */
function keyOf(write: unknown): unknown {
  return (write as { key?: unknown } | null | undefined)?.key
}

/** Makes one write, and answers what became of it. */
export async function outcomeOf<Value>(
  store: Pick<StateStore<Value>, 'create' | 'put' | 'update'> & {
    /** @throws TidemarkError TIDEMARK_STATE_MISSING when there is none. */
    readonly remove: (key: string, options: WriteOptions) => Promise<void>
  },
  write: BatchWrite<Value>,
): Promise<BatchOutcome<Value>> {
  try {
    checkBatchWrite(write)
    const { key, token, ifVersion, writeId } = write
    const options = {
      ...(token === undefined ? {} : { token }),
      ...(ifVersion === undefined ? {} : { ifVersion }),
      ...(writeId === undefined ? {} : { writeId }),
    }
    switch (write.op) {
      case 'create':
        return { ok: true, state: await store.create(key, write.state, options) }
      case 'put':
        return { ok: true, state: await store.put(key, write.state, options) }
      case 'update':
        return { ok: true, state: await store.update(key, write.change, options) }
      case 'delete':
        await store.remove(key, options)
        return { ok: true, state: undefined }
    }
  } catch (error) {
    if (isTidemarkError(error)) return { ok: false, error }
    throw error
  }
}
