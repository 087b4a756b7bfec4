import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { LoadRequest, LoadResult } from './load.ts'

/** Publishes from a process of its own, which does not share the event loop of the listeners. */
export async function loadInAnotherProcess(request: LoadRequest): Promise<LoadResult> {
  const child = fork(fileURLToPath(new URL('load.ts', import.meta.url)))
  child.send(request)
  const result = Promise.withResolvers<LoadResult>()
  child.once('message', (message) => result.resolve(message as LoadResult))
  child.once('exit', (code) => result.reject(new Error(`the publisher ended with code ${code}`)))
  try {
    return await result.promise
  } finally {
    if (child.connected) child.disconnect()
    if (child.exitCode === null) await once(child, 'exit')
  }
}
