import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore } from '@tidemark/stores'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { serveState, type StateService, type StateServiceOptions } from '@tidemark/stores/service'
import { onTestFinished } from 'vitest'
import { RawClient } from './raw-client.ts'

/** The path of a socket in a folder of its own, which goes with the test. */
export function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-state-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'state.sock')
}

/** A service that goes with the test. */
export async function serve(options: Partial<StateServiceOptions> = {}): Promise<StateService> {
  const service = await serveState({ store: memoryStore(), socket: socketPath(), ...options })
  onTestFinished(() => service.stop(100))
  return service
}

/** A client that goes with the test. */
export async function rawClient({ socket }: Pick<StateService, 'socket'>): Promise<RawClient> {
  const made = await RawClient.connect(socket)
  onTestFinished(() => made[Symbol.dispose]())
  return made
}

/** A store whose writes of some keys wait until they are let go. */
export function heldStore(holds: (key: string, body: string) => boolean) {
  const backend = new MemoryBackend()
  const go = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const write = backend.write.bind(backend)
  backend.write = async (what) => {
    if (holds(what.key, what.body ?? '')) {
      reached.resolve()
      await go.promise
    }
    return write(what)
  }
  return { backend, store: openStore(backend), reached: reached.promise, letGo: go.resolve }
}
