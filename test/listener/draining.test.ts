import { defineJob, defineListener, type RecordedEvent } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { Database } from '../../packages/core/src/database/pool.ts'
import { committedEvents, effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const leaseDuration = 1_000

/** A listener whose handler waits, once it has written, until it is let go. */
function slow(by: string) {
  const entered = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const handled: bigint[] = []
  const listener = defineListener('slow').on(noted, async (event: RecordedEvent, { tx }) => {
    await recordEffect(tx, 'slow', event, by)
    handled.push(event.sequence)
    entered.resolve()
    await released.promise
  })
  return { listener, entered: entered.promise, release: released.resolve, handled }
}

async function leases(condition: string): Promise<number | null> {
  const { rowCount } = await database.query(`select from tidemark.cursors where ${condition}`)
  return rowCount
}

test('a drain that takes longer than the lease loses nothing and does nothing twice', async () => {
  const one = slow('first')
  const two = slow('second')
  two.release()
  await using first = appOn(database, [one.listener, recorder('quick')])
  await using second = appOn(database, [two.listener, recorder('quick')])
  const options = { leaseDuration, acquireInterval: 50, handleSignals: false }
  const draining = await first.start(options)
  const published = await first.publish([noted({ note: 'a' }), noted({ note: 'b' })])
  await one.entered
  await first.waitFor('quick', published[1]?.sequence ?? null)
  await using runner = await second.start(options)
  let stopped = false
  const stop = draining.stop().then(() => (stopped = true))

  // What has nothing to finish is handed over at once; the batch keeps its partition long after its lease is over.
  await expect.poll(() => runner.partitions, { timeout: 10_000 }).toContain('quick#0')
  await expect
    .poll(() => leases(`listener = 'slow' and lease_until < clock_timestamp() - interval '3 s'`), {
      timeout: 30_000,
    })
    .toBe(1)
  expect(stopped).toBe(false)
  expect(two.handled).toEqual([])

  one.release()
  await stop
  const last = await second.publish(noted({ note: 'c' }))
  await second.waitFor(['slow', 'quick'], last.sequence)
  const committed = await committedEvents(database)
  expect(await effectsOf(database, 'slow')).toEqual(committed)
  expect(await effectsOf(database, 'quick')).toEqual(committed)
  // The first one handles no further event of a batch that takes so long.
  expect(one.handled).toEqual([published[0]?.sequence])
  expect(two.handled).toEqual([published[1]?.sequence, last.sequence])
})

test('a process whose jobs still run says that it lives, and prolongs no lease of what it runs no more', async () => {
  const latch = new Latch()
  const job = defineJob('long', { input: z.object({}), run: () => latch.pass() })
  await using app = appOn(database, [recorder('quick'), job])
  const runner = await app.start({ leaseDuration, handleSignals: false })
  await app.jobs.spawn(job, {})
  await latch.reached
  await expect.poll(() => leases('owner is not null'), { timeout: 10_000 }).toBe(1)
  const stopping = runner.stop()
  await expect.poll(() => leases('owner is not null'), { timeout: 10_000 }).toBe(0)
  // A lease whose return was lost.
  await database.query(
    `update tidemark.cursors set owner = $1, lease_until = clock_timestamp() + interval '1 s'`,
    [runner.id],
  )
  const until = async (): Promise<unknown> =>
    (await database.query('select lease_until from tidemark.cursors')).rows
  const before = await until()
  const beats = new Set<number>()
  const beat = 'select extract(epoch from heartbeat_at)::float8 as at from tidemark.processes'
  await expect
    .poll(
      async () => beats.add((await database.query<{ at: number }>(beat)).rows[0]?.at ?? 0).size,
      {
        timeout: 15_000,
      },
    )
    .toBe(4)
  expect(await until()).toEqual(before)
  latch.open()
  await stopping
})

test('what a process that stops loses with a connection is given back on the next one', async () => {
  await using app = appOn(database, [recorder('quick')])
  const runner = await app.start({ handleSignals: false })
  const { sequence } = await app.publish(noted({ note: 'a' }))
  await app.waitFor('quick', sequence)
  const lost = vi.spyOn(Database.prototype, 'run').mockImplementation(function (
    this: Database,
    statement,
    values,
  ) {
    const isLost = /release_lease|remove_doorbell/u.test(statement.name)
    if (!isLost) return this.ask({ ...statement, values })
    return Promise.reject(new Error('Connection terminated unexpectedly'))
  })
  try {
    await runner.stop()
    expect(lost).toHaveBeenCalled()
  } finally {
    lost.mockRestore()
  }
  expect(await leases('owner is not null')).toBe(0)
  const { rows } = await database.query('select * from tidemark.processes')
  expect(rows).toEqual([])
})
