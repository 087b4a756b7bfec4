import { toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

interface Publishing {
  readonly how: string
  readonly begin?: string
  readonly statements: readonly string[]
  readonly notes: readonly string[]
}

const publishings: readonly Publishing[] = [
  {
    how: 'a plain INSERT',
    statements: [
      `insert into tidemark.events (type, payload) values ('test.noted', '{"note":"plain"}')`,
    ],
    notes: ['plain'],
  },
  {
    how: 'the SQL function publish()',
    statements: [`select tidemark.publish('test.noted', '{"note":"function"}')`],
    notes: ['function'],
  },
  {
    how: 'the SQL function publish() with a stream and an idempotency key',
    statements: [
      `select tidemark.publish('test.noted', '{"note":"streamed"}', stream => 's', idempotency_key => 'k')`,
    ],
    notes: ['streamed'],
  },
  {
    how: 'an INSERT … SELECT of many rows',
    statements: [
      `insert into tidemark.events (type, payload)
       select 'test.noted', jsonb_build_object('note', n::text) from generate_series(1, 5) n order by n`,
    ],
    notes: ['1', '2', '3', '4', '5'],
  },
  {
    how: 'an INSERT in a common table expression',
    statements: [
      `with published as (
         insert into tidemark.events (type, payload) values ('test.noted', '{"note":"cte"}') returning sequence)
       select * from published`,
    ],
    notes: ['cte'],
  },
  {
    how: 'a prepared INSERT',
    statements: [
      `prepare publishing (text) as insert into tidemark.events (type, payload)
       values ('test.noted', jsonb_build_object('note', $1))`,
      `execute publishing ('one')`,
      `execute publishing ('two')`,
    ],
    notes: ['one', 'two'],
  },
  {
    how: 'COPY',
    statements: [
      `copy tidemark.events (type, payload) from program 'printf "test.noted\\t{\\"note\\":\\"copied\\"}\\n"'`,
    ],
    notes: ['copied'],
  },
  {
    how: 'a REPEATABLE READ transaction',
    begin: 'begin isolation level repeatable read',
    statements: [
      'select count(*) from tidemark.events',
      `insert into tidemark.events (type, payload) values ('test.noted', '{"note":"repeatable"}')`,
    ],
    notes: ['repeatable'],
  },
  {
    how: 'a SERIALIZABLE transaction',
    begin: 'begin isolation level serializable',
    statements: [
      'select count(*) from tidemark.events',
      `insert into tidemark.events (type, payload) values ('test.noted', '{"note":"serializable"}')`,
    ],
    notes: ['serializable'],
  },
]

for (const { how, begin = 'begin', statements, notes } of publishings) {
  test(`events of ${how} are not skipped when they commit late`, async ({ skip }) => {
    await using app = appOn(database, [recorder('ledger')])
    await app.start({ doorbell: { safetyPoll: 20 } })
    await using publisher = await SqlPublisher.open(database)
    await publisher.query(begin)
    for (const statement of statements) {
      await publisher.query(statement).catch((error: unknown) => {
        // A server in a container or elsewhere has no shell for us.
        if (how === 'COPY' && /COPY|program/.test(String(error)))
          skip(`no COPY FROM PROGRAM: ${String(error)}`)
        throw error
      })
    }
    const above = await app.publish(noted({ note: 'above' }))
    await expect(app.waitFor('ledger', above.sequence, { timeout: 200 })).rejects.toMatchObject({
      code: 'TIDEMARK_WAIT_TIMEOUT',
    })
    expect(await notesOf(database, 'ledger')).toEqual([])
    await publisher.commit()
    await app.waitFor('ledger', above.sequence)
    expect(await notesOf(database, 'ledger')).toEqual([...notes, 'above'])
  })
}

for (const isolation of ['repeatable read', 'serializable'] as const) {
  test(`a ${isolation} publisher whose snapshot is older than the sleep rings all the same`, async () => {
    await using publisher = await SqlPublisher.open(database)
    await publisher.query(`begin isolation level ${isolation}`)
    // Its snapshot knows nothing of the runner's doorbell, which is armed later.
    await publisher.query('select count(*) from tidemark.doorbells')
    await using app = appOn(database, [recorder('ledger')])
    await app.start({ doorbell: { safetyPoll: 60_000 } })
    await expect
      .poll(
        async () =>
          (await database.query('select from tidemark.doorbells where armed')).rows.length,
        { timeout: 10_000 },
      )
      .toBe(1)
    const sequence = await publisher.publish('rung')
    await publisher.commit()
    await app.waitFor('ledger', toEventSequence(sequence), { timeout: '10s' })
    expect(await notesOf(database, 'ledger')).toEqual(['rung'])
  })
}

test('who inserts into a partition itself is a publisher too, and is not skipped when it commits late', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ handleSignals: false })
  const late = await database.connect()
  await late.query('begin')
  const insert = (partition: string) =>
    `insert into tidemark.${partition} (type, payload) values ('test.noted', '{"note": "direct"}') returning sequence`
  await late.query(insert('events_0'))
  const { rows } = await database.query<{ publishers: number }>(
    'select count(*)::int as publishers from tidemark.publishers',
  )
  expect(rows).toEqual([{ publishers: 1 }])
  const after = await app.publish(noted({ note: 'after' }))
  await late.query('commit')
  await late.end()
  await app.waitFor('ledger', after.sequence)
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
})

test('a sequence that an INSERT brings along is refused until its transaction is registered', async () => {
  await using publisher = await SqlPublisher.open(database)
  const brought = `insert into tidemark.events (sequence, type, payload)
    values (nextval('tidemark.events_sequence'), 'test.noted', '{"note": "brought along"}')`
  await publisher.begin()
  await expect(publisher.query(brought)).rejects.toMatchObject({
    message: expect.stringContaining('not registered as a publisher'),
    hint: expect.stringContaining('Leave the column "sequence" to its default'),
  })
  await publisher.rollback()

  await publisher.begin('registers the transaction')
  await publisher.query(brought)
  await publisher.query('savepoint s')
  await publisher.query('rollback to s')
  await publisher.query(brought)
  await publisher.rollback()

  // The lock goes with the savepoint, and so must the right to bring a number.
  await publisher.begin()
  await publisher.query('savepoint s')
  await publisher.publish('undone')
  await publisher.query('rollback to s')
  await expect(publisher.query(brought)).rejects.toThrow('not registered as a publisher')
  await publisher.rollback()
})
