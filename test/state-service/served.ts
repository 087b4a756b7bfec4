import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type StoreOptions } from '@tidemark/stores'
import { serviceStore } from '@tidemark/stores/client'
import type { ConformanceSubject, PromiseName } from '@tidemark/stores/conformance'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { serveState, type StateService, type StateServiceOptions } from '@tidemark/stores/service'
import { onTestFinished } from 'vitest'
import { RawClient } from './raw-client.ts'
import type { ServiceProcess } from './service-process.ts'

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

/** A service in a process of its own, for the conformance suite: it is killed, and what is behind it stays. */
export function throughService(service: ServiceProcess): ConformanceSubject {
  return {
    open: ({ timeout = 5_000 }: StoreOptions = {}) =>
      serviceStore({ socket: service.socket, timeout }),
    kill: () => service.kill(),
    startAgain: () => service.start(),
  }
}

const shown = 'shown in front of memory'

/** What takes time, and is the same whatever the backend. */
export const slow: Readonly<Partial<Record<PromiseName, string>>> = {
  ttl: shown,
  'zombie-expired': shown,
  filters: shown,
  pages: shown,
}
