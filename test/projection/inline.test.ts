import { defineListener, defineProjection, jobCompleted } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const sequences = defineProjection('sequences', {
  version: 1,
  mode: 'inline',
  initial: (): { seen: bigint[] } => ({ seen: [] }),
}).on(noted, (state, event) => ({ seen: [...state.seen, event.sequence] }))

const rows = defineProjection('rows', { version: 1, mode: 'inline', tables: ['effects'] }).on(
  noted,
  async (event, { tx }) => {
    await recordEffect(tx, 'rows', event)
    if (event.payload.note === 'bad') throw new Error('the projection refuses')
  },
)

test('an inline projection is up to date when its publisher has committed', async () => {
  await using app = appOn(database, [sequences, rows])
  const one = await app.publish(noted({ note: 'one' }))
  expect(await app.read(sequences)).toEqual({ seen: [one.sequence] })
  const { sequence } = await app.transaction(async (tx) => {
    tx.publish([noted({ note: 'two' }), noted({ note: 'three' })], { stream: 's' })
  })
  if (sequence !== null) await app.waitFor(sequences, sequence, { timeout: 0 })
  expect((await app.read(sequences)).seen).toEqual(await committedEvents(database))
  expect(await effectsOf(database, 'rows')).toEqual(await committedEvents(database))
})

test('an inline projection never lags, however much is published', async () => {
  await using app = appOn(database, [sequences, recorder('behind')])
  const runner = await app.start({ doorbell: { enabled: false } })
  await runner.stop()
  await app.publish(noted({ note: 'one' }))
  for (const id of ['2', '3', '4'])
    await database.query(`select tidemark.publish('foreign', $1)`, [id])
  expect(await app.listeners.get('sequences')).toMatchObject({ lag: 0n, lagSeconds: 0 })
  // What a lag is otherwise: the same events, to a listener that nobody runs.
  expect((await app.listeners.get('behind')).lag).toBeGreaterThanOrEqual(3n)
})

test('an inline projection is rolled back with its publisher, whoever owns the transaction', async () => {
  await using app = appOn(database, [sequences, rows])
  const one = await app.publish(noted({ note: 'one' }))
  await expect(
    app.transaction(async (tx) => {
      tx.publish(noted({ note: 'undone' }))
      await Promise.resolve()
      throw new Error('on purpose')
    }),
  ).rejects.toThrow('on purpose')
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await app.publish(noted({ note: 'undone too' }), { tx: publisher.client })
  await publisher.rollback()
  expect(await app.read(sequences)).toEqual({ seen: [one.sequence] })
  expect(await effectsOf(database, 'rows')).toEqual([one.sequence])
})

test('an inline projection that throws refuses the publisher, and nothing is kept', async () => {
  await using app = appOn(database, [sequences, rows])
  await app.publish(noted({ note: 'one' }))
  await expect(app.publish(noted({ note: 'bad' }))).rejects.toThrow('the projection refuses')
  await expect(app.transaction(async (tx) => tx.publish(noted({ note: 'bad' })))).rejects.toThrow(
    'the projection refuses',
  )
  expect(await committedEvents(database)).toHaveLength(1)
  expect((await app.read(sequences)).seen).toHaveLength(1)
  expect(await effectsOf(database, 'rows')).toHaveLength(1)
})

test('an inline projection that fails leaves a transaction of the caller’s as if nothing had been published', async () => {
  const limited = defineProjection('limited', {
    version: 1,
    mode: 'inline',
    tables: ['limits'],
  }).on(noted, async ({ payload: { note } }, { tx }) => {
    await tx.query('insert into limits values ($1)', [note])
    if (note === 'thrown') throw new Error('the projection refuses')
  })
  await database.query(`create table limits (note text check (note <> 'refused'))`)
  const handled: string[] = []
  const careless = defineListener('careless').on(noted, async ({ payload: { note } }, { tx }) => {
    if (note !== 'first') return
    for (const bad of ['thrown', 'refused']) {
      await app.publish(noted({ note: bad }), { tx }).catch(() => handled.push(bad))
    }
  })
  await using app = appOn(database, [sequences, limited, careless])
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  const { client } = publisher
  await expect(app.publish(noted({ note: 'thrown' }), { tx: client })).rejects.toThrow(
    'the projection refuses',
  )
  await expect(
    app.publish([noted({ note: 'good' }), noted({ note: 'refused' })], { tx: client }),
  ).rejects.toMatchObject({ code: '23514' })
  const first = await app.publish(noted({ note: 'first' }), { tx: client })
  await publisher.commit()
  await app.start()
  await app.waitFor(careless, first.sequence)
  expect(handled).toEqual(['thrown', 'refused'])
  expect(await committedEvents(database)).toEqual([first.sequence])
  expect(await app.read(sequences)).toEqual({ seen: [first.sequence] })
  expect((await database.query('select note from limits')).rows).toEqual([{ note: 'first' }])
})

