import { setTimeout as pause } from 'node:timers/promises'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { beforeAll, expect, test } from 'vitest'
import { compile, Replica } from './replica.ts'

const database = useTestDatabase()

beforeAll(compile)

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 40_000; Date.now() < deadline; await pause(50)) {
    if (await condition()) return
  }
  throw new Error(`not within 40 s: ${what}`)
}

async function count(table: string): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    `select count(*)::integer as n from tidemark.${table}`,
  )
  return rows[0]?.n ?? 0
}

test('two replicas fire each tick once, skip a held lock with a warning, and sign off when they are told to end', async () => {
  const env = { DATABASE_URL: database.url, RATES_CRON: '* * * * * *' }
  await using one = await Replica.start(env)
  await using two = await Replica.start(env)
  expect(await count('processes')).toBe(2)

  await until('three ticks while both are there', async () => {
    return (await count(`schedule_ticks where outcome = 'fired'`)) >= 3
  })
  const { rows: ticks } = await database.query(
    `select input->>'tick' as tick from tidemark.jobs where name = 'rates.refresh'
     group by 1 having count(*) > 1`,
  )
  expect(ticks).toEqual([])
  expect(await count(`jobs where triggered_by = 'schedule:rates.refresh'`)).toBeGreaterThanOrEqual(
    3,
  )

  const over = new AbortController()
  const publishing = one.post('/rates/publish?takes=60000', over.signal)
  await until('the lock is held', async () => {
    return (await count(`locks where key = 'rates.publish' and held_until > now()`)) === 1
  })
  expect(await two.post('/rates/publish')).toEqual({ published: null })
  await two.wrote(/WARN.*skipped: another holds the lock "rates\.publish"/u)
  over.abort()
  await expect(publishing).rejects.toThrow('aborted')

  await Promise.all([one.terminate(), two.terminate()])
  expect(await count('processes')).toBe(0)
  expect(await count(`jobs where status = 'running'`)).toBe(0)
})
