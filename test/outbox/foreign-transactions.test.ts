import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { type App, defineEvent, type Executor, type ForeignTransaction } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { committedEvents, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const undone = new Error('rolled back on purpose')

/** What a transaction of somebody else's is: work in it, then commit or roll back. */
interface Foreign {
  readonly how: string
  /** Runs `work` in a transaction with a business row, and commits unless it throws. */
  readonly run: (
    work: (tx: ForeignTransaction, query: Executor['query']) => Promise<void>,
  ) => Promise<void>
}

const business = `insert into effects (listener, sequence) values ('business', 0)`

async function onClient(
  client: pg.Client,
  tx: ForeignTransaction,
  work: (tx: ForeignTransaction, query: Executor['query']) => Promise<void>,
): Promise<void> {
  try {
    await client.query('begin')
    await client.query(business)
    await work(tx, (text, values) => client.query(text, values))
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    await client.end()
  }
}

const foreigns: readonly Foreign[] = [
  {
    how: 'a pg client',
    run: async (work) => {
      const client = await database.connect()
      await onClient(client, client, work)
    },
  },
  {
    how: 'an object with query()',
    run: async (work) => {
      const client = await database.connect()
      await onClient(
        client,
        { query: (text: string, values?: unknown[]) => client.query(text, values) },
        work,
      )
    },
  },
  {
    how: 'a Kysely transaction',
    run: async (work) => {
      const db = new Kysely<Record<string, Record<string, unknown>>>({
        dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) }),
      })
      try {
        await db.transaction().execute(async (trx) => {
          const query: Executor['query'] = async (text, values = []) => {
            const { rows } = await trx.executeQuery<Record<string, unknown>>({
              sql: text,
              parameters: values,
              query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
              queryId: { queryId: 'test' },
            } as never)
            return { rows, rowCount: rows.length }
          }
          await query(business)
          await work(trx, query)
        })
      } finally {
        await db.destroy()
      }
    },
  },
]

async function businessRows(): Promise<number> {
  return (await database.query(`select from effects where listener = 'business'`)).rowCount ?? 0
}

for (const { how, run } of foreigns) {
  test(`events published in ${how} are visible when it has committed, and not before`, async () => {
    await using app = appOn(database, [noted])
    let during: bigint[] = [0n]
    let sequence = 0n
    await run(async (tx) => {
      ;({ sequence } = await app.publish(noted({ note: 'in time' }), { tx }))
      during = await committedEvents(database)
    })
    expect(during).toEqual([])
    expect(await committedEvents(database)).toEqual([sequence])
    expect(await businessRows()).toBe(1)
  })

  test(`events published in ${how} that rolls back never were`, async () => {
    await using app = appOn(database, [noted])
    await expect(
      run(async (tx) => {
        await app.publish([noted({ note: 'a' }), noted({ note: 'b' })], { tx, stream: 's' })
        throw undone
      }),
    ).rejects.toBe(undone)
    expect(await committedEvents(database)).toEqual([])
    expect((await database.query('select from tidemark.streams')).rowCount).toBe(0)
    expect(await businessRows()).toBe(0)
  })

  test(`refusals do not abort ${how}: it can go on and commit`, async () => {
    await using app = appOn(database, [noted])
    await app.publish(noted({ note: 'taken' }), { stream: 's', idempotencyKey: 'once' })
    await run(async (tx, query) => {
      await refuses(app, tx)
      // Still a transaction like any other.
      expect((await query('select 1 as one')).rows).toEqual([{ one: 1 }])
      await app.publish(noted({ note: 'in spite of it all' }), {
        tx,
        stream: 's',
        expectedVersion: 1,
      })
    })
    expect(await committedEvents(database)).toHaveLength(2)
    expect(await businessRows()).toBe(1)
  })
}

/** Everything that can be wrong with an event. */
async function refuses(app: App, tx: ForeignTransaction): Promise<void> {
  const draft = noted({ note: 'refused' })
  await expect(
    app.publish(draft, { tx, stream: 's', expectedVersion: 'none' }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_STREAM_CONFLICT',
    details: { stream: 's', actualVersion: 1n, expectedVersion: 0n },
  })
  await expect(app.publish(draft, { tx, idempotencyKey: 'once' })).rejects.toMatchObject({
    code: 'TIDEMARK_DUPLICATE_EVENT',
    details: { idempotencyKey: 'once' },
  })
  await expect(app.publish([draft, noted({ note: 'nul \0' })], { tx })).rejects.toMatchObject({
    code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
    details: { path: 'note' },
  })
  await expect(app.publish(draft, { tx, expectedVersion: 3 })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
  })
  const impostor = defineEvent(noted.type, { payload: z.object({ note: z.string() }) })
  await expect(app.publish(impostor({ note: 'x' }), { tx })).rejects.toMatchObject({
    code: 'TIDEMARK_EVENT_REDEFINED',
  })
}

test('something that cannot run a query, or is not in a transaction, is refused before anything is sent', async () => {
  await using app = appOn(database, [noted])
  const db = new Kysely<object>({
    dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: database.url }) }),
  })
  for (const tx of [db, {}, null, 'client'] as unknown as ForeignTransaction[]) {
    await expect(app.publish(noted({ note: 'x' }), { tx })).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_EXECUTOR',
    })
  }
  await db.destroy()
  expect(await committedEvents(database)).toEqual([])
})
