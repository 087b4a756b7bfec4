export { fromPrisma, type PrismaTransaction } from './from-prisma.ts'
