import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { shadowOf } from '../../packages/core/src/projection/shadow/shadow-schema.ts'
import { tidemark, tidemarkJson, type Answer } from './tidemark.ts'

const shadow = (generation: number): string => shadowOf('tidemark', 'balances', generation).name

/** The SQL that makes a generation's copies. */
function copies(schema: string, projection: string, generation: number): string {
  const { name, owner } = shadowOf(schema, projection, generation)
  return `create schema ${name}; create table ${name}.accounts (id text); comment on schema ${name} is '${owner}';`
}

let database: TestDatabase

beforeEach(async () => {
  database = await createTestDatabase()
})

afterEach(async () => {
  await database[Symbol.asyncDispose]()
})

function fix(...args: string[]): Promise<Answer> {
  return tidemark(['doctor', '--fix', ...args], { env: { DATABASE_URL: database.url } })
}

async function column(text: string): Promise<unknown[]> {
  const { rows } = await database.query(text)
  return rows.map((row) => Object.values(row)[0])
}

/** What the dead leave behind, beside what the living have. */
async function damage(): Promise<void> {
  await database.query(`
    insert into tidemark.processes (id, hostname, pid, library, heartbeat_at) values
      ('00000000-0000-4000-8000-000000000001', 'gone', 11, '0', now() - interval '1 hour'),
      ('00000000-0000-4000-8000-000000000002', 'slow', 12, '0', now() - interval '5 minutes');
    insert into tidemark.doorbells (process, armed) select id, true from tidemark.processes;
    insert into tidemark.doorbells (process, armed) values (gen_random_uuid(), true);
    insert into tidemark.job_doorbells (process, armed) values (gen_random_uuid(), true);
    insert into tidemark.listeners (name, kind, generation, last_generation, rebuild_generation)
      values ('balances', 'projection', 2, 4, 4);
    insert into tidemark.cursors (listener, generation) values ('balances', 1), ('balances', 2), ('balances', 4);
    insert into tidemark.projection_states (projection, generation, key, state, sequence)
      values ('balances', 1, 'a', '0', 1), ('balances', 2, 'a', '0', 1), ('balances', 4, 'a', '0', 1);
    ${copies('tidemark', 'balances', 3)} ${copies('tidemark', 'balances', 4)} ${copies('tidemark', 'removed', 2)}
    -- Somebody else's, whatever it is called.
    create schema ${shadow(5)}; create table ${shadow(5)}.accounts (id text);
    select setval('tidemark.events_sequence', 15000000);`)
}

const left = {
  processes: 'select hostname from tidemark.processes order by 1',
  doorbells: 'select process::text from tidemark.doorbells',
  jobDoorbells: 'select process::text from tidemark.job_doorbells',
  cursors: 'select generation from tidemark.cursors order by 1',
  states: 'select generation from tidemark.projection_states order by 1',
  schemas: `select nspname::text from pg_namespace where nspname like 'tidemark\\_%' order by 1`,
}

async function state(): Promise<Record<string, unknown[]>> {
  const entries = Object.entries(left).map(
    async ([name, text]) => [name, await column(text)] as const,
  )
  return Object.fromEntries(await Promise.all(entries))
}

test('without --yes it says what it would do and does nothing', async () => {
  await damage()
  const before = await state()
  const { code, stderr } = await fix()
  expect(code).toBe(exitCode.usage)
  expect(stderr).toContain('forget the process 11 on gone')
  expect(stderr).not.toContain('on slow')
  expect(stderr).toContain('remove 2 rows of dead processes from doorbells')
  expect(stderr).toContain(`drop the schema ${shadow(3)}`)
  expect(stderr).toContain('make the partitions of events from sequence 20000000 on')
  expect(await state()).toEqual(before)
})

test('with --yes it repairs what nobody needs, keeps what somebody does, and finds nothing more', async () => {
  await damage()
  const { stderr } = await fix('--yes')
  expect(stderr).toContain('repaired: forget the process 11 on gone')
  expect(await state()).toEqual({
    processes: ['slow'],
    doorbells: ['00000000-0000-4000-8000-000000000002'],
    jobDoorbells: [],
    cursors: [2, 4],
    states: [2, 4],
    schemas: [shadow(4), shadow(5)],
  })
  expect(await column(`select to_regclass('tidemark.events_20000000') is not null`)).toEqual([true])
  const again = await tidemarkJson<{ repairs: { found: string[]; done: boolean }[] }>(
    ['doctor', '--fix'],
    { env: { DATABASE_URL: database.url } },
  )
  expect(again.value.repairs.flatMap(({ found }) => found)).toEqual([])
})

test('a shadow of another install is left alone', async () => {
  await damage()
  const other = shadowOf('tidemark2', 'balances', 3).name
  await database.query(copies('tidemark2', 'balances', 3))
  await fix('--yes')
  expect(await column(left.schemas)).not.toContain(shadow(3))
  expect(await column(`select to_regnamespace('${other}') is not null`)).toEqual([true])
})

test('what somebody holds is told, and the rest is repaired all the same', async () => {
  await damage()
  const holder = await database.connect()
  await holder.query('begin')
  await holder.query(`select from ${shadow(3)}.accounts`)
  const { code, stderr } = await fix('--yes')
  expect(code).toBe(exitCode.checkFailed)
  expect(stderr).toMatch(/shadow tables could not be repaired: .*lock timeout/u)
  await holder.query('rollback')
  await holder.end()
  expect(await state()).toMatchObject({ processes: ['slow'], cursors: [2, 4] })
  expect((await state())['schemas']).toContain(shadow(3))
})

test('counts of jobs that do not agree with the jobs are named, and mended', async () => {
  await database.query(
    `insert into tidemark.jobs (id, name, input, status) values (gen_random_uuid(), 'odd', '{}', 'failed')`,
  )
  // As a restore does that fires no triggers.
  await database.query('delete from tidemark.job_count_changes')
  const env = { DATABASE_URL: database.url }
  const wrong = await tidemark(['doctor'], { env })
  expect(wrong.stdout).toContain('1 failed job of the type "odd" is counted as 0')
  await fix('--yes')
  expect(await column(`select jobs from tidemark.counted_jobs()`)).toEqual(['1'])
  expect((await tidemark(['doctor'], { env })).stdout).not.toContain('counted as')
})
