import pg from 'pg'
import type { ForeignTransaction } from 'tidemark'
import type { Subject } from '../subject.ts'

export const subject: Subject = {
  name: 'node-postgres',
  connect: async (url) => {
    const pool = new pg.Pool({ connectionString: url })
    const within = async (
      client: pg.PoolClient,
      [begin, commit, ...rollback]: readonly string[],
      work: (own: unknown, tx: ForeignTransaction) => Promise<void>,
    ): Promise<void> => {
      await client.query(String(begin))
      try {
        await work(client, client)
        await client.query(String(commit))
      } catch (error) {
        for (const text of rollback) await client.query(text)
        throw error
      }
    }
    return {
      transaction: async (work) => {
        const client = await pool.connect()
        try {
          await within(client, ['begin', 'commit', 'rollback'], work)
        } finally {
          client.release()
        }
      },
      nested: (own, work) =>
        within(
          own as pg.PoolClient,
          ['savepoint s', 'release s', 'rollback to s', 'release s'],
          work,
        ),
      // @ts-expect-error -- a pool is not a transaction
      outside: [(): ForeignTransaction => pool],
      bind: (client) => client,
      insert: async (own, note) => {
        await (own as pg.PoolClient).query('insert into notes (note) values ($1)', [note])
      },
      notes: async (own) => {
        const { rows } = await (own as pg.PoolClient).query<[string]>({
          text: 'select note from notes order by id',
          rowMode: 'array',
        })
        return rows.map(([note]) => note)
      },
      close: () => pool.end(),
    }
  },
}
