export { fromDrizzle, type DrizzleTransaction } from './from-drizzle.ts'
