import { expect, test } from 'vitest'
import { committedEvents, noted } from '../support/effects.ts'
import { freePort } from '../support/free-port.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** The number of transactions that committed the events. */
async function transactions(): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'select count(distinct xid)::integer as n from tidemark.events',
  )
  return rows[0]?.n ?? 0
}

test('calls that are made together share a commit, and each gets its own events', async () => {
  await using app = appOn(database, [noted])
  const published = await Promise.all(
    Array.from({ length: 200 }, (_, n) =>
      n % 10 === 0
        ? app.publish([noted({ note: `${n}` }), noted({ note: `${n} again` })])
        : app.publish(noted({ note: `${n}` })).then((event) => [event]),
    ),
  )
  const sequences = published.flat().map((event) => event.sequence)
  expect(sequences).toHaveLength(220)
  expect(sequences).toEqual(await committedEvents(database))
  expect(await transactions()).toBeLessThan(10)
  const { rows } = await database.query<{ note: string }>(
    `select payload ->> 'note' as note from tidemark.events where sequence = any ($1)`,
    [published[50]?.map((event) => event.sequence)],
  )
  expect(rows.map(({ note }) => note).toSorted()).toEqual(['50', '50 again'])
})

test('a call that is refused before it is sent does not fail its neighbours', async () => {
  await using app = appOn(database, [noted])
  const outcomes = await Promise.allSettled([
    app.publish(noted({ note: 'left' })),
    app.publish(noted({ note: 'half of a pair \ud800' })),
    app.publish(noted({ note: 'conflict' }), { stream: 's', expectedVersion: 9 }),
    app.publish(noted({ note: 'unknown' }), { stram: 's' } as never),
    app.publish(noted({ note: 'right' })),
  ])
  expect(
    outcomes.map((outcome) => (outcome.status === 'rejected' ? outcome.reason : 'ok')),
  ).toEqual([
    'ok',
    expect.objectContaining({ code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' }),
    expect.objectContaining({ code: 'TIDEMARK_STREAM_CONFLICT' }),
    expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
    'ok',
  ])
  expect(await committedEvents(database)).toHaveLength(2)
})

test('a call that the server refuses does not fail its neighbours in the same statement', async () => {
  await database.query(
    `alter table tidemark.events add constraint no_bad check (payload ->> 'note' <> 'bad')`,
  )
  await using app = appOn(database, [noted])
  const outcomes = await Promise.allSettled([
    app.publish(noted({ note: 'left' })),
    app.publish([noted({ note: 'with' }), noted({ note: 'bad' })]),
    app.publish(noted({ note: 'right' })),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(outcomes[1]).toMatchObject({ reason: { code: '23514' } })
  const { rows } = await database.query(
    `select payload ->> 'note' as note from tidemark.events order by note`,
  )
  expect(rows).toEqual([{ note: 'left' }, { note: 'right' }])
})

test('a publish whose connection is lost says that it does not know, and its idempotency key makes a second one safe', async () => {
  await using app = appOn(database, [noted])
  await database.query(`
    create function hang_up() returns trigger language plpgsql as $$
    begin
      perform pg_terminate_backend(pg_backend_pid());
      return null;
    end $$`)
  await database.query(
    `create trigger hang_up after insert on tidemark.events for each statement execute function hang_up()`,
  )
  const options = { idempotencyKey: 'payment-7' }
  await expect(app.publish(noted({ note: 'pay' }), options)).rejects.toMatchObject({
    code: 'TIDEMARK_PUBLISH_UNKNOWN',
  })
  await expect(app.publish(noted({ note: 'plain' }))).rejects.toMatchObject({
    code: 'TIDEMARK_PUBLISH_UNKNOWN',
  })
  await database.query('drop trigger hang_up on tidemark.events')
  await app.publish(noted({ note: 'pay' }), options)
  expect(await committedEvents(database)).toHaveLength(1)
})

test('a publish that could not be sent says that nothing was published', async () => {
  const nobody = new URL(database.url)
  nobody.port = String(await freePort())
  for (const options of [{}, { stream: 's' }, { idempotencyKey: 'k' }]) {
    await using app = appOn({ ...database, url: nobody.href }, [noted])
    await expect(app.publish(noted({ note: 'away' }), options)).rejects.toMatchObject({
      code: 'TIDEMARK_CONNECTION_FAILED',
    })
  }
  const role = `limited_${database.name.slice(-8)}`
  await database.query(`create role ${role} login password 'limited' connection limit 0`)
  const limited = new URL(database.url)
  limited.username = role
  limited.password = 'limited'
  {
    await using app = appOn({ ...database, url: limited.href }, [noted])
    await expect(app.publish(noted({ note: 'full' }))).rejects.toMatchObject({
      code: 'TIDEMARK_CONNECTION_FAILED',
      cause: { code: '53300' },
    })
  }
  await database.query(`drop role ${role}`)
})

test('a list of thousands is one statement, all of it or nothing', async () => {
  await using app = appOn(database, [noted])
  const drafts = Array.from({ length: 5_000 }, (_, n) => noted({ note: `${n}` }))
  const published = await app.publish(drafts)
  expect(published.map((event) => event.sequence)).toEqual(await committedEvents(database))
  expect(await transactions()).toBe(1)
  const { rows } = await database.query<{ note: string }>(
    `select payload ->> 'note' as note from tidemark.events order by sequence`,
  )
  expect(rows.map(({ note }) => note)).toEqual(drafts.map(({ payload }) => payload.note))
  await database.query(
    `alter table tidemark.events add constraint no_bad check (payload ->> 'note' <> 'bad')`,
  )
  await expect(app.publish([...drafts, noted({ note: 'bad' })])).rejects.toMatchObject({
    code: '23514',
  })
  expect(await committedEvents(database)).toHaveLength(5_000)
})

test('what the server discards of a shared statement is no reason to publish the rest of it again', async () => {
  await database.query(`
    create function discard() returns trigger language plpgsql as
      $$ begin return case when new.payload ->> 'note' = 'bad' then null else new end; end $$;
    create trigger discard before insert on tidemark.events for each row execute function discard()`)
  await using app = appOn(database, [noted])
  for (const [n, options] of [{}, { stream: 's' }].entries()) {
    const notes = ['a', 'b', 'bad', 'c', 'd'].map((note) => (note === 'bad' ? note : note + n))
    const outcomes = await Promise.allSettled(
      notes.map((note) => app.publish(noted({ note }), options)),
    )
    const codes = outcomes.flatMap((one) =>
      one.status === 'rejected' ? [(one.reason as { code?: string }).code] : [],
    )
    expect(new Set(codes)).toEqual(new Set(['TIDEMARK_INVARIANT_BROKEN']))
  }
  const { rows } = await database.query(
    `select payload ->> 'note' as note, count(*)::integer as n from tidemark.events group by 1 order by 1`,
  )
  expect(rows.map(({ n }) => n)).toEqual(rows.map(() => 1))
  expect(rows.map(({ note }) => note)).toEqual(['a0', 'a1', 'b0', 'b1', 'c0', 'c1', 'd0', 'd1'])
})
