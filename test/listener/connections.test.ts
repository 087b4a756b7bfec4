import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { defineListener, defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { Gate } from '../support/gate.ts'
import { Latch, until } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const tally = defineProjection('tally', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)

test('a connection that is killed in the middle of a batch loses nothing and repeats nothing', async () => {
  await using gate = await Gate.close(database)
  let entries = 0
  const listener = defineListener('ledger').on(noted, async (event, { tx }) => {
    entries += 1
    await recordEffect(tx, 'ledger', event)
    if (event.payload.note === 'gate') {
      await tx.query('select pg_advisory_xact_lock_shared($1)', [gate.key])
    }
  })
  await using app = appOn(database, [listener])
  await app.start()
  await app.publish([noted({ note: 'before' }), noted({ note: 'gate' })])
  await gate.reached()
  const { rows } = await database.query<{ killed: boolean }>(
    `select pg_terminate_backend(pid) as killed from pg_locks
     where locktype = 'advisory' and objid = $1 and not granted`,
    [gate.key],
  )
  expect(rows).toEqual([{ killed: true }])
  await gate.open()

  const { sequence } = await app.publish(noted({ note: 'after' }))
  await app.waitFor(listener, sequence, { timeout: '20s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  // It did handle the two before the kill, and them again after it.
  expect(entries).toBeGreaterThan(3)
})

test('losing LISTEN interrupts no batch', async () => {
  await using gate = await Gate.close(database)
  let entries = 0
  const listener = defineListener('ledger').on(noted, async (event, { tx }) => {
    entries += 1
    await recordEffect(tx, 'ledger', event)
    if (event.payload.note === 'gate') {
      await tx.query('select pg_advisory_xact_lock_shared($1)', [gate.key])
    }
  })
  const log = new LogBook()
  await using app = appOn(database, [listener], { logger: log })
  await app.start({ acquireInterval: 50, handleSignals: false })
  await app.publish([noted({ note: 'before' }), noted({ note: 'gate' })])
  await gate.reached()
  const entered = entries
  const { rowCount } = await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'tidemark doorbell %'`,
  )
  expect(rowCount).toBe(1)
  await log.wrote(/doorbell is disconnected/)
  await gate.open()
  const { sequence } = await app.publish(noted({ note: 'after' }))
  await app.waitFor(listener, sequence, { timeout: '20s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(entries).toBe(entered + 1)
})

test('with every connection killed again and again, every event takes effect once and in order', async () => {
  let middle: Latch | undefined
  const listener = defineListener('ledger', { batchSize: 5 }).on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'ledger', event)
    await middle?.pass()
  })
  await using app = appOn(database, [listener, tally])
  await app.start()
  for (let round = 0; round < 4; round++) {
    const here = new Latch()
    middle = here
    await database.query(
      `insert into tidemark.events (type, payload)
       select 'test.noted', jsonb_build_object('note', n::text) from generate_series(1, 50) n`,
    )
    // In the middle of a batch, whose first effect is written.
    await here.reached
    // The application's own, the one that listens included.
    await expect
      .poll(
        async () =>
          (
            await database.query(
              `select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and application_name ~ '^tidemark'
                 and application_name !~ '^tidemark (test|leak)'`,
            )
          ).rowCount,
        { timeout: 20_000 },
      )
      .toBeGreaterThan(0)
    middle = undefined
    here.open()
  }
  const committed = await committedEvents(database)
  const last = committed.at(-1)
  await expect
    .poll(async () => (await effectsOf(database, 'ledger')).at(-1), { timeout: 30_000 })
    .toBe(last)
  await expect.poll(() => app.read(tally), { timeout: 30_000 }).toBe(200)
  expect(await effectsOf(database, 'ledger')).toEqual(committed)
})

test('a server that is restarted, and one that crashes, are found again without anybody’s help', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  await using own = await createTestDatabase({ server, template: effectsTemplate })
  await own.query('checkpoint') // see server-crash.test.ts
  await using app = appOn(own, [recorder('ledger'), tally])
  const runner = await app.start()
  const first = await app.publish(noted({ note: 'before' }))
  await app.waitFor('ledger', first.sequence)

  await server.restart()
  const second = await app.publish(noted({ note: 'after the restart' }))
  await app.waitFor('ledger', second.sequence, { timeout: '20s' })
  await server.kill()
  await server.restart()
  const third = await app.publish(noted({ note: 'after the crash' }))
  await app.waitFor('ledger', third.sequence, { timeout: '20s' })
  await app.waitFor(tally, third.sequence, { timeout: '20s' })

  expect(await effectsOf(own, 'ledger')).toEqual([first.sequence, second.sequence, third.sequence])
  expect(await app.read(tally)).toBe(3)
  expect(runner.partitions).toEqual(['ledger#0', 'tally#0'])
})

test('a lease that could not be given back is not kept for ever: its listener goes on when the server lets it', async () => {
  const listener = defineListener('ledger', { retry: { backoff: () => 0 } }).on(
    noted,
    async (event, { tx }) => {
      await recordEffect(tx, 'ledger', event)
      if (refused) throw new Error('not now')
    },
  )
  let refused = true
  // The other one runs on, and so does the renewal of leases. As a server does that has no connection to spare: neither the failure can be recorded nor the lease given back,
  // while the heartbeat, which has a connection, renews what the process holds.
  await database.query(
    `CREATE SEQUENCE refusals;
     CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF NEW.owner IS NULL THEN PERFORM nextval('public.refusals'); END IF;
       RAISE EXCEPTION 'too many clients' USING ERRCODE = '53300';
     END $$;
     CREATE TRIGGER refuse BEFORE UPDATE ON tidemark.cursors FOR EACH ROW
       WHEN (NEW.last_error IS NOT NULL OR (OLD.owner IS NOT NULL AND NEW.owner IS NULL)) EXECUTE FUNCTION refuse()`,
  )
  const log = new LogBook()
  await using app = appOn(database, [listener, tally], { logger: log })
  await app.start({ acquireInterval: 50, leaseDuration: 1_000, handleSignals: false })
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await log.wrote(/ledger was interrupted/)
  // A sequence remembers also what is rolled back.
  await until(database, 'SELECT is_called FROM refusals', true)
  refused = false
  await database.query('DROP TRIGGER refuse ON tidemark.cursors')
  await app.waitFor(listener, sequence, { timeout: '60s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
})
