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

test('events are looked for by what is stored of them, and their chain of causes is drawn', async () => {
  for (const [type, payload, correlation] of [
    ['orders.placed', '{"customer":{"id":"c-1"},"lines":[{"sku":"A"}]}', 'req-1'],
    ['orders.placed', '{"customer":{"id":"c-2"},"note":"<b>ünïcode 田中</b>"}', 'req-2'],
    ['orders.paid', '{"customer":{"id":"c-1"}}', 'req-1'],
  ] as const) {
    await database.query(
      `insert into tidemark.events (type, payload, correlation_id) values ($1, $2, $3)`,
      [type, payload, correlation],
    )
  }
  const search = async (...args: string[]): Promise<string[]> => {
    const { value } = await tidemarkJson<EventJson[]>(['event', 'search', ...args], environment)
    return value.map(({ sequence }) => sequence)
  }
  expect(await search()).toEqual(['3', '2', '1'])
  expect(await search('--path', 'customer.id', '--equals', 'c-1')).toEqual(['3', '1'])
  expect(await search('--path', 'lines.0.sku')).toEqual(['1'])
  expect(await search('--path', 'note', '--equals', '<b>ünïcode 田中</b>')).toEqual(['2'])
  expect(await search('--correlation', 'req-1', '--type', 'orders.paid')).toEqual(['3'])
  expect(await search('--before', '3', '--limit', '1')).toEqual(['2'])
  expect(await search('--since', '2200-01-01')).toEqual([])
  const bounded = await tidemark(
    ['event', 'search', '--examine', '1', '--path', 'none'],
    environment,
  )
  expect(bounded.stderr).toContain('--before 3')
  const alone = await tidemark(['event', 'search', '--equals', 'x'], environment)
  expect(alone).toMatchObject({ code: exitCode.usage, stdout: '' })
  const { stdout } = await tidemark(['event', 'trace', '1'], environment)
  expect(stdout).toContain('event orders.placed  1')
  expect(stdout).toContain('event orders.paid  3')
  expect((await tidemark(['event', 'trace', '99'], environment)).code).toBe(exitCode.failure)
})

test('keys and states of projections are shown as they are stored, and processes with what they hold', async () => {
  await database.query(`
    insert into tidemark.listeners (name, kind) values ('balances', 'projection');
    insert into tidemark.cursors (listener) values ('balances');
    insert into tidemark.projection_states (projection, generation, key, state, sequence)
      values ('balances', 1, 'a', '{"cents":1}', 1), ('balances', 1, 'a-2', '{"cents":2}', 2), ('balances', 1, 'ключ', '3', 3);
    insert into tidemark.processes (id, hostname, pid, library) values (gen_random_uuid(), 'host', 7, '1.2.3')`)
  const keys = async (...args: string[]): Promise<unknown> =>
    (
      await tidemarkJson<{ key: string }[]>(
        ['projection', 'keys', 'balances', ...args],
        environment,
      )
    ).value.map(({ key }) => key)
  expect(await keys()).toEqual(['a', 'a-2', 'ключ'])
  expect(await keys('--prefix', 'a', '--after', 'a')).toEqual(['a-2'])
  const state = await tidemarkJson(['projection', 'state', 'balances', 'a-2'], environment)
  expect(state.value).toMatchObject({ key: 'a-2', state: { cents: 2 }, sequence: '2' })
  const none = await tidemark(['projection', 'state', 'balances', 'b'], environment)
  expect(none).toMatchObject({ code: exitCode.failure, stdout: '' })
  const unknown = await tidemark(['projection', 'keys', 'balance'], environment)
  expect(unknown.code).toBe(exitCode.failure)
  const { value } = await tidemarkJson(['process', 'list'], environment)
  expect(value).toMatchObject([{ hostname: 'host', pid: 7, library: '1.2.3', leases: [] }])
  expect((await tidemark(['process', 'list'], environment)).stdout).toContain('host:7')
})
