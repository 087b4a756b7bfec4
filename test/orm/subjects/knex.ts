import knexOn, { type Knex } from 'knex'
import { bindKnex, fromKnex } from 'tidemark/knex'
import type { Subject } from '../subject.ts'

export const subject: Subject = {
  name: 'Knex',
  connect: async (url) => {
    const knex = knexOn({ client: 'pg', connection: url })
    return {
      transaction: (work) => knex.transaction((trx) => work(trx, fromKnex(trx))),
      nested: (own, work) => (own as Knex).transaction((trx) => work(trx, fromKnex(trx))),
      // @ts-expect-error -- Knex itself is not a transaction
      outside: [() => fromKnex(knex)],
      bind: bindKnex(knex),
      insert: async (own, note) => {
        await (own as Knex)('notes').insert({ note })
      },
      notes: (own) => (own as Knex)('notes').orderBy('id').pluck('note'),
      close: () => knex.destroy(),
    }
  },
}
