import type { ContextStore, StoredText } from 'tidemark'

/** A context store in memory, with a look at what is in it. */
export interface MemoryContexts extends ContextStore {
  /** All objects by their names: texts, and the bytes of files. */
  readonly objects: ReadonlyMap<string, string | Uint8Array>
}

/**
 * A context store in the memory of this process: for tests.
 *
 * @example
 * ```ts
 * import { memoryContexts } from '@tidemark/stores/context'
 * import { defineApp } from 'tidemark'
 *
 * const contextStore = memoryContexts()
 * const tidemark = defineApp({ modules: [], contextStore })
 * console.log([...contextStore.objects.keys()], tidemark.schema)
 * ```
 */
export function memoryContexts(
  options: Pick<ContextStore, 'jobs' | 'folders'> = {},
): MemoryContexts {
  const objects = new Map<string, string | Uint8Array>()
  const texts = new Map<string, StoredText>()
  return {
    name: 'memory',
    ...options,
    objects,
    put: async (name, text, { version, sha256 }) => {
      const there = texts.get(name)
      if (there !== undefined && objects.has(name) && there.version > version) return there
      objects.set(name, text)
      texts.set(name, { version, sha256 })
      return { version, sha256 }
    },
    get: async (name) => {
      const object = objects.get(name)
      return typeof object === 'string' ? object : undefined
    },
    write: async (name, chunks) => {
      const parts: Uint8Array[] = []
      for await (const chunk of chunks) parts.push(chunk)
      objects.set(name, new Uint8Array(Buffer.concat(parts)))
    },
    read: async (name) => {
      const object = objects.get(name)
      if (object === undefined) return undefined
      return (async function* () {
        yield typeof object === 'string' ? Buffer.from(object) : object
      })()
    },
    names: async (prefix, { after = '' }) =>
      [...objects.keys()]
        .filter((name) => name.startsWith(prefix) && name > after)
        .toSorted()
        .slice(0, 1_000),
    delete: async (names) => {
      for (const name of names) objects.delete(name)
    },
    abandon: async () => {
      // A file is written in one go.
    },
  }
}
