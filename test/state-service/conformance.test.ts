import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StateStore, StoreOptions } from '@tidemark/stores'
import { serviceStore } from '@tidemark/stores/client'
import { exceptions, testStateStore } from '@tidemark/stores/conformance'
import { memoryStore } from '@tidemark/stores/memory'
import { serveState, type StateService } from '@tidemark/stores/service'
import { afterAll, beforeAll, describe } from 'vitest'
import { redisPrograms, RedisServer } from '../stores/redis-server.ts'
import { slow, throughService } from './served.ts'
import { ServiceProcess } from './service-process.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-state-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

function open(socket: string, { timeout = 5_000 }: StoreOptions = {}): StateStore {
  return serviceStore({ socket, timeout })
}

describe('in front of memory', () => {
  let service: StateService
  beforeAll(async () => {
    service = await serveState({ store: memoryStore(), socket: join(folder, 'memory.sock') })
  })
  afterAll(() => service.stop())

  const killed = 'memory ends with its process'
  testStateStore('service', () => ({ open: (options) => open(service.socket, options) }), {
    without: { ...exceptions.service, killed, down: killed },
  })
})

const programs = redisPrograms().slice(0, 1)
if (programs.length === 0)
  console.log('The service is not killed in front of Redis: redis-server is not installed here')

describe.each(programs)('killed in front of %s', (program) => {
  let server: RedisServer
  let service: ServiceProcess
  beforeAll(async () => {
    server = await RedisServer.start(program)
    const socket = join(folder, 'redis.sock')
    service = new ServiceProcess({ socket, backend: 'redis', url: server.url })
    await service.start()
  })
  afterAll(async () => {
    await service.kill()
    await server[Symbol.asyncDispose]()
  })

  testStateStore('service', () => throughService(service), {
    without: { ...exceptions.service, ...slow },
  })
})
