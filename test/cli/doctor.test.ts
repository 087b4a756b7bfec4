import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { appConfig } from './app.ts'
import { ProjectFolder, tidemark, tidemarkJson } from './tidemark.ts'

let database: TestDatabase

beforeEach(async () => {
  database = await createTestDatabase()
})

afterEach(async () => {
  await database[Symbol.asyncDispose]()
})

interface Finding {
  readonly check: string
  readonly status: 'ok' | 'warning' | 'failed'
  readonly summary: string
  readonly remedy: string | null
  readonly details: unknown
}

/** What the doctor finds wrong with one thing, with its exit code. */
async function examine(
  check: string,
  ...args: string[]
): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, value } = await tidemarkJson<{ ok: boolean; findings: Finding[] }>(
    ['doctor', ...args],
    { env: { DATABASE_URL: database.url } },
  )
  expect(value.ok).toBe(code === 0)
  return { code, findings: value.findings.filter((finding) => finding.check === check) }
}

test('a publisher that stays open is named: pid, application, age, query, floor', async () => {
  await database.query(`select tidemark.publish('a', '1')`)
  const slow = await database.connect({ application_name: 'month-end' })
  await slow.query('begin')
  await slow.query(`select tidemark.publish('b', '2') as forgotten`)
  const { rows } = await slow.query<{ pid: number }>('select pg_backend_pid() as pid')
  const pid = rows[0]?.pid
  expect(await examine('publishers')).toMatchObject({ code: 0, findings: [{ status: 'ok' }] })
  const { code, findings } = await examine('publishers', '--publisher-age', '0')
  expect(code).toBe(exitCode.checkFailed)
  expect(findings).toMatchObject([
    {
      status: 'failed',
      remedy: expect.stringContaining(`pg_terminate_backend(${pid})`),
      details: { pid, application: 'month-end', floor: '1', state: 'idle in transaction' },
    },
  ])
  expect(findings[0]?.summary).toMatch(
    /month-end.*nothing after sequence 1 is read; its query: select/u,
  )
  await slow.query('rollback')
  await slow.end()
})

test('a prepared publisher is named by its transaction id', async () => {
  const gid = `forgotten of ${database.name}`
  const client = await database.connect()
  await client.query('begin')
  await client.query(`select tidemark.publish('a', '1')`)
  await client.query(`prepare transaction '${gid}'`)
  try {
    const { code, findings } = await examine('publishers', '--publisher-age', '0')
    expect(code).toBe(exitCode.checkFailed)
    expect(findings).toMatchObject([{ status: 'failed', details: { pid: null, prepared: gid } }])
    expect(findings[0]?.remedy).toContain(`COMMIT PREPARED '${gid}'`)
  } finally {
    await client.query(`rollback prepared '${gid}'`)
    await client.end()
  }
})

test('a listener that no live process can run fails, by its version; one that is paused is a warning', async () => {
  await database.query(`insert into tidemark.listeners (name, kind) values ('orphan', 'listener')`)
  await database.query(`insert into tidemark.cursors (listener) values ('orphan')`)
  const orphaned = await examine('runners')
  expect(orphaned.code).toBe(exitCode.checkFailed)
  expect(orphaned.findings).toMatchObject([
    {
      status: 'failed',
      summary:
        'nobody can run orphan (version 1, 1 partition), which is 0 behind: no live process defines it',
    },
  ])
  const register = `insert into tidemark.processes (id, hostname, pid, library, definitions)
    values (gen_random_uuid(), 'host', 1, '0', $1)`
  await database.query(register, [JSON.stringify([{ name: 'orphan', version: 2 }])])
  const newer = await examine('runners')
  expect(newer.findings[0]?.summary).toContain('live processes have version 2')
  await database.query(register, [JSON.stringify([{ name: 'orphan', version: 1 }])])
  const able = await examine('runners')
  expect(able).toMatchObject({ code: 0, findings: [{ status: 'warning' }] })
  expect(able.findings[0]?.summary).toContain('no process runs orphan at this moment')
  await database.query(`update tidemark.processes set heartbeat_at = now() - interval '1 minute'`)
  expect((await examine('runners')).code).toBe(exitCode.checkFailed)
  await database.query(`update tidemark.listeners set status = 'paused'`)
  expect(await examine('runners')).toMatchObject({ code: 0, findings: [{ status: 'ok' }] })
  const paused = await examine('listeners')
  expect(paused).toMatchObject({ code: 0, findings: [{ status: 'warning' }] })
})

test('a resize that does not end is a warning, with the partition that does not move', async () => {
  await database.query(
    `insert into tidemark.listeners (name, kind, partitions, resize_to, resize_at)
     values ('wide', 'listener', 2, 3, 9)`,
  )
  await database.query(
    `insert into tidemark.cursors (listener, partition, cursor) values ('wide', 0, 9), ('wide', 1, 4)`,
  )
  const { findings } = await examine('resizes')
  expect(findings).toMatchObject([
    {
      status: 'warning',
      summary: 'wide goes from 2 partitions to 3 once all have come to 9: 1 have not',
    },
  ])
  expect(findings[0]?.remedy).toContain('Partition 1 does not move')
  const { stdout } = await tidemark(['listener', 'list'], { env: { DATABASE_URL: database.url } })
  expect(stdout).toContain('2 → 3')
})

