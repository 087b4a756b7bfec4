import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { tidemark, tidemarkJson, TidemarkProcess, TidemarkTask } from './tidemark.ts'

let database: TestDatabase
let environment: { env: Record<string, string> }

beforeEach(async () => {
  database = await createTestDatabase()
  environment = { env: { DATABASE_URL: database.url } }
})

afterEach(async () => {
  await database[Symbol.asyncDispose]()
})

interface EventJson {
  readonly sequence: string
  readonly id: string
  readonly type: string
  readonly stream: string | null
  readonly streamVersion: string | null
}

/** The sequences of what a command lists. */
async function sequences(...args: string[]): Promise<string[]> {
  const { value } = await tidemarkJson<EventJson[]>(['event', 'list', ...args], environment)
  return value.map(({ sequence }) => sequence)
}

test('publish without a config goes through the SQL function, and says that nothing was validated', async () => {
  const first = await tidemark(['publish', 'a.b', '-', '--stream', 's', '--key', 'k'], {
    ...environment,
    stdin: '{"n":[1,2]}',
  })
  expect(first).toMatchObject({ code: 0, stdout: 'Published a.b as 1.\n' })
  expect(first.stderr).toContain('the payload was not validated')
  const { value } = await tidemarkJson<EventJson>(['event', 'show', '1'], environment)
  expect(value).toEqual({
    sequence: '1',
    id: expect.any(String),
    type: 'a.b',
    version: 1,
    stream: 's',
    streamVersion: '1',
    key: 'k',
    payload: { n: [1, 2] },
    payloadMeta: null,
    correlationId: null,
    causationId: null,
    traceparent: null,
    tracestate: null,
    metadata: null,
    recordedAt: expect.stringMatching(/^\d{4}-.*Z$/u),
  })
  const byId = await tidemarkJson<EventJson>(['event', 'show', value.id], environment)
  expect(byId.value).toEqual(value)
  const missing = await tidemark(['event', 'show', '2'], environment)
  expect(missing).toMatchObject({ code: exitCode.failure, stdout: '' })

  const stream = ['publish', 'a.b', '{}', '--stream', 's', '--expected-version']
  const conflict = await tidemark([...stream, 'none'], environment)
  expect(conflict.code).toBe(exitCode.failure)
  expect(conflict.stderr).toContain(
    'error: TIDEMARK_STREAM_CONFLICT: stream "s" is at version 1, not 0',
  )
  expect(conflict.stderr).toContain('hint: Load the stream again')
  expect((await tidemark([...stream, '1'], environment)).code).toBe(0)
  const once = ['publish', 'a.b', '{}', '--idempotency-key', 'only']
  expect((await tidemark(once, environment)).code).toBe(0)
  const twice = await tidemark(once, environment)
  expect(twice.code).toBe(exitCode.failure)
  expect(twice.stderr).toContain('TIDEMARK_DUPLICATE_EVENT')
})

test('list filters by type, stream, sequence and number, and tells where to go on', async () => {
  await database.query(
    `select tidemark.publish(case when n % 2 = 0 then 'even' else 'odd' end, to_jsonb(n), stream => 's-' || n % 3)
     from generate_series(1, 12) n`,
  )
  expect(await sequences()).toHaveLength(12)
  expect(await sequences('--type', 'even')).toEqual(['2', '4', '6', '8', '10', '12'])
  expect(await sequences('--type', 'even', '--type', 'odd', '--after', '10')).toEqual(['11', '12'])
  expect(await sequences('--stream', 's-1', '--limit', '2')).toEqual(['1', '4'])
  const page = await tidemark(['event', 'list', '--limit', '3'], environment)
  expect(page.stdout.split('\n')[0]).toMatch(/^SEQUENCE +RECORDED AT +TYPE +STREAM +PAYLOAD$/u)
  expect(page.stderr).toContain('--after 3')
  const none = await tidemark(['event', 'list', '--type', 'nothing'], environment)
  expect(none).toEqual({ code: 0, stdout: '', stderr: 'There are no such events.\n' })
  const { value: stream } = await tidemarkJson<{ version: string; events: EventJson[] }>(
    ['stream', 'show', 's-0', '--after', '1'],
    environment,
  )
  expect(stream.version).toBe('4')
  expect(stream.events.map(({ streamVersion }) => streamVersion)).toEqual(['2', '3', '4'])
  const noStream = await tidemark(['stream', 'show', 's-9'], environment)
  expect(noStream).toMatchObject({ code: exitCode.failure, stdout: '' })
})

test('list and tail stop at a transaction that is still publishing, and tail goes on when it ends', async () => {
  const slow = await database.connect()
  await slow.query('begin')
  await slow.query(`select tidemark.publish('slow', '1')`)
  await database.query(`select tidemark.publish('fast', '2')`)
  expect(await sequences()).toEqual([])
  await using tail = new TidemarkTask(
    ['event', 'tail', '--after', '0', '--limit', '3', '--json'],
    environment,
  )
  await tail.printed('stderr', 'Following after sequence 0')
  expect(tail.stdout).toBe('')
  await slow.query('commit')
  await tail.printed('stdout', '"type":"fast"')
  await database.query(`select tidemark.publish('last', '3')`)
  const { code, stdout } = await tail.answer()
  expect(code).toBe(0)
  const types = stdout
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as EventJson).type)
  expect(types).toEqual(['slow', 'fast', 'last'])
  await slow.end()
})

test('tail begins with the next event and ends with 0 when it is interrupted', async () => {
  await database.query(`select tidemark.publish('before', '1')`)
  await using tail = new TidemarkProcess(['event', 'tail', '--type', 'wanted'], environment)
  await tail.printed('stderr', 'Following after sequence 1')
  await database.query(`select tidemark.publish('unwanted', '2')`)
  await database.query(`select tidemark.publish('wanted', '"here"', stream => 'x')`)
  await tail.printed('stdout', 'wanted')
  tail.child.kill('SIGINT')
  const { code, stdout } = await tail.answer()
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ +3 {2}\S+Z {2}wanted {2}x@1 {2}"here"\n$/u)
})
