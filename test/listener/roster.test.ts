import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'
import type { PreparingExecutor } from '../../packages/core/src/database/executor.ts'
import { Database } from '../../packages/core/src/database/pool.ts'
import { registerProcess } from '../../packages/core/src/database/sql/listener/processes.ts'
import { RosterReader } from '../../packages/core/src/listener/leased/roster.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()

const runs = (names: readonly string[]): string =>
  JSON.stringify([
    ...names.map((name) => ({ name, kind: 'listener', version: 1, types: ['a', 'b'] })),
    { name: 'some_job', kind: 'job', version: 1 },
  ])

/** Writes down a process that runs these listeners; answers its id. */
async function register(names: readonly string[]): Promise<string> {
  const id = randomUUID()
  const values = [id, 'host', 1, 'tidemark', runs(names), '{}']
  await database.query(registerProcess(database.schema).text, values)
  return id
}

function openPool(): Database {
  const pool = new Database({ connectionString: database.url }, 'test', () => {})
  onTestFinished(() => pool.close())
  return pool
}

/** A reader, and how many bytes it was answered last. */
function reading(pool: Database) {
  const answers = { bytes: 0 }
  const reader = new RosterReader(database.schema, 10_000)
  const executor = {
    run: async (statement, values) => {
      const answer = await pool.run(statement, values)
      answers.bytes = JSON.stringify(answer.rows).length
      return answer
    },
  } as Partial<PreparingExecutor> as PreparingExecutor
  return { answers, read: async () => (await reader.read(executor)).roster }
}

async function listeners(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await database.query(
      `insert into tidemark.listeners (name, kind, mode, version, definition, partitions)
       values ($1, 'listener', 'async', 1, '{"types": ["a", "b"]}', 1)`,
      [name],
    )
    await database.query(
      `insert into tidemark.cursors (listener, generation, partition, cursor)
       select name, generation, 0, 0 from tidemark.listeners where name = $1`,
      [name],
    )
  }
}

test('who looks again is answered nothing while nothing has changed, and all that has changed when it has', async () => {
  const pool = openPool()
  await listeners('one', 'two')
  const first = await register(['one', 'two'])
  const { read } = reading(pool)
  let before = await read()
  expect(before.processes.map(({ id }) => id)).toEqual([first])
  expect(before.partitions.map(({ listener }) => listener)).toEqual(['one', 'two'])
  expect(await read()).toBe(before)
  await database.query(
    `update tidemark.processes set heartbeat_at = clock_timestamp(), vitals = '{}'`,
  )
  await database.query('update tidemark.cursors set cursor = 10, updated_at = clock_timestamp()')
  expect(await read()).toBe(before)

  const second = await register(['two'])
  const one = `where listener = 'one'`
  const changes = [
    `update tidemark.cursors set owner = '${second}', lease_until = clock_timestamp() + interval '1 hour' ${one}`,
    `update tidemark.cursors set owner = '${first}' ${one}`,
    `update tidemark.cursors set lease_until = clock_timestamp() ${one}`,
    `update tidemark.cursors set awaits = '{"type": "a", "version": 2}' ${one}`,
    `update tidemark.cursors set halted_at = clock_timestamp() ${one}`,
    `update tidemark.listeners set version = 2 where name = 'two'`,
    `update tidemark.listeners set definition = '{"types": ["a"]}' where name = 'two'`,
    `update tidemark.listeners set status = 'paused' where name = 'two'`,
    `update tidemark.processes set heartbeat_at = clock_timestamp() - interval '11 s' where id = '${second}'`,
    `update tidemark.processes set definitions = '${runs(['two'])}' where id = '${first}'`,
  ]
  for (const change of [null, ...changes]) {
    if (change !== null) await database.query(change)
    const after = await read()
    expect(after, change ?? 'another process').not.toBe(before)
    expect(after).not.toEqual(before)
    expect(after, change ?? 'another process').toEqual(await reading(pool).read())
    expect(await read()).toBe(after)
    before = after
  }
})

test('what hundreds of processes run is answered once, and only to who does not have it', async () => {
  const pool = openPool()
  const names = Array.from({ length: 200 }, (_, n) => `listener_${n}`)
  for (let n = 0; n < 100; n++) await register(names)
  await register(names.slice(1))
  const { answers, read } = reading(pool)
  const { processes } = await read()
  expect(processes).toHaveLength(101)
  expect(processes.map(({ definitions }) => definitions.length).toSorted((a, b) => a - b)).toEqual([
    199,
    ...Array.from({ length: 100 }, () => 200),
  ])
  // Jobs are nobody's to assign.
  expect(processes[0]?.definitions.some(({ name }) => name === 'some_job')).toBe(false)
  expect(answers.bytes).toBeLessThan(2 * runs(names).length + 101 * 100)
  expect(new Set(processes.map(({ definitions }) => definitions)).size).toBe(2)
  await register(names)
  await read()
  expect(answers.bytes).toBeLessThan(102 * 120)
  await read()
  expect(answers.bytes).toBeLessThan(200)
})
