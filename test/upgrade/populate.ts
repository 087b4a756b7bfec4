import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { migrateUp } from 'tidemark'
import { Latch } from '../support/jobs.ts'
import { ownTables, shop, workerOptions } from './shop.ts'
import { takeSnapshot, type Snapshot } from './snapshot.ts'

/** Waits until a query answers this; this runs outside of a test runner as well. */
async function until(database: TestDatabase, text: string, expected: unknown): Promise<void> {
  const deadline = Date.now() + 60_000
  for (;;) {
    const { rows } = await database.query<Record<string, unknown>>(text)
    const found = Object.values(rows[0] ?? {})[0]
    if (found === expected) return
    if (Date.now() > deadline) throw new Error(`${text}: ${String(found)}, not ${String(expected)}`)
    await delay(20)
  }
}

/** Runs the shop of the old release until there is something of everything, and takes the snapshot while it works. */
export async function populate(): Promise<Snapshot> {
  await using database = await createTestDatabase({ migrate: false })
  await migrateUp({ connectionString: database.url })
  await database.query(ownTables)
  const middle = new Latch()
  const old = shop({ release: 'old', inTheMiddle: () => middle.pass() })
  await using app = old.appOn(database.url)
  await app.start(workerOptions)
  try {
    const at = new Date('2026-01-01T12:00:00Z')
    const place = (order: string, cents: bigint) =>
      // The old release has no currency.
      old.placed({ order, cents, at } as unknown as Parameters<typeof old.placed>[0])
    for (const cents of [100n, 20n, 3n]) {
      await app.decide(old.order, 'a', () => place('a', cents))
    }
    await app.publish(place('b', 1000n), { idempotencyKey: 'order b' })
    const { sequence } = await app.publish(place('bad', 5n), { key: 'bad' })
    await app.publish(place('c', 7n))

    await app.jobs.spawn(old.report, null)
    await app.jobs.spawn(old.broken, null)
    await app.jobs.spawn(old.invoice, { order: 'a' })
    await app.jobs.spawn(old.importing, { pages: 3 })
    await middle.reached
    // Waits for its turn: the one before has not finished.
    await app.jobs.spawn(old.importing, { pages: 2 })
    const runAt = new Date('2999-01-01T00:00:00Z')
    await app.jobs.spawn(old.later, { what: 'the year 2999' }, { runAt })
    const paused = await app.jobs.spawn(old.later, { what: 'paused' }, { runAt })
    await app.jobs.pause(paused.id)
    // A job of a type that no process runs.
    await database.query(`select tidemark.spawn('retired', '{"left": "behind"}')`)

    await app.waitFor(['letters', 'turnover', 'by-order', 'orders'], sequence)
    const reached: Record<string, unknown> = {
      [`select status from tidemark.listeners where name = 'ledger'`]: 'halted',
      [`select count(*)::int from tidemark.dead_letters where state = 'parked'`]: 1,
      [`select status from tidemark.jobs where name = 'report'`]: 'completed',
      [`select status from tidemark.jobs where name = 'broken'`]: 'failed',
      [`select count(*)::int from tidemark.job_waits`]: 1,
      [`select count(*)::int from tidemark.jobs where parked = 'key'`]: 1,
      [`select count(*)::int from tidemark.job_states where variables ? 'page 1'`]: 1,
      [`select count(*)::int from tidemark.job_logs`]: 1,
      [`select count(*)::int from tidemark.schedules`]: 1,
      [`select count(*)::int from tidemark.snapshots`]: 1,
    }
    for (const [text, value] of Object.entries(reached)) await until(database, text, value)
    return await takeSnapshot(database, ownTables)
  } finally {
    middle.open()
  }
}
