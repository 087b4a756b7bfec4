import postgres, { type TransactionSql } from 'postgres'
import { fromPostgres } from 'tidemark/postgres-js'
import type { Subject } from '../subject.ts'

export const subject: Subject = {
  name: 'postgres.js',
  connect: async (url) => {
    const sql = postgres(url, { transform: postgres.camel })
    return {
      transaction: async (work) => {
        await sql.begin((own) => work(own, fromPostgres(own)))
      },
      nested: async (own, work) => {
        await (own as TransactionSql).savepoint((inner) => work(inner, fromPostgres(inner)))
      },
      // @ts-expect-error -- `sql` itself is not a transaction
      outside: [() => fromPostgres(sql)],
      bind: undefined,
      insert: async (own, note) => {
        await (own as TransactionSql)`insert into notes (note) values (${note})`
      },
      notes: async (own) => {
        const rows = await (own as TransactionSql)<{ note: string }[]>`
          select note from notes order by id`
        return rows.map(({ note }) => note)
      },
      close: () => sql.end(),
    }
  },
}
