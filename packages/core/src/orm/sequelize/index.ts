export { bindSequelize, type SequelizeClass } from './bind-sequelize.ts'
export {
  fromSequelize,
  type SequelizeInstance,
  type SequelizeTransaction,
} from './from-sequelize.ts'
