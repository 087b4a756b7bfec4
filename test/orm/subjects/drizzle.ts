import { asc } from 'drizzle-orm'
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { fromDrizzle } from 'tidemark/drizzle'
import type { Subject } from '../subject.ts'
import * as schema from './drizzle-schema.ts'

type Db = NodePgDatabase<typeof schema>

export const subject: Subject = {
  name: 'Drizzle on node-postgres',
  connect: async (url) => {
    const pool = new pg.Pool({ connectionString: url })
    const db = drizzle(pool, { schema })
    return {
      transaction: (work) => db.transaction((tx) => work(tx, fromDrizzle(tx))),
      nested: (own, work) => (own as Db).transaction((tx) => work(tx, fromDrizzle(tx))),
      // @ts-expect-error -- the database is not a transaction
      outside: [() => fromDrizzle(db)],
      bind: (client): Db => drizzle(client, { schema }),
      insert: async (own, note) => {
        await (own as Db).insert(schema.notes).values({ note })
      },
      notes: async (own) => {
        const rows = await (own as Db).select().from(schema.notes).orderBy(asc(schema.notes.id))
        // Relational queries ask for rows as arrays, too.
        const related = await (own as Db).query.notes.findMany()
        if (related.length !== rows.length) throw new Error('relational queries see other rows')
        return rows.map(({ note }) => note)
      },
      close: () => pool.end(),
    }
  },
}
