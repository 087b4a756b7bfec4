import { defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { channelOf } from '../../packages/core/src/database/schema.ts'
import { armedProcesses, asleep } from '../support/doorbells.ts'
import { committedEvents, effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Gate } from '../support/gate.ts'
import { LogBook } from '../support/log-book.ts'
import { countLooks } from '../support/publishers-look.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

// With this safety poll, nothing but the doorbell can wake a sleeper within a test.
const neverPolls = { safetyPoll: 600_000 }

test('a sleeping process is woken by the doorbell', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: neverPolls })
  for (let n = 0; n < 3; n++) {
    await asleep(database)
    const { sequence } = await app.publish(noted({ note: `rung ${n}` }))
    await app.waitFor('ledger', sequence, { timeout: '5s' })
  }
  expect(await effectsOf(database, 'ledger')).toHaveLength(3)
})

test('a notification that is lost costs delay and no event: polling delivers it', async () => {
  const looks = await countLooks(database)
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  await asleep(database)
  await using publisher = await SqlPublisher.open(database)
  await publisher.query(`set tidemark.doorbell = 'off'`)
  // It has armed; it sleeps when it looks no more until the next safety poll.
  let before = -1
  await expect
    .poll(
      async () => {
        const now = await looks()
        const quiet = now === before
        before = now
        return quiet
      },
      { timeout: 15_000, interval: 300 },
    )
    .toBe(true)
  const published = Date.now()
  await publisher.publish('nobody rings')
  await expect
    .poll(async () => effectsOf(database, 'ledger'), { timeout: 5_000, interval: 10 })
    .toHaveLength(1)
  // One second is promised; a machine that is busy with other tests gets some more.
  expect(Date.now() - published).toBeLessThan(3_000)
})

test('a process whose doorbell is disabled polls', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { enabled: false } })
  for (let n = 0; n < 3; n++) {
    const { sequence } = await app.publish(noted({ note: `polled ${n}` }))
    await app.waitFor('ledger', sequence, { timeout: '3s' })
  }
  expect(await effectsOf(database, 'ledger')).toHaveLength(3)
  expect(await armedProcesses(database)).toEqual([])
})

test('an event that is published while the process goes to sleep wakes it: it arms before it looks', async () => {
  await using gate = await Gate.close(database)
  await database.query(`
    create function wait_before_arming() returns trigger language plpgsql as $$
    begin
      if new.armed then perform pg_advisory_xact_lock_shared(${gate.key}); end if;
      return new;
    end $$`)
  await database.query(`
    create trigger wait_before_arming before insert or update on tidemark.doorbells
    for each row execute function wait_before_arming()`)
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: neverPolls })
  await gate.reached()

  // Whatever it looked at, it looked at it before this; and nobody is armed yet, so nobody rings.
  const { sequence } = await app.publish(noted({ note: 'in between' }))
  await gate.open()
  await app.waitFor('ledger', sequence, { timeout: '5s' })
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
})

test('a publisher that was open when the process went to sleep is looked for until it ends', async () => {
  await using late = await SqlPublisher.open(database)
  await late.begin('open before anybody armed')
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: neverPolls })
  await asleep(database)
  await late.commit()
  await expect.poll(async () => effectsOf(database, 'ledger'), { timeout: 5_000 }).toHaveLength(1)
})

test('a channel that is flooded with foreign payloads hurts nobody', async () => {
  const log = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger: log })
  await app.start({ doorbell: { ...neverPolls, pingInterval: 100 } })
  await asleep(database)
  await using stranger = await database.connect().then((client) => ({
    client,
    [Symbol.asyncDispose]: () => client.end(),
  }))
  const payloads = ['', 'not json', '{"half":', 'ping of somebody else', 'null', 'x'.repeat(7999)]
  for (let round = 0; round < 100; round++) {
    for (const payload of payloads) {
      await stranger.client.query('select pg_notify($1, $2)', [channelOf('tidemark'), payload])
    }
    if (round % 10 === 0) await app.publish(noted({ note: `in the flood ${round}` }))
  }
  const last = await app.publish(noted({ note: 'after the flood' }))
  await app.waitFor('ledger', last.sequence, { timeout: '5s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(log.entries.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([])
})

test('an event with a payload of 8,000 bytes rings like any other: the notification carries nothing', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: neverPolls })
  for (const length of [7_999, 8_000, 8_001, 100_000]) {
    await asleep(database)
    // What is stored is {"note": "…"}.
    const note = 'x'.repeat(length - '{"note": ""}'.length)
    const { sequence } = await app.publish(noted({ note }), { metadata: { note } })
    await app.waitFor('ledger', sequence)
  }
  const { rows } = await database.query<{ bytes: number }>(
    'select octet_length(payload::text) as bytes from tidemark.events order by sequence',
  )
  expect(rows.map(({ bytes }) => bytes)).toEqual([7_999, 8_000, 8_001, 100_000])
})

test('a killed LISTEN connection is replaced, and what was published meanwhile is handled', async () => {
  const log = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger: log })
  await app.start({ doorbell: neverPolls })
  await asleep(database)
  const { rowCount } = await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'tidemark doorbell %'`,
  )
  expect(rowCount).toBe(1)
  const meanwhile = await app.publish(noted({ note: 'while it was deaf' }))
  await app.waitFor('ledger', meanwhile.sequence, { timeout: '10s' })
  await log.wrote(/doorbell is disconnected/)
  await asleep(database)
  const { sequence } = await app.publish(noted({ note: 'rung' }))
  await app.waitFor('ledger', sequence, { timeout: '5s' })
})

test('a half-open LISTEN connection is found deaf and replaced', async () => {
  const log = new LogBook()
  await using proxy = await TcpProxy.open(database.url)
  await using app = appOn({ url: proxy.url, schema: 'tidemark' }, [recorder('ledger')], {
    logger: log,
  })
  await app.start({ doorbell: { ...neverPolls, pingInterval: 200 } })
  await asleep(database)
  expect(proxy.freeze(/listen "?tidemark_/i)).toBe(1)
  const unheard = await app.publish(noted({ note: 'unheard' }))
  await log.wrote(/doorbell is disconnected/)
  await app.waitFor('ledger', unheard.sequence, { timeout: '10s' })
  await asleep(database)
  const { sequence } = await app.publish(noted({ note: 'rung' }))
  await app.waitFor('ledger', sequence, { timeout: '5s' })
  expect(await effectsOf(database, 'ledger')).toEqual([unheard.sequence, sequence])
})

test('a handler may sleep through rings: none is lost', async () => {
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const seen: string[] = []
  const listener = defineListener('slow').on(noted, async (event) => {
    entered.resolve()
    await gate.promise
    seen.push(event.payload.note)
  })
  await using app = appOn(database, [listener])
  await app.start({ doorbell: neverPolls })
  await app.publish(noted({ note: 'first' }))
  await entered.promise
  const { sequence } = await app.publish(noted({ note: 'second' }))
  gate.resolve()
  await app.waitFor(listener, sequence, { timeout: '5s' })
  expect(seen).toEqual(['first', 'second'])
})
