import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openStore, type StateBackend } from '@tidemark/stores'
import { keyRing, pipeline } from '@tidemark/stores/codecs'
import { exceptions, testStateStore, type ConformanceSubject } from '@tidemark/stores/conformance'
import {
  createDynamodbTable,
  DynamoBackend,
  dynamodbStore,
  TableClient,
} from '@tidemark/stores/dynamodb'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { slow, throughService } from '../state-service/served.ts'
import { ServiceProcess } from '../state-service/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { testAgainstMemory } from './against-memory.ts'
import { DynamodbLocal, dynamodbMissing } from './dynamodb-local.ts'
import { eachRequest } from './each-request.ts'
import { answered, networkFaults, type Fault } from './faults.ts'

const missing = dynamodbMissing()
if (missing !== null) console.log(`DynamoDB is not tested: ${missing}`)

/** What DynamoDB answers to a batch of reads. */
interface Batch {
  readonly Responses: Readonly<Record<string, readonly { readonly jobId: unknown }[]>>
}
const command = fileURLToPath(
  new URL('../../packages/stores/src/dynamodb/command.ts', import.meta.url),
)

describe.skipIf(missing !== null)('DynamoDB Local', () => {
  let server: DynamodbLocal
  let proxy: TcpProxy
  const table = 'conformance'

  beforeAll(async () => {
    server = await DynamodbLocal.start()
    await createDynamodbTable({ client: server.client(), endpoint: server.url, table })
    proxy = await TcpProxy.open(server.url)
    proxy.latency = 1
  }, 120_000)
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  const backend = (): StateBackend =>
    new DynamoBackend(new TableClient(server.client(), proxy.url, table), '')
  const subject: ConformanceSubject = {
    open: (options) => openStore(backend(), options),
    backend,
    kill: () => server.kill(),
    startAgain: () => server.startAgain(),
    freeze: () => void proxy.freeze(/^/u),
    thaw: () => proxy.thaw(),
  }
  testStateStore('dynamodb', () => subject, { without: exceptions.dynamodb })

  describe('behind the state service', () => {
    let folder: string
    let service: ServiceProcess
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'tidemark-dynamodb-service-'))
      service = new ServiceProcess(
        { socket: join(folder, 's.sock'), backend: 'dynamodb', url: server.url, table },
        { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret', AWS_REGION: 'local' },
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

  const ask = async (operation: string, body: object): Promise<Record<string, never>> =>
    new TableClient(server.client(), server.url, table).ask(
      operation,
      { TableName: 'by-command', ...body },
      AbortSignal.timeout(10_000),
    )

  test('the command makes the table, its index and its expiry, and finds it made the next time', async () => {
    const home = await mkdtemp(join(tmpdir(), 'tidemark-aws-'))
    await writeFile(
      join(home, 'config'),
      '[default]\nregion = us-east-1\n[profile jobs]\nregion=eu-south-2\n',
    )
    const run = promisify(execFile)
    const args = ['create-table', '--table', 'by-command', '--endpoint', server.url]
    const capacity = ['--read', '7', '--write', '3']
    const options = {
      env: {
        PATH: process.env['PATH'],
        AWS_ACCESS_KEY_ID: 'key',
        AWS_SECRET_ACCESS_KEY: 'secret',
        AWS_CONFIG_FILE: join(home, 'config'),
        AWS_PROFILE: 'jobs',
      },
    }
    const node = [`--conditions=@tidemark/source`, command, ...args, ...capacity]
    const first = await run(process.execPath, node, options)
    expect(first.stdout).toBe('by-command in eu-south-2: made\n')
    const second = await run(process.execPath, node, options)
    expect(second.stdout).toBe('by-command in eu-south-2: is there already\n')
    await rm(home, { recursive: true })
    const { Table } = await ask('DescribeTable', {})
    expect(Table).toMatchObject({
      KeySchema: [{ AttributeName: 'jobId', KeyType: 'HASH' }],
      ProvisionedThroughput: { ReadCapacityUnits: 7, WriteCapacityUnits: 3 },
      GlobalSecondaryIndexes: expect.arrayContaining([
        expect.objectContaining({
          IndexName: 'status-createdAt',
          KeySchema: [
            { AttributeName: 'status', KeyType: 'HASH' },
            { AttributeName: 'createdAt', KeyType: 'RANGE' },
          ],
        }),
      ]),
    })
    const { TimeToLiveDescription } = await ask('DescribeTimeToLive', {})
    expect(TimeToLiveDescription).toEqual({
      AttributeName: 'expiresAt',
      TimeToLiveStatus: 'ENABLED',
    })
  })

  test('a throttled table is asked again, and two stores of one table do not see each other', async () => {
    let turnedAway = 0
    const client = {
      fetch: async (url: string, init: RequestInit) => {
        if (turnedAway < 3) {
          turnedAway += 1
          const type = 'com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException'
          return new Response(JSON.stringify({ __type: type, message: 'slow' }), { status: 400 })
        }
        return server.client().fetch(url, init)
      },
    }
    const options = { client, endpoint: server.url, table }
    await using one = dynamodbStore({ ...options, name: 'one' })
    await using two = dynamodbStore({ ...options, name: 'two' })
    await one.create('a', { value: 1, status: 'running' })
    expect(turnedAway).toBe(3)
    expect(await two.get('a')).toBeUndefined()
    expect((await two.list()).states).toEqual([])
    expect((await one.list({ status: 'running' })).states.map(({ key }) => key)).toEqual(['a'])
    expect((await one.list()).states.map(({ status }) => status)).toEqual(['running'])
  })

  const told = (kind: string): Fault =>
    answered(400, JSON.stringify({ __type: `com.amazonaws.dynamodb.v20120810#${kind}` }))
  const faults: Readonly<Record<string, Fault>> = {
    ...networkFaults,
    'the table is throttled': told('ProvisionedThroughputExceededException'),
    'the account is throttled': told('ThrottlingException'),
    'a limit is exceeded': told('RequestLimitExceeded'),
    'another transaction is under way': told('TransactionConflictException'),
    'the server fails': answered(500, '{"__type":"InternalServerError"}'),
    'it happens, and the server says that it failed': async (done) => {
      await done()
      return answered(500, '{"__type":"InternalServerError"}')(done)
    },
  }
  let days = 0
  test.each(Object.entries(faults))(
    'whichever request it is of which %s, each write happens once, and what is read is right',
    async (_, fault) => {
      const most = await eachRequest((broken) => {
        days += 1
        let requests = 0
        const fetch = (url: string, init: RequestInit): Promise<Response> => {
          const done = (): Promise<Response> => server.client().fetch(url, init)
          return requests++ === broken ? fault(done) : done()
        }
        const store = dynamodbStore({
          client: { fetch },
          endpoint: server.url,
          table,
          name: `day-${days}`,
        })
        return { store, requests: () => requests }
      })
      expect(most).toBeGreaterThan(10)
    },
  )

  testAgainstMemory((run, options) => {
    const client = server.client()
    return dynamodbStore({ ...options, client, endpoint: server.url, table, name: `random-${run}` })
  })

  test('an encrypted state is created once, and again after it was deleted', async () => {
    const keys = keyRing({ keys: { a: randomBytes(32) }, current: 'a' })
    const client = server.client()
    const options = { client, endpoint: server.url, table, name: 'encrypted' }
    await using store = dynamodbStore({ ...options, codec: pipeline({ keys }) })
    await store.create('a', { value: 1 })
    await expect(store.create('a', { value: 2 })).rejects.toMatchObject({
      code: 'TIDEMARK_STATE_EXISTS',
    })
    await store.delete('a')
    expect(await store.create('a', { value: 3 })).toMatchObject({ value: 3, version: 3 })
  })

  test('a table that is throttled for long is said to be, in time and without haste', async () => {
    let requests = 0
    const fetch = async (): Promise<Response> => {
      requests += 1
      return told('ProvisionedThroughputExceededException')(() => Promise.reject(new Error()))
    }
    await using store = dynamodbStore({
      client: { fetch },
      endpoint: server.url,
      table,
      timeout: 1_000,
    })
    await expect(store.put('a', { value: 1 })).rejects.toMatchObject({
      code: 'TIDEMARK_STORE_UNAVAILABLE',
      message: expect.stringContaining('ProvisionedThroughputExceededException') as unknown,
    })
    expect(requests).toBeLessThan(30)
  })

  test('what a batch of reads leaves unread is asked for again, and with pauses', async () => {
    let partial = 0
    const fetch = async (url: string, init: RequestInit): Promise<Response> => {
      const answer = await server.client().fetch(url, init)
      const target = new Headers(init.headers).get('x-amz-target')
      if (target?.endsWith('.BatchGetItem') !== true) return answer
      const { Responses } = (await answer.json()) as Batch
      const items = Responses[table] ?? []
      const read = items.slice(0, Math.ceil(items.length / 2))
      const left = items.slice(read.length)
      if (left.length > 0) partial += 1
      return Response.json({
        Responses: { [table]: read },
        UnprocessedKeys:
          left.length === 0 ? {} : { [table]: { Keys: left.map(({ jobId }) => ({ jobId })) } },
      })
    }
    const options = { endpoint: server.url, table, name: 'partial' }
    await using whole = dynamodbStore({ ...options, client: server.client() })
    await using store = dynamodbStore({ ...options, client: { fetch }, timeout: 60_000 })
    const keys = Array.from({ length: 120 }, (_, index) => `key-${index}`)
    const writes = keys.map((key) => ({ op: 'put', key, state: { value: key } }) as const)
    for (const { ok } of await whole.batch(writes)) expect(ok).toBe(true)
    const found = await store.getMany([...keys, 'none'])
    expect(found.map((state) => state?.value)).toEqual([...keys, undefined])
    expect(partial).toBeGreaterThan(5)
  })

  test('an item of somebody else in the table is named, and costs no list', async () => {
    await ask('PutItem', {
      TableName: table,
      Item: { jobId: { S: 'foreign' }, status: { S: 'shared' }, createdAt: { N: '5' } },
    })
    await using store = dynamodbStore({ client: server.client(), endpoint: server.url, table })
    await store.put('own', { value: 1, status: 'shared' })
    const unreadable = { code: 'TIDEMARK_STATE_UNREADABLE' }
    for (const attempt of [
      () => store.get('foreign'),
      () => store.put('foreign', { value: 1 }),
      () => store.create('foreign', { value: 1 }),
      () => store.delete('foreign'),
    ]) {
      await expect(attempt()).rejects.toMatchObject(unreadable)
    }
    const { states } = await store.list({ status: 'shared' })
    expect(states.map(({ key }) => key)).toEqual(['own'])
  })

  test('a state is too large with its fields, where its value alone is not', async () => {
    await using store = dynamodbStore({ client: server.client(), endpoint: server.url, table })
    // Six characters of JSON each.
    const text = '\u0001'.repeat(256)
    const fields = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`f${index}`, text]))
    const value = 'x'.repeat(379_000)
    await store.put('large', { value })
    await expect(store.put('large', { value, fields })).rejects.toMatchObject({
      code: 'TIDEMARK_STATE_TOO_LARGE',
    })
    expect((await store.get('large'))?.version).toBe(1)
  })
})
