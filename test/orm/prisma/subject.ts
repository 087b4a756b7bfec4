import { PrismaPg } from '@prisma/adapter-pg'
import { bindPrisma, fromPrisma } from 'tidemark/prisma'
import type { Subject } from '../subject.ts'
import { PrismaClient, type Prisma } from './dist/client.ts'

export const subject: Subject = {
  name: 'Prisma',
  connect: async (url) => {
    const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
    return {
      transaction: (work) => prisma.$transaction((tx) => work(tx, fromPrisma(tx))),
      nested: (own, work) => (own as PrismaClient).$transaction((tx) => work(tx, fromPrisma(tx))),
      // @ts-expect-error -- the client itself is not a transaction
      outside: [() => fromPrisma(prisma)],
      bind: bindPrisma((config) => new PrismaClient({ adapter: new PrismaPg(config) })),
      insert: async (own, note) => {
        await (own as Prisma.TransactionClient).note.create({ data: { note } })
      },
      notes: async (own) => {
        const rows = await (own as Prisma.TransactionClient).note.findMany({
          orderBy: { id: 'asc' },
        })
        return rows.map(({ note }) => note)
      },
      close: () => prisma.$disconnect(),
    }
  },
}
