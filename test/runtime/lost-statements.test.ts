import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { expect, test } from 'vitest'
import { Database } from '../../packages/core/src/database/pool.ts'
import { isStalePlan } from '../../packages/core/src/errors/postgres-error.ts'

const testDatabase = useTestDatabase()
const connections = 3

const ways = {
  'a pool of its own': () =>
    new Database(
      { connectionString: testDatabase.url, maxConnections: connections },
      'lost statements',
      () => {},
    ),
  'a given pool': () => new Database({ pool: given }, '', () => {}),
}
let given: pg.Pool

const losses = {
  'a DEALLOCATE ALL that nobody sees': `do $$ begin execute 'DEALLO' || 'CATE ALL'; end $$`,
  'a table that has changed': 'alter table looked_at alter column n type text',
}

const cases = Object.keys(ways).flatMap((way) =>
  Object.keys(losses).map((loss) => [way, loss] as const),
) as readonly (readonly [keyof typeof ways, keyof typeof losses])[]

test.each(cases)(
  'a statement of %s finds another connection after %s on each',
  async (way, loss) => {
    await testDatabase.query('drop table if exists looked_at; create table looked_at (n integer)')
    await testDatabase.query('insert into looked_at values (1)')
    given = new pg.Pool({ connectionString: testDatabase.url, max: connections })
    const database = ways[way]()
    const statement = { name: 'looks', text: 'select * from looked_at where $1::integer = 1' }
    const onEach = async (config: pg.QueryConfig): Promise<void> => {
      const clients = await Promise.all(
        Array.from({ length: connections }, () => database.connect()),
      )
      for (const client of clients) await client.query(config)
      for (const client of clients) client.release()
    }
    try {
      await onEach({ ...statement, values: [1] })
      await onEach({ text: losses[loss] })
      // What would have been there without the second attempt.
      const client = await database.connect()
      const error: unknown = await client
        .query({ ...statement, values: [1] })
        .catch((e: unknown) => e)
      client.release()
      expect(isStalePlan(error)).toBe(true)

      expect(await database.fetch(statement, [1])).toEqual([['1']])
      for (let n = 0; n < connections; n++) {
        const { rows } = await database.run(statement, [1])
        expect(rows).toHaveLength(1)
      }
    } finally {
      await database.close()
      await given.end()
    }
  },
)
