import { randomUUID } from 'node:crypto'
import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'

/** A job that waits for a child that is gone: whoever looks wakes it. */
async function waiting(database: Awaited<ReturnType<typeof createTestDatabase>>): Promise<string> {
  const id = randomUUID()
  await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, run_at, waiting)
     VALUES ($1, 'parent', '{}', 'scheduled', 'infinity', '{}')`,
    [id],
  )
  await database.query(
    `INSERT INTO tidemark.job_waits (job, step, kind, child) VALUES ($1, 'child', 'job', $2)`,
    [id, randomUUID()],
  )
  return id
}

test('waits that are looked up one by one rest after a look, and no clock makes that long', async () => {
  await using database = await createTestDatabase()
  const look = async (): Promise<string | undefined> => {
    const { rows } = await database.query<{ woken: string }>(
      'SELECT tidemark.wake_jobs(0) AS woken',
    )
    return rows[0]?.woken
  }
  const rest = (until: string): Promise<unknown> =>
    database.query(
      `UPDATE tidemark.job_wait_cursor SET rests_until = clock_timestamp() + $1::interval`,
      [until],
    )
  await waiting(database)
  await rest('4 s')
  expect(await look()).toBe('0')
  await rest('-1 s')
  expect(await look()).toBe('1')
  // A server whose clock was ahead has set it.
  await waiting(database)
  await rest('1 hour')
  expect(await look()).toBe('1')
})

test('one process at a time forgets what nobody waits for any more, and not at every turn', async () => {
  await using database = await createTestDatabase()
  const left = async (): Promise<number | undefined> => {
    await database.query('SELECT tidemark.forget_waits()')
    const { rows } = await database.query<{ waits: number }>(
      'SELECT count(*)::integer AS waits FROM tidemark.job_waits',
    )
    return rows[0]?.waits
  }
  const next = (at: string): Promise<unknown> =>
    database.query(
      `UPDATE tidemark.job_wait_cursor SET forgets_at = clock_timestamp() + $1::interval`,
      [at],
    )
  await waiting(database)
  const over = await waiting(database)
  await database.query(`UPDATE tidemark.jobs SET waiting = NULL WHERE id = $1`, [over])
  await next('50 s')
  expect(await left()).toBe(2)
  await next('-1 s')
  // Another process is at it.
  const other = await database.connect()
  await other.query('BEGIN')
  await other.query('SELECT FROM tidemark.job_wait_cursor FOR UPDATE')
  expect(await left()).toBe(2)
  await other.query('ROLLBACK')
  await other.end()
  expect(await left()).toBe(1)
  await next('1 hour')
  await database.query(`UPDATE tidemark.jobs SET waiting = NULL`)
  expect(await left()).toBe(0)
})
