import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type StateBackend } from '@tidemark/stores'
import { exceptions, testStateStore, type ConformanceSubject } from '@tidemark/stores/conformance'
import { Bucket, S3Backend } from '@tidemark/stores/s3'
import { afterAll, beforeAll, describe } from 'vitest'
import { slow, throughService } from '../state-service/served.ts'
import { ServiceProcess } from '../state-service/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { CephGateway, cephMissing } from './ceph.ts'
import { testContexts } from './context-kills.ts'

const missing = cephMissing()
if (missing !== null) console.log(`object stores are not tested: ${missing}`)

describe.skipIf(missing !== null)('Ceph', () => {
  let gateway: CephGateway
  let proxy: TcpProxy
  beforeAll(async () => {
    gateway = await CephGateway.start()
    const made = await gateway.client().fetch(`${gateway.url}/states`, { method: 'PUT' })
    if (!made.ok) throw new Error(`the bucket was not made: ${made.status}`)
    proxy = await TcpProxy.open(gateway.url)
    proxy.latency = 1
  }, 120_000)
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]()
    await gateway[Symbol.asyncDispose]()
  })

  // Each check has a store of its own: a list reads every state that there is.
  let stores = 0
  const subject = (): ConformanceSubject => {
    stores += 1
    const prefix = `conformance-${stores}/`
    const backend = (): StateBackend =>
      new S3Backend(new Bucket(gateway.client(), `${proxy.url}states`), prefix)
    return {
      open: (options) => openStore(backend(), options),
      backend,
      kill: () => gateway.kill(),
      startAgain: () => gateway.startAgain(),
      freeze: () => void proxy.freeze(/^/u),
      thaw: () => proxy.thaw(),
    }
  }
  testStateStore('s3', subject, { without: exceptions.s3 })
  describe('behind the state service', () => {
    let folder: string
    let service: ServiceProcess
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tidemark-s3-service-'))
      service = new ServiceProcess(
        {
          socket: join(folder, 's.sock'),
          backend: 's3',
          url: `${gateway.url}/states`,
          prefix: 'service/',
        },
        { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'default' },
      )
      await service.start()
    })
    afterAll(async () => {
      await service.kill()
      await rm(folder, { recursive: true })
    })
    testStateStore('service', () => throughService(service), {
      without: { ...exceptions.service, ...slow },
    })
  })
  describe('contexts of jobs', () => {
    testContexts(() => gateway)
  })
})
