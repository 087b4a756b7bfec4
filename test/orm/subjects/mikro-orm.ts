import { defineEntity, MikroORM, p, type SqlEntityManager } from '@mikro-orm/postgresql'
import { bindMikroOrm, fromMikroOrm } from 'tidemark/mikro-orm'
import type { Subject } from '../subject.ts'

const Note = defineEntity({
  name: 'Note',
  tableName: 'notes',
  properties: { id: p.integer().primary().autoincrement(), note: p.text() },
})

export const subject: Subject = {
  name: 'MikroORM',
  connect: async (url) => {
    const orm = await MikroORM.init({ clientUrl: url, entities: [Note], ensureDatabase: false })
    return {
      transaction: (work) => orm.em.fork().transactional((em) => work(em, fromMikroOrm(em))),
      nested: (own, work) =>
        (own as SqlEntityManager).transactional((em) => work(em, fromMikroOrm(em))),
      outside: [() => fromMikroOrm(orm.em.fork())],
      bind: bindMikroOrm(orm),
      insert: async (own, note) => {
        const em = own as SqlEntityManager
        em.create(Note, { note })
        await em.flush()
      },
      notes: async (own) => {
        const em = (own as SqlEntityManager).fork({ keepTransactionContext: true })
        const rows = await em.find(Note, {}, { orderBy: { id: 'asc' } })
        return rows.map(({ note }) => note)
      },
      close: () => orm.close(),
    }
  },
}
