import { jetstream as client, jetstreamManager, type StoredMsg } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { exitCode } from '@tidemark/cli'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Project } from '../cli/project.ts'
import { natsMissing, NatsServer } from './nats-server.ts'

const missing = natsMissing()
if (missing !== null) console.log(`relay verify is not tested: ${missing}`)

const config = `
import { defineRelay, jetstream } from '@tidemark/nats'
import { defineApp, defineEvent } from 'tidemark'
import { z } from 'zod'

const noted = defineEvent('noted', { payload: z.object({ note: z.string() }) })
const connect = { servers: process.env.NATS_URL }
const to = jetstream({ stream: process.env.STREAM, connect, create: { duplicate_window: 100_000_000 } })

export default defineApp({ modules: [noted, defineRelay('out', { to, events: [noted] })] })
`

interface Found {
  readonly messages: number
  readonly difference: {
    readonly kind: string
    readonly position: string
    readonly what: string
  } | null
}

describe.skipIf(missing !== null)('tidemark relay verify', () => {
  let server: NatsServer
  let connection: NatsConnection
  let project: Project
  let stream = 0
  const name = (): string => `V${stream}`

  beforeAll(async () => {
    server = await NatsServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())
  beforeEach(async () => {
    stream += 1
    connection = await connect({ servers: server.servers })
    // The config is loaded into this process.
    process.env['NATS_URL'] = server.servers
    process.env['STREAM'] = name()
    project = await Project.create(config, '')
    await project.database.query(
      `select tidemark.publish('noted', jsonb_build_object('note', n::text)) from generate_series(1, 20) as n`,
    )
    await using worker = await project.worker()
    const stored = `select state ->> 'sequence' as stored from tidemark.cursors where listener = 'out'`
    await vi.waitUntil(
      async () => (await project.database.query(stored)).rows[0]?.['stored'] === '20',
      { timeout: 30_000, interval: 50 },
    )
    worker.stop()
    await worker.answer()
  })
  afterEach(async () => {
    await project[Symbol.asyncDispose]()
    await connection.close()
  })

  async function message(seq: number): Promise<StoredMsg> {
    const found = await (await jetstreamManager(connection)).streams.getMessage(name(), { seq })
    if (found === null) throw new Error(`no message ${seq}`)
    found.header.delete('Nats-Expected-Last-Sequence')
    found.header.delete('Nats-Msg-Id')
    return found
  }

  async function verified(): Promise<Found> {
    const { code, value } = await project.json<Found>('relay', 'verify', 'out')
    expect(code).toBe(value.difference === null ? exitCode.ok : exitCode.checkFailed)
    return value
  }

  test('finds nothing wrong with a stream that is as the outbox', async () => {
    expect(await verified()).toMatchObject({ messages: 20, difference: null })
  })

  test('finds a message that was deleted', async () => {
    await (await jetstreamManager(connection)).streams.deleteMessage(name(), 7)
    expect((await verified()).difference).toMatchObject({ kind: 'missing', position: '8' })
  })

  test('finds the last message when it was deleted', async () => {
    await (await jetstreamManager(connection)).streams.deleteMessage(name(), 20)
    expect((await verified()).difference).toMatchObject({ kind: 'missing', position: null })
  })

  test('finds a message that was doubled', async () => {
    const { subject, data, header } = await message(5)
    await client(connection).publish(subject, data, { headers: header })
    expect((await verified()).difference).toMatchObject({ kind: 'doubled', position: '21' })
  })

  test('finds a message that was altered', async () => {
    const { subject, header } = await message(20)
    await (await jetstreamManager(connection)).streams.deleteMessage(name(), 20)
    await client(connection).publish(subject, '{"note":21}', { headers: header })
    expect((await verified()).difference).toMatchObject({
      kind: 'altered',
      position: '21',
      what: 'its payload is another',
    })
  })

  test('finds a message whose key was altered, and says it in words', async () => {
    const { subject, data, header } = await message(20)
    header.set('ce-partitionkey', 'mallory')
    await (await jetstreamManager(connection)).streams.deleteMessage(name(), 20)
    await client(connection).publish(subject, data, { headers: header })
    const { code, stdout } = await project.call('relay', 'verify', 'out')
    expect(code).toBe(exitCode.checkFailed)
    expect(stdout).toContain('its key is "mallory", not')
  })
})
