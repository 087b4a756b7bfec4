import type { ForeignTransaction } from 'tidemark'
import { bindTypeorm, fromTypeorm } from 'tidemark/typeorm'
import { DataSource, EntitySchema, type EntityManager } from 'typeorm'
import type { Subject } from '../subject.ts'

interface Note {
  id?: number
  note: string
}

const Note = new EntitySchema<Note>({
  name: 'Note',
  tableName: 'notes',
  columns: {
    id: { type: Number, primary: true, generated: true },
    note: { type: String },
  },
})

export const subject: Subject = {
  name: 'TypeORM',
  connect: async (url) => {
    const dataSource = new DataSource({ type: 'postgres', url, entities: [Note] })
    await dataSource.initialize()
    return {
      transaction: (work) =>
        dataSource.transaction((manager) => work(manager, fromTypeorm(manager))),
      nested: (own, work) =>
        (own as EntityManager).transaction((manager) => work(manager, fromTypeorm(manager))),
      outside: [
        () => fromTypeorm(dataSource.manager),
        () => fromTypeorm(dataSource.createQueryRunner()),
        // @ts-expect-error -- answers what it likes, on any connection
        (): ForeignTransaction => dataSource,
        // @ts-expect-error -- the same
        (): ForeignTransaction => dataSource.manager,
      ],
      bind: bindTypeorm(dataSource),
      insert: async (own, note) => {
        await (own as EntityManager).save(Note, { note })
      },
      notes: async (own) => {
        const rows = await (own as EntityManager).find(Note, { order: { id: 'ASC' } })
        return rows.map(({ note }) => note)
      },
      close: () => dataSource.destroy(),
    }
  },
}
