export { bindPrisma, type PrismaPoolConfig } from './bind-prisma.ts'
export { fromPrisma, type PrismaTransaction } from './from-prisma.ts'
