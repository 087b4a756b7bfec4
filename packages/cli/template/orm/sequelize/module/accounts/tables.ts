import { DataTypes, Sequelize, type Model, type Transaction } from 'sequelize'

// It opens no connection: its statements go through Tidemark's, in the transaction that they are given.
export const sequelize = new Sequelize({ dialect: 'postgres', logging: false })

interface AccountRow {
  id: string
  email: string
  status: 'open' | 'closed'
}

interface LetterRow {
  event_id: string
  account_id: string
  text: string
}

/** The tables of this application. */
export const Account = sequelize.define<Model<AccountRow, AccountRow>>(
  'account',
  {
    id: { type: DataTypes.TEXT, primaryKey: true },
    email: { type: DataTypes.TEXT, allowNull: false },
    status: { type: DataTypes.TEXT, allowNull: false },
  },
  { tableName: 'accounts', timestamps: false },
)

export const Letter = sequelize.define<Model<LetterRow, LetterRow>>(
  'letter',
  {
    event_id: { type: DataTypes.TEXT, primaryKey: true },
    account_id: { type: DataTypes.TEXT, allowNull: false },
    text: { type: DataTypes.TEXT, allowNull: false },
  },
  { tableName: 'letters', timestamps: false },
)

// What `db` is in transactions and handlers: models take it as their `transaction`.
declare module 'tidemark' {
  interface Register {
    db: Transaction
  }
}
