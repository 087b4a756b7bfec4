import {
  DataTypes,
  Sequelize,
  Transaction,
  type CreationOptional,
  type InferAttributes,
  type InferCreationAttributes,
  type Model,
} from 'sequelize'
import type { ForeignTransaction } from 'tidemark'
import { bindSequelize, fromSequelize } from 'tidemark/sequelize'
import type { Subject } from '../subject.ts'

interface Note extends Model<InferAttributes<Note>, InferCreationAttributes<Note>> {
  id: CreationOptional<number>
  note: string
}

export const subject: Subject = {
  name: 'Sequelize',
  connect: async (url) => {
    const sequelize = new Sequelize(url, { logging: false })
    const Note = sequelize.define<Note>(
      'note',
      {
        id: { type: DataTypes.INTEGER, primaryKey: true, autoIncrement: true },
        note: { type: DataTypes.TEXT, allowNull: false },
      },
      { tableName: 'notes', timestamps: false },
    )
    return {
      transaction: (work) =>
        sequelize.transaction((transaction) =>
          work(transaction, fromSequelize(sequelize, transaction)),
        ),
      nested: (own, work) =>
        sequelize.transaction({ transaction: own as Transaction }, (transaction) =>
          work(transaction, fromSequelize(sequelize, transaction)),
        ),
      // @ts-expect-error -- runs each statement on a connection of its own
      outside: [(): ForeignTransaction => sequelize],
      bind: bindSequelize(sequelize, Transaction),
      insert: async (own, note) => {
        await Note.create({ note }, { transaction: own as Transaction })
      },
      notes: async (own) => {
        const rows = await Note.findAll({ order: ['id'], transaction: own as Transaction })
        return rows.map(({ note }) => note)
      },
      close: () => sequelize.close(),
    }
  },
}
