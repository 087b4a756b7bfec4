export { bindMikroOrm, type MikroOrm, type MikroOrmForks } from './bind-mikro-orm.ts'
export { fromMikroOrm, type MikroOrmManager } from './from-mikro-orm.ts'