test('what SQL publishes past an inline projection is found, until that is derived again', async () => {
  const asyncOne = defineProjection('async_one', { version: 1, initial: () => 0 }).on(
    noted,
    (n) => n + 1,
  )
  await using app = appOn(database, [sequences, rows, asyncOne])
  await app.start()
  const unseen = async (): Promise<unknown> =>
    (await app.doctor.examine({ checks: ['unseen'] })).map(({ code, subject, details }) => ({
      code,
      of: subject?.name,
      events: (details as { events?: string } | null)?.events,
    }))
  await app.publish(noted({ note: 'seen' }))
  expect(await unseen()).toEqual([expect.objectContaining({ code: 'ok' })])
  const publish = (note: string): Promise<unknown> =>
    database.query(`select tidemark.publish('${noted.type}', '{"note": "${note}"}')`)
  await publish('one')
  await app.publish(noted({ note: 'seen again' }))
  await publish('two')
  expect(await unseen()).toEqual([
    { code: 'inline-unseen', of: 'rows', events: '2' },
    { code: 'inline-unseen', of: 'sequences', events: '2' },
  ])
  await using late = await SqlPublisher.open(database)
  await late.begin()
  await late.client.query(`select tidemark.publish('${noted.type}', '{"note": "late"}')`)
  await app.reset(sequences)
  await app.reset(rows)
  expect(await unseen()).toEqual([expect.objectContaining({ code: 'ok' })])
  expect((await app.read(sequences)).seen).toEqual(await committedEvents(database))
  await late.commit()
  expect(await unseen()).toEqual([
    { code: 'inline-unseen', of: 'rows', events: '1' },
    { code: 'inline-unseen', of: 'sequences', events: '1' },
  ])
})

test('an inline projection of what the server publishes for jobs is refused', () => {
  const inline = defineProjection('inline', { version: 1, mode: 'inline', initial: () => 0 })
  const modules = [inline.on([noted, jobCompleted], (n) => n + 1)]
  expect(() => appOn(database, modules)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
  )
})

test('what is published at once in one transaction of the caller’s is folded one after the other', async () => {
  await using app = appOn(database, [sequences, rows])
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  const { client: tx } = publisher
  const notes = ['one', 'two', 'bad', 'three', 'four']
  const settled = await Promise.allSettled(
    notes.map((note) => app.publish(noted({ note }), { tx })),
  )
  await publisher.commit()
  expect(settled.map(({ status }) => status === 'fulfilled')).toEqual([
    true,
    true,
    false,
    true,
    true,
  ])
  const committed = await committedEvents(database)
  expect(committed).toHaveLength(4)
  expect((await app.read(sequences)).seen).toEqual(committed)
  expect(await effectsOf(database, 'rows')).toEqual(committed)
})

test('inline projections see the events of concurrent publishers in the order of their sequences', async () => {
  await using app = appOn(database, [sequences, rows], { maxConnections: 12 })
  const publishers = Array.from({ length: 8 }, async (_, publisher) => {
    for (let n = 0; n < 12; n++) {
      await app
        .transaction(async (tx) => {
          await tx.query('select pg_sleep($1)', [((publisher + n) % 3) / 1000])
          tx.publish(noted({ note: `${publisher}/${n}` }))
          if ((publisher + n) % 7 === 0) throw new Error('rolled back')
        })
        .catch(() => undefined)
    }
  })
  await Promise.all(publishers)
  const committed = await committedEvents(database)
  expect(committed.length).toBeGreaterThan(70)
  expect((await app.read(sequences)).seen).toEqual(committed)
  expect(await effectsOf(database, 'rows')).toEqual(committed)
})

