import { openStore, type StateBackend } from '@tidemark/stores'
import { exceptions, testStateStore, type ConformanceSubject } from '@tidemark/stores/conformance'
import { Bucket, S3Backend } from '@tidemark/stores/s3'
import { afterAll, beforeAll, describe } from 'vitest'
import { CephGateway, cephMissing } from './ceph.ts'
import { testContexts } from './context-kills.ts'

const missing = cephMissing()
if (missing !== null) console.log(`object stores are not tested: ${missing}`)

describe.skipIf(missing !== null)('Ceph', () => {
  let gateway: CephGateway
  beforeAll(async () => {
    gateway = await CephGateway.start()
    const made = await gateway.client().fetch(`${gateway.url}/states`, { method: 'PUT' })
    if (!made.ok) throw new Error(`the bucket was not made: ${made.status}`)
  }, 120_000)
  afterAll(() => gateway[Symbol.asyncDispose]())

  const backend = (): StateBackend =>
    new S3Backend(new Bucket(gateway.client(), `${gateway.url}/states`), 'conformance/')
  const subject: ConformanceSubject = {
    open: (options) => openStore(backend(), options),
    backend,
    kill: () => gateway.kill(),
    startAgain: () => gateway.startAgain(),
  }
  testStateStore('s3', () => subject, { without: exceptions.s3 })
  describe('contexts of jobs', () => {
    testContexts(() => gateway)
  })
})
