import { defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const hung = { timeout: 60_000, interval: 30 }

test(
  'more projections than connections are rebuilt at once, and switched one after the other',
  { timeout: 180_000 },
  async () => {
    const deploy = (version: number) =>
      Array.from({ length: 12 }, (_, n) =>
        defineProjection(`many_${n}`, { version, initial: () => 0 }).on(
          noted,
          (sum) => sum + version,
        ),
      )
    const runner = { handleSignals: false, maxConnections: 8, acquireInterval: 50 }
    {
      await using app = appOn(database, deploy(1))
      await app.start(runner)
      const events = Array.from({ length: 5 }, (_, n) => noted({ note: String(n) }))
      await app.waitFor(deploy(1), (await app.publish(events)).at(-1)?.sequence as never)
    }
    // Whoever switches waits for the live generation that it wants to hold.
    await using holder = await SqlPublisher.open(database)
    await holder.begin()
    await holder.client.query('select from tidemark.cursors for update')
    await using app = appOn(database, deploy(2))
    await app.start(runner)
    const caughtUp = async (): Promise<number> =>
      (await app.rebuilds.list()).filter(({ fraction }) => fraction === 1).length
    await expect.poll(caughtUp, hung).toBe(12)
    const waiting = async (): Promise<number> => {
      const { rows } = await database.query<{ n: number }>(
        `select count(*)::integer as n from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return rows[0]?.n ?? 0
    }
    await expect.poll(waiting, hung).toBe(1)
    const seen = new Set<number>()
    for (let look = 0; look < 50; look++) seen.add(await waiting())
    expect(Math.max(...seen)).toBe(1)
    await holder.commit()
    await expect.poll(() => app.rebuilds.list(), hung).toEqual([])
    for (const projection of deploy(2)) expect(await app.read(projection)).toBe(10)
  },
)
