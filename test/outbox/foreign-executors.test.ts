import pg from 'pg'
import {
  defineEntity,
  defineEvent,
  defineJob,
  defineProjection,
  type Executor,
  type ForeignTransaction,
  type QueryResult,
  type TransactionExecutor,
} from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { committedEvents, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const refused = { code: 'TIDEMARK_INVALID_EXECUTOR' }

const counted = defineEvent('test.counted', { payload: z.object({ by: z.bigint() }) })
const counter = defineEntity('counter', { initial: () => 0n, snapshotEvery: 2 }).on(
  counted,
  (sum, { payload }) => sum + payload.by,
)
const send = defineJob('send', { input: z.object({ at: z.date() }), run: async () => {} })

async function onClient(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = await database.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}

async function checkUntouched(): Promise<void> {
  expect(await committedEvents(database)).toEqual([])
  expect(await committedEvents(database, counted.type)).toEqual([])
  expect((await database.query('select from tidemark.jobs')).rowCount).toBe(0)
}

/** Everything that takes `tx`. */
async function checkRefused(tx: unknown): Promise<void> {
  await using app = appOn(database, [noted, counted, send])
  const foreign = tx as ForeignTransaction
  await expect(app.publish(noted({ note: 'a' }), { tx: foreign })).rejects.toMatchObject(refused)
  await expect(
    app.publish([noted({ note: 'a' }), noted({ note: 'b' })], { tx: foreign, stream: 's' }),
  ).rejects.toMatchObject(refused)
  await expect(app.jobs.spawn(send, { at: new Date() }, { tx: foreign })).rejects.toMatchObject(
    refused,
  )
  await expect(
    app.jobs.spawn('send', { at: new Date() }, { tx: foreign, uniqueKey: 'once' }),
  ).rejects.toMatchObject(refused)
  await expect(
    app.decide(counter, 'c', () => counted({ by: 1n }), { tx: foreign }),
  ).rejects.toMatchObject(refused)
}

test('a pool, and what runs its statements, is refused before anything is written', async () => {
  const pool = new pg.Pool({ connectionString: database.url })
  try {
    await checkRefused(pool)
    await checkRefused({ query: (text: string, values?: unknown[]) => pool.query(text, values) })
    const one = new pg.Pool({ connectionString: database.url, max: 1 })
    await checkRefused({ query: (text: string, values?: unknown[]) => one.query(text, values) })
    await one.end()
  } finally {
    await pool.end()
  }
  await checkUntouched()
})

test('a client is refused before BEGIN, after COMMIT and after ROLLBACK, and taken in between', async () => {
  await using app = appOn(database, [noted])
  await onClient(async (client) => {
    const wrapped = { query: (text: string, values?: unknown[]) => client.query(text, values) }
    for (const end of ['commit', 'rollback']) {
      await checkRefused(client)
      await checkRefused(wrapped)
      await client.query('begin')
      await app.publish(noted({ note: 'in time' }), { tx: wrapped })
      await app.publish(noted({ note: 'in time' }), { tx: client })
      await client.query(end)
      await checkRefused(client)
      await checkRefused(wrapped)
    }
  })
  expect(await committedEvents(database)).toHaveLength(2)
})

test('a BEGIN that is still under way counts', async () => {
  await using app = appOn(database, [noted])
  await onClient(async (client) => {
    const beginning = client.query('begin')
    await app.publish(noted({ note: 'in time' }), { tx: client })
    await beginning
    await client.query('rollback')
  })
  await checkUntouched()
})

test('an answer that is not one is an error of Tidemark, whatever it is', async () => {
  for (const answer of [[], [{ row: 1 }], undefined, null, 7, {}, { rows: 'none' }]) {
    await checkRefused({ query: async () => answer })
  }
  for (const tx of [null, 'client', 5, {}, () => {}, { query: 'select 1' }]) await checkRefused(tx)
})

test('what an ORM gives is refused with the word that it needs', async () => {
  await using app = appOn(database, [noted])
  const prisma = { $queryRawUnsafe: async () => [] }
  await expect(app.publish(noted({ note: 'a' }), { tx: prisma as never })).rejects.toMatchObject({
    ...refused,
    hint: expect.stringContaining('fromPrisma(tx)'),
  })
})

// Drivers as they are, each with a bad habit: encoding by the server's types, renaming columns, parsing by own rules.
const habits: readonly (readonly [string, (client: pg.Client) => TransactionExecutor])[] = [
  [
    'makes JSON of whatever goes into a json or an array',
    (client) => ({
      query: (text, values = []) =>
        client.query(
          text,
          values.map((value, index) =>
            new RegExp(`\\$${index + 1}::(?:json|[a-z]+\\[\\])`, 'u').test(text)
              ? JSON.stringify(value)
              : value,
          ),
        ),
    }),
  ],
  [
    'renames columns with underscores',
    (client) => ({
      query: async (text, values) => {
        const answer = await client.query<Record<string, unknown>>(text, values)
        const rows = answer.rows.map((row) =>
          Object.fromEntries(
            Object.entries(row).map(([name, value]) => [name.replaceAll('_', ''), value]),
          ),
        )
        return { rows, rowCount: answer.rowCount }
      },
    }),
  ],
  [
    'makes numbers of bigints, and texts of dates and documents',
    (client) => ({
      query: (text, values) =>
        client.query({
          text,
          ...(values === undefined ? {} : { values }),
          types: {
            getTypeParser: ((type: number) => (value: string) =>
              type === 20 || type === 23 ? Number(value) : value) as never,
          },
        }),
    }),
  ],
  [
    'does not count rows',
    (client) => ({
      query: async (text, values) => ({
        rows: (await client.query<Record<string, unknown>>(text, values)).rows,
        rowCount: null,
      }),
    }),
  ],
]

test.each(habits)(
  'with a driver that %s, everything is stored as it was meant',
  async (_, make) => {
    await using app = appOn(database, [noted, counted, send])
    const note = `"quotes", {braces}, \\ back, ü, 'single', NULL`
    const at = new Date('2026-03-04T05:06:07.089Z')
    await onClient(async (client) => {
      const tx: Executor = make(client)
      await client.query('begin')
      await app.publish(noted({ note }), { tx, metadata: { [note]: note } })
      await app.publish([noted({ note }), noted({ note: 'null' })], { tx })
      await app.publish(noted({ note: 'keyed' }), { tx, stream: note, idempotencyKey: note })
      for (const by of [1n, 2n ** 70n, 3n]) {
        await app.decide(counter, 'c', () => counted({ by }), { tx })
      }
      const { result } = await app.decide(counter, 'c', () => undefined, { tx })
      expect(result).toMatchObject({ state: 4n + 2n ** 70n, version: 3n, eventsRead: 1 })
      await app.jobs.spawn(send, { at }, { tx })
      const first = await app.jobs.spawn(send, { at }, { tx, uniqueKey: note })
      const second = await app.jobs.spawn(send, { at }, { tx, uniqueKey: note })
      expect(second).toMatchObject({ id: first.id, duplicate: true })
      await client.query('commit')
    })
    const notes: string[] = []
    for await (const event of app.events({ types: [noted.type] })) {
      notes.push((event.payload as { note: string }).note)
    }
    expect(notes.slice(0, 3)).toEqual([note, note, 'null'])
    expect((await app.load(counter, 'c')).state).toBe(4n + 2n ** 70n)
    const [job] = await app.jobs.list()
    expect(job?.input).toEqual({ at })
  },
)

test('decide in a transaction of the caller conflicts once, keeps nothing, and leaves the transaction usable', async () => {
  await using app = appOn(database, [noted, counted, send])
  await onClient(async (client) => {
    await client.query('begin')
    const deciding = app.decide(
      counter,
      'c',
      async (_, tx) => {
        await app.decide(counter, 'c', () => counted({ by: 1n }))
        await tx.spawn(send, { at: new Date(0) })
        return counted({ by: 1n })
      },
      { tx: client },
    )
    await expect(deciding).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
    await app.decide(counter, 'c', () => counted({ by: 5n }), { tx: client })
    await client.query('commit')
    expect(await app.jobs.list()).toEqual([])
    await expect(
      app.decide(counter, 'c', () => undefined, { tx: client, attempts: 2 }),
    ).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  })
  expect((await app.load(counter, 'c')).state).toBe(6n)
})

test('what an ORM has for one transaction after the other means the present one', async () => {
  const tally = defineProjection('tally', { version: 1, mode: 'inline', initial: () => 0 }).on(
    noted,
    (n) => n + 1,
  )
  await using app = appOn(database, [tally, counted])
  const manager = {}
  for (const note of ['first', 'second']) {
    await onClient(async (client) => {
      const query = (text: string, values: unknown[] = []): Promise<QueryResult> =>
        client.query(text, values)
      await client.query('begin')
      // Wrapped anew for each call, as people do, and both at once.
      await Promise.all([
        app.publish(noted({ note }), { tx: { orm: manager, query } as never }),
        app.publish(noted({ note }), { tx: { orm: manager, query } as never }),
        app.decide(counter, 'c', () => counted({ by: 1n }), {
          tx: { orm: manager, query } as never,
        }),
      ])
      await client.query('commit')
    })
  }
  expect(await committedEvents(database)).toHaveLength(4)
  expect(await app.read(tally)).toBe(4)
  expect((await app.load(counter, 'c')).state).toBe(2n)
})

test('what is published and spawned beside a decision that conflicts stays', async () => {
  await using app = appOn(database, [noted, counted, send])
  await onClient(async (client) => {
    await client.query('begin')
    const running = Promise.withResolvers<void>()
    const told = Promise.withResolvers<void>()
    const deciding = app.decide(
      counter,
      'c',
      async () => {
        running.resolve()
        await told.promise
        await app.decide(counter, 'c', () => counted({ by: 1n }))
        return counted({ by: 1n })
      },
      { tx: client },
    )
    await running.promise
    const beside = Promise.all([
      app.publish(noted({ note: 'beside' }), { tx: client }),
      app.jobs.spawn(send, { at: new Date(0) }, { tx: client }),
    ])
    told.resolve()
    await expect(deciding).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
    await beside
    await client.query('commit')
  })
  expect(await committedEvents(database)).toHaveLength(1)
  expect(await app.jobs.list()).toHaveLength(1)
})

test('the wrong executor does not compile', () => {
  const take = (tx: ForeignTransaction): string => typeof tx
  const given = undefined as unknown as { pool: pg.Pool; client: pg.Client; own: pg.PoolClient }
  const check = (): void => {
    take(given.client)
    take(given.own)
    // @ts-expect-error -- a pool
    take(given.pool)
    // @ts-expect-error -- a function
    take(() => {})
  }
  expect(check).toBeTypeOf('function')
})

test('who waits in a callback for what comes after it in the same transaction is told so', async () => {
  await using app = appOn(database, [counted, noted])
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    await onClient(async (client) => {
      await client.query('BEGIN')
      const decided = Promise.withResolvers<void>()
      // Another part of the program, which knows nothing of the decision.
      const elsewhere = decided.promise.then(() =>
        app.publish(noted({ note: 'a' }), { tx: client }),
      )
      const deciding = app.decide(
        counter,
        'c',
        async (_, tx) => {
          await tx.query('insert into effects (listener, sequence) values ($1, 1)', ['undone'])
          decided.resolve()
          await elsewhere
          return counted({ by: 1n })
        },
        { tx: client },
      )
      const busy = { code: 'TIDEMARK_TRANSACTION_BUSY' }
      await decided.promise
      await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1))
      await vi.advanceTimersByTimeAsync(60_000)
      await expect(elsewhere).rejects.toMatchObject(busy)
      await expect(deciding).rejects.toMatchObject(busy)
      // Nothing of it has stayed, and the transaction goes on.
      await app.publish(noted({ note: 'b' }), { tx: client })
      await client.query('COMMIT')
    })
  } finally {
    vi.useRealTimers()
  }
  const notes = (await Array.fromAsync(app.events())).map(({ payload }) => payload)
  expect(notes).toEqual([{ note: 'b' }])
  expect((await database.query('select from effects')).rowCount).toBe(0)
})
