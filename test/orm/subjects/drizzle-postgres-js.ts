import { asc } from 'drizzle-orm'
import { drizzle as drizzleOnPg } from 'drizzle-orm/node-postgres'
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { fromDrizzle } from 'tidemark/drizzle'
import type { Subject } from '../subject.ts'
import * as schema from './drizzle-schema.ts'

type Db = PostgresJsDatabase<typeof schema>

export const subject: Subject = {
  name: 'Drizzle on postgres.js',
  connect: async (url) => {
    const sql = postgres(url)
    const db = drizzle(sql, { schema })
    return {
      transaction: (work) => db.transaction((tx) => work(tx, fromDrizzle(tx))),
      nested: (own, work) => (own as Db).transaction((tx) => work(tx, fromDrizzle(tx))),
      // @ts-expect-error -- the database is not a transaction
      outside: [() => fromDrizzle(db)],
      // Tidemark's connections are node-postgres': the same queries, by the other driver.
      bind: (client) => drizzleOnPg(client, { schema }),
      insert: async (own, note) => {
        await (own as Db).insert(schema.notes).values({ note })
      },
      notes: async (own) => {
        const rows = await (own as Db).select().from(schema.notes).orderBy(asc(schema.notes.id))
        return rows.map(({ note }) => note)
      },
      close: () => sql.end(),
    }
  },
}
