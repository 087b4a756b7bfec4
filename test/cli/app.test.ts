import { Server } from 'node:net'
import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { appConfig, appTables } from './app.ts'
import {
  ProjectFolder,
  tidemark,
  tidemarkJson,
  TidemarkProcess,
  TidemarkTask,
  type Answer,
} from './tidemark.ts'

let database: TestDatabase
let project: ProjectFolder

beforeEach(async () => {
  database = await createTestDatabase()
  await database.query(appTables)
  project = await ProjectFolder.create({ 'tidemark.config.ts': appConfig })
})

afterEach(async () => {
  await project[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

function call(...args: string[]): Promise<Answer> {
  return tidemark(args, { cwd: project.path, env: { DATABASE_URL: database.url } })
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as tidemarkJson()
function callJson<T>(...args: string[]): Promise<{ code: number | null; value: T }> {
  return tidemarkJson<T>(args, { cwd: project.path, env: { DATABASE_URL: database.url } })
}

/** Starts a worker, and waits until it runs. */
async function startWorker(...args: string[]): Promise<TidemarkTask> {
  const worker = new TidemarkTask(['worker', ...args], {
    cwd: project.path,
    env: { DATABASE_URL: database.url },
  })
  await worker.printed('stderr', 'the worker runs')
  return worker
}

async function publishNote(text: string): Promise<string> {
  const { value } = await callJson<{ sequence: string }>(
    'publish',
    'accounts.noted',
    JSON.stringify({ text }),
  )
  return value.sequence
}

interface ListenerJson {
  readonly name: string
  readonly status: string
  readonly cursor: string
  readonly lag: string
  readonly state?: unknown
  readonly partitions: readonly {
    readonly process: string | null
    readonly lastError: { readonly message: string } | null
  }[]
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  'a worker handles what is published, and drains and exits 0 on %s',
  async (signal) => {
    await using worker = new TidemarkProcess(['worker'], {
      cwd: project.path,
      env: { DATABASE_URL: database.url },
    })
    await worker.printed('stderr', 'the worker runs')
    const sequence = await publishNote('hello')
    expect((await call('wait', 'letters', sequence)).code).toBe(0)
    expect((await call('wait', 'notes', sequence)).code).toBe(0)
    const { rows } = await database.query('select text from letters')
    expect(rows).toEqual([{ text: 'hello' }])
    const { value } = await callJson<ListenerJson[]>('listener', 'list')
    expect(value.map(({ name }) => name)).toEqual(['count', 'inlined', 'letters', 'notes'])
    const letters = value.find(({ name }) => name === 'letters')
    expect(letters).toMatchObject({ status: 'active', cursor: sequence, lag: '0' })
    expect(letters?.partitions[0]?.process).toMatch(new RegExp(`:${worker.child.pid}$`, 'u'))
    worker.child.kill(signal)
    const answer = await worker.answer()
    expect(answer.code).toBe(0)
    expect(answer.stdout).toBe('')
    const logged = answer.stderr.trimEnd().split('\n')
    expect(logged.map((line) => (JSON.parse(line) as { msg: string }).msg)).toContain(
      'the worker has stopped',
    )
    // Nothing is left that another worker would have to wait for.
    const left = await database.query('select owner from tidemark.cursors where owner is not null')
    expect(left.rows).toEqual([])
    expect((await database.query('select id from tidemark.processes')).rows).toEqual([])
  },
)

test('a worker serves its health while it runs, and on no port when it is not asked to', async () => {
  const listening = vi.spyOn(Server.prototype, 'listen')
  await using worker = await startWorker('--health-port', '0', '--health-host', '127.0.0.1')
  const port = /"port":(\d+)/u.exec(worker.stderr)?.[1]
  const ask = async (path: string, method = 'GET'): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method })
    return [response.status, await response.text()]
  }
  expect(await ask('/healthz')).toEqual([200, '{"alive":true}'])
  expect(await ask('/readyz')).toEqual([200, '{"ready":true,"reasons":[]}'])
  // A connection that cannot be taken, for want of file descriptors, is no reason to end.
  const servers = listening.mock.contexts as Server[]
  listening.mockRestore()
  expect(servers).toHaveLength(1)
  for (const server of servers) server.emit('error', new Error('accept EMFILE'))
  expect((await ask('/readyz', 'POST'))[0]).toBe(405)
  expect((await ask('/listeners'))[0]).toBe(404)
  worker.stop()
  expect((await worker.answer()).code).toBe(0)
  await expect(ask('/healthz')).rejects.toThrow('fetch failed')
  const wrong = await call('worker', '--health-port', '70000')
  expect(wrong.code).toBe(exitCode.usage)
})

test('a halted listener is shown with its error, fails the doctor, and goes on when it is resumed', async () => {
  await using worker = await startWorker('--log', 'pretty')
  const sequence = await publishNote('bad')
  await worker.printed('stderr', 'letters has halted')
  const waited = await call('wait', 'letters', sequence)
  expect(waited.code).toBe(exitCode.failure)
  expect(waited.stderr).toContain('TIDEMARK_LISTENER_HALTED')
  expect(waited.stderr).toContain('no such address')
  const shown = await call('listener', 'show', 'letters')
  expect(shown.stdout).toContain('halted')
  expect(shown.stdout).toContain('no such address')
  const doctor = await call('doctor')
  expect(doctor.code).toBe(exitCode.checkFailed)
  expect(doctor.stdout).toMatch(/failed +listeners +letters has halted at 0: .*no such address/u)
  expect(doctor.stdout).toContain('tidemark listener resume letters')
  await database.query('insert into lenient values (true)')
  const resumed = await call('listener', 'resume', 'letters')
  expect(resumed).toMatchObject({ code: 0, stdout: expect.stringContaining('goes on') })
  expect((await call('wait', 'letters', sequence)).code).toBe(0)
  const healthy = await callJson<{ ok: boolean; findings: { check: string }[] }>('doctor')
  expect(healthy).toMatchObject({ code: 0, value: { ok: true } })
  expect(new Set(healthy.value.findings.map(({ check }) => check))).toEqual(
    new Set([
      'skips',
      'types',
      'server',
      'settings',
      'migrations',
      'publishers',
      'listeners',
      'runners',
      'dead-letters',
      'jobs',
      'rebuilds',
      'resizes',
      'cursors',
      'partitions',
      'processes',
      'schedules',
      'invariants',
      'emptied',
      'unseen',
    ]),
  )
})

test('a paused listener waits until it is resumed; one that is sent back handles events again', async () => {
  const first = await publishNote('first')
  await using worker = await startWorker()
  expect((await call('wait', 'letters', first)).code).toBe(0)
  const paused = await callJson<ListenerJson>('listener', 'pause', 'letters')
  expect(paused.value).toMatchObject({ name: 'letters', status: 'paused', cursor: first })
  const second = await publishNote('second')
  expect((await call('wait', 'notes', second)).code).toBe(0)
  const timedOut = await call('wait', 'letters', second, '--timeout', '50ms')
  expect(timedOut.code).toBe(exitCode.failure)
  expect(timedOut.stderr).toContain('TIDEMARK_WAIT_TIMEOUT')
  await call('listener', 'resume', 'letters')
  expect((await call('wait', 'letters', second)).code).toBe(0)

  const refused = await call('listener', 'reset', 'letters')
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain(`from ${second} to 0: it handles 2 events of the outbox again`)
  expect(refused.stderr).toContain('which publish, spawn and send again what they did')
  expect(refused.stderr).toContain('Add --yes')
  const before = await database.query('select text from letters order by text')
  expect(before.rows).toEqual([{ text: 'first' }, { text: 'second' }])
  const reset = await callJson('listener', 'reset', 'letters', '--to', first, '--yes')
  expect(reset).toEqual({
    code: 0,
    value: { name: 'letters', from: second, to: first, events: '1' },
  })
  expect((await call('wait', 'letters', second)).code).toBe(0)
  const after = await database.query('select text from letters order by text')
  expect(after.rows).toEqual([{ text: 'first' }, { text: 'second' }, { text: 'second' }])
  worker.stop()
  expect((await worker.answer()).code).toBe(0)
})

test('a projection is reset with its rows counted first, and only with --yes', async () => {
  await using worker = await startWorker()
  const sequence = await publishNote('one')
  await call('wait', 'notes', sequence)
  const asListener = await call('listener', 'reset', 'notes', '--yes')
  expect(asListener.code).toBe(exitCode.usage)
  expect(asListener.stderr).toContain('tidemark projection reset notes')
  const refused = await call('projection', 'reset', 'notes')
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain('deletes 1 row of notes and derives it again from 1 event')
  const elsewhere = await call('projection', 'reset', 'notes', '--no-config')
  expect(elsewhere.code).toBe(exitCode.usage)
  // What no event has made is gone after the reset; what events made is back.
  await database.query(`insert into notes values ('made by hand')`)
  const reset = await callJson('projection', 'reset', 'notes', '--yes')
  expect(reset).toEqual({
    code: 0,
    value: { name: 'notes', from: sequence, tables: [{ name: 'notes', rows: '2' }], events: '1' },
  })
  expect((await call('wait', 'notes', sequence)).code).toBe(0)
  expect((await database.query('select text from notes')).rows).toEqual([{ text: 'one' }])
  worker.stop()
  expect((await worker.answer()).code).toBe(0)
  const wrongKind = await call('projection', 'show', 'letters')
  expect(wrongKind.code).toBe(exitCode.failure)
  expect(wrongKind.stderr).toContain('is a listener, not a projection')
})

test('publish checks the payload by the definition, and fills in what JSON cannot say', async () => {
  const payload = '{"id":"a-1","amount":"9007199254740993","at":"2026-11-21T10:00:00Z"}'
  const options = ['--stream', 'account-1', '--expected-version', 'none']
  const published = await callJson('publish', 'accounts.opened', payload, ...options)
  expect(published).toEqual({
    code: 0,
    value: { type: 'accounts.opened', sequence: '1', validated: true },
  })
  const { rows } = await database.query('select payload_meta from tidemark.events')
  expect(rows).toMatchObject([{ payload_meta: { values: { amount: ['bigint'], at: ['Date'] } } }])
  const number = payload.replaceAll(/"(\d+)"/gu, '$1')
  await call('publish', 'accounts.opened', number)
  await call('publish', 'accounts.opened', number, '--no-config')
  const stored = await database.query(
    `select count(*)::integer as n from tidemark.events where payload ->> 'amount' = '9007199254740993'`,
  )
  expect(stored.rows).toEqual([{ n: 3 }])
  const invalid = await call('publish', 'accounts.opened', '{"id":7,"amount":"some","at":"soon"}')
  expect(invalid.code).toBe(exitCode.failure)
  expect(invalid.stderr).toContain('TIDEMARK_INVALID_EVENT')
  for (const path of ['id', 'amount', 'at'])
    expect(invalid.stderr).toMatch(new RegExp(`^  ${path}: `, 'mu'))
  const conflict = await call('publish', 'accounts.opened', payload, ...options)
  expect(conflict.code).toBe(exitCode.failure)
  expect(conflict.stderr).toContain('TIDEMARK_STREAM_CONFLICT')
  const unknown = await call('publish', 'accounts.closed', '{}')
  expect(unknown.code).toBe(exitCode.usage)
  expect(unknown.stderr).toContain('It defines accounts.noted, accounts.opened.')
  const shown = await callJson<ListenerJson[]>('projection', 'list')
  expect(shown.value).toMatchObject([{ name: 'inlined', mode: 'inline', cursor: '2' }])
})

test('a worker does not start on a schema that it cannot work with', async () => {
  await database.query(
    `insert into tidemark.migrations (version, name, breaking, checksum) values (9001, 'new', true, 'x')`,
  )
  const newer = await call('worker')
  expect(newer.code).toBe(exitCode.failure)
  expect(newer.stderr).toContain('TIDEMARK_SCHEMA_TOO_NEW')
  const missing = await call('worker', '--schema', 'elsewhere')
  expect(missing.code).toBe(exitCode.failure)
  expect(missing.stderr).toContain('TIDEMARK_MIGRATION_REQUIRED')
  expect(missing.stderr).toContain('tidemark migrate up --schema elsewhere')
})

test('an inline projection sees what publish publishes', async () => {
  await using worker = await startWorker()
  const payload = '{"id":"a-1","amount":1,"at":"2026-11-21"}'
  await call('publish', 'accounts.opened', payload)
  const inlined = await callJson<ListenerJson>('projection', 'show', 'inlined')
  expect(inlined.value).toMatchObject({ name: 'inlined', state: 1 })
  await call('wait', 'count', '1')
  const counted = await callJson<ListenerJson>('projection', 'show', 'count')
  expect(counted.value).toMatchObject({ name: 'count', state: { opened: 1 } })
  worker.stop()
  await worker.answer()
})

test('--schema moves the whole application', async () => {
  const other = ['--schema', 'elsewhere']
  expect((await call('migrate', 'up', ...other)).code).toBe(0)
  await call('publish', 'accounts.noted', '{"text":"there"}', ...other)
  expect((await callJson<unknown[]>('event', 'list', ...other)).value).toHaveLength(1)
  expect((await callJson<unknown[]>('event', 'list')).value).toEqual([])
})
