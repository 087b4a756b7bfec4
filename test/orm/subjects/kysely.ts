import { CamelCasePlugin, Kysely, PostgresDialect, type ControlledTransaction } from 'kysely'
import pg from 'pg'
import type { ForeignTransaction } from 'tidemark'
import { bindKysely } from 'tidemark/kysely'
import type { Subject } from '../subject.ts'

interface Tables {
  notes: { id?: number; note: string }
}

const plugins = [new CamelCasePlugin()]

async function within(
  db: Kysely<Tables>,
  work: (own: unknown, tx: ForeignTransaction) => Promise<void>,
): Promise<void> {
  const trx = await db.startTransaction().execute()
  try {
    await work(trx, trx)
    await trx.commit().execute()
  } catch (error) {
    await trx.rollback().execute()
    throw error
  }
}

export const subject: Subject = {
  name: 'Kysely with plugins',
  connect: async (url) => {
    const pool = new pg.Pool({ connectionString: url })
    const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins })
    return {
      transaction: (work) => within(db, work),
      nested: async (own, work) => {
        if (!(own as Kysely<Tables>).isTransaction) {
          // `db` of a handler.
          await within(own as Kysely<Tables>, work)
          return
        }
        const trx = own as ControlledTransaction<Tables>
        const inner = await trx.savepoint('inner').execute()
        try {
          await work(inner, inner)
          await inner.releaseSavepoint('inner').execute()
        } catch (error) {
          await inner.rollbackToSavepoint('inner').execute()
          throw error
        }
      },
      outside: [
        () => {
          // @ts-expect-error -- Kysely itself is not a transaction
          const tx: ForeignTransaction = db
          return tx
        },
      ],
      bind: bindKysely((dialect) => new Kysely<Tables>({ dialect, plugins })),
      insert: async (own, note) => {
        await (own as Kysely<Tables>).insertInto('notes').values({ note }).execute()
      },
      notes: async (own) => {
        const rows = await (own as Kysely<Tables>)
          .selectFrom('notes')
          .selectAll()
          .orderBy('id')
          .execute()
        return rows.map(({ note }) => note)
      },
      close: () => db.destroy(),
    }
  },
}