test('an inline projection that is reset while publishers go on is replayed to the same', async () => {
  await using app = appOn(database, [sequences, rows], { maxConnections: 12 })
  await app.start()
  await app.publish(Array.from({ length: 30 }, (_, n) => noted({ note: `${n}` })))
  const publishing = Array.from({ length: 4 }, async (_, publisher) => {
    for (let n = 0; n < 10; n++) {
      await app.transaction(async (tx) => tx.publish(noted({ note: `${publisher}/${n}` })))
    }
  })
  await app.reset(sequences)
  await app.reset(rows)
  await Promise.all(publishing)
  const committed = await committedEvents(database)
  expect(committed).toHaveLength(70)
  expect((await app.read(sequences)).seen).toEqual(committed)
  expect(await effectsOf(database, 'rows')).toEqual(committed)
})

test('a projection that changes between inline and async is refused', async () => {
  {
    await using app = appOn(database, [sequences])
    await app.start()
    await app.publish(noted({ note: 'one' }))
  }
  const behind = defineProjection('sequences', {
    version: 1,
    initial: (): { seen: bigint[] } => ({ seen: [] }),
  }).on(noted, (state) => state)
  await using app = appOn(database, [behind])
  await expect(app.start()).rejects.toMatchObject({ code: 'TIDEMARK_MODE_CHANGED' })
})

test('an inline projection that is added beside existing events, or raised, knows them all', async () => {
  const count = (version: number, step: number) =>
    defineProjection('late', { version, mode: 'inline', initial: () => 0 }).on(
      noted,
      (n) => n + step,
    )
  {
    await using app = appOn(database, [noted])
    await app.publish([noted({ note: 'one' }), noted({ note: 'two' })])
  }
  {
    await using app = appOn(database, [count(1, 1)])
    await app.publish(noted({ note: 'three' }))
    expect(await app.read(count(1, 1))).toBe(3)
  }
  await using app = appOn(database, [count(2, 100)])
  await app.start({ handleSignals: false })
  expect(await app.read(count(2, 100))).toBe(300)
  await app.publish(noted({ note: 'four' }))
  expect(await app.read(count(2, 100))).toBe(400)
})

test('what an inline projection sends and the server refuses refuses its event alone, with its own error', async () => {
  await database.query(
    'create table sent_notes (sequence bigint, note text check (note <> $$bad$$))',
  )
  const sending = defineProjection('sending', {
    version: 1,
    mode: 'inline',
    tables: ['sent_notes'],
  }).on(noted, (event, { send }) => {
    send('insert into sent_notes values ($1, $2)', [event.sequence, event.payload.note])
  })
  await using app = appOn(database, [sending])
  const outcomes = await Promise.allSettled(
    Array.from({ length: 40 }, (_, n) => app.publish(noted({ note: n === 17 ? 'bad' : `${n}` }))),
  )
  const refused = outcomes.flatMap((one, n) =>
    one.status === 'rejected' ? [{ n, error: one.reason as unknown }] : [],
  )
  expect(refused).toMatchObject([{ n: 17, error: { code: '23514' } }])
  // The same where the publisher has a transaction of its own, or somebody else's.
  await expect(
    app.transaction(async (tx) => tx.publish(noted({ note: 'bad' }))),
  ).rejects.toMatchObject({ code: '23514' })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await expect(app.publish(noted({ note: 'bad' }), { tx: publisher.client })).rejects.toMatchObject(
    { code: '23514' },
  )
  await publisher.rollback()
  const { rows: kept } = await database.query(
    'select sequence::text from sent_notes order by sent_notes.sequence',
  )
  expect(kept.map((row) => BigInt(row['sequence'] as string))).toEqual(
    await committedEvents(database),
  )
  expect(kept).toHaveLength(39)
})
