import type { TestDatabase } from '@tidemark/testing'
import { defineListener, defineProjection, type AppOptions } from 'tidemark'
import { expect, vi } from 'vitest'
import { asleep } from '../support/doorbells.ts'
import { committedEvents, noted } from '../support/effects.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const byNote = defineProjection('by-note', { version: 1, keyed: true, initial: () => 0 }).on(
  noted,
  (count) => count + 1,
  { key: (event) => event.payload.note.slice(0, 1) },
)

const total = defineProjection('total', { version: 1, initial: () => 0 }).on(
  noted,
  (count) => count + 1,
)

const written = defineProjection('written', { version: 1, tables: ['written'] }).on(
  noted,
  async (event, { tx }) => {
    await tx.query('insert into written (sequence) values ($1)', [event.sequence])
  },
)

/**
 * Everything that depends on the server, once through: each way of publishing, the order, the doorbell, all kinds of
 * projections and a rebuild, retention and the skip detector.
 *
 * @param options - how the application reaches the database, when that is not directly.
 */
export async function tellStory(
  database: TestDatabase,
  options: Partial<AppOptions> = {},
): Promise<void> {
  await database.query('create table written (sequence bigint primary key)')
  const seen: bigint[] = []
  const witness = defineListener('witness').on(noted, async (event) => {
    seen.push(event.sequence)
  })
  await using app = appOn(database, [byNote, total, written, witness], options)
  await using runner = await app.start({
    maintenanceInterval: 200,
    doorbell: { safetyPoll: 30_000 },
  })

  await Promise.all([
    app.publish(Array.from({ length: 50 }, (_, n) => noted({ note: `list ${n}` }))),
    ...Array.from({ length: 50 }, (_, n) => app.publish(noted({ note: `one ${n}` }))),
    ...Array.from({ length: 50 }, (_, n) =>
      app.publish(noted({ note: `stream ${n}` }), {
        stream: `s-${n % 7}`,
        idempotencyKey: `k-${n}`,
      }),
    ),
    app.transaction(async (tx) => tx.publish(noted({ note: 'transaction' }), { stream: 's-0' })),
    expect(
      app.publish(noted({ note: 'no' }), { stream: 's-x', expectedVersion: 3 }),
    ).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' }),
  ])

  {
    // A commit that comes late, a savepoint, COPY, and a prepared transaction.
    await using late = await SqlPublisher.open(database)
    await using other = await SqlPublisher.open(database)
    await late.begin('late')
    await other.begin('kept')
    await other.query('savepoint s')
    await other.publish('undone')
    await other.query('rollback to s')
    await other.commit()
    await late.commit()
    await other.query(`set tidemark.doorbell = 'off'`)
    await other.begin('prepared')
    await other.query(`prepare transaction '${database.name} story'`)
    await other.query(`commit prepared '${database.name} story'`)
  }
  // The prepared one could not ring.
  await app.publish(noted({ note: 'after' }))

  const all = await committedEvents(database)
  const last = all.at(-1) as never
  for (const name of ['by-note', 'total', 'written', 'witness']) {
    await app.waitFor(name, last, { timeout: '30s' })
  }
  expect(all).toHaveLength(155)
  expect(seen).toEqual(all)
  expect(await app.read(total)).toBe(155)
  expect(await app.read(byNote, 's')).toBe(50)

  // The doorbell: asleep, with the next safety poll far away.
  await asleep(database)
  const rung = await app.publish(noted({ note: 'ring' }))
  await app.waitFor('witness', rung.sequence, { timeout: '10s' })

  await app.rebuild(written)
  await vi.waitFor(async () => expect(await app.rebuilds.progress('written')).toBeUndefined(), {
    timeout: 30_000,
    interval: 50,
  })
  const { rows } = await database.query('select count(*)::integer as n from written')
  expect(rows).toEqual([{ n: 156 }])

  await vi.waitFor(async () => expect((await app.outbox.skips()).samples).toBeGreaterThan(1), {
    timeout: 30_000,
    interval: 50,
  })
  expect((await app.outbox.skips()).skips).toEqual([])
  expect(await app.outbox.prune()).toMatchObject({ stopped: { reason: 'horizon' } })
  expect(await app.outbox.stats()).toMatchObject({ strays: false })
  await runner.stop()
}
