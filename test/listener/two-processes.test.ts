import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

const database = useFreshDatabase()
const leaseDuration = 1_500

function worker(name: string): Promise<WorkerProcess> {
  return WorkerProcess.start({ url: database.url, name, leaseDuration })
}

/** Who handled what, in order. */
async function handledBy(): Promise<string[]> {
  const { rows } = await database.query<{ who: string }>(
    `select f.process || ': ' || (e.payload ->> 'note') as who
     from effects f join tidemark.events e using (sequence) order by f.id`,
  )
  return rows.map(({ who }) => who)
}

/** The number of events that the projection has folded. */
async function tally(): Promise<number | undefined> {
  const { rows } = await database.query<{ notes: number }>(
    `select (state ->> 'notes')::integer as notes from tidemark.cursors where listener = 'tally'`,
  )
  return rows[0]?.notes
}

test('an owner that is killed with -9 in the middle of a transaction is replaced within its lease, nothing lost, nothing twice', async () => {
  await using app = appOn(database, [noted])
  await using first = await worker('first')
  await app.publish(noted({ note: 'done' }))
  await first.reported('leaving', 'done')
  const waiting = await app.publish(noted({ note: 'wait, and be killed' }))
  await first.reported('entered', 'wait, and be killed')
  // Only now: a second process takes over one of the two consumers, and it may be this one.
  await using second = await worker('second')

  const killed = Date.now()
  await first.kill('SIGKILL')
  await second.reported('entered', 'wait, and be killed')
  expect(Date.now() - killed).toBeLessThan(15_000)
  second.release()
  const last = await app.publish(noted({ note: 'after' }))
  await app.waitFor('ledger', last.sequence, { timeout: '15s' })
  await app.waitFor('tally', last.sequence, { timeout: '15s' })

  expect(await handledBy()).toEqual(['first: done', 'second: wait, and be killed', 'second: after'])
  expect(await tally()).toBe(3)
  expect(waiting.sequence).toBeLessThan(last.sequence)
})

test('an owner that is frozen between batches past its lease and wakes up applies nothing twice', async () => {
  await using app = appOn(database, [noted])
  await using first = await worker('first')
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.waitFor('tally', one.sequence)
  await using second = await worker('second')

  first.signal('SIGSTOP')
  const two = await app.publish(noted({ note: 'two' }))
  await second.reported('leaving', 'two')
  await app.waitFor('ledger', two.sequence)
  await app.waitFor('tally', two.sequence, { timeout: '15s' })
  // Awake, with a lease that it believes in and a page to be read.
  first.signal('SIGCONT')
  for (let n = 0; n < 20; n++) await app.publish(noted({ note: `after ${n}` }))
  const last = await app.publish(noted({ note: 'the last' }))
  await app.waitFor('ledger', last.sequence, { timeout: '15s' })
  await app.waitFor('tally', last.sequence, { timeout: '15s' })

  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(await tally()).toBe(23)
  expect((await handledBy())[1]).toBe('second: two')
  // It knows that it is a standby now, and takes over when it has to.
  await second.kill('SIGKILL')
  const final = await app.publish(noted({ note: 'final' }))
  await first.reported('leaving', 'final')
  await app.waitFor('ledger', final.sequence)
  expect((await handledBy()).at(-1)).toBe('first: final')
})

test('an owner that is frozen before its fence, and wakes up when another has gone on without it, applies nothing twice', async () => {
  await using app = appOn(database, [noted])
  // Its own heartbeat is 40 s away: when it wakes up, only the fence can tell it what has happened.
  await using first = await WorkerProcess.start({
    url: database.url,
    name: 'first',
    leaseDuration: 120_000,
    acquireInterval: 60_000,
    freezeAt: 'freeze',
  })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.waitFor('tally', one.sequence)
  await app.publish(noted({ note: 'freeze' }))
  await first.reported('freezing')
  // Two minutes later.
  await database.query(
    `update tidemark.cursors set lease_until = lease_until - interval '2 minutes'`,
  )
  await using second = await worker('second')
  await second.reported('leaving', 'freeze')
  for (let n = 0; n < 20; n++) await app.publish(noted({ note: `after ${n}` }))
  const last = await app.publish(noted({ note: 'the last' }))
  await app.waitFor('ledger', last.sequence, { timeout: '15s' })
  await app.waitFor('tally', last.sequence, { timeout: '15s' })

  first.signal('SIGCONT')
  await first.reported('lost', 'ledger')
  await first.reported('lost', 'tally')
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(await tally()).toBe(23)
  expect((await handledBy()).filter((line) => line.startsWith('first'))).toEqual(['first: one'])
})

test('a zombie that wakes up in the middle of a transaction, after another has taken over, writes nothing', async () => {
  await using app = appOn(database, [noted])
  await using first = await worker('first')
  await app.publish(noted({ note: 'wait for the freeze' }))
  await first.reported('entered', 'wait for the freeze')
  await using second = await worker('second')

  first.signal('SIGSTOP')
  // The server ends the frozen session; then the row and the lease are free.
  await second.reported('entered', 'wait for the freeze')
  second.release()
  await second.reported('leaving', 'wait for the freeze')
  first.signal('SIGCONT')
  first.release()
  // Its handler goes on, with a transaction that is gone.
  const failed = await first.reported('failed', 'wait for the freeze')
  expect(failed.message).toMatch(/terminat|closed|cut off|not queryable|rolled back/i)

  const last = await app.publish(noted({ note: 'after' }))
  await app.waitFor('ledger', last.sequence, { timeout: '15s' })
  expect((await handledBy())[0]).toBe('second: wait for the freeze')
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
})

test('a process that is told to end finishes its batch, gives its leases back and ends', async () => {
  await using app = appOn(database, [noted])
  // A lease that nobody would wait for in a test.
  await using first = await WorkerProcess.start({
    url: database.url,
    name: 'first',
    leaseDuration: 120_000,
  })
  const one = await app.publish(noted({ note: 'wait until told to end' }))
  await first.reported('entered', 'wait until told to end')
  first.signal('SIGTERM')
  first.release()
  await first.reported('leaving', 'wait until told to end')
  await first.ended
  await app.waitFor('ledger', one.sequence)

  expect(await handledBy()).toEqual(['first: wait until told to end'])
  expect(
    (await database.query('select from tidemark.cursors where owner is not null')).rowCount,
  ).toBe(0)
  expect((await database.query('select from tidemark.doorbells')).rowCount).toBe(0)
  expect((await database.query('select from tidemark.processes')).rowCount).toBe(0)
  await using second = await worker('second')
  const two = await app.publish(noted({ note: 'at once' }))
  await second.reported('leaving', 'at once')
  await app.waitFor('ledger', two.sequence)
})
