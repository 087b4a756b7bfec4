export { bindKysely } from './bind-kysely.ts'
