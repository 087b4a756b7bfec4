export { bindKnex, type KnexInstance } from './bind-knex.ts'
export { fromKnex, type KnexTransaction } from './from-knex.ts'
