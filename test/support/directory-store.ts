import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { OutputStore } from 'tidemark'

/** A store of outputs that processes share: a file for each. */
export function directoryStore(directory: string): OutputStore {
  return {
    name: 'directory',
    put: (key, json) => writeFile(join(directory, key), json),
    get: (key) => readFile(join(directory, key), 'utf8').catch(() => undefined),
    delete: async (keys) => {
      await Promise.all(keys.map((key) => rm(join(directory, key), { force: true })))
    },
  }
}
