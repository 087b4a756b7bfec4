import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openStore, type StateBackend } from '@tidemark/stores'
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
import { DynamodbLocal, dynamodbMissing } from './dynamodb-local.ts'

const missing = dynamodbMissing()
if (missing !== null) console.log(`DynamoDB is not tested: ${missing}`)
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
})
