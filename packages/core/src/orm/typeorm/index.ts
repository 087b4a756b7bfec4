export { bindTypeorm, type TypeormDataSource } from './bind-typeorm.ts'
export { fromTypeorm, type TypeormManager, type TypeormQueryRunner } from './from-typeorm.ts'
