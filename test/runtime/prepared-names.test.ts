import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { Database } from '../../packages/core/src/database/pool.ts'
import { mistrust, named, trusted } from '../../packages/core/src/database/sent/prepared-names.ts'
import { inTransaction } from '../../packages/core/src/database/transaction/transaction.ts'

const testDatabase = useTestDatabase()

test('copies of Tidemark share the connections of a pool', async () => {
  const pool = new pg.Pool({ connectionString: testDatabase.url, max: 1 })
  const answers: unknown[] = []
  for (const text of ['select $1::integer as one', 'select $1::text as two']) {
    // As an application has them that was bundled twice, or is loaded anew and keeps its pool.
    vi.resetModules()
    const own = await import('../../packages/core/src/database/pool.ts')
    const transaction = await import('../../packages/core/src/database/transaction/transaction.ts')
    const database = new own.Database({ pool }, '', () => {})
    const [answer] = await transaction.inTransaction(database, {}, (tx) => tx.sending(text, [1]))
    answers.push(...answer.rows)
  }
  await pool.end()
  expect(answers).toEqual([{ one: 1 }, { two: '1' }])
})

test('what fails for the plans of several connections at once is asked again each time, and prepared no more', () => {
  const config = { text: 'insert into widened (n) values ($1)', values: [3_000_000_000] }
  expect(named(config).name).toBeUndefined()
  const prepared = named(config)
  expect(prepared.name).toBeDefined()
  const outOfRange = (): Error => Object.assign(new Error('out of range'), { code: '22003' })
  expect([1, 2].map(() => mistrust(prepared, outOfRange()))).toEqual([true, true])
  expect(named(config).name).toBeUndefined()
  expect(trusted(prepared).name).toBeUndefined()
})

test('a name that an ORM gives goes when its plan is lost, and when nothing is to be prepared', async () => {
  const text = 'select * from shape where a = $1'
  const mine = { name: 'mine', text, values: [1] }
  await testDatabase.query('create table shape (a integer); insert into shape values (1)')
  const isPrepared = async (preparedStatements: boolean, change?: string): Promise<unknown> => {
    const options = { connectionString: testDatabase.url, maxConnections: 1, preparedStatements }
    const database = new Database({ ...options, db: (client) => client }, '', () => {})
    const db = database.db() as pg.PoolClient
    try {
      expect((await db.query(mine)).rows).toHaveLength(1)
      if (change !== undefined) await testDatabase.query(change)
      expect((await db.query(mine)).rows).toHaveLength(1)
      await inTransaction(database, {}, (transaction) => transaction.ask(mine))
      const { rows } = await db.query('select from pg_prepared_statements where statement = $1', [
        text,
      ])
      return rows.length > 0
    } finally {
      await database.close()
    }
  }
  expect(await isPrepared(false)).toBe(false)
  expect(await isPrepared(true)).toBe(true)
  expect(await isPrepared(true, 'alter table shape add column b text')).toBe(false)
})
