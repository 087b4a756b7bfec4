import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { countAll, timeEach } from '../../packages/cli/src/bench/sample.ts'
import { tidemark, tidemarkJson, TidemarkProcess, TidemarkTask } from './tidemark.ts'

let database: TestDatabase

beforeEach(async () => {
  database = await createTestDatabase()
})

afterEach(async () => {
  await database[Symbol.asyncDispose]()
})

function env(): { env: { DATABASE_URL: string } } {
  return { env: { DATABASE_URL: database.url } }
}

async function schemas(): Promise<unknown[]> {
  const { rows } = await database.query<{ name: string }>(
    `select nspname as name from pg_namespace where nspname like 'tidemark\\_bench%'`,
  )
  return rows.map(({ name }) => name)
}

interface Finding {
  readonly what: string
  readonly rate: number | null
  readonly p50: number | null
  readonly p99: number | null
}

test('each part is measured in a schema of its own, which is gone afterwards', async () => {
  const before = await database.query('select count(*) from tidemark.events')
  const { code, value } = await tidemarkJson<Finding[]>(['bench', '--duration', '300ms'], env())
  expect(code).toBe(0)
  expect(value.map(({ what }) => what)).toEqual([
    'a transaction that only reads',
    'a transaction that writes a row',
    'publish to handled, up to 50 a second',
    'publish one event after the other',
    'publish by 32 callers',
    'publish lists of 1000',
    'a listener that catches up',
    'spawn jobs, 1000 in a transaction',
    'jobs that do nothing',
    'spawn to result, one after the other',
  ])
  for (const { what, rate, p50, p99 } of value) {
    const figures = [rate, p50, p99].filter((figure) => figure !== null)
    expect([what, figures.length > 0 && figures.every((figure) => figure > 0)]).toEqual([
      what,
      true,
    ])
  }
  expect(await schemas()).toEqual([])
  const after = await database.query('select count(*) from tidemark.events')
  expect(after.rows).toEqual(before.rows)
})

test('where processes work it needs --yes, and says where', async () => {
  await database.query(
    `insert into tidemark.processes (id, hostname, pid, library) values (gen_random_uuid(), 'host', 1, '0')`,
  )
  const args = ['bench', '--only', 'commits', '--duration', '20ms']
  const refused = await tidemark(args, env())
  expect(refused.code).toBe(exitCode.usage)
  expect(refused.stderr).toContain('1 process in schema "tidemark"')
  expect(await schemas()).toEqual([])
  const confirmed = await tidemark([...args, '--yes'], env())
  expect(confirmed.code).toBe(0)
  expect(confirmed.stdout).toMatch(/^WHAT +A SECOND +P50 +P99\na transaction that only reads /u)
})

test('interrupted it drops its schema all the same', async () => {
  await using task = new TidemarkTask(['bench', '--duration', '1h'], env())
  await task.printed('stderr', 'commits …')
  expect(await schemas()).toHaveLength(1)
  task.stop()
  const { code, stdout, stderr } = await task.answer()
  expect({ code, stdout }).toEqual({ code: exitCode.failure, stdout: '' })
  expect(stderr).toContain('interrupted')
  expect(await schemas()).toEqual([])
})

test.each(['latency', 'publishing', 'jobs'])('Ctrl-C during %s drops it, too', async (part) => {
  await using command = new TidemarkProcess(['bench', '--only', part, '--duration', '1h'], env())
  await command.printed('stderr', `${part} …`)
  command.child.kill('SIGINT')
  expect((await command.answer()).code).toBe(exitCode.failure)
  expect(await schemas()).toEqual([])
})

test.each([0, 100])(
  'what it costs to begin is not taken for what a round costs, in %i ms',
  async (duration) => {
    let now = 0
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now)
    // The first time opens a connection.
    const work = async (): Promise<number> => {
      now += now === 0 ? 1000 : 1
      return 1
    }
    const limits = { duration, stopped: new AbortController().signal }
    try {
      expect(await countAll('counted', limits, 1, work)).toMatchObject({ rate: 1000 })
      now = 0
      expect(await timeEach('timed', limits, work)).toMatchObject({ p50: 1, p99: 1 })
    } finally {
      clock.mockRestore()
    }
  },
)