test('a cursor beyond the last sequence fails, and the remedy mends it', async () => {
  await database.query(`select tidemark.publish('a', '1')`)
  await database.query(
    `insert into tidemark.listeners (name, kind, status) values ('lost', 'listener', 'paused')`,
  )
  await database.query(`insert into tidemark.cursors (listener, cursor) values ('lost', 500)`)
  const { code, findings } = await examine('cursors')
  expect(code).toBe(exitCode.checkFailed)
  const [remedy] = /listener reset lost --to 1/u.exec(findings[0]?.remedy ?? '') ?? []
  expect(remedy).toBeDefined()
  const mended = await tidemark([...(remedy ?? '').split(' '), '--yes'], {
    env: { DATABASE_URL: database.url },
  })
  expect(mended.code).toBe(0)
  expect(await examine('cursors')).toMatchObject({ findings: [{ status: 'ok' }] })
})

test('events in the default partition fail, and the remedy moves them', async () => {
  await database.query(`select setval('tidemark.events_sequence', 200000000)`)
  await database.query(`select tidemark.publish('stray', '1')`)
  const { code, findings } = await examine('partitions')
  expect(code).toBe(exitCode.checkFailed)
  expect(findings[0]?.summary).toContain('holds 1 event,')
  const { move } = (findings[0] as Finding).details as { move: string[] }
  expect(findings[0]?.remedy).toContain(move.join('; '))
  await database.query(move.join('; '))
  expect(await examine('partitions')).toMatchObject({ code: 0, findings: [{ status: 'ok' }] })
  const { rows } = await database.query('select type from tidemark.events')
  expect(rows).toEqual([{ type: 'stray' }])
})

test('an event that turned up behind a horizon fails, and the remedy ends the alarm', async () => {
  expect(await examine('skips')).toMatchObject({ code: 0, findings: [{ status: 'ok' }] })
  const late = await database.connect()
  await late.query(
    `begin; insert into tidemark.events (sequence, xid, type, payload)
     values (nextval('tidemark.events_sequence'), pg_current_xact_id(), 'late', '1')`,
  )
  await database.query(`select tidemark.publish('on time', '1')`)
  await database.query(
    `insert into tidemark.horizon_samples (base, horizon, snapshot) values (0, 2, pg_current_snapshot())`,
  )
  await late.query('commit')
  await late.end()
  const { code, findings } = await examine('skips')
  expect(code).toBe(exitCode.checkFailed)
  expect(findings[0]?.summary).toMatch(/^event 1 turned up after the horizon 2 had passed it/u)
  await database.query(/DELETE.*$/u.exec(findings[0]?.remedy ?? '')?.[0] ?? '')
  await database.query('DELETE FROM tidemark.horizon_samples WHERE horizon = 2')
  expect(await examine('skips')).toMatchObject({ findings: [{ status: 'ok' }] })
})

test('settings that hurt are warnings', async () => {
  await database.query(
    `alter database ${database.name} set default_transaction_isolation = 'repeatable read'`,
  )
  const { code, findings } = await examine('settings')
  expect(code).toBe(0)
  expect(findings.map(({ summary }) => summary)).toContainEqual(
    expect.stringContaining('default_transaction_isolation is repeatable read'),
  )
})

test('stored types that no definition reads are warnings; a version newer than its definition fails', async () => {
  await using project = await ProjectFolder.create({ 'tidemark.config.ts': appConfig })
  const types = async () => {
    const { value } = await tidemarkJson<{ findings: Finding[] }>(['doctor'], {
      cwd: project.path,
      env: { DATABASE_URL: database.url },
    })
    return value.findings.filter(({ check }) => check === 'types')
  }
  await database.query(`select tidemark.publish('accounts.noted', '{"text": "a"}')`)
  expect(await types()).toMatchObject([{ status: 'ok' }])
  await database.query(`select tidemark.publish('accounts.closed', '{}')`)
  await database.query(`select tidemark.publish('accounts.noted', '{}', version => 2)`)
  expect(await types()).toMatchObject([
    { status: 'warning', summary: 'no definition reads accounts.closed: 1 event' },
    { status: 'failed', details: { type: 'accounts.noted', version: 2, events: 1 } },
  ])
})

test('without the tables the doctor says so and looks no further', async () => {
  await using empty = await createTestDatabase({ migrate: false })
  const { code, stdout } = await tidemark(['doctor'], { env: { DATABASE_URL: empty.url } })
  expect(code).toBe(exitCode.checkFailed)
  expect(stdout).toMatch(/failed +migrations +1 outbox is pending\n +.*tidemark migrate up/u)
  expect(stdout).not.toContain('cursors')
})

test('jobs that no live process runs are named with their type, and those whose stored values cannot be read', async () => {
  expect(await examine('jobs')).toMatchObject({ code: 0, findings: [{ status: 'ok' }] })
  await database.query(`select tidemark.spawn('forgotten', '1'), tidemark.spawn('forgotten', '2')`)
  await database.query(
    `insert into tidemark.jobs (id, name, input, status, error)
     values (gen_random_uuid(), 'picky', '1', 'failed', '{"code": "TIDEMARK_INVALID_STATE"}')`,
  )
  const { code, findings } = await examine('jobs')
  expect(code).toBe(exitCode.checkFailed)
  expect(findings).toMatchObject([
    { status: 'failed', details: { name: 'forgotten', jobs: 2 } },
    { status: 'warning', details: { name: 'picky', jobs: 1, code: 'TIDEMARK_INVALID_STATE' } },
  ])
  expect(findings[0]?.summary).toMatch(/no live process runs jobs of the type "forgotten": 2 jobs/u)
})
